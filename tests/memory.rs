//! The ceiling of resident memory that the server prints holds under load.
#![cfg(target_os = "linux")]

#[path = "../examples/load/hostile.rs"]
#[allow(clippy::duplicate_mod, reason = "the load generator's")]
mod hostile;
mod support;

use support::{Http, Server, peak_bytes, post};

#[test]
fn it_stays_below_the_printed_ceiling() {
    if !support::runner().is_empty() {
        // boards/measure.sh tells the two apart.
        eprintln!("not checked: the memory of an emulator says nothing of the program's");
        return;
    }
    let server = Server::start(&[]);
    let ceiling = server.announced(" bytes\n");
    let peers = server.announced(" peers") * 2;
    let mut asked = 0;
    while asked < peers {
        let mut http = server.connect();
        let batch: String = (0..50)
            .map(|n| {
                post(
                    "/announce",
                    &format!(r#"{{"id":"{:064}","endpoints":["tcp://:1","udp://:2"]}}"#, asked + n),
                )
            })
            .collect();
        http.send(&batch);
        (0..50).for_each(|_| drop(http.response()));
        asked += 50;
    }
    let after_announces = peak_bytes(server.pid());
    let connections: Vec<Http> = (0..waypost::limits::MAX_CONNECTIONS + 20)
        .map(|_| {
            let mut http = server.connect();
            http.send("GET /peers HTTP/1.1\r\nHost: test\r\n\r\n");
            http
        })
        .collect();
    let udp = server.udp_client();
    for n in 0..2000 {
        udp.ask(&format!(r#"{{"type":"ping","id":"{n}","pad":"{}"}}"#, "x".repeat(1000)));
    }
    for mut http in connections {
        assert_eq!(http.response().status, 200);
    }
    let peak = peak_bytes(server.pid());
    assert!(peak < ceiling, "{peak} bytes (after the announces {after_announces}), promised {ceiling}");
}

/// How many open files or threads the process has (proc(5)).
fn entries(pid: u32, of: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/{of}")).unwrap().count()
}

#[test]
fn a_hostile_internet_changes_nothing() {
    if !support::runner().is_empty() {
        eprintln!("not checked: the memory of an emulator says nothing of the program's");
        return;
    }
    let server = Server::start(&[]);
    let mut hostile = hostile::Hostile::new(server.http, server.udp.unwrap(), 127, 1);
    let mut counts = hostile::Counts::default();
    hostile.run(1_000, &mut counts).unwrap();
    let (files, threads) = (entries(server.pid(), "fd"), entries(server.pid(), "task"));
    hostile.run(19_000, &mut counts).unwrap();
    assert_eq!(entries(server.pid(), "task"), threads);
    // The last connection may be about to be closed.
    assert!(entries(server.pid(), "fd") <= files + 1);
    let peak = peak_bytes(server.pid());
    assert!(peak < server.announced(" bytes\n"), "{peak} bytes");
    assert!(counts.sent.iter().all(|&sent| sent > 0), "{counts}");
    assert!(counts.statuses[1] > 0 && counts.statuses[3] > 0 && counts.statuses[4] > 0, "{counts}");
    assert_eq!(server.get("/health").status, 200);
}
