//! What peers announce, packed: the id, then the endpoints.
//!
//! Nearly all records are short and lie in the hot part. Endpoints that do not fit there go to the slot's own row in
//! the cold part: memory that is never touched, hence never resident, until a slot holds a long record, and that no
//! client can use up for others.

use super::cut;
use crate::endpoint::{Endpoint, MAX_PACKED_BYTES};
use crate::id::PeerId;
use crate::limits::{MAX_ENDPOINTS, MAX_ID_BYTES};
use crate::wire::Writer;

/// Bytes of a record beside its lengths. Room for the longest id with an IPv4 and an IPv6 endpoint.
const HOT_BYTES: usize = 92;
/// Room for all endpoints of the longest kind.
const COLD_BYTES: usize = MAX_ENDPOINTS * MAX_PACKED_BYTES;

const _: () = assert!(MAX_ID_BYTES <= HOT_BYTES, "an id always lies in the hot part");
const _: () = assert!(COLD_BYTES <= u16::MAX as usize, "lengths are 16-bit numbers");

/// The memory of the records of up to `N` slots.
pub(super) struct RecordStorage<const N: usize> {
    hot: [Hot; N],
    cold: [[u8; COLD_BYTES]; N],
}

#[derive(Clone, Copy)]
struct Hot {
    id_bytes: u8,
    /// Of the id and the endpoints in the hot part.
    hot_bytes: u8,
    cold_bytes: u16,
    bytes: [u8; HOT_BYTES],
}

/// The records of all slots.
pub(super) struct Records<'s> {
    hot: &'s mut [Hot],
    cold: &'s mut [[u8; COLD_BYTES]],
}

impl<const N: usize> RecordStorage<N> {
    pub(super) const fn new() -> Self {
        let hot = Hot { id_bytes: 0, hot_bytes: 0, cold_bytes: 0, bytes: [0; HOT_BYTES] };
        Self { hot: [hot; N], cold: [[0; COLD_BYTES]; N] }
    }
}

impl<'s> Records<'s> {
    /// The records of the slots `0..n`, all empty, in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut RecordStorage<N>, n: usize) -> Self {
        Self { hot: cut(&mut storage.hot, n), cold: cut(&mut storage.cold, n) }
    }

    /// Stores a record over the one in `slot`.
    pub(super) fn store(&mut self, slot: u32, id: PeerId<'_>, endpoints: &[Endpoint<'_>]) {
        let Some(hot) = self.hot.get_mut(slot as usize) else { return };
        let Some(cold) = self.cold.get_mut(slot as usize) else { return };
        let mut near = Writer::new(&mut hot.bytes);
        // An id always fits: see the assertion above.
        let _ = near.put_str(id.as_str());
        let id_bytes = near.len();
        let mut rest = endpoints.iter().skip_while(|endpoint| {
            let mark = near.len();
            let fits = endpoint.pack(&mut near).is_ok();
            if !fits {
                near.rewind(mark);
            }
            fits
        });
        let mut far = Writer::new(&mut []);
        if let Some(endpoint) = rest.next() {
            far = Writer::new(cold);
            // All endpoints fit: the row is as long as the longest ones.
            let _ = endpoint.pack(&mut far);
            rest.take(MAX_ENDPOINTS).for_each(|endpoint| {
                let _ = endpoint.pack(&mut far);
            });
        }
        let (near, far) = (near.len(), far.len());
        hot.id_bytes = u8::try_from(id_bytes).unwrap_or(0);
        hot.hot_bytes = u8::try_from(near).unwrap_or(0);
        hot.cold_bytes = u16::try_from(far).unwrap_or(0);
    }

    /// The id of the record in `slot`.
    pub(super) fn id(&self, slot: u32) -> PeerId<'_> {
        PeerId::from_stored(self.hot.get(slot as usize).map_or(&[], |hot| hot.parts().0))
    }

    /// Whether the record in `slot` has this id.
    pub(super) fn has_id(&self, slot: u32, id: PeerId<'_>) -> bool {
        self.hot.get(slot as usize).is_some_and(|hot| hot.parts().0 == id.as_str().as_bytes())
    }

    /// The endpoints of the record in `slot`, in the order announced.
    pub(super) fn endpoints(&self, slot: u32) -> Endpoints<'_> {
        let Some(hot) = self.hot.get(slot as usize) else { return Endpoints { near: &[], far: &[] } };
        let far = match usize::from(hot.cold_bytes) {
            0 => None,
            bytes => self.cold.get(slot as usize).and_then(|row| row.get(..bytes)),
        };
        Endpoints { near: hot.parts().1, far: far.unwrap_or_default() }
    }
}

impl Hot {
    /// The bytes of the id and of the endpoints.
    fn parts(&self) -> (&[u8], &[u8]) {
        let used = self.bytes.get(..self.hot_bytes.into()).unwrap_or_default();
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

    fn parse<'a>(texts: &[&'a str]) -> Vec<Endpoint<'a>> {
        texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect()
    }

    fn round_trip(records: &mut Records<'_>, id: &str, texts: &[&str]) -> (usize, usize) {
        let id = PeerId::parse(id).unwrap();
        let endpoints = parse(texts);
        records.store(1, id, &endpoints);
        assert_eq!(records.id(1), id);
        assert!(records.has_id(1, id) && !records.has_id(1, PeerId::parse("else").unwrap()));
        assert_eq!(records.endpoints(1).collect::<Vec<_>>(), endpoints);
        assert_eq!(records.endpoints(0).count(), 0);
        (records.hot[1].hot_bytes.into(), records.hot[1].cold_bytes.into())
    }

    #[test]
    fn short_records_leave_the_cold_part_alone() {
        let mut storage = RecordStorage::<2>::new();
        let mut records = Records::new(&mut storage, 2);
        let id = "f".repeat(64);
        let sizes = round_trip(&mut records, &id, &["tcp://198.51.100.7:9000", "udp://[2001:db8::7]:1"]);
        assert_eq!(sizes, (92, 0));
        assert!(records.cold.iter().flatten().all(|&byte| byte == 0));
    }

    #[test]
    fn long_records_go_on_in_the_cold_part() {
        let mut storage = RecordStorage::<2>::new();
        let mut records = Records::new(&mut storage, 2);
        let onion: String = std::format!("tcp://{}.onion:9000", "a".repeat(56));
        let short = "tcp://198.51.100.7:9000";
        assert_eq!(round_trip(&mut records, "a", &[short, &onion, short]), (9 + 66 + 8, 0));
        // What comes behind the first endpoint that does not fit keeps its place in the order.
        assert_eq!(round_trip(&mut records, "a", &[&onion, &onion, short]), (67, 74));
        assert_eq!(round_trip(&mut records, &"b".repeat(64), &[&onion, &onion, &onion, short]), (64, 206));
        assert_eq!(round_trip(&mut records, "b", &[short]), (9, 0));
    }

    #[test]
    fn the_longest_record_fits() {
        let mut storage = RecordStorage::<2>::new();
        let mut records = Records::new(&mut storage, 2);
        let longest: Vec<String> = (1..=4)
            .map(|port| std::format!("abcdefghijkl://{}.{}:{port}", "a".repeat(60), "b".repeat(18)))
            .collect();
        assert!(longest.iter().all(|text| text.len() == 96));
        let texts: Vec<&str> = longest.iter().map(String::as_str).collect();
        round_trip(&mut records, &"c".repeat(64), &texts);
    }
}
