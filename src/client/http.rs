//! HTTP/1.1 as a client speaks it (RFC 9112), sans-IO: the bytes of a request, and a reader of its response.
//!
//! One connection carries one request. The reader is as strict as the server is with requests: what two readers could take for
//! different things is refused, and nothing grows beyond [`MAX_HEAD_BYTES`] and [`MAX_BODY_BYTES`].

use super::failure::Failure;
use crate::wire::http::Chunked;

/// Longest head of a response, in bytes.
pub const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Longest body of a response, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Most header fields of a response.
const MAX_FIELDS: usize = 64;
/// Most interim responses (1xx) before the one that counts.
const MAX_INTERIM: u8 = 8;
/// Longest Location that is kept, in bytes.
const MAX_LOCATION_BYTES: usize = 2048;
/// Longest Waypost-Signature that is kept, in bytes: one has 141.
const MAX_SIGNATURE_BYTES: usize = 256;

/// The bytes of `GET target` from the server called `host`, as [`Way::host_field`](super::url::Way::host_field) has it.
///
/// # Errors
/// [`Failure::Unsupported`] if `target` is no path with a query.
pub fn get(host: &str, target: &str) -> Result<Vec<u8>, Failure> {
    head("GET", host, target, "").map(String::into_bytes)
}

/// The bytes of `POST target` with this JSON.
///
/// # Errors
/// [`Failure::Unsupported`] if `target` is no path with a query.
pub fn post(host: &str, target: &str, json: &str) -> Result<Vec<u8>, Failure> {
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
    head("POST", host, target, &fields).map(|head| (head + json).into_bytes())
}

fn head(method: &str, host: &str, target: &str, fields: &str) -> Result<String, Failure> {
    let plain = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !plain {
        return Err(Failure::Unsupported("what is asked for must be a path of visible ASCII"));
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: waypost/{version}\r\n\
         Accept: application/json\r\nConnection: close\r\n{fields}\r\n"
    ))
}

/// A whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status, 200..=599 but for what a server makes up.
    pub status: u16,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// `Location`, as it is.
    pub location: Option<String>,
    /// How long it may be kept.
    pub caching: Caching,
    /// `Waypost-Signature`, as it is.
    pub signature: Option<String>,
}

/// How long an answer may be kept, from `Cache-Control` (RFC 9111 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caching {
    /// `max-age`, in seconds.
    pub max_age_s: Option<u32>,
    /// It is not to be kept: `no-store`, or `no-cache`.
    pub no_store: bool,
}

/// Reads one response from bytes that come in bit by bit.
#[derive(Debug)]
pub struct Reader {
    /// What has come of the head that is being read.
    head: Vec<u8>,
    /// How many bytes of it have been looked at.
    looked_at: usize,
    /// Interim responses passed over.
    interim: u8,
    /// How the body ends, once the head is there.
    framing: Option<Framing>,
    response: Response,
}

/// How a body ends (RFC 9112 section 6.3).
#[derive(Debug)]
enum Framing {
    /// With so many bytes more.
    Length(usize),
    /// With its last chunk.
    Chunked(Chunked),
    /// With the connection.
    Close,
}

