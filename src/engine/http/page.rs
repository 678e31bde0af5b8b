//! `GET /`: a page for people. No script, nothing from elsewhere.

use super::bodies::VERSION;
use crate::engine::Engine;
use crate::wire::{Full, Writer};

/// The fields of its head. The policy allows the style sheet below, by its SHA-256, and nothing else.
pub(super) const FIELDS: &str = concat!(
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
    "Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'; ",
    "style-src 'sha256-HunFRGezegSBsol/Acpv4op5pfiiFnrWxRWzulyb4dI='; ",
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
);

const STYLE: &str = include_str!("page.css");

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Waypost</title>
<style>"#;

const INTRODUCTION: &str = r#"</style>
</head>
<body>
<main>
<h1>Waypost</h1>
<p class="lead">This server helps the nodes of peer-to-peer networks find each other. It remembers where they are for a few
minutes, in memory only, and nothing else.</p>
"#;

const INSTRUCTIONS: &str = r#"<h2>Find peers</h2>
<pre><code>curl 'http://THIS-SERVER/peers?network=NAME&amp;limit=10'</code></pre>
<h2>Announce yourself</h2>
<pre><code>curl -H 'Content-Type: application/json' \
  -d '{"id":"my-node","endpoints":["tcp://:9000"],"network":"NAME"}' \
  http://THIS-SERVER/announce</code></pre>
<p>An endpoint without a host stands for your address as this server sees it. Announce again before the answer&rsquo;s
<code>expires</code> seconds are over, or leave early:</p>
<pre><code>curl -H 'Content-Type: application/json' \
  -d '{"id":"my-node","network":"NAME"}' http://THIS-SERVER/leave</code></pre>
<p>Without <code>network</code> all of this is about the network <code>pscryptochat</code>.</p>
<h2>For operators</h2>
<p><a href="/health">Health</a> as JSON, <a href="/metrics">metrics</a> for Prometheus, and who this server
<a href="/.well-known/waypost">is</a>. There is no list of networks, and no log of addresses.</p>
"#;

/// Writes the page.
///
/// # Errors
/// [`Full`] if it does not fit.
pub(super) fn put(out: &mut Writer<'_>, engine: &Engine<'_>) -> Result<(), Full> {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    out.put_str(HEAD)?;
    out.put_str(STYLE)?;
    out.put_str(INTRODUCTION)?;
    out.put_str("<dl>\n")?;
    put_figure(out, "Peers now", count(engine.peers.len()))?;
    put_figure(out, "Seen in five minutes", count(engine.peers.active()))?;
    put_figure(out, "Places", count(engine.peers.capacity()))?;
    put_figure(out, "Requests a minute", engine.stats.requests_per_minute())?;
    out.put_str("</dl>\n")?;
    out.put_str(INSTRUCTIONS)?;
    out.put_str("<footer>Waypost ")?;
    out.put_str(VERSION)?;
    out.put_str(" &middot; id ")?;
    out.put_hex(&engine.bootstrap_id())?;
    out.put_str("</footer>\n</main>\n</body>\n</html>\n")
}

fn put_figure(out: &mut Writer<'_>, name: &str, value: u64) -> Result<(), Full> {
    out.put_str("<div><dt>")?;
    out.put_str(name)?;
    out.put_str("</dt><dd>")?;
    out.put_decimal(value)?;
    out.put_str("</dd></div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_allows_the_style_sheet() {
        let mut text = [0; 44];
        let digest = Base64::encode(&Sha256::digest(STYLE.as_bytes()), &mut text).unwrap();
        let source = std::format!("style-src 'sha256-{digest}'");
        assert!(FIELDS.contains(&source), "the policy must say {source}");
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for part in [HEAD, STYLE, INTRODUCTION, INSTRUCTIONS] {
            for word in ["src=", "url(", "@import", "<script", "<link", "style=", "onload"] {
                assert!(!part.contains(word), "{word}");
            }
        }
    }
}
