//! The request corpora of gunicorn and llhttp against whole connections: what must be refused is refused and the
//! connection closed, what must be accepted is answered, and every exception has its reason here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use waypost::engine::http::{Connection, Wants};
use waypost::engine::{Settings, Storage};
use waypost::rng::Seed;
use waypost::time::Instant;

/// Requests the suites refuse and we accept, with the reason.
const ACCEPTED: [(&str, &str); 6] = [
    ("gunicorn/invalid/010", "refused for a limit that gunicorn's own test sets"),
    ("gunicorn/invalid/011", "refused for a limit that gunicorn's own test sets"),
    ("gunicorn/invalid/012", "refused for a limit that gunicorn's own test sets"),
    ("gunicorn/invalid/019", "refused for what X-Forwarded fields say, which we do not read"),
    ("gunicorn/invalid/040", "refused for a field with an underscore, which is just another field"),
    ("gunicorn/invalid/chunked_07", "refused for a field with an underscore, which is just another field"),
];

/// Requests the suites accept and we refuse, with the reason.
const REFUSED: [(&str, &str); 32] = [
    ("gunicorn/valid/005", "fragment in the target"),
    ("gunicorn/valid/009", "fragment in the target"),
    ("gunicorn/valid/024", "target over 2048 bytes"),
    ("gunicorn/valid/025", "Transfer-Encoding other than chunked"),
    ("gunicorn/valid/025_line", "Transfer-Encoding other than chunked"),
    ("gunicorn/valid/026", "head over 4096 bytes"),
    ("gunicorn/valid/027", "target that is not ASCII"),
    ("gunicorn/valid/028", "space before a colon"),
    ("gunicorn/valid/029", "Transfer-Encoding other than chunked"),
    ("gunicorn/valid/030", "Transfer-Encoding other than chunked"),
    ("gunicorn/valid/099", "body over 4096 bytes"),
    ("gunicorn/valid/compat_obs_fold", "folded field"),
    ("gunicorn/valid/compat_obs_fold_huge", "folded field"),
    ("gunicorn/valid/pp_01", "PROXY protocol"),
    ("gunicorn/valid/pp_02", "PROXY protocol"),
    ("gunicorn/valid/pp_04", "PROXY protocol"),
    ("gunicorn/valid/pp_05", "PROXY protocol"),
    ("gunicorn/valid/rfc9112_smuggle_gzip_chunked_01", "Transfer-Encoding other than chunked"),
    ("gunicorn/valid/rfc9112_smuggle_te_identity_chunked_01", "Transfer-Encoding other than chunked"),
    ("gunicorn/valid/rfc9112_target_absolute_userinfo_01", "user information in the target"),
    ("llhttp/connection/5", "two empty lines before a request line"),
    ("llhttp/content-length/16", "parsed by a caller that skips bodies"),
    ("llhttp/method/12", "protocol other than HTTP"),
    ("llhttp/method/13", "protocol other than HTTP"),
    ("llhttp/method/14", "protocol other than HTTP"),
    ("llhttp/method/5", "target * of a method other than OPTIONS"),
    ("llhttp/sample/10", "HTTP/0.9"),
    ("llhttp/transfer-encoding/10", "chunk extension over 64 bytes"),
    ("llhttp/transfer-encoding/20", "Transfer-Encoding other than chunked"),
    ("llhttp/transfer-encoding/21", "Transfer-Encoding other than chunked"),
    ("llhttp/uri/10", "user information in the target"),
    ("llhttp/uri/8", "fragment in the target"),
];

/// What became of the bytes of one file.
#[derive(Debug)]
struct Outcome {
    /// The statuses of the answers.
    answers: Vec<u16>,
    /// Whether the connection is still open for requests.
    open: bool,
}

impl Outcome {
    /// Whether a request was refused for how it is written, and the connection closed.
    fn refused(&self) -> bool {
        let refused = self.answers.last().is_some_and(|s| [400, 413, 414, 417, 431, 501, 505].contains(s));
        assert!(!(refused && self.open), "refused without a close: {self:?}");
        refused
    }

    /// Whether `n` requests were answered for what they ask: that includes methods we do not know.
    fn accepted(&self, n: usize) -> bool {
        (!self.refused() || self.answers.last() == Some(&501)) && self.answers.len() >= n
    }
}

