//! What a server is called: a URL, an invite, or a bare domain.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::invite::Invite;
use crate::endpoint::is_host_name;

/// Longest host name (RFC 1035 section 2.3.4), in bytes.
pub(super) const MAX_HOST_BYTES: usize = 253;
/// The port of `http://` without one (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;
/// The port of `https://` without one.
const HTTPS_PORT: u16 = 443;
/// The port of `udp://` without one: a server's default.
const UDP_PORT: u16 = 6881;

/// What a server is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerUrl {
    /// A way to one server.
    Way(Way),
    /// `waypost:...`: an invite, which may name several ways to a server and pins its key.
    Invite(Invite),
    /// A domain, without scheme and port: who serves it has to be looked up.
    Domain(String),
}

/// One way to one server: `http://HOST[:PORT]`, `https://HOST[:PORT]` or `udp://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// How to speak to it.
    pub scheme: Scheme,
    /// A name, an IPv4 literal, or an IPv6 literal without its brackets, in lower case.
    pub host: String,
    /// The port, 1..=65535.
    pub port: u16,
}

/// A server to be asked: a way to it, where that really leads, and who must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The way. Its host is the name that a certificate must have, and that requests are for.
    pub way: Way,
    /// Host and port to connect to instead of the way's own, as a SRV record says.
    pub via: Option<(String, u16)>,
    /// Whose key must have signed the answers; `None` = anybody's.
    pub pin: Option<[u8; 20]>,
}

/// How to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// HTTP/1.1 over TCP.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// JSON in UDP datagrams.
    Udp,
}

/// Why a text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// It has a scheme that is not spoken here.
    Scheme,
    /// The host is no name and no address.
    Host,
    /// The port is no number in 1..=65535.
    Port,
    /// There is a path, a query, a fragment or a user in it.
    Extra,
    /// It begins like an invite and is none.
    Invite,
}

impl ServerUrl {
    /// Takes `text` as the name of a server.
    ///
    /// # Errors
    /// [`BadUrl`] if it is none.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("waypost:")) {
            return Invite::parse(text).map(Self::Invite).map_err(|_| BadUrl::Invite);
        }
        if text.contains("://") {
            return Way::parse(text).map(Self::Way);
        }
        if text.contains(['/', '?', '#', '@']) {
            return Err(BadUrl::Extra);
        }
        // `localhost:8080` is no domain: it is not told how to speak to it.
        if text.contains(':') || text.parse::<IpAddr>().is_ok() {
            return Err(BadUrl::Scheme);
        }
        host_of(text).map(Self::Domain)
    }
}

impl ServerUrl {
    /// What it is called in messages: an invite by its first way.
    pub fn label(&self) -> String {
        match self {
            Self::Invite(invite) => invite.ways.first().map_or_else(String::new, Way::to_string),
            other => other.to_string(),
        }
    }
}

impl Way {
    /// Takes `text` as the URL of a server.
    ///
    /// # Errors
    /// [`BadUrl`] if it is none.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, HTTP_PORT),
            "https" => (Scheme::Https, HTTPS_PORT),
            "udp" => (Scheme::Udp, UDP_PORT),
            _ => return Err(BadUrl::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(BadUrl::Extra);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(BadUrl::Host)?;
                host.parse::<Ipv6Addr>().map_err(|_| BadUrl::Host)?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or(BadUrl::Port)?),
                };
                (host.to_ascii_lowercase(), port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host_of(host)?, Some(port)),
                None => (host_of(authority)?, None),
            },
        };
        let port = port.map_or(Ok(default_port), port_of)?;
        Ok(Self { scheme, host, port })
    }

    /// `HOST:PORT`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        format!("{}:{}", Bracketed(&self.host), self.port)
    }

    /// What a request to it has in `Host`: the port is left out where it is the scheme's (RFC 9110 section 7.2).
    pub fn host_field(&self) -> String {
        let text = self.to_string();
        text.split_once("://").map(|(_, authority)| authority.into()).unwrap_or_default()
    }
}

