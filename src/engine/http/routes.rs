//! What there is, and who may ask for it how.

use super::output::{Content, Response, Sharing};
use super::refusal::Refusal;
use crate::engine::Source;
use crate::engine::stats::Kind;
use crate::wire::http::{Framing, Head, Method};

/// What something at a path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Asks the engine something.
    Ask(Question),
    /// Asks the engine something as a BitTorrent client does.
    Track(Tracking),
    /// Shows something of the server itself.
    Show(Page),
}

/// A request for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Peers,
    Hello,
    Announce,
    Leave,
    Challenge,
}

/// A request for the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracking {
    Announce,
    Scrape,
}

/// Something the server shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Index,
    Health,
    Metrics,
    WellKnown,
}

/// What an acceptable request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The answer of a route.
    Serve(Route),
    /// What is possible with a route, or, without one, with the server as a whole.
    Describe(Option<Route>),
}

impl Route {
    /// `/announce` is two things: BitTorrent clients get it, all others post to it.
    fn at(method: Method, path: &str) -> Option<Self> {
        Some(match path {
            "/peers" => Self::Ask(Question::Peers),
            "/hello" => Self::Ask(Question::Hello),
            "/announce" if method == Method::Get => Self::Track(Tracking::Announce),
            "/announce" => Self::Ask(Question::Announce),
            "/scrape" => Self::Track(Tracking::Scrape),
            "/leave" => Self::Ask(Question::Leave),
            "/challenge" => Self::Ask(Question::Challenge),
            "/health" => Self::Show(Page::Health),
            "/metrics" => Self::Show(Page::Metrics),
            "/.well-known/waypost" => Self::Show(Page::WellKnown),
            "/" => Self::Show(Page::Index),
            _ => return None,
        })
    }

    const fn takes_a_body(self) -> bool {
        matches!(self, Self::Ask(Question::Hello | Question::Announce | Question::Leave))
    }

    /// Whether it changes something, so that pages of other sites must not make a browser ask for it.
    const fn changes_something(self) -> bool {
        matches!(self, Self::Ask(Question::Announce | Question::Leave) | Self::Track(Tracking::Announce))
    }

    /// The methods it takes, for the Allow field.
    const fn methods(self) -> &'static str {
        match self {
            Self::Ask(Question::Announce) | Self::Track(Tracking::Announce) => "GET, POST, OPTIONS",
            _ if self.takes_a_body() => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether pages of other sites may read its answers.
    pub(super) const fn sharing(self) -> Sharing {
        if self.changes_something() { Sharing::Own } else { Sharing::Shared }
    }
}

impl Question {
    /// What it counts as when it is refused before the engine sees it.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Peers | Self::Hello => Kind::Peers,
            Self::Announce => Kind::Announce,
            Self::Leave => Kind::Leave,
            Self::Challenge => Kind::Challenge,
        }
    }
}

/// Decides by its head whether a request is acceptable, before its body is looked at or even asked for.
pub(super) fn admit(head: &Head<'_>, source: &Source) -> Result<Action, Refusal> {
    if matches!(head.method, Method::Unknown | Method::Connect) {
        return Err(Refusal::new(501, "unsupported", "this server does not know that method"));
    }
    if head.path == "*" {
        return Ok(Action::Describe(None));
    }
    let route = Route::at(head.method, head.path);
    let route = route.ok_or(Refusal::new(404, "bad_request", "there is nothing at that path"))?;
    let admitted = match head.method {
        Method::Options => return Ok(Action::Describe(Some(route))),
        Method::Get | Method::Head if !route.takes_a_body() => admit_get(head, route),
        Method::Post if route.takes_a_body() => admit_body(head, source, route),
        _ => {
            let refusal = Refusal::new(405, "unsupported", "that path does not take that method");
            Err(Refusal { allow: Some(route.methods()), ..refusal })
        }
    };
    match admitted {
        Ok(()) => Ok(Action::Serve(route)),
        Err(refusal) => Err(Refusal { sharing: route.sharing(), ..refusal }),
    }
}

/// What a page makes a browser get has no sure sign of where the page comes from. So no page can register its reader in a
/// swarm, not even one from here, which can post.
fn admit_get(head: &Head<'_>, route: Route) -> Result<(), Refusal> {
    if route.changes_something() && head.is_from_browser() {
        return Err(Refusal::new(403, "bad_request", "a browser must not do that"));
    }
    Ok(())
}

/// A browser sends JSON to another site only after it has asked whether it may, and says where the page that wants it
/// comes from. So a page can register its reader here only if it comes from here.
fn admit_body(head: &Head<'_>, source: &Source, route: Route) -> Result<(), Refusal> {
    if !head.is_json() {
        return Err(Refusal::new(415, "unsupported", "the body must have Content-Type: application/json"));
    }
    // A page can also make its own name resolve to a server on its reader's LAN, and then comes from here.
    let rebound = || head.origin.is_some() && source.addr.is_lan() && !head.is_for_local_host();
    if route.changes_something() && (head.is_cross_origin() || rebound()) {
        return Err(Refusal::new(403, "bad_request", "a page of another site must not do that"));
    }
    if head.framing == Framing::None {
        return Err(Refusal::new(411, "bad_request", "the request must have a body"));
    }
    Ok(())
}

/// The answer to an OPTIONS request, which may be a browser's question whether a page of another site may do something.
pub(super) const fn describe(route: Option<Route>) -> Response {
    let (methods, sharing) = match route {
        None => ("GET, HEAD, POST, OPTIONS", Sharing::Own),
        Some(route) if route.changes_something() => (route.methods(), Sharing::Own),
        Some(route) if route.takes_a_body() => (route.methods(), Sharing::Preflight("POST")),
        Some(route) => (route.methods(), Sharing::Preflight("GET, HEAD")),
    };
    Response { status: 204, allow: Some(methods), sharing, ..Response::ok(Content::Nothing) }
}
