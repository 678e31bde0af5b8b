//! Responses that say no.

use super::bodies;
use super::output::{Content, Response, Sharing};
use crate::engine::Error;
use crate::wire::http::Reject;
use crate::wire::pow::Challenge;
use crate::wire::{Full, Writer};

/// Why a request is refused, as HTTP says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: u16,
    /// One of the stable words.
    pub(super) word: &'static str,
    /// One sentence for people.
    pub(super) detail: &'static str,
    /// The methods the target allows, for a method it does not.
    pub(super) allow: Option<&'static str>,
    /// Seconds until the client may try again.
    pub(super) retry_after_s: Option<u32>,
    /// Whether it answers an announce that was in order, but found no place.
    pub(super) unregistered: bool,
    /// Whether pages of other sites may read it.
    pub(super) sharing: Sharing,
}

impl Refusal {
    /// The response did not fit its buffer.
    pub(super) const NO_ROOM: Self = Self::new(503, "too_large", "the answer does not fit");

    pub(super) const fn new(status: u16, word: &'static str, detail: &'static str) -> Self {
        let (allow, retry_after_s) = (None, None);
        Self { status, word, detail, allow, retry_after_s, unregistered: false, sharing: Sharing::Own }
    }

    /// Writes the body, and returns the head.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub(super) fn emit(&self, out: &mut Writer<'_>) -> Result<Response, Full> {
        self.emit_with(None, out)
    }

    /// The same, with the work that would be enough.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub(super) fn emit_with(
        &self,
        challenge: Option<&Challenge>,
        out: &mut Writer<'_>,
    ) -> Result<Response, Full> {
        bodies::put_error(out, self, challenge)?;
        Ok(Response {
            status: self.status,
            content: Content::Json,
            allow: self.allow,
            retry_after_s: self.retry_after_s,
            sharing: self.sharing,
            signature: None,
        })
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        let word = match reject.status {
            413 | 414 | 431 => "too_large",
            417 | 505 => "unsupported",
            _ => "bad_request",
        };
        Self::new(reject.status, word, reject.detail)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let meaning = error.meaning();
        let retry_after_s = match error {
            Error::RateLimited { retry_after_s } => Some(retry_after_s),
            _ => None,
        };
        let unregistered = matches!(error, Error::TableFull | Error::PowRequired(_));
        Self { retry_after_s, unregistered, ..Self::new(meaning.status, meaning.word, meaning.detail) }
    }
}
