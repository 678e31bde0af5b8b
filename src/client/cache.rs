//! The servers that answered last, in a file: should all that is configured have moved, they may still be there.
//!
//! The file is `{"servers":["http://198.51.100.7:8080", ...]}`, at most eight, the latest first. It is written anew only when that
//! changes, and as a whole: a power cut leaves the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::json::Document;
use super::url::ServerUrl;
use crate::quoted::Quoted;

/// Most servers that are remembered.
pub const MAX_REMEMBERED: usize = 8;
/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 4_096;

/// The servers in the file at `path`, the latest first. A file that is not there, or is none of these, is an empty one: it is no
/// more than a help.
pub fn recall(path: &Path) -> Vec<ServerUrl> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
    let document = read.ok().and_then(|_| Document::parse(&text));
    let servers = document.and_then(|document| document.texts("servers").ok().flatten()).unwrap_or_default();
    servers.into_iter().filter_map(|url| ServerUrl::parse(url).ok()).take(MAX_REMEMBERED).collect()
}

/// Writes that `answered` are the latest, before those that are known.
///
/// # Errors
/// What the system said: the file is as it was.
pub fn remember(path: &Path, answered: &[ServerUrl]) -> io::Result<()> {
    let known = recall(path);
    let mut servers: Vec<&ServerUrl> = Vec::new();
    for url in answered.iter().chain(&known) {
        if !servers.contains(&url) && servers.len() < MAX_REMEMBERED {
            servers.push(url);
        }
    }
    if servers.iter().copied().eq(known.iter()) {
        return Ok(());
    }
    let texts: Vec<String> = servers.iter().map(|url| Quoted(&url.to_string()).to_string()).collect();
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    writeln!(file, "{{\"servers\":[{}]}}", texts.join(","))?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    #[test]
    fn the_latest_come_first_and_few_are_kept() {
        let folder = std::env::temp_dir().join(format!("waypost-cache-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("servers.json");
        assert_eq!(recall(&path), []);
        remember(&path, &[url("http://a.example"), url("b.example")]).unwrap();
        remember(&path, &[url("udp://c.example"), url("b.example")]).unwrap();
        assert_eq!(recall(&path), [url("udp://c.example"), url("b.example"), url("http://a.example")]);
        let many: Vec<ServerUrl> = (0..20).map(|n| url(&format!("http://s{n}.example"))).collect();
        remember(&path, &many).unwrap();
        assert_eq!(recall(&path), many[..MAX_REMEMBERED]);
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        remember(&path, &many[..3]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "nothing new is not written");
        for rubbish in ["", "[]", "{\"servers\":7}", "{\"servers\":[\"ftp://x\",7]}"] {
            fs::write(&path, rubbish).unwrap();
            assert_eq!(recall(&path), [], "{rubbish}");
        }
        assert!(remember(&folder.join("no/such/folder"), &many).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