impl Target {
    /// Host and port to connect to.
    pub fn door(&self) -> (&str, u16) {
        match &self.via {
            Some((host, port)) => (host, *port),
            None => (&self.way.host, self.way.port),
        }
    }
}

impl From<Way> for Target {
    fn from(way: Way) -> Self {
        Self { way, via: None, pin: None }
    }
}

fn port_of(text: &str) -> Result<u16, BadUrl> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().unwrap_or(0) } else { 0 };
    if port == 0 { Err(BadUrl::Port) } else { Ok(port) }
}

/// A host in lower case, if `text` is a name or an IPv4 literal.
fn host_of(text: &str) -> Result<String, BadUrl> {
    let host = text.to_ascii_lowercase();
    let right = is_host_name(&host) || host.parse::<Ipv4Addr>().is_ok();
    if right && host.len() <= MAX_HOST_BYTES { Ok(host) } else { Err(BadUrl::Host) }
}

/// A host, an IPv6 address in brackets.
struct Bracketed<'h>(&'h str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, Bracketed(&self.host))?;
        match (self.scheme, self.port) {
            (Scheme::Http, HTTP_PORT) | (Scheme::Https, HTTPS_PORT) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Way(way) => way.fmt(f),
            Self::Invite(invite) => invite.fmt(f),
            Self::Domain(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "must begin with http://, https://, udp:// or waypost:, or be a bare domain",
            Self::Host => "the host must be a name, an IPv4 address, or an IPv6 address in brackets",
            Self::Port => "the port must be a number in 1..=65535",
            Self::Extra => "must be no more than scheme://host:port",
            Self::Invite => "is no whole invite; was it cut short?",
        })
    }
}

impl std::error::Error for BadUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_and_written() {
        for (text, written) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("HTTP://Example.COM/", "http://example.com"),
            ("https://bootstrap1.example.com", "https://bootstrap1.example.com"),
            ("https://a.example:444", "https://a.example:444"),
            ("udp://[2001:DB8::1]", "udp://[2001:db8::1]:6881"),
            ("udp://host:7", "udp://host:7"),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap().to_string(), written);
            assert_eq!(ServerUrl::parse(written).unwrap().to_string(), written);
            let way = Way::parse(text).unwrap();
            assert_eq!(way.host_field(), written.split_once("://").unwrap().1);
        }
        assert_eq!(ServerUrl::parse("Example.com"), Ok(ServerUrl::Domain("example.com".into())));
    }

    #[test]
    fn what_names_no_server_is_told_why() {
        for (text, why) in [
            ("", BadUrl::Host),
            ("ftp://a", BadUrl::Scheme),
            ("localhost:8080", BadUrl::Scheme),
            ("192.0.2.1", BadUrl::Scheme),
            ("example.com/peers", BadUrl::Extra),
            ("http://", BadUrl::Host),
            ("http://a/b", BadUrl::Extra),
            ("http://a?b", BadUrl::Extra),
            ("http://me@a", BadUrl::Extra),
            ("http://a b", BadUrl::Host),
            ("http://a\r\nX: y", BadUrl::Host),
            ("http://1.2.3", BadUrl::Host),
            ("http://1.2.3.256", BadUrl::Host),
            ("http://::1", BadUrl::Host),
            ("http://[::1", BadUrl::Host),
            ("http://[127.0.0.1]", BadUrl::Host),
            ("http://[::1]8", BadUrl::Port),
            ("http://a:", BadUrl::Port),
            ("http://a:0", BadUrl::Port),
            ("http://a:+1", BadUrl::Port),
            ("http://a:65536", BadUrl::Port),
            ("waypost:", BadUrl::Invite),
            ("waypost:AAAA", BadUrl::Invite),
        ] {
            assert_eq!(ServerUrl::parse(text), Err(why), "{text}");
        }
    }
}
