//! Challenges: what is read as one, and that only what was given out is taken.

use super::client_source;
use crate::addr::Level;
use crate::engine::pow::Challenger;
use crate::engine::request::Work;
use crate::id::{NetworkKey, PeerId};
use crate::rng::HashKey;
use crate::time::Instant;
use crate::wire::pow::{CHALLENGE_TEXT_BYTES, Challenge, Terms, worth};

/// Twelve bytes of circumstances: who asks for a challenge (1), how dear (1), when (2), who brings it back (1), how much
/// later (1), a nonce (2), what is changed in its text (4: where, and to what, twice). What follows is taken for a challenge too.
pub fn challenge(data: &[u8]) {
    let Some((&[asker, difficulty, high, low, bringer, later, n1, n0, changes @ ..], text)) =
        data.split_first_chunk::<12>()
    else {
        return;
    };
    let challenger = Challenger::new(&HashKey::new([1; 16]));
    let Ok(id) = PeerId::parse("node") else { return };
    let record = (NetworkKey([7; 20]), id);
    let issued = Instant::from_s(u64::from(u16::from_be_bytes([high, low])));
    let nonce = u64::from(u16::from_be_bytes([n1, n0]));
    let (from, by) = (client_source(asker).addr, client_source(bringer).addr);
    let given = challenger.challenge(issued, from, record, difficulty % 24);
    let now = issued.plus_s(u32::from(later));

    // As it was given out: good for who is of the asker's network, for two minutes, if the nonce is worth it.
    let work = Work { challenge: given.as_str(), nonce };
    let is_worth_it = worth(given.as_str(), nonce) >= u32::from(difficulty % 24);
    let is_near = from.prefix(Level::Narrow) == by.prefix(Level::Narrow);
    let is_good = is_worth_it && is_near && from.is_v4() == by.is_v4() && later <= 120;
    assert_eq!(challenger.check(now, by, record, &work).is_ok(), is_good);

    // Changed, or anything at all: taken only if it is what would have been given out.
    let mut changed = [0; CHALLENGE_TEXT_BYTES];
    changed.iter_mut().zip(given.as_str().bytes()).for_each(|(to, from)| *to = from);
    for &[at, byte] in changes.as_chunks::<2>().0 {
        if let Some(place) = changed.get_mut(usize::from(at) % CHALLENGE_TEXT_BYTES) {
            *place = byte;
        }
    }
    for text in [&changed[..], text].into_iter().filter_map(|text| core::str::from_utf8(text).ok()) {
        let Some((terms, tag)) = Terms::parse(text) else { continue };
        assert_eq!(Challenge::new(&terms, tag).as_str(), text, "a challenge has one text");
        let issued = Instant::from_s(terms.issued_s.into());
        let made = challenger.challenge(issued, from, record, terms.difficulty);
        for now in [now, issued] {
            let is_taken = challenger.check(now, from, record, &Work { challenge: text, nonce }).is_ok();
            assert!(!is_taken || made.as_str() == text, "a challenge that nobody made is taken: {text}");
        }
    }
    let is_ours = challenger.check(issued, from, record, &Work { challenge: given.as_str(), nonce }).is_ok();
    assert_eq!(is_ours, is_worth_it, "who asks may bring it back at once");
}
