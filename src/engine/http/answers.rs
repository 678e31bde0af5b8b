//! From an acceptable request to its response.

use super::bodies::{self, About, HealthBody, PeerCounts, RequestCounts};
use super::output::{Content, Response};
use super::parameters::{self, Texts};
use super::refusal::Refusal;
use super::routes::{self, Action, Page, Question, Route};
use super::{metrics, page, tracker};
use crate::engine::identity::{Nonce, ReplySignature};
use crate::engine::stats::Kind;
use crate::engine::{Engine, Error, Protocol, Reply, Request, Source, intake};
use crate::id::NetworkKey;
use crate::time::Instant;
use crate::wire::http::Head;
use crate::wire::json::{AnnounceBody, HelloBody, LeaveBody};
use crate::wire::{Full, Writer};

/// Answers a request. Writes the body of the response to `out`, and returns its head.
///
/// # Errors
/// [`Full`] if the body does not fit.
pub(super) fn answer(
    now: Instant,
    engine: &mut Engine<'_>,
    source: &Source,
    (head, body): (&Head<'_>, &[u8]),
    out: &mut Writer<'_>,
) -> Result<Response, Full> {
    let route = match routes::admit(head, source) {
        Ok(Action::Serve(route)) => route,
        Ok(Action::Describe(route)) => {
            engine.stats.count_kind(now, Protocol::Http, Kind::Page);
            return Ok(routes::describe(route));
        }
        Err(refusal) => {
            engine.stats.count_kind(now, Protocol::Http, Kind::Malformed);
            return refusal.emit(out);
        }
    };
    let answer = match route {
        Route::Ask(question) => ask(now, engine, source, question, (head, body), out)?,
        Route::Track(tracking) => {
            tracker::answer(now, engine, source, tracking, head.query, out)?;
            Ok((Content::Tracker, None))
        }
        Route::Show(page) => {
            engine.stats.count_kind(now, Protocol::Http, Kind::Page);
            Ok((show(now, engine, page, out)?, None))
        }
    };
    let sharing = route.sharing();
    match answer {
        Ok((content, signature)) => Ok(Response { sharing, signature, ..Response::ok(content) }),
        Err(error) => {
            let challenge = match &error {
                Error::PowRequired(challenge) => Some(challenge),
                _ => None,
            };
            Refusal { sharing, ..error.into() }.emit_with(challenge, out)
        }
    }
}

/// Asks the engine. The answer is signed if the client wants it to be.
fn ask(
    now: Instant,
    engine: &mut Engine<'_>,
    source: &Source,
    question: Question,
    (head, body): (&Head<'_>, &[u8]),
    out: &mut Writer<'_>,
) -> Result<Result<(Content, Option<ReplySignature>), Error>, Full> {
    let mut texts = Texts::new();
    let default_network = engine.settings.default_network;
    let (request, nonce) = match read(question, head.query, body, default_network, &mut texts) {
        Ok(request) => request,
        Err(error) => return Ok(Err(engine.refuse(now, source, question.kind(), error))),
    };
    let about =
        About { bootstrap_id: engine.bootstrap_id(), ttl_s: engine.settings.peer_ttl_s, you: source.addr };
    match (engine.handle(now, source, &request), &request) {
        (Reply::Refused(error), _) => return Ok(Err(error)),
        (Reply::Peers(sample), _) => bodies::put_peers(out, &sample, &about)?,
        (Reply::Registered(registration), Request::Announce(announce)) => {
            bodies::put_registered(out, announce.id, about.you, &registration)?;
        }
        (Reply::Left { removed }, _) => bodies::put_left(out, removed)?,
        (Reply::Challenge(challenge), _) => bodies::put_challenge(out, challenge)?,
        // The engine answers in kind.
        _ => return Err(Full),
    }
    let Some(nonce) = nonce else { return Ok(Ok((Content::Json, None))) };
    if let Err(retry_after_s) = engine.identity.may_sign(now) {
        out.rewind(0);
        let error = Error::RateLimited { retry_after_s };
        engine.stats.count_outcome(now, Protocol::Http, Some(&error));
        return Ok(Err(error));
    }
    Ok(Ok((Content::Json, Some(engine.identity.sign(&nonce, out.written())))))
}

/// The engine's request for what the client asks, and the nonce of a client that wants the answer signed.
fn read<'a>(
    question: Question,
    query: &'a str,
    body: &'a [u8],
    default_network: NetworkKey,
    texts: &'a mut Texts,
) -> Result<(Request<'a>, Option<Nonce>), Error> {
    let request = match question {
        Question::Peers => {
            let (query, nonce) = parameters::peers(query, texts, default_network)?;
            return Ok((Request::Peers(query), nonce));
        }
        Question::Hello => {
            let body = HelloBody::parse(body)?;
            return Ok((Request::Peers(intake::hello(&body, default_network)?), intake::nonce(body.nonce)?));
        }
        Question::Announce => {
            let body = AnnounceBody::parse(body)?;
            Request::Announce(intake::announce(&body, default_network, &mut texts.key_id)?)
        }
        Question::Leave => {
            let body = LeaveBody::parse(body)?;
            Request::Leave(intake::leave(&body, default_network, &mut texts.key_id)?)
        }
        Question::Challenge => Request::Challenge(parameters::challenge(query, texts, default_network)?),
    };
    Ok((request, None))
}

/// Shows something of the server itself. None of it is rate limited: it costs less than refusing would.
fn show(now: Instant, engine: &Engine<'_>, page: Page, out: &mut Writer<'_>) -> Result<Content, Full> {
    match page {
        Page::Index => page::put(out, engine).map(|()| Content::Page),
        Page::Health => bodies::put_health(out, &health(now, engine)).map(|()| Content::Json),
        Page::Metrics => metrics::put(out, now, engine).map(|()| Content::Metrics),
        Page::WellKnown => {
            bodies::put_well_known(out, engine.bootstrap_id(), &engine.identity.key()).map(|()| Content::Json)
        }
    }
}

fn health(now: Instant, engine: &Engine<'_>) -> HealthBody {
    let degraded = engine.peers.len() >= engine.peers.capacity() || engine.stats.limits_bite(now);
    HealthBody {
        status: if degraded { "degraded" } else { "healthy" },
        uptime_seconds: now.as_s(),
        peers: PeerCounts { total: engine.peers.len(), active_5m: engine.peers.active() },
        requests: RequestCounts {
            total: engine.stats.total_requests(),
            rate_per_minute: engine.stats.requests_per_minute(),
        },
        memory_tenths_of_mb: engine.resident_bytes.saturating_mul(10) / (1024 * 1024),
    }
}
