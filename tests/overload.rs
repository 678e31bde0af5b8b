//! More clients than places, and fewer descriptors than clients.

mod support;

use support::{Http, Server};

#[test]
fn more_connections_than_places_are_all_served() {
    let server = Server::start(&[]);
    let clients = waypost::limits::MAX_CONNECTIONS + 40;
    let mut waiting: Vec<Http> = (0..clients).map(|_| server.connect()).collect();
    // Whoever has a place says nothing, so that the others cannot be served before it is taken away.
    let last = waiting.last_mut().unwrap();
    assert_eq!(last.get("/health").status, 200);
}

#[test]
fn a_place_is_passed_on() {
    let server = Server::start(&[]);
    for _ in 0..waypost::limits::MAX_CONNECTIONS * 2 {
        assert_eq!(server.get("/health").status, 200);
    }
}

#[test]
fn a_flood_of_datagrams_does_not_starve_http() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let server = Server::start(&[]);
    let udp = server.udp_client();
    /// Ends the flood, also when the test fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pings =
                r#"{"type":"ping","id":"flood","pad":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
            while !over.load(Ordering::Relaxed) {
                // A full socket refuses some; there are more.
                let _ = udp.socket.send(pings.as_bytes());
            }
        });
        let _end = End(&over);
        for _ in 0..50 {
            assert_eq!(server.get("/health").status, 200);
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_lack_of_descriptors_costs_no_time_and_passes() {
    use std::io::{ErrorKind, Read as _};
    use std::process::Command;
    use std::time::Duration;

    let program = support::waypost();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40 && exec \"$@\"", "sh"]).arg(program.get_program());
    limited.args(program.get_args()).args(["serve", "--port=0", "--udp-port=0", "--bind=127.0.0.1"]);
    let server = Server::spawn(limited);
    let held: Vec<Http> = (0..60).map(|_| server.connect()).collect();
    let mut last = server.connect();
    last.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n");
    let before = cpu_ticks(server.pid());
    // The last one gets no answer while the others hold all descriptors.
    last.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let error = support::uninterrupted(|| last.stream.read(&mut [0; 1])).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    let spent = cpu_ticks(server.pid()) - before;
    assert!(spent < 10, "{spent} hundredths of a second of the processor in half a second");
    drop(held);
    last.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    assert_eq!(last.response().status, 200);
}

/// Time the process has had the processor, in hundredths of a second (proc(5): `utime` and `stime`).
#[cfg(target_os = "linux")]
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit_once(") ").unwrap().1;
    behind_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
