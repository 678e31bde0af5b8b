//! Signed records: only what verifies is stored.

use super::{SmallStorage, client_source};
use crate::engine::request::{SchemeList, SealText};
use crate::engine::{Announce, Engine, Leave, PeersQuery, Reply, Request, Settings, Source, intake};
use crate::limits::MAX_SAMPLE;
use crate::record::{KEY_TEXT_BYTES, SIG_TEXT_BYTES, Seal};
use crate::rng::Seed;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::json::{AnnounceBody, LeaveBody};

/// The seed of our key.
const OWN: [u8; 32] = [7; 32];

/// First a byte that says what is changed in a seal, then its number, then how it is changed; then the body of an announce
/// or a leave. Sent as it is, then sealed by a key of ours with that change, and without.
pub fn record(data: &[u8]) {
    let [what, seq, change, body @ ..] = data else { return };
    let mut storage = SmallStorage::new();
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    let mut engine = storage.engine(settings, &Seed([1; 32]));
    let source = client_source(0x20);
    let network = engine.settings().default_network;
    let mut own = None;
    if let Ok(Ok(leave)) = LeaveBody::parse(body).map(|body| intake::leave(&body, network, &mut own)) {
        assert!(!leave_is_taken(&mut engine, &source, leave), "nobody is there");
    }
    let mut own = None;
    let Ok(body) = AnnounceBody::parse(body) else { return };
    let Ok(announce) = intake::announce(&body, network, &mut own) else { return };
    let seal = announce.seal.and_then(|text| Seal::parse(text.key, text.seq, text.sig));
    let is_signed = announce.seal.is_some();
    let is_stored = announce_is_taken(&mut engine, &source, announce.clone());
    let is_shown = seal.is_some_and(|seal| is_listed(&mut engine, &announce, &seal));
    assert!(!is_signed || is_stored == is_shown, "what is stored is shown");

    // The same endpoints, sealed by us.
    let seq = u64::from(*seq);
    let sign = |seq, endpoints: &[_]| Seal::sign(&OWN, announce.network, seq, endpoints.iter().copied());
    let (Some(seal), Some(gone)) = (sign(seq, &announce.endpoints), sign(seq.saturating_add(1), &[])) else {
        return;
    };
    let (forged, good, gone) =
        (Texts::new(&changed(seal, *what, *change)), Texts::new(&seal), Texts::new(&gone));
    let key_id = seal.id();
    let good = Announce { id: key_id.id(), seal: good.seal(), ..announce.clone() };
    let forged = Announce { seal: forged.seal(), ..good.clone() };
    assert!(!announce_is_taken(&mut engine, &source, forged.clone()), "a forgery is refused");
    assert!(!is_listed(&mut engine, &good, &seal), "and is not there");
    if !announce_is_taken(&mut engine, &source, good.clone()) {
        return;
    }
    assert!(is_listed(&mut engine, &good, &seal), "what verifies is there");
    assert!(!announce_is_taken(&mut engine, &source, good.clone()), "once");
    assert!(!announce_is_taken(&mut engine, &source, forged), "a forgery changes nothing");
    assert!(is_listed(&mut engine, &good, &seal), "of what is there");
    let leave = Leave { network: good.network, id: key_id.id(), owner: None, seal: gone.seal() };
    assert!(leave_is_taken(&mut engine, &source, leave));
    assert!(!announce_is_taken(&mut engine, &source, good), "what was taken back stays away");
}

/// What a request carries of a seal.
struct Texts {
    key: [u8; KEY_TEXT_BYTES],
    seq: u64,
    sig: [u8; SIG_TEXT_BYTES],
}

impl Texts {
    fn new(seal: &Seal) -> Self {
        let mut texts = Self { key: [0; KEY_TEXT_BYTES], seq: seal.seq, sig: [0; SIG_TEXT_BYTES] };
        let written = seal
            .emit_key(&mut Writer::new(&mut texts.key))
            .and_then(|()| seal.emit_sig(&mut Writer::new(&mut texts.sig)));
        assert!(written.is_ok(), "there is room for them");
        texts
    }

    fn seal(&self) -> Option<SealText<'_>> {
        let (key, sig) = (core::str::from_utf8(&self.key).ok()?, core::str::from_utf8(&self.sig).ok()?);
        Some(SealText { key, seq: self.seq, sig })
    }
}

/// `seal` with one thing changed.
fn changed(mut seal: Seal, what: u8, change: u8) -> Seal {
    let bit = 1 << (change & 7);
    let at = usize::from(what >> 2);
    match what & 3 {
        0 => seal.seq ^= u64::from(change) + 1,
        1 => seal.key.iter_mut().skip(at % 32).take(1).for_each(|byte| *byte ^= bit),
        _ => seal.sig.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit),
    }
    seal
}

fn announce_is_taken(engine: &mut Engine<'_>, source: &Source, announce: Announce<'_>) -> bool {
    matches!(engine.handle(Instant::START, source, &Request::Announce(announce)), Reply::Registered(_))
}

fn leave_is_taken(engine: &mut Engine<'_>, source: &Source, leave: Leave<'_>) -> bool {
    matches!(engine.handle(Instant::START, source, &Request::Leave(leave)), Reply::Left { removed: true })
}

/// Whether the record is shown to the LAN as it was announced, with this seal. All that is shown with one verifies.
fn is_listed(engine: &mut Engine<'_>, announce: &Announce<'_>, seal: &Seal) -> bool {
    let network = announce.network;
    let query = PeersQuery { network, limit: MAX_SAMPLE, schemes: SchemeList::new(), exclude: None };
    let Reply::Peers(sample) = engine.handle(Instant::START, &client_source(0), &Request::Peers(query))
    else {
        return false;
    };
    sample.peers().any(|peer| {
        let Some(shown) = peer.seal else { return false };
        assert!(shown.verify(network, peer.endpoints()), "what is shown with a seal verifies");
        assert_eq!(shown.id().id(), peer.id, "and has the id of its key");
        shown == seal && peer.endpoints().eq(announce.endpoints.iter().copied())
    })
}
