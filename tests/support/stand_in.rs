//! What stands in for a server over HTTP, and does what no server should.
#![allow(dead_code, unreachable_pub, reason = "each test is a program that uses some of it")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::support::PATIENCE;

/// A server in this process, to the end of it.
pub struct StandIn {
    /// Its URL.
    pub url: String,
    requests: Receiver<Request>,
}

/// A request that it had.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET /peers?...`, without the version.
    pub line: String,
    /// Its body.
    pub body: String,
}

impl StandIn {
    /// Answers each request by what `answer` makes of it: a status and a body.
    pub fn start(mut answer: impl FnMut(&Request) -> (&'static str, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let Some(request) = read(&mut stream) else { continue };
                let (status, body) = answer(&request);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if sender.send(request).is_err() {
                    break;
                }
            }
        });
        Self { url, requests }
    }

    /// Answers everything alike.
    pub fn saying(status: &'static str, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, body.clone()))
    }

    /// The next request that was answered.
    pub fn next(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }

    /// The requests that were answered and not looked at yet.
    pub fn rest(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

/// The URL of a port on which nobody listens.
pub fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").into();
                return Some(Request { line, body: body.into() });
            }
        }
        match stream.read(&mut chunk) {
            Ok(n @ 1..) => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}
