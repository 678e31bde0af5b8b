//! HTTPS: TLS 1.2 and 1.3 by rustls, with the system's CA certificates or given ones, and what is wrong in words for people.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};

use async_io::Async;
use futures_rustls::TlsConnector;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::Reach;
use super::web::converse;
use crate::client::date::Day;
use crate::client::failure::Failure;
use crate::client::http::Response;
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;

/// Most names of a certificate that are told.
const MAX_NAMES: usize = 3;

/// Whose signatures on certificates count. The system's are read when they are first needed.
#[derive(Default)]
pub(super) struct Trust {
    /// CA certificates to trust instead of the system's; none = the system's.
    roots: Vec<CertificateDer<'static>>,
    made: OnceLock<Result<TlsConnector, Failure>>,
}

impl Trust {
    /// These CA certificates, and no others.
    pub(super) fn of(roots: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { roots: roots.into_iter().map(CertificateDer::from).collect(), made: OnceLock::new() }
    }

    fn connector(&self) -> Result<&TlsConnector, Failure> {
        self.made.get_or_init(|| self.make()).as_ref().map_err(Clone::clone)
    }

    fn make(&self) -> Result<TlsConnector, Failure> {
        let mut store = RootCertStore::empty();
        let mut trouble = String::new();
        if self.roots.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            trouble = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            store.add_parsable_certificates(found.certs);
        } else {
            store.add_parsable_certificates(self.roots.iter().cloned());
        }
        if store.is_empty() {
            return Err(Failure::Tls(format!(
                "there are no CA certificates to check it by{trouble}; install ca-certificates, or name a file of them in \
                 SSL_CERT_FILE"
            )));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failure_of(&error))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Reach {
    /// Sends `request` over TLS to whoever proves to be `host`, and reads the response.
    pub(super) async fn converse_over_tls(
        &self,
        stream: Async<TcpStream>,
        host: &str,
        request: &[u8],
    ) -> Result<Response, Failure> {
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| Failure::Unsupported("no certificate can be for a host of such a name"))?;
        let stream = self.trust.connector()?.connect(name, stream).await;
        converse(stream.map_err(|error| handshake_failure(&error))?, request).await
    }
}

/// Why there is no TLS connection.
fn handshake_failure(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => failure_of(error),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            Failure::Broken("the server closed it in the middle of the TLS handshake".into())
        }
        None => Failure::of_io(error),
    }
}

fn failure_of(error: &Error) -> Failure {
    Failure::Broken(match error {
        Error::InvalidCertificate(error) => return Failure::Tls(certificate_trouble(error)),
        Error::InvalidMessage(_) => "what answers there does not speak TLS".into(),
        Error::PeerIncompatible(_) => "the server speaks no TLS 1.2 or 1.3 that we speak".into(),
        Error::AlertReceived(alert) => {
            format!("the server refuses TLS: {}", alert.as_str().unwrap_or("an unknown alert"))
        }
        other => format!("TLS: {other}"),
    })
}

/// What is wrong with a certificate, and what to do about it.
fn certificate_trouble(error: &CertificateError) -> String {
    const TRUST_IT: &str = "to trust it, name a file with its CA's certificate in SSL_CERT_FILE";
    match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "it expired on {}, and the clock here shows {}: it must be renewed, or the clock is wrong",
            Day(not_after.as_secs()),
            Day(time.as_secs())
        ),
        CertificateError::NotValidYetContext { time, .. } if time.as_secs() < EARLIEST_CREDIBLE_UNIX_S => {
            format!("the clock here shows {}, which is wrong: set it, and try again", Day(time.as_secs()))
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "it is good from {} on, and the clock here shows {}: one of them is wrong",
            Day(not_before.as_secs()),
            Day(time.as_secs())
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("it is for {}, not for {}", names(presented), expected.to_str())
        }
        CertificateError::UnknownIssuer => {
            format!("nobody who is trusted here has signed it (is it self-signed?); {TRUST_IT}")
        }
        // What `openssl req -x509` makes.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is self-signed, and made for a CA instead of a server".into()
        }
        CertificateError::BadSignature => {
            "its signature is wrong: somebody may be between you and the server".into()
        }
        CertificateError::Revoked => "it was revoked".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not made for a server".into()
        }
        CertificateError::BadEncoding => "it is malformed".into(),
        other => {
            let text = Error::InvalidCertificate(other.clone()).to_string();
            text.trim_start_matches("invalid peer certificate: ").to_string()
        }
    }
}

/// The names in a certificate, as rustls shows them: `DnsName("a.example")`, `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let name = |text: &String| {
        let (_, name) = text.strip_suffix(')')?.split_once('(')?;
        let name = name.trim_matches('"');
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_*:".contains(&byte));
        (plain && !name.is_empty()).then(|| name.to_string())
    };
    let names: Vec<String> = presented.iter().filter_map(name).take(MAX_NAMES).collect();
    match presented.len().saturating_sub(names.len()) {
        _ if names.is_empty() => "nothing that has a name".into(),
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn names_are_told_as_far_as_they_are_names() {
        let names = |list: &[&str]| names(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]), "a.example, 127.0.0.1");
        assert_eq!(names(&["DnsName(\"a\")"; 5]), "a, a, a and 2 more");
        assert_eq!(names(&[]), "nothing that has a name");
        assert_eq!(names(&["UnsupportedNameType", "DnsName(\"\u{1b}\")"]), "nothing that has a name");
    }

    #[test]
    fn a_wrong_clock_is_named() {
        let at = |unix_s| UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
        let early =
            |time| CertificateError::NotValidYetContext { time: at(time), not_before: at(1_800_000_000) };
        assert_eq!(
            certificate_trouble(&early(60)),
            "the clock here shows 1970-01-01, which is wrong: set it, and try again"
        );
        assert!(certificate_trouble(&early(1_790_000_000)).starts_with("it is good from 2027-01-15 on"));
    }

    #[test]
    fn without_anybody_to_trust_nothing_is_accepted() {
        let Err(Failure::Tls(why)) = Trust::of([b"no certificate".to_vec()]).connector().map(drop) else {
            panic!("it trusts nobody");
        };
        assert!(why.contains("SSL_CERT_FILE"), "{why}");
    }
}