const BARE_LINE_END: Failure = Failure::Nonsense("a line of its head does not end with CR LF");
const CONTROL: Failure = Failure::Nonsense("its head has a control character");
const NO_HEAD: Failure = Failure::Nonsense("it does not begin like HTTP/1.1");
const BAD_FRAMING: Failure = Failure::Nonsense("its length can be read in two ways");

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self { head: Vec::new(), looked_at: 0, interim: 0, framing: None, response: Response::default() }
    }

    /// Takes the bytes that came in, and returns the response once it is whole. It has then nothing more to read.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is no HTTP/1.x, or can be read in two ways; [`Failure::TooLong`] beyond the limits.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Option<Response>, Failure> {
        while self.framing.is_none() {
            let Some(end) = self.take_head(&mut bytes)? else { return Ok(None) };
            let head = self.head.drain(..end).collect::<Vec<u8>>();
            self.looked_at = 0;
            self.begin(&head)?;
        }
        self.take_body(bytes)
    }

    /// Takes the end of the connection, and returns the response if it is whole by that.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it is not.
    pub fn end(self) -> Result<Response, Failure> {
        match self.framing {
            Some(Framing::Close) => Ok(self.response),
            _ => Err(cut_short()),
        }
    }

    /// Moves bytes to the head, up to its end. Returns its length once it is whole.
    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<Option<usize>, Failure> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.head.push(byte);
            match (self.head.as_slice(), byte) {
                ([.., b'\r', b'\n', b'\r', b'\n'], _) => return Ok(Some(self.head.len())),
                ([.., b'\r', b'\n'], _) => {}
                (_, b'\n') | ([.., b'\r', _], _) => return Err(BARE_LINE_END),
                (_, b'\r' | b'\t') => {}
                _ if byte.is_ascii_control() => return Err(CONTROL),
                _ => {}
            }
            let start = b"HTTP/1.";
            if self.head.len() <= start.len() && !start.starts_with(&self.head) {
                return Err(NO_HEAD);
            }
            if self.head.len() >= MAX_HEAD_BYTES {
                return Err(Failure::TooLong);
            }
        }
        Ok(None)
    }

    /// Takes a whole head: what is to come after it.
    fn begin(&mut self, head: &[u8]) -> Result<(), Failure> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Failure::TooLong),
            _ => return Err(Failure::Nonsense("its head is malformed")),
        }
        let status = parsed.code.filter(|status| (100..=599).contains(status)).ok_or(NO_HEAD)?;
        if status < 200 {
            self.interim = self.interim.saturating_add(1);
            // Nobody asked to switch protocols.
            let passed = status != 101 && self.interim <= MAX_INTERIM;
            return if passed { Ok(()) } else { Err(Failure::Nonsense("interim answers without end")) };
        }
        let mut length = Length::default();
        self.response.status = status;
        for field in parsed.headers.iter() {
            length.take(field)?;
            self.take_field(field);
        }
        let has_body = !matches!(status, 204 | 304);
        self.framing = Some(length.framing(parsed.version == Some(1), has_body)?);
        Ok(())
    }

    fn take_field(&mut self, field: &httparse::Header<'_>) {
        let Ok(value) = str::from_utf8(field.value) else { return };
        let value = value.trim_matches([' ', '\t']);
        let response = &mut self.response;
        match field.name.to_ascii_lowercase().as_str() {
            "retry-after" => response.retry_after_s = seconds(value),
            "location" if value.len() <= MAX_LOCATION_BYTES => response.location = Some(value.into()),
            "cache-control" => response.caching.take(value),
            "waypost-signature" if value.len() <= MAX_SIGNATURE_BYTES => {
                response.signature = Some(value.into());
            }
            _ => {}
        }
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<Option<Response>, Failure> {
        let body = &mut self.response.body;
        let whole = match &mut self.framing {
            None => false,
            Some(Framing::Length(left)) => {
                let taken = bytes.get(..*left).unwrap_or(bytes);
                body.extend_from_slice(taken);
                *left = left.saturating_sub(taken.len());
                *left == 0
            }
            Some(Framing::Chunked(chunked)) => {
                let mut bytes = bytes.to_vec();
                let step = chunked.advance(&mut bytes).map_err(|reject| match reject.status {
                    413 | 431 => Failure::TooLong,
                    _ => Failure::Nonsense(reject.detail),
                })?;
                body.extend(bytes.iter().take(step.decoded));
                step.complete
            }
            Some(Framing::Close) => {
                body.extend_from_slice(bytes);
                if body.len() > MAX_BODY_BYTES {
                    return Err(Failure::TooLong);
                }
                false
            }
        };
        Ok(whole.then(|| std::mem::take(&mut self.response)))
    }
}

/// The connection ended in the middle of a response.
pub(super) fn cut_short() -> Failure {
    Failure::Broken("the server closed it before its answer was whole".into())
}

/// What the head says about the length of the body.
#[derive(Default)]
struct Length<'h> {
    content_length: Option<&'h [u8]>,
    transfer_encoding: Option<&'h [u8]>,
}

