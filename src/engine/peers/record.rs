//! What peers announce, packed: the id, then the endpoints.
//!
//! Nearly all records are short and lie in their peer's row. Endpoints that do not fit there go to the same peer's row
//! of a second table: memory that is never touched, hence never resident, until there is a long record, and that no
//! client can use up for others.

use core::hint::black_box;

use crate::endpoint::{Endpoint, MAX_PACKED_BYTES};
use crate::id::PeerId;
use crate::limits::{MAX_ENDPOINTS, MAX_ID_BYTES};
use crate::wire::Writer;

/// Bytes of the near part beside the lengths: room for the longest id with two IPv4 endpoints or one of IPv6, and for a
/// usual id with three.
const NEAR_BYTES: usize = 84;
/// Room for all endpoints of the longest kind.
const FAR_BYTES: usize = MAX_ENDPOINTS * MAX_PACKED_BYTES;

const _: () = assert!(MAX_ID_BYTES <= NEAR_BYTES, "an id always lies in the near part");
const _: () = assert!(FAR_BYTES <= u16::MAX as usize, "lengths are 16-bit numbers");

/// The near part of a record: a part of its peer's row.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Near {
    id_bytes: u8,
    /// Of the id and the endpoints in the near part.
    near_bytes: u8,
    far_bytes: u16,
    bytes: [u8; NEAR_BYTES],
}

/// The far part of a record.
#[derive(Clone, Copy)]
pub(super) struct Far([u8; FAR_BYTES]);

impl Far {
    /// Nothing.
    pub(super) const EMPTY: Self = Self([0; FAR_BYTES]);
}

impl Near {
    /// No record.
    pub(super) const EMPTY: Self = Self { id_bytes: 0, near_bytes: 0, far_bytes: 0, bytes: [0; NEAR_BYTES] };

    /// Stores a record over this one, the end of it in `far` if it is long.
    pub(super) fn store(&mut self, far: &mut Far, id: PeerId<'_>, endpoints: &[Endpoint<'_>]) {
        let mut near = Writer::new(&mut self.bytes);
        // An id always fits: see the assertion above.
        let _ = near.put_str(id.as_str());
        let id_bytes = near.len();
        let mut rest = endpoints.iter().take(MAX_ENDPOINTS).skip_while(|endpoint| {
            let mark = near.len();
            let fits = endpoint.pack(&mut near).is_ok();
            if !fits {
                near.rewind(mark);
            }
            fits
        });
        let mut far_bytes = 0;
        if let Some(endpoint) = rest.next() {
            let mut far = Writer::new(&mut far.0);
            // All endpoints fit: there is room for as many of the longest kind.
            let _ = endpoint.pack(&mut far);
            rest.for_each(|endpoint| {
                let _ = endpoint.pack(&mut far);
            });
            far_bytes = far.len();
        }
        let near_bytes = near.len();
        self.id_bytes = u8::try_from(id_bytes).unwrap_or(0);
        self.near_bytes = u8::try_from(near_bytes).unwrap_or(0);
        self.far_bytes = u16::try_from(far_bytes).unwrap_or(0);
    }

    /// The id.
    pub(super) fn id(&self) -> PeerId<'_> {
        PeerId::from_stored(self.parts().0)
    }

    /// Whether this is the id.
    pub(super) fn has_id(&self, id: PeerId<'_>) -> bool {
        self.parts().0 == id.as_str().as_bytes()
    }

    /// The endpoints, in the order announced. `far` must be the record's far part.
    pub(super) fn endpoints<'t>(&'t self, far: &'t Far) -> Endpoints<'t> {
        Endpoints { near: self.parts().1, far: far.0.get(..self.far_bytes.into()).unwrap_or_default() }
    }

    /// Has the record fetched into the cache, without waiting for it.
    pub(super) fn touch(&self) {
        black_box(self.bytes.first().copied());
    }

    /// The bytes of the id and of the endpoints.
    fn parts(&self) -> (&[u8], &[u8]) {
        let used = self.bytes.get(..self.near_bytes.into()).unwrap_or_default();
        used.split_at_checked(self.id_bytes.into()).unwrap_or_default()
    }
}

/// Iterates over the endpoints of one record.
#[derive(Clone)]
pub(super) struct Endpoints<'t> {
    near: &'t [u8],
    far: &'t [u8],
}

impl<'t> Iterator for Endpoints<'t> {
    type Item = Endpoint<'t>;

    fn next(&mut self) -> Option<Endpoint<'t>> {
        let part = if self.near.is_empty() { &mut self.far } else { &mut self.near };
        let (endpoint, rest) = Endpoint::unpack(part)?;
        *part = rest;
        Some(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    /// Stores a record, checks that it is all there, and returns the lengths of its parts.
    fn round_trip(near: &mut Near, far: &mut Far, id: &str, texts: &[&str]) -> (usize, usize) {
        let id = PeerId::parse(id).unwrap();
        let endpoints: Vec<Endpoint<'_>> = texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
        near.store(far, id, &endpoints);
        assert_eq!(near.id(), id);
        assert!(near.has_id(id) && !near.has_id(PeerId::parse("else").unwrap()));
        assert_eq!(near.endpoints(far).collect::<Vec<_>>(), endpoints);
        (near.near_bytes.into(), near.far_bytes.into())
    }

    #[test]
    fn short_records_leave_the_far_part_alone() {
        let (near, far) = (&mut { Near::EMPTY }, &mut { Far::EMPTY });
        let (v4, v6) = ("tcp://198.51.100.7:9000", "udp://[2001:db8::7]:1");
        assert_eq!(round_trip(near, far, &"f".repeat(64), &[v4, v4]), (64 + 8 + 8, 0));
        assert_eq!(round_trip(near, far, &"f".repeat(64), &[v6]), (64 + 20, 0));
        assert_eq!(round_trip(near, far, &"f".repeat(40), &[v4, v6, v4]), (40 + 8 + 20 + 8, 0));
        assert!(far.0.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn long_records_go_on_in_the_far_part() {
        let (near, far) = (&mut { Near::EMPTY }, &mut { Far::EMPTY });
        let onion: String = std::format!("tcp://{}.onion:9000", "a".repeat(56));
        let short = "tcp://198.51.100.7:9000";
        assert_eq!(round_trip(near, far, "a", &[short, &onion, short]), (1 + 8 + 66 + 8, 0));
        // What comes behind the first endpoint that does not fit keeps its place in the order.
        assert_eq!(round_trip(near, far, "a", &[&onion, &onion, short]), (1 + 66, 66 + 8));
        let id = "b".repeat(64);
        assert_eq!(round_trip(near, far, &id, &[&onion, &onion, &onion, short]), (64, 3 * 66 + 8));
        assert_eq!(round_trip(near, far, "b", &[short]), (1 + 8, 0));
    }

    #[test]
    fn the_longest_record_fits() {
        let (near, far) = (&mut { Near::EMPTY }, &mut { Far::EMPTY });
        let longest: Vec<String> = (1..=4)
            .map(|port| std::format!("abcdefghijkl://{}.{}:{port}", "a".repeat(60), "b".repeat(18)))
            .collect();
        assert!(longest.iter().all(|text| text.len() == 96));
        let texts: Vec<&str> = longest.iter().map(String::as_str).collect();
        round_trip(near, far, &"c".repeat(64), &texts);
    }
}
