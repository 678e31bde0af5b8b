//! The configuration file: one JSON object whose keys are the names of the settings.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use heapless::Vec;

use super::{Config, ConfigError, Origin, Setting};
use crate::limits::{MAX_CONFIG_BYTES, MAX_JSON_TOKENS};
use crate::wire::json::Object;

/// Reads the file at `path` into `config`.
pub(super) fn read(path: &Path, config: &mut Config) -> Result<(), ConfigError> {
    let fail = |problem: &str| ConfigError(format!("{}: {problem}", path.display()));
    let mut text = std::vec::Vec::new();
    // One byte more than allowed shows that there is more; a device that never ends is not read to its end.
    let limit = u64::try_from(MAX_CONFIG_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut text))
        .map_err(|error| fail(&format!("cannot be read: {error}")))?;
    if text.len() > MAX_CONFIG_BYTES {
        return Err(fail(&format!("longer than {MAX_CONFIG_BYTES} bytes")));
    }
    parse(path, &text, config)
}

/// Takes `text`, the content of the file at `path`, into `config`.
fn parse(path: &Path, text: &[u8], config: &mut Config) -> Result<(), ConfigError> {
    let fail = |problem: &str| ConfigError(format!("{}: {problem}", path.display()));
    let object = Object::parse(text)
        .map_err(|_| fail("must be one JSON object, strict, without equal keys, comments or nesting"))?;
    for (key, value) in object.members() {
        let setting = Setting::named(key).ok_or_else(|| fail(&format!("unknown key \"{key}\"")))?;
        let texts = texts(setting, value).ok_or_else(|| {
            let wanted = if setting.is_list() { "a text or a list of texts" } else { "one plain value" };
            fail(&format!("{key} must be {wanted}, without escapes"))
        })?;
        config.assign(setting, Origin::File(path), texts)?;
    }
    Ok(())
}

/// Most values of one key: more are not in any checked document.
type Texts<'a> = Vec<&'a str, MAX_JSON_TOKENS>;

/// The texts of a JSON value: what a flag or a variable would say. `None` if no flag could say that.
fn texts<'a>(setting: &Setting, value: &'a str) -> Option<Texts<'a>> {
    let texts = match value.as_bytes().first() {
        Some(b'[') if setting.is_list() => serde_json_core::from_str::<Texts<'a>>(value).ok()?.0,
        Some(b'"') => Vec::from_iter([value.strip_prefix('"')?.strip_suffix('"')?]),
        Some(b'[' | b'{' | b'n') | None => return None,
        Some(_) => Vec::from_iter([value]),
    };
    if texts.iter().any(|text| text.contains('\\')) { None } else { Some(texts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, String> {
        let mut config = Config::default();
        parse(Path::new("w.json"), text.as_bytes(), &mut config)
            .and_then(|()| config.settle())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let config = config(
            r#" {"port": 81, "udp-port": "auto", "bind": ["127.0.0.1", "::1"], "peer-ttl": "60",
                "network": "chess", "require-signed": true, "stable-samples": "yes", "no-mdns": 1,
                "trusted-proxy": []} "#,
        )
        .unwrap();
        assert_eq!((config.port, config.udp_port, config.bind.len()), (81, Some(0), 2));
        assert_eq!((config.engine.peer_ttl_s, config.engine.networks.len()), (60, 1));
        assert!(config.engine.require_signed && config.engine.stable_samples);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_file() {
        for (text, named) in [
            ("", "w.json: must be one JSON object"),
            ("[]", "w.json: must be one JSON object"),
            (r#"{"port":80,"port":80}"#, "w.json: must be one JSON object"),
            (r#"{"prot":80}"#, "w.json: unknown key \"prot\""),
            (r#"{"config":"x"}"#, "w.json: unknown key \"config\""),
            (r#"{"port":65536}"#, "port in w.json \"65536\": must be"),
            (r#"{"port":80.0}"#, "port in w.json \"80.0\": must be"),
            (r#"{"port":true}"#, "port in w.json \"true\": must be"),
            (r#"{"port":[80]}"#, "w.json: port must be one plain value"),
            (r#"{"port":null}"#, "w.json: port must be one plain value"),
            (r#"{"port":{}}"#, "w.json: port must be one plain value"),
            (r#"{"bind":[1]}"#, "w.json: bind must be a text or a list"),
            (r#"{"bind":{"a":1}}"#, "w.json: bind must be a text or a list"),
            (
                r#"{"network":"a\u0062"}"#,
                "w.json: network must be a text or a list of texts, without escapes",
            ),
            (r#"{"require-signed":"perhaps"}"#, "require-signed in w.json \"perhaps\": must be"),
        ] {
            let error = config(text).unwrap_err();
            assert!(error.starts_with(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = read(Path::new("/nowhere/w.json"), &mut Config::default()).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/w.json: cannot be read: "), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero"), &mut Config::default()).unwrap_err().to_string();
        assert!(error.starts_with("/dev/zero: longer than"), "{error}");
    }
}
