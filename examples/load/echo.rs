//! The least a server of datagrams can do: what others are compared with.

use std::convert::Infallible;
use std::io;
use std::net::UdpSocket;

use crate::Options;

/// Room for a request, in bytes.
const REQUEST_BYTES: usize = 2048;

/// Answers each datagram with as many bytes as wanted, without a look at it: one blocking socket, one call to receive,
/// one to send. The answer is the request from `--skip` on, so that the number in it comes back where a client looks
/// for it: bytes 8 to 16 of a tracker's request are those it has in front of its answer.
pub(crate) fn serve(socket: &UdpSocket, options: &Options) -> io::Result<Infallible> {
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::Load;
    use crate::report::Tally;
    use crate::udp::Client;

    /// Runs the generator against an echo until it has 100 answers.
    fn run(arguments: &[&str]) -> Tally {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = socket.local_addr().unwrap();
        // It ends with the process.
        thread::spawn(move || serve(&socket, &crate::options(&["echo"])));
        let options = crate::options(arguments);
        let mut client = Client::new(target, crate::talk(&options).unwrap(), &options).unwrap();
        let mut tally = Tally::new();
        client.run(Duration::from_secs(20), 100, &mut tally).unwrap();
        tally
    }

    #[test]
    fn a_tracker_can_be_compared_with_it() {
        for waiting in [&["--window", "2"][..], &["--spin"]] {
            let arguments = [&["tracker", "announce", "--sockets", "4"], waiting].concat();
            let tally = run(&arguments);
            assert!(tally.answers >= 100 && tally.refusals == 0, "{waiting:?}: {}", tally.answers);
            assert_eq!(tally.sizes, [(200, tally.answers)]);
        }
    }

    #[test]
    fn it_is_no_tracker() {
        let tally = run(&["tracker", "scrape", "--sockets", "4"]);
        assert_eq!(tally.refusals, tally.answers);
        assert!(tally.first_trouble.is_some_and(|why| why.starts_with("a swarm has")));
    }
}
