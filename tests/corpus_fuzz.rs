//! The committed corpus of every fuzz target, replayed without a fuzzer.

use std::path::Path;

use waypost::fuzzing;

#[test]
fn json() {
    replay("json", fuzzing::json);
}

#[test]
fn http_head() {
    replay("http_head", fuzzing::http_head);
}

#[test]
fn http_chunked() {
    replay("http_chunked", fuzzing::http_chunked);
}

#[test]
fn http_connection() {
    replay("http_connection", fuzzing::http_connection);
}

#[test]
fn datagram() {
    replay("datagram", fuzzing::datagram);
}

#[test]
fn bencode() {
    replay("bencode", fuzzing::bencode);
}

#[test]
fn krpc() {
    replay("krpc", fuzzing::krpc);
}

#[test]
fn tracker() {
    replay("tracker", fuzzing::tracker);
}

#[test]
fn http_tracker() {
    replay("http_tracker", fuzzing::http_tracker);
}

#[test]
fn stun() {
    replay("stun", fuzzing::stun);
}

#[test]
fn dns() {
    replay("dns", fuzzing::dns);
}

#[test]
fn mdns() {
    replay("mdns", fuzzing::mdns);
}

#[test]
fn challenge() {
    replay("challenge", fuzzing::challenge);
}

#[cfg(feature = "client")]
#[test]
fn client_answers() {
    replay("client_answers", fuzzing::client_answers);
}

#[test]
fn engine_sequence() {
    replay("engine_sequence", fuzzing::engine_sequence);
}

#[test]
fn conversation() {
    replay("conversation", fuzzing::conversation);
}

#[test]
fn record() {
    replay("record", fuzzing::record);
}

#[cfg(feature = "client")]
#[test]
fn srv_answer() {
    replay("srv_answer", fuzzing::srv_answer);
}

/// Feeds each file of a corpus to its target, whole and cut short at every byte.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let data = std::fs::read(&path).unwrap();
        (0..=data.len()).for_each(|end| body(&data[..end]));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}