fn feed(bytes: &[u8]) -> Outcome {
    let mut memory = Box::new(Storage::<16, 256>::new());
    let settings = Settings { queries_per_minute: 0, ..Settings::default() };
    let engine = &mut memory.engine(settings, &Seed([1; 32]));
    let now = Instant::from_s(1);
    let mut connection = Box::new(Connection::new());
    connection.open(now, "198.51.100.7:40000".parse().unwrap());
    let (mut rest, mut text) = (bytes, Vec::new());
    loop {
        match connection.wants() {
            Wants::Write => {
                text.extend_from_slice(connection.pending());
                let n = connection.pending().len();
                connection.sent(now, n, engine);
            }
            Wants::Read if !rest.is_empty() => {
                let space = connection.space();
                let (piece, behind) = rest.split_at(rest.len().min(space.len()));
                space[..piece.len()].copy_from_slice(piece);
                rest = behind;
                connection.received(now, piece.len(), engine);
            }
            Wants::Read | Wants::Drain | Wants::Close | Wants::Reset => break,
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let answers = text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok());
    Outcome { answers: answers.collect(), open: connection.wants() == Wants::Read }
}

/// The same requests with a Host field, for those of HTTP/1.1 that have none: the corpora are older than the rule.
fn with_host(bytes: &[u8]) -> Vec<u8> {
    const LINE_END: &[u8] = b" HTTP/1.1\r\n";
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(LINE_END.len()).position(|w| w == LINE_END) {
        let (line, behind) = rest.split_at(at + LINE_END.len());
        let fields = behind.windows(4).position(|w| w == b"\r\n\r\n").map_or(behind, |end| &behind[..end]);
        out.extend_from_slice(line);
        if !fields.to_ascii_lowercase().windows(5).any(|w| w == b"host:") {
            out.extend_from_slice(b"Host: a\r\n");
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out
}

/// Turns `\r`, `\n`, `\t`, `\f`, `\0` and `\xHH` into the bytes they stand for.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let escaped = (byte == b'\\').then(|| behind.split_first()).flatten();
        match escaped {
            Some((b'r', behind)) => (out.push(b'\r'), rest = behind).0,
            Some((b'n', behind)) => (out.push(b'\n'), rest = behind).0,
            Some((b't', behind)) => (out.push(b'\t'), rest = behind).0,
            Some((b'f', behind)) => (out.push(0x0c), rest = behind).0,
            Some((b'0', behind)) => (out.push(0), rest = behind).0,
            Some((b'x', hex)) => {
                let digits = std::str::from_utf8(&hex[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &hex[2..];
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Verdicts on one corpus.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, usize>,
    excepted: Vec<String>,
    wrong: Vec<String>,
}

impl Tally {
    /// Judges a file that holds `complete` requests and then, if `malformed`, something that must not be answered.
    fn judge(&mut self, name: &str, bytes: &[u8], complete: usize, malformed: bool) {
        let exceptions = if malformed { &ACCEPTED[..] } else { &REFUSED[..] };
        let exception = exceptions.iter().find(|(excepted, _)| *excepted == name);
        let outcomes = [feed(bytes), feed(&with_host(bytes))];
        let [_, hosted] = &outcomes;
        let as_the_suite = if malformed {
            outcomes.iter().all(|outcome| outcome.refused() || outcome.answers.len() <= complete)
        } else {
            hosted.accepted(complete)
        };
        if as_the_suite == exception.is_some() {
            self.wrong.push(format!("{name}: {outcomes:?}"));
        }
        let what = match (malformed, exception, hosted.refused()) {
            (true, None, true) => "that must be refused: refused",
            (true, None, false) => "that must be refused: never complete, not answered",
            (true, Some(_), _) => "that must be refused: excepted",
            (false, None, _) => "that must be accepted: accepted",
            (false, Some(_), _) => "that must be accepted: excepted",
        };
        *self.counts.entry(what).or_default() += 1;
        self.excepted.extend(exception.map(|(name, reason)| format!("{name}: {reason}")));
    }

    fn report(self, corpus: &str) {
        for (what, n) in &self.counts {
            println!("{corpus}: {n} {what}");
        }
        for line in &self.excepted {
            println!("{corpus}: excepted {line}");
        }
        assert!(self.wrong.is_empty(), "{corpus}: wrong verdicts:\n{}", self.wrong.join("\n"));
        assert!(!self.counts.is_empty(), "{corpus} is empty");
    }
}

/// The folder of a corpus, unless it is not there.
fn corpus(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora");
    let corpora = env::var_os("WAYPOST_CORPORA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let folder = corpora.join("http").join(name);
    if !folder.is_dir() {
        println!("skipped: {} is not there; set WAYPOST_CORPORA", folder.display());
        return None;
    }
    Some(folder)
}

fn files(folder: &Path, extension: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the corpus can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the corpus can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).expect("the corpus can be read"))
    };
    paths.iter().map(read).collect()
}

#[test]
fn gunicorn() {
    let Some(folder) = corpus("gunicorn") else { return };
    let mut tally = Tally::default();
    for (kind, malformed) in [("invalid", true), ("valid", false)] {
        for (name, mut text) in files(&folder.join(kind), "http") {
            text.retain(|&byte| byte != b'\n');
            tally.judge(
                &format!("gunicorn/{kind}/{name}"),
                &unescape(&text),
                usize::from(!malformed),
                malformed,
            );
        }
    }
    tally.report("gunicorn");
}

/// The text between the next fence of this language and its end, and what is behind it.
fn block<'a>(text: &'a str, language: &str) -> Option<(&'a str, &'a str)> {
    let fence = format!("```{language}\n");
    let (_, inside) = text.split_once(&fence)?;
    inside.split_once("\n```")
}

#[test]
fn llhttp() {
    let Some(folder) = corpus("llhttp") else { return };
    let mut tally = Tally::default();
    for (file, text) in files(&folder, "md") {
        let text = String::from_utf8(text).unwrap();
        for (at, section) in text.split("<!-- meta=").skip(1).enumerate() {
            let Some((http, behind)) = block(section, "http") else { continue };
            let Some((log, _)) = block(behind, "log") else { continue };
            // What its lenient modes allow is still wrong, but its log does not say so.
            if section.lines().next().is_some_and(|meta| meta.contains("lenient")) {
                continue;
            }
            // An upgrade ends what it parses, but is no error.
            let errors = log
                .lines()
                .filter(|line| line.contains("error code=") && !line.contains("reason=\"Pause on CONNECT"));
            let malformed = errors.count() > 0;
            let complete = log.matches(" message complete").count();
            let joined = http.replace("\\\n", "").replace('\n', "\r\n");
            tally.judge(
                &format!("llhttp/{file}/{}", at + 1),
                &unescape(joined.as_bytes()),
                complete,
                malformed,
            );
        }
    }
    tally.report("llhttp");
}
