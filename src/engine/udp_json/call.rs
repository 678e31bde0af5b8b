//! One message and its answers, rendered straight into the send buffer.

use crate::engine::reply::{Contact, Sample};
use crate::engine::request::{Families, Transport};
use crate::engine::token::{TOKEN_TEXT_BYTES, Token};
use crate::engine::{Error, Registration, Source};
use crate::id::PeerId;
use crate::limits::CHALLENGE_LIFE_S;
use crate::time::Instant;
use crate::wire::json::{MessageKind, UdpMessage};
use crate::wire::{Full, Writer};

/// A message, who sent it, and what it takes to answer.
pub(super) struct Call<'a> {
    pub(super) now: Instant,
    pub(super) source: Source,
    pub(super) message: UdpMessage<'a>,
    /// A fresh token for the sender.
    pub(super) token: Token,
}

/// What the list of peers needs behind it.
const PEERS_TAIL_BYTES: usize = r#"],"token":""}"#.len() + TOKEN_TEXT_BYTES;

impl Call<'_> {
    /// Writes the answer to a ping. What is beyond `id` is left out where it does not fit.
    pub(super) fn emit_pong(&self, server_id: [u8; 20], out: &mut Writer<'_>) -> Result<(), Full> {
        self.start("pong", out)?;
        emit_if_it_fits(out, |out| {
            out.put_str(r#","server_id":""#)?;
            out.put_hex(&server_id)?;
            out.put_str(r#"""#)
        });
        emit_if_it_fits(out, |out| self.emit_you(out));
        out.put_str("}")
    }

    /// Writes the answer that lets the sender prove its address.
    pub(super) fn emit_token(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        self.start("token", out)?;
        out.put_str(r#","token":""#)?;
        self.token.emit(out)?;
        out.put_str(r#""}"#)
    }

    /// Writes as many of the peers as fit, and a token. If there are peers but none fits, that is [`Full`].
    pub(super) fn emit_peers(&self, sample: &Sample<'_>, out: &mut Writer<'_>) -> Result<(), Full> {
        self.start("peers", out)?;
        out.put_str(r#","peers":["#)?;
        let (mut known, mut listed) = (false, false);
        for endpoint in sample.peers().filter_map(|peer| peer.contact(Families::Both, Transport::Udp)) {
            let mark = out.len();
            known = true;
            let emitted = emit_compact(endpoint, listed, out);
            if emitted.is_err() || out.room() < PEERS_TAIL_BYTES {
                out.rewind(mark);
            } else {
                listed = true;
            }
        }
        if known && !listed {
            return Err(Full);
        }
        out.put_str(r#"],"token":""#)?;
        self.token.emit(out)?;
        out.put_str(r#""}"#)
    }

    /// Writes the answer to an announce.
    pub(super) fn emit_registered(
        &self,
        id: PeerId<'_>,
        registration: Registration,
        out: &mut Writer<'_>,
    ) -> Result<(), Full> {
        self.start("ack", out)?;
        out.put_str(r#","peer_id":""#)?;
        out.put_str(id.as_str())?;
        out.put_str(r#"","registered":true,"expires":"#)?;
        out.put_decimal(registration.expires_s.into())?;
        self.emit_you(out)?;
        out.put_str("}")
    }

    /// Writes the answer to a leave.
    pub(super) fn emit_left(&self, removed: bool, out: &mut Writer<'_>) -> Result<(), Full> {
        self.start("ack", out)?;
        out.put_str(if removed { r#","removed":true}"# } else { r#","removed":false}"# })
    }

    /// Writes the word of an error.
    pub(super) fn emit_refusal(&self, error: Error, out: &mut Writer<'_>) -> Result<(), Full> {
        match self.message.kind {
            MessageKind::Announce | MessageKind::Leave => {
                self.start("ack", out)?;
                out.put_str(r#","registered":false"#)?;
            }
            MessageKind::Ping | MessageKind::FindPeers => self.start("error", out)?,
        }
        out.put_str(r#","error":""#)?;
        out.put_str(error.meaning().word)?;
        if let Error::PowRequired(challenge) = error {
            out.put_str(r#"","challenge":""#)?;
            out.put_str(challenge.as_str())?;
            out.put_str(r#"","difficulty":"#)?;
            out.put_decimal(challenge.difficulty.into())?;
            out.put_str(r#","expires":"#)?;
            out.put_decimal(CHALLENGE_LIFE_S.into())?;
            return out.put_str("}");
        }
        out.put_str(r#""}"#)
    }

    /// Writes the answer's type and the message's id, which has no byte that needs an escape.
    fn start(&self, kind: &str, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put_str(r#"{"type":""#)?;
        out.put_str(kind)?;
        out.put_str(r#"","id":""#)?;
        out.put_str(self.message.id)?;
        out.put_str(r#"""#)
    }

    fn emit_you(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put_str(r#","you":""#)?;
        out.put_socket(self.source.addr, self.source.port)?;
        out.put_str(r#"""#)
    }
}

/// Writes a member that may be left out, if there is room for it and for the bracket that ends the object.
fn emit_if_it_fits(out: &mut Writer<'_>, member: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) {
    let mark = out.len();
    if member(out).is_err() || out.room() == 0 {
        out.rewind(mark);
    }
}

fn emit_compact((addr, port): Contact, after_another: bool, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put_str(if after_another { r#",""# } else { r#"""# })?;
    out.put_socket(addr, port)?;
    out.put_str(r#"""#)
}
