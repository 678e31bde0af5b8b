//! The command line, the environment and the configuration file: what is accepted, what wins, and what is refused.

mod support;

use std::process::Output;

use support::{Server, TempFile, run, waypost};

/// Exit code, standard output and standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"], &["help"]] {
        let (code, out, err) = said(&run(arguments));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(out.starts_with("Usage: waypost"), "{out}");
    }
    let (code, out, _) = said(&run(&["--version"]));
    assert_eq!((code, out.trim()), (Some(0), env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_setting_has_a_flag_with_help() {
    let (_, help, _) = said(&run(&["serve", "--help"]));
    for setting in &waypost::config::SETTINGS {
        assert!(
            help.contains(&format!("\n  --{} ", setting.name))
                || help.contains(&format!("\n  --{}\n", setting.name)),
            "--{} is not in\n{help}",
            setting.name
        );
    }
}

#[test]
fn what_is_not_understood_is_one_line_and_exit_code_2() {
    for (arguments, named) in [
        (&[][..], "--help"),
        (&["dance"], "dance"),
        (&["serve", "--prot", "80"], "--prot"),
        (&["serve", "extra"], "extra"),
        (&["serve", "--port"], "--port"),
        (&["serve", "--port", "1", "--port", "2"], "--port"),
        (&["serve", "--port", "65536"], "--port"),
        (&["serve", "--port=http"], "--port"),
        (&["serve", "--peer-ttl", "5"], "--peer-ttl"),
        (&["serve", "--pow", "25"], "--pow"),
        (&["serve", "--identity", "seed"], "--identity"),
        (&["serve", "--config", "/nowhere/waypost.json"], "/nowhere/waypost.json"),
        (&["check", "--url", "https://localhost"], "--url"),
    ] {
        let (code, out, err) = said(&run(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?} {err}");
        assert!(err.contains(named) && err.lines().count() == 1, "{arguments:?}: {err}");
    }
}

#[test]
#[cfg(unix)]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = std::ffi::OsStr::from_bytes(b"--\xff");
    let (code, _, err) = said(&waypost().arg("serve").arg(bytes).output().unwrap());
    assert_eq!((code, err.lines().count()), (Some(2), 1), "{err}");
    let (code, _, err) = said(&waypost().arg("serve").env("PORT", bytes).output().unwrap());
    assert!(code == Some(2) && err.contains("PORT"), "{err}");
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let file = TempFile::new(
        "precedence.json",
        r#"{"port": 0, "udp-port": 0, "bind": ["127.0.0.1"], "peer-ttl": 40, "max-ttl": 50, "max-peers": 3}"#,
    );
    let mut command = waypost();
    command.args(["serve", "--config", file.path(), "--max-peers=5"]);
    command.env("MAX_PEERS", "4").env("PEER_TTL", "41");
    let server = Server::spawn(command);
    assert_eq!(server.announced(" peers"), 5, "the flag");
    assert_eq!(server.udp, None, "the file");
    assert!(!server.has_ipv6, "{}", server.banner);
    let answer = server.post("/announce", r#"{"id":"a","endpoints":["tcp://:1"]}"#);
    assert_eq!(answer.json("expires").as_deref(), Some("41"), "the environment");
    let answer = server.post("/announce", r#"{"id":"a","endpoints":["tcp://:1"],"ttl":1000}"#);
    assert_eq!(answer.json("expires").as_deref(), Some("50"), "the file");
}

#[test]
fn the_environment_may_name_the_file() {
    let file = TempFile::new("named.json", r#"{"prot": 0}"#);
    let (code, _, err) = said(&waypost().arg("serve").env("CONFIG", file.path()).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(err.contains(file.path()) && err.contains("\"prot\"") && err.lines().count() == 1, "{err}");
}

#[test]
fn a_taken_port_is_exit_code_1_and_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let port = taken.port().to_string();
    let (code, out, err) = said(&run(&["serve", "--bind=127.0.0.1", "--udp-port=0", "--port", &port]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains(&taken.to_string()) && err.contains("--port") && err.lines().count() == 1, "{err}");
}

#[test]
fn loopback_is_no_lan() {
    let mut command = waypost();
    command.args(["serve", "--port=0", "--udp-port=0", "--bind=127.0.0.1", "--bind=127.0.0.2"]);
    let banner = Server::spawn(command).banner.clone();
    let nothing = "\nmdns       nothing to advertise: bound to loopback only\n";
    assert!(banner.contains(if cfg!(feature = "mdns") {
        nothing
    } else {
        "\nmdns       not in this build\n"
    }));
}

#[test]
fn the_banner_tells_what_the_server_is() {
    let server = Server::start(&["--network=chess", "--network=go"]);
    let value = |name: &str| {
        let line = server.banner.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{}", server.banner))[name.len()..].trim()
    };
    assert_eq!(value("identity"), server.get("/peers?network=go").json("bootstrap_id").unwrap());
    assert_eq!(value("mdns"), if cfg!(feature = "mdns") { "off" } else { "not in this build" });
    assert!(value("capacity").ends_with("2 networks"));
    assert!(server.announced(" bytes fixed") < server.announced(" bytes\n"));
}

#[test]
fn help_has_one_style() {
    let (_, help, _) = said(&run(&["--help"]));
    let (_, commands) = help.split_once("\nCommands:\n").unwrap();
    let commands = commands.lines().take_while(|line| line.starts_with("  "));
    let names: Vec<&str> = commands.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(names.contains(&"serve") && names.contains(&"check"), "one line a command: {names:?}");
    for name in [None].into_iter().chain(names.into_iter().map(Some)) {
        let (code, help, errors) = said(&run(&name.into_iter().chain(["--help"]).collect::<Vec<_>>()));
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{help}");
        let usage = format!("Usage: waypost {}", name.unwrap_or_default());
        assert!(help.starts_with(&usage) && help.ends_with('\n') && !help.ends_with("\n\n"), "{help}");
        let mut section = "";
        for line in help.lines() {
            section = if line.starts_with(' ') { section } else { line };
            // The boards' servers have one line of usage.
            let may_be_wide =
                section == "Examples:" || section.starts_with("Usage: ") && !cfg!(feature = "client");
            let wide = line.chars().count() > 80 && !may_be_wide && line.trim().contains(' ');
            assert!(!wide && !line.ends_with(' '), "{line}");
        }
        for section in ["\nOptions:\n", "\nExamples:\n  waypost ", "\nNotes:\n", "\nError codes:\n", "\n  2 "]
        {
            assert!(help.contains(section), "{section} is not in\n{help}");
        }
    }
}