impl<'h> Length<'h> {
    /// Takes a field. No field of these may come twice, not even with the same value.
    fn take(&mut self, field: &httparse::Header<'h>) -> Result<(), Failure> {
        let place = if field.name.eq_ignore_ascii_case("content-length") {
            &mut self.content_length
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            &mut self.transfer_encoding
        } else {
            return Ok(());
        };
        if place.replace(field.value.trim_ascii()).is_some() { Err(BAD_FRAMING) } else { Ok(()) }
    }

    fn framing(&self, is_http_1_1: bool, has_body: bool) -> Result<Framing, Failure> {
        let framing = match (self.content_length, self.transfer_encoding) {
            (None, None) => Framing::Close,
            (None, Some(coding)) if is_http_1_1 && coding.eq_ignore_ascii_case(b"chunked") => {
                Framing::Chunked(Chunked::within(MAX_BODY_BYTES))
            }
            (Some(length), None) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
                let length = str::from_utf8(length).ok().and_then(|digits| digits.parse().ok());
                Framing::Length(length.unwrap_or(usize::MAX))
            }
            _ => return Err(BAD_FRAMING),
        };
        match framing {
            _ if !has_body => Ok(Framing::Length(0)),
            Framing::Length(length) if length > MAX_BODY_BYTES => Err(Failure::TooLong),
            framing => Ok(framing),
        }
    }
}

impl Caching {
    fn take(&mut self, directives: &str) {
        for directive in directives.split(',').map(str::trim) {
            if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache") {
                self.no_store = true;
            } else if let Some(("max-age", age)) =
                directive.to_ascii_lowercase().split_once('=').map(|(name, age)| (name.trim_end(), age))
            {
                self.max_age_s = seconds(age.trim_matches([' ', '"']));
            }
        }
    }
}

