//! `waypost check` tells supervisors how a server is.

mod support;

use std::process::Output;

use support::{Server, member, run, waypost};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_running_server_is_healthy() {
    let server = Server::start(&[]);
    let url = format!("http://{}", server.http);
    let udp = server.udp.unwrap().to_string();
    let checked = run(&["check", "--url", &url, "--udp", &udp]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(out(&checked).starts_with("healthy, 0 peers, up "), "{}", out(&checked));
    let checked = run(&["check", "--json", "--url", &url]);
    let health = member(&out(&checked), "health").unwrap();
    assert_eq!(member(&health, "status").as_deref(), Some("healthy"));
    let port = server.http.port().to_string();
    assert_eq!(waypost().arg("check").env("PORT", port).output().unwrap().status.code(), Some(0));
}

#[test]
fn a_degraded_server_still_answers() {
    let server = Server::start(&["--max-peers=1"]);
    server.post("/announce", r#"{"id":"a","endpoints":["tcp://:1"]}"#);
    let checked = run(&["check", "--url", &format!("http://{}", server.http)]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(out(&checked).starts_with("degraded, 1 peer, "), "{}", out(&checked));
}

#[test]
fn a_missing_server_is_a_failure_with_a_cause() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let checked = run(&["check", "--url", &url]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("cannot connect"), "{checked:?}");
    let checked = run(&["check", "--json", "--url", &url]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(member(&out(&checked), "ok").as_deref(), Some("false"));
}

#[test]
fn something_else_on_the_port_is_a_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
    });
    let checked = run(&["check", "--url", &url]);
    other.join().unwrap();
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
}
