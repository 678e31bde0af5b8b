//! STUN Binding (RFC 8489): tells a client its own address and port, as `you` does in JSON.

use super::stats::DropReason;
use super::{Engine, Proof, Protocol, Reply, Request, Source};
use crate::addr::CanonicalAddr;
use crate::limits::BINARY_AMPLIFICATION;
use crate::time::Instant;
use crate::wire::{Full, Writer, stun};

impl Engine<'_> {
    /// Answers a Binding request: the length of what was rendered into `out`, or why there is silence.
    pub(super) fn stun(
        &mut self,
        now: Instant,
        addr: CanonicalAddr,
        port: u16,
        datagram: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let request = stun::Request::parse(datagram).map_err(|_| DropReason::Malformed)?;
        let source = Source { addr, port, protocol: Protocol::Stun, proof: Proof::None };
        if let Reply::Refused(_) = self.handle(now, &source, &Request::Ping) {
            return Err(DropReason::RateLimited);
        }
        let mut out = Writer::within(out, datagram.len().saturating_mul(BINARY_AMPLIFICATION));
        request.emit_answer(addr, port, &mut out).map_err(|Full| DropReason::Unproven)?;
        let fits = self.egress.stun.spend(now, datagram.len(), out.len());
        fits.then_some(out.len()).ok_or(DropReason::Egress)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::engine::tests::send;
    use crate::engine::{Settings, Storage};
    use crate::rng::Seed;

    fn request() -> Vec<u8> {
        let mut bytes = std::vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        bytes
    }

    #[test]
    fn a_client_learns_its_address() {
        let mut storage = Storage::<16, 256>::new();
        let mut engine = storage.engine(Settings::default(), &Seed([1; 32]));
        let mut ask = |from: &str, datagram: &[u8]| send(&mut engine, Instant::START, from, datagram);
        let answer = ask("198.51.100.7:40000", &request());
        let port = (40_000_u16 ^ 0x2112).to_be_bytes();
        let ip = [198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];
        assert_eq!(answer[20..], [&[0, 0x20, 0, 8, 0, 1][..], &port, &ip].concat());
        assert_eq!(ask("198.51.100.7:40000", &answer), [], "an answer is not answered");
        assert_eq!(ask("[2001:db8::7]:40000", &request()).len(), 44);
        for _ in 1..60 {
            assert_eq!(ask("198.51.100.7:40000", &request()).len(), 32);
        }
        assert_eq!(ask("198.51.100.7:40000", &request()), [], "the allowance of a minute is used up");
    }
}
