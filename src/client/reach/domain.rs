//! Who serves a domain: a [`Lookup`] on the network, with what was learnt before.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use smol::future::poll_fn;

use super::race::{until, within};
use super::{Reach, held};
use crate::client::failure::Failure;
use crate::client::lookup::{Located, Lookup, Question, Services, Step};
use crate::client::message::WellKnown;
use crate::client::url::{Scheme, ServerUrl, Target, Way};
use crate::time::Instant;

/// What has come of a question.
enum News {
    WellKnown(Result<WellKnown, Failure>),
    Services(String, Result<Services, Failure>),
}

/// A question on its way.
struct Running<'r> {
    question: Question,
    until: Instant,
    answer: Pin<Box<dyn Future<Output = News> + Send + 'r>>,
}

impl Reach {
    /// Looks up who serves `domain`, by its `/.well-known/waypost`, its SRV records, and its name (see
    /// [`lookup`](crate::client::lookup)). At least a quarter of the time to `deadline` is left for asking the servers.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] if it is no domain, cannot be looked up, or its zone says that nobody serves it.
    pub async fn locate(&self, domain: &str, deadline: Instant) -> Result<Located, Failure> {
        let Ok(ServerUrl::Domain(domain)) = ServerUrl::parse(domain) else {
            return Err(Failure::Unsupported("it is no domain"));
        };
        // RFC 7686 section 2: the domain name system must not hear of these.
        if domain.ends_with(".onion") || domain.ends_with(".i2p") {
            return Err(Failure::Unsupported("names of hidden services are not looked up"));
        }
        let mut lookup = Lookup::new(self.clock.now(), &domain, deadline);
        let mut running = Vec::new();
        loop {
            let now = self.clock.now();
            let step = lookup.poll(now, &mut held(&self.rng));
            match step {
                Step::Ask(question, until) => running.push(Running {
                    answer: Box::pin(self.answer(&domain, question.clone(), until)),
                    question,
                    until,
                }),
                Step::Wait(time) => match until(self.clock, time, first(&mut running)).await {
                    Some(News::WellKnown(answer)) => lookup.well_known(answer),
                    Some(News::Services(domain, answer)) => lookup.services(&domain, answer),
                    None => {}
                },
                Step::Done(result) => {
                    self.keep_silence(&domain, now, &running);
                    return result;
                }
            }
        }
    }

    /// Forgets what a domain said: a server that it led to is not there, or another one. What could not be had stays so for its
    /// time.
    pub fn forget(&self, domain: &str) {
        held(&self.domains).forget(domain);
    }

    /// What is known, or comes of a question by `deadline`.
    async fn answer(&self, domain: &str, question: Question, deadline: Instant) -> News {
        let now = self.clock.now();
        match question {
            Question::WellKnown => {
                let known = held(&self.domains).well_known(now, domain);
                if let Some(known) = known {
                    return News::WellKnown(known);
                }
                let way = Way { scheme: Scheme::Https, host: domain.into(), port: 443 };
                let answer = self.well_known(&Target::from(way), deadline).await;
                held(&self.domains).keep_well_known(self.clock.now(), domain, &answer);
                News::WellKnown(answer.map(|(document, _)| document))
            }
            Question::Services(domain) => {
                let known = held(&self.domains).services(now, &domain);
                if let Some(known) = known {
                    return News::Services(domain, known);
                }
                let answer = within(self.clock, deadline, self.services(&domain, deadline)).await;
                held(&self.domains).keep_services(self.clock.now(), &domain, &answer);
                News::Services(domain, answer.map(|(services, _)| services))
            }
        }
    }

    /// Keeps that questions were not answered in their time.
    fn keep_silence(&self, domain: &str, now: Instant, running: &[Running<'_>]) {
        for late in running.iter().filter(|running| running.until <= now) {
            match &late.question {
                Question::WellKnown => {
                    held(&self.domains).keep_well_known(now, domain, &Err(Failure::TimedOut));
                }
                Question::Services(name) => {
                    held(&self.domains).keep_services(now, name, &Err(Failure::TimedOut));
                }
            }
        }
    }
}

/// What comes of the first question that is answered, which runs no longer then.
async fn first(running: &mut Vec<Running<'_>>) -> News {
    poll_fn(|context| {
        for (place, question) in running.iter_mut().enumerate() {
            if let Poll::Ready(news) = question.answer.as_mut().poll(context) {
                running.remove(place);
                return Poll::Ready(news);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::lookup::How;
    use crate::net::clock::Clock;
    use crate::rng::Seed;

    fn reach() -> Reach {
        Reach::new(Clock::start(), &Seed([1; 32]))
    }

    #[test]
    fn what_is_no_domain_is_not_looked_up() {
        let reach = reach();
        for text in ["", "http://a.example", "192.0.2.1", "a.example:8080", "a.onion", "b.a.i2p", "a b"] {
            let located = smol::block_on(reach.locate(text, reach.now().plus_ms(9000)));
            assert!(matches!(located, Err(Failure::Unsupported(_))), "{text}: {located:?}");
        }
    }

    #[test]
    fn what_is_known_is_not_asked_again() {
        let reach = reach();
        let document = WellKnown { servers: vec![("A.example".into(), 4)], bootstrap_id: None };
        held(&reach.domains).keep_well_known(reach.now(), "d.example", &Ok((document, Default::default())));
        held(&reach.domains).keep_services(reach.now(), "a.example", &Ok((Services::None, Some(60))));
        // There is no time to ask anybody.
        let locate = |name| smol::block_on(reach.locate(name, reach.now().plus_ms(10_000)));
        let located = locate("D.example").unwrap();
        assert_eq!((located.how, located.targets.len()), (How::WellKnown, 2));
        held(&reach.domains).keep_well_known(reach.now(), "a.example", &Err(Failure::Status(404)));
        let located = locate("a.example").unwrap();
        assert_eq!((located.how, located.tried.len()), (How::Name, 2));
        assert_eq!(located.tried[0], (How::WellKnown, Failure::Status(404)));
        reach.forget("d.example");
        assert_eq!(held(&reach.domains).well_known(reach.now(), "d.example"), None);
    }

    #[test]
    fn silence_is_kept() {
        let reach = reach();
        let now = Instant::from_s(9);
        let silent = |question, until| Running { question, until, answer: Box::pin(smol::future::pending()) };
        let running = [
            silent(Question::WellKnown, now),
            silent(Question::Services("late.example".into()), now),
            silent(Question::Services("on-time.example".into()), now.plus_ms(1)),
        ];
        reach.keep_silence("a.example", now, &running);
        let domains = held(&reach.domains);
        assert_eq!(domains.well_known(now, "a.example"), Some(Err(Failure::TimedOut)));
        assert_eq!(domains.services(now, "late.example"), Some(Err(Failure::TimedOut)));
        assert_eq!(domains.services(now, "on-time.example"), None);
    }
}
