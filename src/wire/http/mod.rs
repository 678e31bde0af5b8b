//! HTTP/1.1 requests (RFC 9112), read strictly: what two readers could take for different things is refused.
//!
//! [`HeadScan`] finds the end of a head as bytes come in, [`Head::parse`] takes it apart, [`Chunked`] decodes a body
//! in place, and [`query`] walks the target's query. `httparse` splits the head into fields; every rule about line
//! ends, targets, hosts and framing is here, because `httparse` has none.

mod chunked;
mod head;
mod host;
pub mod query;
mod scan;

pub use chunked::{Chunked, Step};
pub use head::{Framing, Head, Method, Version};
pub use scan::HeadScan;

/// A request that is refused before anyone looks at what it asks. Its connection must be closed: where the next
/// request would begin is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status of the response: 400, 413, 414, 417, 431 or 505.
    pub status: u16,
    /// What is wrong, in one sentence for people.
    pub detail: &'static str,
}

impl Reject {
    /// 400 with this detail.
    const fn bad(detail: &'static str) -> Self {
        Self { status: 400, detail }
    }

    /// 413: the body is longer than [`MAX_BODY_BYTES`](crate::limits::MAX_BODY_BYTES).
    const BODY_TOO_LARGE: Self = Self { status: 413, detail: "a body may have 4096 bytes at most" };
}

/// Whether `byte` may be in a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `byte` is a control character that no field may have: all but the tab (RFC 9110 section 5.5).
const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}
