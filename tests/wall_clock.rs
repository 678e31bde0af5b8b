//! The wall clock may show anything, and jump: lives, limits and answers go by another one. Debian's `faketime` plays the clock; it
//! cannot play it to a static program.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::path::PathBuf;

use support::Server;

/// The library that stands between a program and the wall clock, or why nothing is checked here.
fn faketime() -> Option<PathBuf> {
    if !support::runner().is_empty() {
        println!("skipped: the library is not of the emulated machine");
        return None;
    }
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let candidates =
        folders.filter_map(Result::ok).map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let library = candidates.into_iter().find(|path| path.exists());
    if library.is_none() {
        println!("skipped: no libfaketime (Debian: faketime)");
    }
    library
}

/// A file that says what the wall clock shows; removed when dropped.
struct Clock(PathBuf);

impl Clock {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("waypost-clock-{}-{name}", std::process::id())))
    }

    fn set(&self, time: &str) {
        // A new file in its place, never half of one.
        let new = self.0.with_extension("new");
        std::fs::write(&new, time).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn start(library: &PathBuf, clock: &Clock) -> Server {
    let mut command = support::waypost();
    let free = ["--port=0", "--udp-port=auto", "--rate-limit=0", "--announce-limit=0", "--no-mdns"];
    command.arg("serve").args(free);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock.0);
    command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    Server::spawn(command)
}

const ANNOUNCE: &str = r#"{"id":"a","endpoints":["tcp://:1"]}"#;

/// Announces, and looks for what comes back until the server shows a year, or none. The server looks at the clock once a second.
fn shows(server: &Server, year: Option<u64>) {
    assert_eq!(server.post("/announce", ANNOUNCE).json("expires").as_deref(), Some("300"));
    let began = server.get("/health").json("uptime_seconds").unwrap().parse::<u64>().unwrap();
    loop {
        let answer = server.get("/peers");
        assert_eq!(answer.peer_ids(), ["a"]);
        let age =
            answer.body.split_once("\"age\":").and_then(|(_, rest)| rest.split([',', '}']).next()).unwrap();
        assert!(age.parse::<u64>().unwrap() < 20, "age {age}");
        let time = answer.json("server_time").map(|time| time.parse::<u64>().unwrap());
        assert_eq!(time.is_some(), answer.body.contains("\"last_seen\""));
        if time.map(|s| 1970 + s / 31_556_952) == year {
            return;
        }
        let uptime = server.get("/health").json("uptime_seconds").unwrap().parse::<u64>().unwrap();
        assert!(uptime < began + 10, "it shows {time:?}, not a time of {year:?}");
    }
}

#[test]
fn a_wall_clock_of_1970_is_not_quoted_and_one_of_2106_is() {
    let Some(library) = faketime() else { return };
    let clock = Clock::new("years");
    for (time, year) in [("@1970-01-01 00:00:05", None), ("@2106-03-01 12:00:00", Some(2106))] {
        clock.set(time);
        shows(&start(&library, &clock), year);
    }
}

#[test]
fn a_wall_clock_that_jumps_changes_no_life() {
    let Some(library) = faketime() else { return };
    let clock = Clock::new("jumps");
    clock.set("@2026-11-25 12:00:00");
    let server = start(&library, &clock);
    for (time, year) in [
        ("@2026-11-25 12:00:00", Some(2026)),
        ("@2076-11-25 12:00:00", Some(2076)),
        ("@1976-11-25 12:00:00", None),
        ("@2026-11-25 12:00:00", Some(2026)),
    ] {
        clock.set(time);
        shows(&server, year);
    }
    let udp = server.udp_client();
    let token = udp.token();
    clock.set("@2076-11-25 12:00:00");
    shows(&server, Some(2076));
    let ack = udp.ask(&format!(r#"{{"type":"announce","id":"1","token":"{token}"}}"#));
    assert!(ack.contains("\"registered\":true"), "a token from before the jump: {ack}");
}
