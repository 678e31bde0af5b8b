//! Request heads: request line and fields.

use core::mem::MaybeUninit;
use core::net::Ipv4Addr;

use super::host::{is_bare_v6, is_host};
use super::{Reject, query};
use crate::limits::{MAX_BODY_BYTES, MAX_HEADERS, MAX_TARGET_BYTES};

/// A request's head, as far as the server cares about it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// What is asked for.
    pub method: Method,
    /// The path of the target, still percent-encoded; `*` of an OPTIONS request, empty of a CONNECT request.
    pub path: &'a str,
    /// The query of the target, still percent-encoded, with whole escapes only.
    pub query: &'a str,
    /// The protocol version.
    pub version: Version,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client lets the connection stay open.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// `host[:port]` that the request is for: of the target if it has one, else of the Host field.
    pub host: &'a [u8],
    /// The Content-Type field.
    pub content_type: Option<&'a [u8]>,
    /// The Origin field: present when a page in a browser asks.
    pub origin: Option<&'a [u8]>,
    /// Whether it has a field that browsers alone send.
    marked_by_browser: bool,
    /// All bytes of the head.
    bytes: &'a [u8],
}

/// A request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: as GET, without the body.
    Head,
    /// POST
    Post,
    /// OPTIONS
    Options,
    /// CONNECT, whose target is no path.
    Connect,
    /// A standard method that this server has no use for: PUT, DELETE, PATCH, TRACE.
    Other,
    /// Any other token.
    Unknown,
}

/// A protocol version this server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How a request's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By its length in bytes, at most [`MAX_BODY_BYTES`].
    Length(usize),
    /// In chunks.
    Chunked,
}

/// The fields that matter, as they are found.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    marked_by_browser: bool,
    close: bool,
    keep_alive: bool,
}

const BAD_HOST: Reject = Reject::bad("the host is malformed");

impl<'a> Head<'a> {
    /// Takes a head apart. `bytes` must be one whole head, as long as [`HeadScan`](super::HeadScan) said, which has
    /// checked its line ends and characters.
    ///
    /// # Errors
    /// 400 for what is malformed or could be read in two ways, 413 for a Content-Length over [`MAX_BODY_BYTES`], 414
    /// for a target over [`MAX_TARGET_BYTES`], 417 for an expectation other than `100-continue`, 431 for more than
    /// [`MAX_HEADERS`] fields, 505 for a version other than 1.0 and 1.1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Reject> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(bytes, &mut headers).map_err(refuse)?;
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
        else {
            return Err(Reject::bad("the head is not complete"));
        };
        if status != httparse::Status::Complete(bytes.len()) {
            return Err(Reject::bad("the head does not end where it seems to"));
        }
        let method = Method::of(method);
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let target = Target::parse(method, target)?;
        let mut fields = Fields::default();
        for header in request.headers.iter() {
            fields.take(header)?;
        }
        Ok(Self {
            method,
            path: target.path,
            query: target.query,
            version,
            framing: fields.framing(version)?,
            keep_alive: !fields.close && (version == Version::Http11 || fields.keep_alive),
            expects_continue: fields.expects_continue(version)?,
            host: fields.host(version, &target)?,
            content_type: fields.content_type,
            origin: fields.origin,
            marked_by_browser: fields.marked_by_browser,
            bytes,
        })
    }

    /// Whether the body is said to be JSON. Parameters do not matter: JSON is UTF-8 whatever they say.
    pub fn is_json(&self) -> bool {
        let media_type = self.content_type.and_then(|value| value.split(|&b| b == b';').next());
        media_type.is_some_and(|text| text.trim_ascii().eq_ignore_ascii_case(b"application/json"))
    }

    /// Whether a page of another site made a browser send this: its origin is not the host it is sent to.
    pub fn is_cross_origin(&self) -> bool {
        let Some(origin) = self.origin else { return false };
        let authority = origin.windows(3).position(|w| w == b"://").and_then(|at| origin.get(at..)?.get(3..));
        !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(self.host))
    }

    /// Whether a browser sent this. Any page can make its reader's browser get anything from anywhere, as an image say, and
    /// then there is no Origin. But there is Accept-Language, which no page can take away and other clients do not send, and,
    /// over TLS and to the same machine, Sec-Fetch-Site.
    pub const fn is_from_browser(&self) -> bool {
        self.origin.is_some() || self.marked_by_browser
    }

    /// Whether its host is named as one on a LAN is: by its address, `localhost`, or a name under `.local` (RFC 6762).
    pub fn is_for_local_host(&self) -> bool {
        let name = self.host.split(|&b| b == b':').next().unwrap_or_default();
        let suffix =
            name.len().checked_sub(b".local".len()).and_then(|at| name.get(at..)).unwrap_or_default();
        name.starts_with(b"[")
            || name.eq_ignore_ascii_case(b"localhost")
            || suffix.eq_ignore_ascii_case(b".local")
            || str::from_utf8(name).is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok())
    }

    /// The hops of all X-Forwarded-For fields, the nearest first.
    pub fn forwarded_for(&self) -> impl Iterator<Item = &'a [u8]> {
        let values = self.bytes.rsplit(|&b| b == b'\n').filter_map(|line| {
            let (name, value) = line.split_at_checked(b"x-forwarded-for:".len())?;
            name.eq_ignore_ascii_case(b"x-forwarded-for:").then_some(value)
        });
        values.flat_map(|value| value.rsplit(|&b| b == b',')).map(<[u8]>::trim_ascii)
    }
}