/// A number of seconds; one that is beyond 32 bits is cut.
fn seconds(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `raw`, which comes in pieces of `pace` bytes, to its end.
    fn read_at(pace: usize, raw: &[u8]) -> Result<Response, Failure> {
        let mut reader = Reader::new();
        for piece in raw.chunks(pace) {
            if let Some(response) = reader.feed(piece)? {
                return Ok(response);
            }
        }
        reader.end()
    }

    fn read(raw: &str) -> Result<Response, Failure> {
        let whole = read_at(usize::MAX, raw.as_bytes());
        for pace in [1, 2, 7] {
            assert_eq!(read_at(pace, raw.as_bytes()), whole, "{raw:?} in pieces of {pace}");
        }
        whole
    }

    const WHOLE: [&str; 6] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{}",
        "HTTP/1.0 200\r\n\r\n{}",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 \u{e4}\r\nX:\r\ncontent-length:2\r\n\r\n{} and more",
    ];

    #[test]
    fn every_framing_is_read() {
        for raw in WHOLE {
            let response = read(raw).unwrap();
            assert_eq!((response.status, response.body.as_slice()), (200, b"{}".as_slice()), "{raw}");
        }
        for status in [204, 304] {
            let raw = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(read(&raw).unwrap().body, b"");
        }
    }

    #[test]
    fn fields_are_read() {
        let response = read(
            "HTTP/1.1 429 Slow down\r\nretry-after: 12\r\nLOCATION: https://b.example/x\r\nContent-Length: 0\r\n\
             Cache-Control: public, Max-Age=\"60\"\r\nWaypost-Signature: key=A, sig=B\r\n\r\n",
        )
        .unwrap();
        assert_eq!((response.status, response.retry_after_s), (429, Some(12)));
        assert_eq!(response.location.as_deref(), Some("https://b.example/x"));
        assert_eq!(response.caching, Caching { max_age_s: Some(60), no_store: false });
        assert_eq!(response.signature.as_deref(), Some("key=A, sig=B"));
        let caching = |value: &str| {
            read(&format!("HTTP/1.1 200 OK\r\nCache-Control: {value}\r\nContent-Length: 0\r\n\r\n"))
                .unwrap()
                .caching
        };
        assert_eq!(caching("no-store"), Caching { max_age_s: None, no_store: true });
        assert_eq!(caching("max-age=99999999999, no-cache").max_age_s, Some(u32::MAX));
        assert_eq!(caching("max-age=-1"), Caching::default());
        let date =
            "HTTP/1.1 503 X\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(date).unwrap().retry_after_s, None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2\r\ncontent-length: 2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: \r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Content-Length : 2\r\n",
            "Content-Length: 2\n",
            "X: a\r\n b\r\nContent-Length: 2\r\n",
            "X: a\rb\r\nContent-Length: 2\r\n",
            "X: a\0\r\nContent-Length: 2\r\n",
            "X\r\nContent-Length: 2\r\n",
            ": x\r\nContent-Length: 2\r\n",
        ] {
            let raw = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{{}}");
            assert!(matches!(read(&raw), Err(Failure::Nonsense(_))), "{fields:?} {:?}", read(&raw));
        }
        for raw in [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n{\r\n0\r\n\r\n",
            "HTTP/1.1 101 Switch\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 999 X\r\n\r\n",
            "HTTP/1.1 20 X\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH_9.9\r\n",
            "HTTP/1.1 200 OK\n\n{}",
        ] {
            assert!(matches!(read(raw), Err(Failure::Nonsense(_))), "{raw:?} {:?}", read(raw));
        }
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(9);
        assert!(matches!(read(&interim), Err(Failure::Nonsense(_))));
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        let body = |bytes: usize| "x".repeat(bytes);
        let (most, more) = (MAX_BODY_BYTES, MAX_BODY_BYTES + 1);
        let length = |bytes| format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", body(bytes));
        let close = |bytes| format!("HTTP/1.1 200 OK\r\n\r\n{}", body(bytes));
        let chunked = |bytes| {
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{}\r\n0\r\n\r\n",
                body(bytes)
            )
        };
        for raw in [length(most), close(most), chunked(most)] {
            assert_eq!(read_at(1460, raw.as_bytes()).unwrap().body.len(), most);
        }
        for raw in [length(more), close(more), chunked(more), length(100_000)] {
            assert_eq!(read_at(1460, raw.as_bytes()), Err(Failure::TooLong));
        }
        let huge = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n";
        assert_eq!(read(huge), Err(Failure::TooLong), "at once");
        let fields = "X: y\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), Err(Failure::TooLong));
        let head = format!("HTTP/1.1 200 OK\r\nX: {}", body(MAX_HEAD_BYTES));
        assert_eq!(read_at(1460, head.as_bytes()), Err(Failure::TooLong));
    }

    #[test]
    fn what_is_cut_short_is_no_answer() {
        for (raw, ends_with_connection) in WHOLE.iter().zip([false, false, true, true, false, false]) {
            let end = raw.find(" and more").unwrap_or(raw.len());
            for cut in 0..end {
                let response = read_at(usize::MAX, &raw.as_bytes()[..cut]);
                let is_whole = ends_with_connection && raw.as_bytes()[..cut].ends_with(b"{");
                let begun = ends_with_connection && raw.as_bytes()[..cut].ends_with(b"\r\n\r\n");
                assert_eq!(response.is_ok(), is_whole || begun, "{raw:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn no_byte_makes_it_panic() {
        for raw in WHOLE {
            for at in 0..raw.len() {
                for byte in [0, b'\r', b'\n', b' ', b':', b'0', b'f', 0x7f, 0xff] {
                    let mut raw = raw.as_bytes().to_vec();
                    raw[at] = byte;
                    let whole = read_at(usize::MAX, &raw);
                    assert_eq!(read_at(1, &raw), whole, "{:?}", String::from_utf8_lossy(&raw));
                }
            }
        }
    }

    #[test]
    fn requests_are_what_the_server_reads() {
        use crate::wire::http::{Framing, Head, Method};
        let request = get("a.example:8080", "/peers?limit=5").unwrap();
        let head = Head::parse(&request).unwrap();
        assert_eq!((head.path, head.query, head.host), ("/peers", "limit=5", b"a.example:8080".as_slice()));
        assert!(!head.keep_alive && !head.is_from_browser());
        let request = post("[::1]", "/announce", "{\"id\":\"é\"}").unwrap();
        let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let head = Head::parse(&request[..end]).unwrap();
        assert!(head.is_json() && head.method == Method::Post);
        assert!(matches!(head.framing, Framing::Length(11)), "{:?}", head.framing);
        for target in ["", "peers", "/a b", "/a\r\nX: y", "/é", "/a#b"] {
            assert!(get("a", target).is_err(), "{target}");
        }
    }
}
