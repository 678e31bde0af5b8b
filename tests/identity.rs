//! The server's own key: the same after a restart if the operator wants it, and its word that an answer is its own.

mod support;

use std::fs;
use std::path::PathBuf;

use ed25519_compact::{PublicKey, Signature};
use sha2::{Digest, Sha256};
use support::{Response, Server, member, run};
use waypost::record::{KeyId, Seal};

/// A file in a place of its own.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("identity-{name}"));
    fs::write(&path, content).unwrap();
    path
}

fn bootstrap_id(server: &Server) -> String {
    server.get("/.well-known/waypost").json("bootstrap_id").unwrap()
}

const NONCE: &str = "00112233445566778899aabbccddeeff";

/// Whether `answer` is signed by the key that makes this id, for this nonce.
fn is_signed(answer: &Response, nonce: &str, id: &str) -> bool {
    let Some(field) = answer.header("waypost-signature") else { return false };
    let (key, sig) = field.strip_prefix("key=").unwrap().split_once(", sig=").unwrap();
    let seal = Seal::parse(key, 0, sig).unwrap();
    let mut bytes = b"waypost-reply-1\0".to_vec();
    bytes.extend((0..nonce.len()).step_by(2).map(|at| u8::from_str_radix(&nonce[at..at + 2], 16).unwrap()));
    bytes.extend(Sha256::digest(answer.body.as_bytes()));
    KeyId::of(&seal.key).id().as_str() == id
        && PublicKey::new(seal.key).verify(bytes, &Signature::new(seal.sig)).is_ok()
}

#[test]
fn a_file_makes_it_last() {
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let raw: Vec<u8> = (0..32).collect();
    for (name, content) in [
        ("raw", raw),
        ("hex", hex.into()),
        ("line", format!("{hex}\r\n").into()),
        ("upper", hex.to_uppercase().into()),
    ] {
        let path = file(name, &content);
        let server = Server::start(&["--identity", path.to_str().unwrap()]);
        assert_eq!(bootstrap_id(&server), "56475aa75463474c0285df5dbf2bcab73da65135", "{name}");
        assert_eq!(
            server.get("/.well-known/waypost").json("key").as_deref(),
            Some("A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg")
        );
        assert!(server.banner.contains("\nidentity   56475aa75463474c0285df5dbf2bcab73da65135\n"));
    }
    assert_ne!(bootstrap_id(&Server::start(&[])), bootstrap_id(&Server::start(&[])), "else it is a new one");
}

#[test]
fn what_is_no_secret_stops_the_start() {
    let zeros = file("zeros", &[0; 32]);
    let long = file("long", &[b'0'; 65]);
    let short = file("short", b"0123");
    let words = file("words", "x".repeat(64).as_bytes());
    for path in [
        long.to_str().unwrap(),
        short.to_str().unwrap(),
        words.to_str().unwrap(),
        zeros.to_str().unwrap(),
        "/dev/zero",
        "/nowhere",
        "/",
    ] {
        let output = run(&["serve", "--identity", path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{path}: {said}");
        assert!(
            said.starts_with(&format!("waypost: --identity \"{path}\": ")) && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn answers_are_signed_for_those_who_ask() {
    let server = Server::start(&[]);
    let id = bootstrap_id(&server);
    let answer = server.get(&format!("/peers?nonce={NONCE}"));
    assert!(is_signed(&answer, NONCE, &id), "{answer:?}");
    assert_eq!(answer.header("access-control-expose-headers"), Some("Waypost-Signature"));
    assert!(!is_signed(&answer, &NONCE.replace('f', "e"), &id), "it is for one nonce");
    let other = bootstrap_id(&Server::start(&[]));
    assert!(!is_signed(&answer, NONCE, &other), "it is of one server");
    let hello = server.post("/hello", &format!(r#"{{"client_id":"a","nonce":"{NONCE}"}}"#));
    assert!(is_signed(&hello, NONCE, &id), "{hello:?}");
    let pong = server.udp_client().ask(&format!(r#"{{"type":"ping","id":"1","pad":"{:99}"}}"#, ""));
    assert_eq!(member(&pong, "server_id"), Some(id), "over UDP as well");
    assert!(server.get("/peers").header("waypost-signature").is_none());
    for nonce in ["", "0011", "zz112233445566778899", "001122334455667"] {
        let refused = server.get(&format!("/peers?nonce={nonce}"));
        assert_eq!((refused.status, refused.json("error").as_deref()), (400, Some("bad_request")), "{nonce}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how many are signed depends on how long it takes to ask")]
fn signatures_are_rationed() {
    let server = Server::start(&[]);
    let id = bootstrap_id(&server);
    let mut http = server.connect();
    let start = std::time::Instant::now();
    let answers: Vec<_> = (0..90).map(|_| http.get(&format!("/peers?nonce={NONCE}"))).collect();
    let most = 31 + start.elapsed().as_millis() / 100;
    let (signed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!((30..=most).contains(&(signed.len() as u128)), "{} signed, of {most}", signed.len());
    assert!(signed.iter().all(|answer| is_signed(answer, NONCE, &id)));
    for answer in refused {
        assert_eq!((answer.status, answer.json("error").as_deref()), (429, Some("rate_limited")));
        assert!(answer.header("retry-after").is_some() && answer.header("waypost-signature").is_none());
    }
    assert_eq!(server.get("/peers").status, 200, "nobody is refused who wants no signature");
}
