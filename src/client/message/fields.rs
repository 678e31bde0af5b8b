//! Writing JSON.

use std::fmt::{self, Write as _};

use crate::quoted::Quoted;
use crate::record::{KEY_TEXT_BYTES, SIG_TEXT_BYTES, Seal, put_key, put_sig};
use crate::wire::{Full, Writer};

/// A JSON object that is being written.
#[derive(Default)]
pub(super) struct Fields(String);

impl Fields {
    /// A datagram of this type and id.
    pub(super) fn message(kind: &str, id: &str) -> Self {
        let mut fields = Self::default();
        fields.text("type", kind);
        fields.text("id", id);
        fields
    }

    pub(super) fn put(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // A string takes everything.
        let _ = write!(self.0, "\"{key}\":{value}");
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.put(key, Quoted(text));
    }

    pub(super) fn maybe_text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(super) fn seal(&mut self, seal: Option<&Seal>) {
        if let Some(seal) = seal {
            self.text("key", &written::<KEY_TEXT_BYTES>(|out| put_key(&seal.key, out)));
            self.put("seq", seal.seq);
            self.text("sig", &written::<SIG_TEXT_BYTES>(|out| put_sig(&seal.sig, out)));
        }
    }

    pub(super) fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// What `put` writes in at most `N` bytes.
fn written<const N: usize>(put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> String {
    let mut buffer = [0; N];
    let mut out = Writer::new(&mut buffer);
    // There is room for it: `N` is its length.
    let _ = put(&mut out);
    String::from_utf8_lossy(out.written()).into()
}
