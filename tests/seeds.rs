//! What `seeds.json` may say: the build script's own reader.
#![cfg(feature = "client")]

#[path = "../build.rs"]
#[allow(dead_code, reason = "only its reader is tried")]
mod build;

use build::seeds;
use waypost::endpoint::Endpoint;

#[test]
fn lists_of_endpoints_are_read() {
    assert_eq!(seeds(include_str!("../seeds.json")), Ok(vec![]), "the project has no seeds of its own");
    let text = " {\n \"seeds\" : [ \"tcp://seed1.example.com:9000\",\t\"udp://[2001:db8::7]:1\" ] }\n";
    assert_eq!(seeds(text), Ok(vec!["tcp://seed1.example.com:9000".into(), "udp://[2001:db8::7]:1".into()]));
}

#[test]
fn anything_else_stops_the_build() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"seeds":{}}"#,
        r#"{"seeds":[]}x"#,
        r#"{"seeds":[],"more":1}"#,
        r#"{"seeds":["tcp://a.example:1",]}"#,
        r#"{"seeds":["tcp://a.example:1" "tcp://b.example:1"]}"#,
        r#"{"seeds":["tcp://a.example:1"]"#,
        r#"{"seeds":["tcp://a.example:1]}"#,
        r#"{"seeds":["tcp://\u0061.example:1"]}"#,
        r#"{"seeds":[1]}"#,
    ] {
        assert!(seeds(text).unwrap_err().starts_with("must be {"), "{text}");
    }
    for seed in [
        "",
        "a.example:1",
        "tcp://a.example",
        "tcp://a.example:0",
        "tcp://a.example:65536",
        "tcp://A.example:1",
        "tcp://:1",
    ] {
        let error = seeds(&format!(r#"{{"seeds":["{seed}"]}}"#)).unwrap_err();
        assert!(error.starts_with(&format!("{seed:?}: must be scheme://")), "{error}");
        assert!(Endpoint::parse_canonical(seed).is_err(), "{seed}");
    }
}
