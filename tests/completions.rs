//! `waypost completions`: shells complete with it.
#![cfg(feature = "client")]

mod support;

use std::process::Command;

use support::run;

fn script(shell: &str) -> String {
    let output = run(&["completions", shell]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_options() {
    let complete = |words: &str, at: usize| {
        let script = script("bash");
        let ask =
            format!("{script}\nCOMP_WORDS=({words}) COMP_CWORD={at}\n_waypost\necho \"${{COMPREPLY[*]}}\"");
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output();
        let Ok(output) = output else {
            eprintln!("skipped: there is no bash");
            return None;
        };
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    for (words, at, wanted) in [
        ("waypost disc", 1, "discover"),
        ("waypost discover --quo", 2, "--quorum"),
        ("waypost serve --udp", 2, "--udp-port"),
        ("waypost check --", 2, "--help --url --udp --json"),
    ] {
        if let Some(found) = complete(words, at) {
            assert_eq!(found, wanted, "{words}");
        }
    }
}

#[test]
fn other_shells_have_a_script_too() {
    for shell in ["fish", "nushell", "zsh"] {
        let script = script(shell);
        assert!(script.contains("waypost") && script.contains("quorum"), "{shell}: {script}");
    }
    let output = run(&["completions", "csh"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "waypost: \"csh\": must be bash, fish, nushell or zsh\n"
    );
}
