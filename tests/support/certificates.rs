//! Throw-away certificates (RFC 5280), for servers that only tests know: Ed25519, and no more in them than must be. Written here
//! because what makes certificates brings two dozen crates into the tests of every board.
#![allow(dead_code, unreachable_pub, reason = "each test is a program that uses some of it")]

use std::net::IpAddr;

use ed25519_compact::{KeyPair, Seed};

/// Moments of a validity, as certificates write them: "YYMMDDHHMMSSZ".
pub type Validity = (&'static str, &'static str);

/// Good now, for any clock that is right.
pub const GOOD: Validity = ("250101000000Z", "491231235959Z");

/// Who has a key and a name.
#[derive(Clone)]
pub struct Party {
    name: &'static str,
    seed: [u8; 32],
}

impl Party {
    /// One whose key is made of `number`.
    pub fn new(name: &'static str, number: u8) -> Self {
        Self { name, seed: [number; 32] }
    }

    /// A certificate about `subject`, signed by this one.
    pub fn certify(&self, subject: &Self, validity: Validity, extension: Extension<'_>) -> Vec<u8> {
        let algorithm = sequence(&[&object(&[0x2b, 0x65, 0x70])]);
        let date = |text: &str| tlv(0x17, text.as_bytes());
        let serial = tlv(2, &[1, self.seed[0], subject.seed[0]]);
        let key = bits(&*subject.pair().pk);
        let about = sequence(&[
            &tlv(0xa0, &tlv(2, &[2])),
            &serial,
            &algorithm,
            &self.distinguished_name(),
            &sequence(&[&date(validity.0), &date(validity.1)]),
            &subject.distinguished_name(),
            &sequence(&[&algorithm, &key]),
            &tlv(0xa3, &sequence(&[&extension.der()])),
        ]);
        let sig = self.pair().sk.sign(&about, None);
        sequence(&[&about, &algorithm, &bits(&*sig)])
    }

    /// Its own certificate, if it is a CA.
    pub fn root(&self) -> Vec<u8> {
        self.certify(self, GOOD, Extension::Ca)
    }

    /// Its private key in PKCS #8 (RFC 8410 section 7).
    pub fn private_key(&self) -> Vec<u8> {
        let algorithm = sequence(&[&object(&[0x2b, 0x65, 0x70])]);
        sequence(&[&tlv(2, &[0]), &algorithm, &tlv(4, &tlv(4, &self.seed))])
    }

    fn pair(&self) -> KeyPair {
        KeyPair::from_seed(Seed::new(self.seed))
    }

    /// A distinguished name that is no more than a common name.
    fn distinguished_name(&self) -> Vec<u8> {
        let name = sequence(&[&object(&[0x55, 4, 3]), &tlv(0x0c, self.name.as_bytes())]);
        sequence(&[&tlv(0x31, &name)])
    }
}

/// The one extension of a certificate.
pub enum Extension<'n> {
    /// It is a CA's.
    Ca,
    /// It is a server's, of these names and addresses.
    Names(&'n [&'n str]),
}

impl Extension<'_> {
    fn der(&self) -> Vec<u8> {
        match self {
            // basicConstraints, critical: cA TRUE.
            Self::Ca => {
                let value = sequence(&[&tlv(1, &[0xff])]);
                sequence(&[&object(&[0x55, 0x1d, 0x13]), &tlv(1, &[0xff]), &tlv(4, &value)])
            }
            // subjectAltName: dNSName, iPAddress.
            Self::Names(names) => {
                let names: Vec<u8> = names
                    .iter()
                    .flat_map(|name| match name.parse() {
                        Ok(IpAddr::V4(ip)) => tlv(0x87, &ip.octets()),
                        Ok(IpAddr::V6(ip)) => tlv(0x87, &ip.octets()),
                        Err(_) => tlv(0x82, name.as_bytes()),
                    })
                    .collect();
                sequence(&[&object(&[0x55, 0x1d, 0x11]), &tlv(4, &tlv(0x30, &names))])
            }
        }
    }
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let mut bytes = match length {
        0..128 => vec![tag, length as u8],
        128..256 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    bytes.extend(value);
    bytes
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn object(identifier: &[u8]) -> Vec<u8> {
    tlv(6, identifier)
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], bytes].concat())
}

/// Certificates as a file of them (RFC 7468).
pub fn pem(certificates: &[Vec<u8>]) -> String {
    use base64ct::{Base64, Encoding as _};
    let text = |der: &Vec<u8>| {
        let mut buffer = [0; 4096];
        let text = Base64::encode(der, &mut buffer).unwrap();
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    certificates.iter().map(text).collect()
}
