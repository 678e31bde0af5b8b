//! The files of the packages name every setting there is and no other, and the server takes what they say.

mod support;

use std::collections::BTreeSet;

use waypost::config::{Config, DEFAULT_HTTP_PORT, DEFAULT_UDP_PORT, SETTINGS};

const UCI: &str = include_str!("../boards/openwrt/files/waypost.config");
const INIT: &str = include_str!("../boards/openwrt/files/waypost.init");
const DEFAULT: &str = include_str!("../boards/debian/default");
const UNIT: &str = include_str!("../boards/debian/waypost.service");

/// The flags of `serve`: the settings, and the file with settings.
fn flags() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name).chain(["config"])
}

/// The flags as the names of options of UCI.
fn options() -> BTreeSet<String> {
    flags().map(|flag| flag.replace('-', "_")).collect()
}

/// An option of a section: the word before its name, the name, the value, and whether it is commented out.
struct UciOption {
    kind: &'static str,
    name: &'static str,
    value: &'static str,
    example: bool,
}

/// The options in the file of UCI. Each line of it must be a comment, the head of the section, or an option.
fn uci() -> Vec<UciOption> {
    let mut found = Vec::new();
    for line in UCI.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (text, example) = match line.strip_prefix('#') {
            Some(comment) if comment.starts_with(['o', 'l']) => (comment, true),
            Some(_) => continue,
            None => (line, false),
        };
        if text == "config waypost 'main'" {
            continue;
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let [kind @ ("option" | "list"), name, quoted] = words[..] else { panic!("not of UCI: {line}") };
        let value = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        found.push(UciOption { kind, name, value: value.expect(line), example });
    }
    found
}

/// The variables in the file of defaults, and their values. Each line of it must be a comment or a variable.
fn variables() -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    for line in DEFAULT.lines().filter(|line| !line.is_empty()) {
        let comment = line.strip_prefix('#').expect("an empty file is the same as the default one");
        if comment.starts_with(|c: char| c.is_ascii_uppercase()) {
            found.push(comment.split_once('=').expect(line));
        } else {
            assert!(comment.is_empty() || comment.starts_with(' '), "{line}");
        }
    }
    found
}

/// The configuration of one variable, as text.
fn load(variable: &str, value: &str) -> Result<String, String> {
    Config::load(None, [], |name| (name == variable).then(|| value.into()))
        .map(|config| format!("{config:?}"))
        .map_err(|error| error.to_string())
}

/// Holds the value of a flag that a file gives as its default, or as an example, against the server: it must be taken,
/// and a default must be the default.
fn check_value(flag: &str, value: &str) {
    // The first two name what is not there, or not there yet; the third is the capacity of a build that this is not.
    if matches!(flag, "config" | "identity" | "max-peers") {
        return;
    }
    let variable = flag.to_ascii_uppercase().replace('-', "_");
    let config = load(&variable, value).unwrap_or_else(|error| panic!("{error}"));
    // A life is shown with who chose it.
    if flag == "peer-ttl" {
        assert!(config.contains("peer_ttl_s: 300,"), "{config}");
    } else if !matches!(flag, "bind" | "trusted-proxy" | "dht-node" | "network") {
        assert_eq!(config, load("", "").unwrap(), "--{flag} {value} is not the default");
    }
}

#[test]
fn the_options_of_openwrt_are_the_flags() {
    let mut names: BTreeSet<_> = uci().iter().map(|option| option.name.to_owned()).collect();
    assert!(names.remove("enabled"), "a server can be switched off");
    assert_eq!(names, options());
    let set: Vec<_> = uci().iter().filter(|o| !o.example).map(|o| (o.name, o.value)).collect();
    assert_eq!(set, [("enabled", "1")], "the package changes no default");
}

#[test]
fn what_openwrt_shows_is_what_the_server_takes() {
    let help = String::from_utf8(support::run(&["serve", "--help"]).stdout).unwrap();
    for option in uci().iter().filter(|option| option.example) {
        let flag = option.name.replace('_', "-");
        check_value(&flag, option.value);
        let usage = format!("[--{flag} <");
        let many =
            help.split_once(&usage).is_some_and(|(_, rest)| rest.split_once('>').unwrap().0.ends_with("..."));
        assert_eq!(option.kind, if many { "list" } else { "option" }, "{flag}");
    }
}

#[test]
fn the_init_script_hands_every_option_over() {
    let (_, rest) = INIT.split_once("\nOPTIONS='").unwrap();
    let (list, _) = rest.split_once('\'').unwrap();
    let mut listed: BTreeSet<_> = list.split_whitespace().map(str::to_owned).collect();
    assert!(listed.insert("no_mdns".into()), "it is handed over apart from the others");
    assert!(INIT.contains("NO_MDNS="));
    assert_eq!(listed, options());
    for (name, default) in [
        ("port", DEFAULT_HTTP_PORT.to_string()),
        ("udp_port", DEFAULT_UDP_PORT.to_string()),
        ("service", "pscryptochat".into()),
    ] {
        assert!(
            INIT.contains(&format!("config_get {name} \"$section\" {name} {default}\n")),
            "{name} {default}"
        );
    }
}

#[test]
fn the_variables_of_debian_are_the_flags() {
    let names: Vec<_> = variables().iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), options());
    assert_eq!(names.len(), options().len(), "none is there twice");
    for (name, value) in variables() {
        check_value(&name.to_ascii_lowercase().replace('_', "-"), value);
    }
    assert!(UNIT.contains("\nEnvironmentFile=-/etc/default/waypost\n"));
}
