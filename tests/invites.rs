//! `waypost invite` and `waypost join`, and the QR code as a real decoder reads it.
#![cfg(feature = "client")]

mod support;

use std::fs;
use std::process::{Command, Output};

use support::{Server, TempFile, member, peers, run, waypost};
use waypost::client::invite::Invite;
use waypost::client::qr::Qr;
use waypost::client::url::Way;

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A new invite to `server`.
fn invite(server: &Server, flags: &[&str]) -> String {
    let output = run(&[&["invite", "--server", &server.url()], flags].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    out(&output).trim().into()
}

fn join(arguments: &[&str]) -> Output {
    waypost().args(["join", "--no-lan"]).args(arguments).output().unwrap()
}

/// What `zbarimg` reads in an image of these modules; `None` where it is not installed.
fn decoded(name: &str, size: usize, is_dark: impl Fn(usize, usize) -> bool) -> Option<String> {
    const SCALE: usize = 6;
    let side = size * SCALE;
    let mut image = format!("P2\n{side} {side}\n1\n");
    for y in 0..side {
        let row: Vec<&str> =
            (0..side).map(|x| if is_dark(x / SCALE, y / SCALE) { "0" } else { "1" }).collect();
        image += &row.join(" ");
        image.push('\n');
    }
    let file = TempFile::new(name, &image);
    match Command::new("zbarimg").args(["--quiet", "--raw", file.path()]).output() {
        Ok(read) => Some(String::from_utf8(read.stdout).unwrap().trim_end().into()),
        Err(error) => {
            eprintln!("skipped: no zbarimg (Debian: zbar-tools): {error}");
            None
        }
    }
}

/// The longest invite there is, and a short one.
fn samples() -> Vec<String> {
    let invite = |network: String| Invite {
        ways: ["http://198.51.100.7:8080", "udp://198.51.100.7:6881"]
            .map(|way| Way::parse(way).unwrap())
            .into(),
        bootstrap_id: Some([0xa5; 20]),
        network,
        expires_unix_s: Some(2_000_000_000),
    };
    let longest = (1..=64).rev().find_map(|n| invite("n".repeat(n)).emit().ok()).unwrap();
    assert!(longest.len() > 155, "{longest}");
    vec![invite("pscryptochat".into()).emit().unwrap(), longest]
}

#[test]
fn a_real_decoder_reads_what_is_printed() {
    for (number, text) in samples().into_iter().enumerate() {
        let parsed = Invite::parse(&text).unwrap();
        let mut flags: Vec<String> =
            parsed.ways.iter().flat_map(|way| ["--server".into(), way.to_string()]).collect();
        let svg = TempFile::new(&format!("invite-{number}.svg"), "");
        flags.extend(["--network".into(), parsed.network, "--id".into(), "a5".repeat(20)]);
        flags.extend(["--expires".into(), "never".into(), "--qr".into(), "--svg".into(), svg.path().into()]);
        for inverted in [false, true] {
            let output =
                waypost().arg("invite").args(&flags).args(inverted.then_some("--invert")).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let printed = out(&output);
            let (text, code) = printed.split_once('\n').unwrap();
            let rows: Vec<Vec<char>> = code.lines().map(|line| line.chars().collect()).collect();
            let size = rows[0].len();
            let is_dark = |x: usize, y: usize| {
                let ink = match rows[y / 2][x] {
                    '█' => true,
                    '▀' => y.is_multiple_of(2),
                    '▄' => !y.is_multiple_of(2),
                    _ => false,
                };
                ink == inverted
            };
            if let Some(read) = decoded(&format!("terminal-{number}-{inverted}.pgm"), size, is_dark) {
                assert_eq!(read, text);
            }
            // One square of the path is one module.
            let image = fs::read_to_string(svg.path()).unwrap();
            let path = image.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
            let squares: Vec<(usize, usize)> = path
                .split_terminator("h1v1h-1z")
                .map(|square| square.trim_start_matches('M').split_once(' ').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            assert!(image.contains(&format!("viewBox=\"0 0 {size} {size}\"")), "{image}");
            let read =
                decoded(&format!("svg-{number}-{inverted}.pgm"), size, |x, y| squares.contains(&(x, y)));
            if let Some(read) = read {
                assert_eq!(read, text);
            }
        }
    }
}

#[test]
fn a_code_of_any_invite_is_read() {
    for (number, text) in samples().into_iter().enumerate() {
        let qr = Qr::of(&text).unwrap();
        if let Some(read) = decoded(&format!("sample-{number}.pgm"), qr.size(), |x, y| qr.is_dark(x, y)) {
            assert_eq!(read, text);
        }
    }
}

#[test]
fn who_is_invited_finds_the_others() {
    let server = Server::start(&[]);
    let answer = server.post("/announce", r#"{"id":"alice","endpoints":["tcp://:9000"],"network":"chess"}"#);
    assert_eq!(answer.status, 200);
    let text = invite(&server, &["--network", "chess"]);
    let parsed = Invite::parse(&text).unwrap();
    let id: String = parsed.bootstrap_id.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(server.banner.contains(&id), "the invite names the server's id");

    let saved = TempFile::new("joined.json", "");
    let joined = join(&[&text, "--json", "--save", saved.path()]);
    assert_eq!(joined.status.code(), Some(0), "{joined:?}");
    assert_eq!(peers(&out(&joined))[0].0, "alice");
    let again =
        waypost().args(["discover", "--no-lan", "--json", "--config", saved.path()]).output().unwrap();
    assert_eq!(peers(&out(&again)).len(), 1, "{again:?}");

    let kept =
        member(&member(&fs::read_to_string(saved.path()).unwrap(), "bootstrap").unwrap(), "servers").unwrap();
    let lasting = Invite { expires_unix_s: None, ..parsed };
    assert!(kept.contains(&lasting.to_string()), "who has joined may stay: {kept}");

    let spoken = join(&[&text]);
    let said = out(&spoken);
    assert!(
        said.contains("network   chess\n") && said.contains(&id) && said.contains("\nexpires   20"),
        "{said}"
    );
}

#[test]
fn another_server_in_its_place_is_not_believed() {
    let server = Server::start(&[]);
    let text = invite(&server, &["--id", &"17".repeat(20)]);
    server.post("/announce", r#"{"id":"alice","endpoints":["tcp://:9000"]}"#);
    let joined = join(&[&text]);
    assert_eq!(joined.status.code(), Some(1), "{joined:?}");
    assert!(out(&joined).contains("it is not the server that was meant"), "{joined:?}");
    assert!(!out(&joined).contains("alice"));
    let open = invite(&server, &["--no-pin"]);
    let joined = join(&[&open]);
    assert_eq!(joined.status.code(), Some(0), "{joined:?}");
    assert!(out(&joined).contains("none: whoever answers there is believed"), "{joined:?}");
}

#[test]
fn json_has_every_part() {
    let server = Server::start(&[]);
    let text = invite(&server, &["--json", "--expires", "never"]);
    let parsed = Invite::parse(&member(&text, "invite").unwrap()).unwrap();
    assert_eq!((parsed.expires_unix_s, parsed.network.as_str()), (None, "pscryptochat"));
    assert_eq!(member(&text, "expires").as_deref(), Some("null"));
    assert_eq!(member(&text, "servers").unwrap(), format!("[\"{}\"]", server.url()));
}

#[test]
fn what_is_wrong_is_named() {
    let server = Server::start(&[]);
    let own = server.url();
    for (flags, code, named) in [
        (&["invite"][..], 2, "name one by --server"),
        (&["invite", "--server", "a.example"], 2, "--server \"a.example\": must begin with"),
        (&["invite", "--server", &own, "--server", &own, "--no-pin"], 2, "one to four different ways"),
        (&["invite", "--server", &own, "--expires", "soon"], 2, "--expires \"soon\": must be"),
        (&["invite", "--server", &own, "--expires", "0"], 2, "--expires \"0\": must be"),
        (&["invite", "--server", &own, "--id", "12"], 2, "--id \"12\": must be 40 hex digits"),
        (&["invite", "--server", &own, "--network", "a b"], 2, "the network's name"),
        (&["invite", "--server", "udp://192.0.2.1"], 2, "cannot prove who it is"),
        (
            &["invite", "--server", "http://127.0.0.1:1"],
            1,
            "cannot connect: connection refused; without its id: --no-pin",
        ),
        (
            &["invite", "--server", &own, "--svg", "/nowhere/x.svg"],
            1,
            "--svg \"/nowhere/x.svg\": No such file",
        ),
        (&["join", "hello"], 2, "begins with waypost:"),
        (&["join", "waypost:AAAA"], 2, "invite"),
    ] {
        let output = run(flags);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {output:?}");
        assert!(error(&output).contains(named), "{flags:?}: {output:?}");
        assert_eq!(error(&output).lines().count(), 1, "{flags:?}: {output:?}");
    }
    let mut old = Invite::parse(&invite(&server, &[])).unwrap();
    old.expires_unix_s = Some(1_000_000_000);
    let joined = join(&[&old.emit().unwrap()]);
    assert_eq!(joined.status.code(), Some(1), "{joined:?}");
    assert!(error(&joined).contains("the invite expired on 2001-09-09: ask for"), "{joined:?}");
}

#[test]
fn the_document_shows_an_invite_and_reads_it() {
    let text = include_str!("../docs/invites.md");
    let shown = text.lines().find(|line| line.starts_with("waypost:")).unwrap();
    let invite = Invite::parse(shown).unwrap();
    let code = text.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let read = match Command::new("python3").args(["-c", code, shown]).output() {
        Ok(read) => out(&read),
        Err(error) => return eprintln!("skipped: no python3: {error}"),
    };
    let id: String = invite.bootstrap_id.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let wanted =
        format!("(['{}', '{}'], '{id}', 'pscryptochat', 2000000000)\n", invite.ways[0], invite.ways[1]);
    assert_eq!(read, wanted);
}
