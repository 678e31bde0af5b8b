//! One request over HTTP, on a connection of its own.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};

use async_io::Async;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Reach;
use super::race::{first_of, within};
use crate::client::failure::{Failure, unreachable};
use crate::client::http::{Reader, Response, cut_short};
use crate::client::json::Document;
use crate::client::message::refusal;
use crate::client::url::{Scheme, Target};
use crate::time::Instant;

/// Bytes read at once.
const CHUNK_BYTES: usize = 4096;

impl Reach {
    /// Sends a request to a server, and returns its response and the address that it came from.
    pub(super) async fn exchange(
        &self,
        to: &Target,
        request: Vec<u8>,
        deadline: Instant,
    ) -> Result<(Response, IpAddr), Failure> {
        if to.way.scheme == Scheme::Udp {
            return Err(Failure::Unsupported("udp:// servers do not speak HTTP"));
        }
        within(self.clock, deadline, async {
            let (host, port) = to.door();
            let addresses = self.resolver.look_up(host, port).await?;
            let (stream, address) = first_of(&addresses, connect).await?;
            let from = address.ip().to_canonical();
            let response = match to.way.scheme {
                Scheme::Https => self.converse_over_tls(stream, &to.way.host, &request).await?,
                _ => converse(stream, &request).await?,
            };
            Ok((response, from))
        })
        .await
    }

    #[cfg(not(feature = "https"))]
    async fn converse_over_tls(&self, _: Async<TcpStream>, _: &str, _: &[u8]) -> Result<Response, Failure> {
        Err(Failure::Unsupported("this build does not speak https://"))
    }
}

async fn connect(address: SocketAddr) -> Result<(Async<TcpStream>, SocketAddr), Failure> {
    let stream = Async::<TcpStream>::connect(address).await.map_err(|error| unreachable(&error))?;
    Ok((stream, address))
}

/// Sends `request` and reads the response.
pub(super) async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> Result<Response, Failure> {
    stream.write_all(request).await.map_err(|error| Failure::of_io(&error))?;
    stream.flush().await.map_err(|error| Failure::of_io(&error))?;
    let mut reader = Reader::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match stream.read(&mut chunk).await {
            Ok(0) => return reader.end(),
            Ok(read) => read,
            // TLS tells an end from a connection that was cut (RFC 8446 section 6.1).
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(cut_short()),
            Err(error) => return Err(Failure::of_io(&error)),
        };
        if let Some(response) = reader.feed(chunk.get(..read).unwrap_or_default())? {
            return Ok(response);
        }
    }
}

/// The body of a response that says yes.
///
/// # Errors
/// [`Failure::Refused`] if it says why not, [`Failure::Status`] if it says no more than a number.
pub(super) fn granted(response: Response) -> Result<Vec<u8>, Failure> {
    if response.status == 200 {
        return Ok(response.body);
    }
    if let Some(document) = Document::parse(&response.body) {
        refusal(&document, response.retry_after_s)?;
    }
    Err(Failure::Status(response.status))
}
