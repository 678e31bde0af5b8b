//! The least a server of datagrams can do: what others are compared with.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::Options;

/// Room for a request, in bytes.
const REQUEST_BYTES: usize = 2048;

/// Answers each datagram with as many bytes as wanted, without a look at it: one blocking socket, one call to receive,
/// one to send. The answer is the request from `--skip` on, so that the number in it comes back where a client looks
/// for it: bytes 8 to 16 of a tracker's request are those it has in front of its answer.
pub(crate) fn serve(address: SocketAddr, options: &Options) -> io::Result<Infallible> {
    let socket = UdpSocket::bind(address)?;
    let mut buffer = [0; REQUEST_BYTES];
    let end = options.skip.saturating_add(options.answer_bytes);
    if end > buffer.len() {
        return Err(io::Error::other("--skip and --answer-bytes are too many"));
    }
    loop {
        let (_, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[options.skip..end], from)?;
    }
}