impl Method {
    fn of(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            "CONNECT" => Self::Connect,
            "PUT" | "DELETE" | "PATCH" | "TRACE" => Self::Other,
            _ => Self::Unknown,
        }
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, header: &httparse::Header<'a>) -> Result<(), Reject> {
        let value = header.value;
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("Host") {
            once(&mut self.host, value, "there must be one Host field")
        } else if is("Content-Length") {
            once(&mut self.content_length, value, "there must be one Content-Length field at most")
        } else if is("Transfer-Encoding") {
            once(&mut self.transfer_encoding, value, "there must be one Transfer-Encoding field at most")
        } else if is("Content-Type") {
            once(&mut self.content_type, value, "there must be one Content-Type field at most")
        } else if is("Origin") {
            once(&mut self.origin, value, "there must be one Origin field at most")
        } else if is("Expect") {
            once(&mut self.expect, value, "there must be one Expect field at most")
        } else {
            if is("Connection") {
                for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            self.marked_by_browser |= is("Accept-Language") || is("Sec-Fetch-Site");
            Ok(())
        }
    }

    /// RFC 9112 sections 6.1 and 6.3, without their allowances: they are what request smuggling lives on.
    fn framing(&self, version: Version) -> Result<Framing, Reject> {
        match (self.transfer_encoding, self.content_length) {
            (Some(_), Some(_)) => {
                Err(Reject::bad("a request must not have both Transfer-Encoding and Content-Length"))
            }
            (Some(_), None) if version == Version::Http10 => {
                Err(Reject::bad("Transfer-Encoding is not part of HTTP/1.0"))
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(_), None) => Err(Reject::bad("Transfer-Encoding must be chunked and nothing else")),
            (None, Some(digits)) => content_length(digits).map(Framing::Length),
            (None, None) => Ok(Framing::None),
        }
    }

    /// RFC 9110 section 10.1.1.
    fn expects_continue(&self, version: Version) -> Result<bool, Reject> {
        match self.expect {
            Some(_) if version == Version::Http10 => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Some(_) => Err(Reject { status: 417, detail: "the only expectation met is 100-continue" }),
            None => Ok(false),
        }
    }

