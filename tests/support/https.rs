//! Web servers with HTTPS in the process of a test, in front of the real program.
#![allow(dead_code, unreachable_pub, reason = "each test is a program that uses some of it")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use crate::certificates::{Extension, GOOD, Party};
use crate::support::PATIENCE;

/// The server that all certificates here are about.
pub fn server() -> Party {
    Party::new("Throw-away server", 2)
}

/// What the server needs to show this certificate, and to speak these versions of TLS.
pub fn showing(certificate: Vec<u8>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server().private_key()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let chain = vec![CertificateDer::from(certificate)];
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// What the server needs whose certificate is for `name` and of this authority.
fn server_of(authority: &Party, name: &str) -> Arc<ServerConfig> {
    showing(authority.certify(&server(), GOOD, Extension::Names(&[name])), rustls::ALL_VERSIONS)
}

/// Serves `https://NAME` at port 443 of `ip` to the end of this process, with a certificate of `authority`: what `answer` makes of
/// the first line of a request, or else what the server `behind` says to it.
pub fn serve_https(
    ip: &str,
    (authority, name): (&Party, &str),
    behind: SocketAddr,
    mut answer: impl FnMut(&str) -> Option<String> + Send + 'static,
) {
    let listener = TcpListener::bind((ip, 443)).unwrap();
    let config = server_of(authority, name);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // A client that does not like the certificate is none.
            let _ = serve(stream, config.clone(), behind, &mut answer);
        }
    });
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    behind: SocketAddr,
    answer: &mut impl FnMut(&str) -> Option<String>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match tls.read(&mut chunk)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&chunk[..length]),
        }
    }
    let text = String::from_utf8_lossy(&request);
    match answer(text.lines().next().unwrap_or_default()) {
        Some(response) => tls.write_all(response.as_bytes())?,
        None => {
            // The client says that the connection is closed, and the server does so.
            let mut relay = TcpStream::connect(behind)?;
            relay.write_all(&request)?;
            let mut response = Vec::new();
            relay.read_to_end(&mut response)?;
            tls.write_all(&response)?;
        }
    }
    tls.conn.send_close_notify();
    tls.flush()?;
    tls.sock.shutdown(Shutdown::Write)
}

/// A whole response.
pub fn response(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}