    /// RFC 9112 sections 3.2 and 3.2.2: one Host field, which the host of an absolute target overrides.
    fn host(&self, version: Version, target: &Target<'a>) -> Result<&'a [u8], Reject> {
        let host = match self.host {
            None if version == Version::Http11 => return Err(Reject::bad("there must be one Host field")),
            None => b"",
            Some(host) if is_host(host) || is_bare_v6(host) => host,
            Some(_) => return Err(BAD_HOST),
        };
        Ok(target.host.map_or(host, str::as_bytes))
    }
}

/// Keeps `value` unless there is one.
fn once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8], detail: &'static str) -> Result<(), Reject> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reject::bad(detail)),
    }
}

/// RFC 9110 section 8.6: digits alone, no sign, no list.
fn content_length(digits: &[u8]) -> Result<usize, Reject> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reject::bad("Content-Length must be a number of bytes"));
    }
    // What does not fit a number does not fit the buffer either.
    let length = str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
    length.filter(|&bytes| bytes <= MAX_BODY_BYTES).ok_or(Reject::BODY_TOO_LARGE)
}

/// A request target (RFC 9112 section 3.2).
struct Target<'a> {
    host: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    fn parse(method: Method, text: &'a str) -> Result<Self, Reject> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(Reject { status: 414, detail: "the target may have 2048 bytes at most" });
        }
        if text.contains('#') || !query::has_only_whole_escapes(text) {
            return Err(Reject::bad("the target has a fragment or a broken percent escape"));
        }
        if method == Method::Connect {
            let authority = Some(text).filter(|t| !t.is_empty() && is_host(t.as_bytes()));
            return Ok(Self { host: Some(authority.ok_or(BAD_HOST)?), path: "", query: "" });
        }
        if text.starts_with('/') || (text == "*" && method == Method::Options) {
            return Ok(Self::local(None, text));
        }
        // A server must take the absolute form too (section 3.2.2).
        let rest = strip_scheme(text).ok_or(Reject::bad("the target must be a path"))?;
        let (host, local) =
            rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        if host.is_empty() || !is_host(host.as_bytes()) {
            return Err(BAD_HOST);
        }
        Ok(Self::local(Some(host), local))
    }

    fn local(host: Option<&'a str>, text: &'a str) -> Self {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Self { host, path: if path.is_empty() { "/" } else { path }, query }
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn refuse(error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => {
            Reject { status: 431, detail: "a head may have 32 fields at most" }
        }
        httparse::Error::Version => {
            Reject { status: 505, detail: "this server speaks HTTP/1.0 and HTTP/1.1" }
        }
        httparse::Error::HeaderName => Reject::bad("the name of a field is malformed"),
        httparse::Error::HeaderValue => Reject::bad("the value of a field is malformed"),
        _ => Reject::bad("the request line is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::HeadScan;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// Scans and parses, as a connection does.
    fn parse(text: &str) -> Result<Head<'_>, Reject> {
        let end = HeadScan::new().advance(text.as_bytes())?.expect("a whole head");
        assert_eq!(end, text.len());
        Head::parse(text.as_bytes())
    }

    /// A GET of `/` with these fields besides Host.
    fn with_fields(fields: &str) -> String {
        std::format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    }

    fn status(text: &str) -> Result<(), u16> {
        parse(text).map(|_| ()).map_err(|reject| reject.status)
    }

    #[test]
    fn a_full_head_is_taken_apart() {
        let head = parse(
            "POST /announce?a=1&b HTTP/1.1\r\nhost: Waypost.example:8080\r\nCONTENT-TYPE: Application/JSON ; charset=utf-8\r\n\
             Content-Length: 012\r\nExpect: 100-Continue\r\nOrigin: https://waypost.example:8080\r\nX: y\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
        assert_eq!((head.path, head.query, head.host), ("/announce", "a=1&b", &b"Waypost.example:8080"[..]));
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.keep_alive && head.expects_continue && head.is_json() && !head.is_cross_origin());
        let old = parse("\r\nHEAD / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!((old.method, old.version, old.framing), (Method::Head, Version::Http10, Framing::None));
        assert!(!old.keep_alive && !old.expects_continue && !old.is_json() && !old.is_cross_origin());
    }

    #[test]
    fn every_prefix_of_a_head_is_harmless() {
        let text = with_fields("Content-Length: 5\r\nConnection: close, x\r\nX-Forwarded-For: 1.2.3.4\r\n");
        for cut in 0..text.len() {
            assert!(Head::parse(&text.as_bytes()[..cut]).is_err());
        }
        for cut in 0..text.len() {
            let mut broken = text.clone().into_bytes();
            broken[cut] = b'\0';
            assert!(Head::parse(&broken).is_err() || HeadScan::new().advance(&broken).is_err());
        }
    }

    #[test]
    fn doubtful_framing_is_refused() {
        for (fields, expected) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length: \r\n", 400),
            ("Content-Length: +5\r\n", 400),
            ("Content-Length: -0\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length: 5_0\r\n", 400),
            ("Content-Length: 5 5\r\n", 400),
            ("Content-Length : 5\r\n", 400),
            ("Content-Length: 4097\r\n", 413),
            ("Content-Length: 99999999999999999999999999\r\n", 413),
            ("Transfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding: \x0bchunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Content-Type: a/b\r\nContent-Type: a/b\r\n", 400),
            ("Expect: 200-ok\r\n", 417),
            ("Host: b\r\n", 400),
            ("A b: c\r\n", 400),
            (": c\r\n", 400),
            ("no colon\r\n", 400),
        ] {
            assert_eq!(status(&with_fields(fields)), Err(expected), "{fields:?}");
        }
        assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(400));
        let chunked = with_fields("Transfer-Encoding: Chunked \r\nContent_Length: 9\r\n");
        assert_eq!(parse(&chunked).unwrap().framing, Framing::Chunked);
    }

    #[test]
    fn request_lines() {
        for (line, expected) in [
            ("GET / HTTP/1.1", Ok(())),
            ("GET", Err(400)),
            ("GET /", Err(400)),
            ("GET HTTP/1.1", Err(400)),
            ("GET  / HTTP/1.1", Err(400)),
            ("GET /  HTTP/1.1", Err(505)),
            (" GET / HTTP/1.1", Err(400)),
            ("GET / HTTP/1.1 ", Err(400)),
            ("G(T / HTTP/1.1", Err(400)),
            ("GET / HTTP/1.2", Err(505)),
            ("GET / HTTP/2.0", Err(505)),
            ("GET / http/1.1", Err(505)),
            ("PRI * HTTP/2.0", Err(505)),
            ("GET /%2 HTTP/1.1", Err(400)),
            ("GET /#a HTTP/1.1", Err(400)),
            ("GET * HTTP/1.1", Err(400)),
            ("OPTIONS * HTTP/1.1", Ok(())),
            ("GET a/b HTTP/1.1", Err(400)),
            ("GET a.example:80 HTTP/1.1", Err(400)),
            ("GET ftp://a/ HTTP/1.1", Err(400)),
            ("GET http:///x HTTP/1.1", Err(400)),
            ("GET http://u@a/ HTTP/1.1", Err(400)),
            ("CONNECT a.example:443 HTTP/1.1", Ok(())),
            ("CONNECT /x HTTP/1.1", Err(400)),
            ("BREW / HTTP/1.1", Ok(())),
        ] {
            assert_eq!(status(&std::format!("{line}\r\nHost: a\r\n\r\n")), expected, "{line:?}");
        }
    }

    #[test]
    fn targets_in_absolute_form_override_the_host() {
        let head = |line: &'static str| parse(line).unwrap();
        let absolute = head("GET HTTP://b.example:80/p?q HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((absolute.host, absolute.path, absolute.query), (&b"b.example:80"[..], "/p", "q"));
        let bare = head("GET https://[::1]?q HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((bare.host, bare.path, bare.query), (&b"[::1]"[..], "/", "q"));
    }

    #[test]
    fn hosts() {
        for good in [
            "",
            "a",
            "a.example:80",
            "a:",
            "192.0.2.1:8080",
            "[2001:db8::1]",
            "[::1]:80",
            "::1",
            "::1:57187",
            "2001:db8::7:80",
            "a_b.local",
        ] {
            assert_eq!(status(&std::format!("GET / HTTP/1.1\r\nHost: {good}\r\n\r\n")), Ok(()), "{good}");
        }
        for bad in [
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:123456",
            "::1:123456",
            "::1:x",
            "1:2:80",
            "[::1",
            "[::1]x",
            "[a]",
            "a\"",
            "\u{e4}",
            "a,b:1:2",
        ] {
            assert_eq!(status(&std::format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n")), Err(400), "{bad}");
        }
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), Ok(()));
        assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Err(400));
    }

    #[test]
    fn sizes_have_limits() {
        let long = |bytes: usize| std::format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
        assert_eq!(status(&long(MAX_TARGET_BYTES)), Ok(()));
        assert_eq!(status(&long(MAX_TARGET_BYTES + 1)), Err(414));
        assert_eq!(status(&with_fields(&"A: b\r\n".repeat(MAX_HEADERS - 1))), Ok(()));
        assert_eq!(status(&with_fields(&"A: b\r\n".repeat(MAX_HEADERS))), Err(431));
    }

    #[test]
    fn connections_stay_open_or_not() {
        for (version, fields, keep) in [
            ("1.1", "", true),
            ("1.1", "Connection: Close\r\n", false),
            ("1.1", "Connection: keep-alive, close\r\n", false),
            ("1.1", "Connection: x\r\nConnection: close\r\n", false),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ] {
            let text = std::format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
            assert_eq!(parse(&text).unwrap().keep_alive, keep, "{version} {fields:?}");
        }
    }

    #[test]
    fn origins_are_compared_with_the_host() {
        for (origin, cross) in [
            ("", false),
            ("Origin: http://a\r\n", false),
            ("Origin: https://A\r\n", false),
            ("Origin: http://a:80\r\n", true),
            ("Origin: http://b\r\n", true),
            ("Origin: null\r\n", true),
            ("Origin: a\r\n", true),
            ("Origin: \r\n", true),
        ] {
            assert_eq!(parse(&with_fields(origin)).unwrap().is_cross_origin(), cross, "{origin:?}");
        }
    }

    #[test]
    fn browsers_are_told_by_what_they_alone_send() {
        for (fields, browser) in [
            ("", false),
            (
                "User-Agent: aria2/1.36.0\r\nAccept: */*\r\nWant-Digest: SHA-256\r\nX: Accept-Language\r\n",
                false,
            ),
            ("User-Agent: libtorrent/2.0.8.0\r\nAccept-Encoding: gzip\r\nConnection: close\r\n", false),
            ("accept-language: en\r\n", true),
            ("Accept-Language:\r\nConnection: close\r\n", true),
            ("Sec-Fetch-Site: cross-site\r\n", true),
            ("Origin: http://a\r\n", true),
        ] {
            assert_eq!(parse(&with_fields(fields)).unwrap().is_from_browser(), browser, "{fields:?}");
        }
    }

    #[test]
    fn hosts_on_a_lan() {
        for (host, local) in [
            ("192.0.2.1", true),
            ("192.0.2.1:8080", true),
            ("[2001:db8::1]:8080", true),
            ("LocalHost:1", true),
            ("pi.LOCAL", true),
            ("pi.local:80", true),
            ("", false),
            ("local", false),
            ("pi.local.example", false),
            ("a.example:8080", false),
            ("192.0.2", false),
        ] {
            let text = std::format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(parse(&text).unwrap().is_for_local_host(), local, "{host}");
        }
    }

    #[test]
    fn forwarded_hops_come_nearest_first() {
        let text = with_fields("X-Forwarded-For: a, b\r\nX-Forwarded-Forx: no\r\nx-forwarded-for:c,\r\n");
        let head = parse(&text).unwrap();
        let hops: Vec<_> = head.forwarded_for().collect();
        assert_eq!(hops, [&b""[..], b"c", b"b", b"a"]);
    }
}
