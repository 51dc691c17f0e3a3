//! What was seen of the API, before it is judged.

use std::time::Duration;

use agntix_api::paths::ApiPath;
use agntix_api::search::{Found, Wrong};
use agntix_api::{ApiError, ApiRateLimit};

use super::clock::ClockSeen;

/// The requests to the API and their results. `None` was not asked.
#[derive(Clone, Debug, Default)]
pub(super) struct ApiSeen {
    /// The proxy that requests go through, and the variable that names it.
    pub proxy: Option<(String, &'static str)>,
    /// Host and port.
    pub host: String,
    /// The name of the credential in messages.
    pub credential: String,
    /// Requests that were sent, the opening of the stream included; not those for which there was no connection.
    pub requests: u32,
    /// The clocks, from each good answer.
    pub clocks: Vec<ClockSeen>,
    /// The rate limit that the answers stated.
    pub rate_limit: ApiRateLimit,
    /// A page of agents.
    pub agents: Option<Result<Agents, Miss>>,
    /// A page of the sessions of the last day.
    pub listing: Option<Result<Listing, Miss>>,
    /// How many sessions are open, if the listing says so.
    pub open: Option<u64>,
    /// One session.
    pub session: Option<SessionSeen>,
    /// The messages of that session, if they are to be read.
    pub messages: Option<Result<(), Miss>>,
    /// The head of the event stream.
    pub stream: Option<Result<(), Miss>>,
    /// By [`ApiPath`]: where the route was found.
    pub found: [Option<Found>; ApiPath::ALL.len()],
    /// Why the rest was not asked.
    pub left_out: Option<LeftOut>,
}

/// Why a route has not given what it promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// An error of the API itself, or one that does not tell anything about the route.
    Error(ApiError),
    /// Not an answer of this route, under any of its possible paths.
    Wrong(Wrong),
}

/// Why no further request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// It would bring the same error.
    SameError,
    /// The organization has so many requests left, or the configured budget holds no more.
    Budget(u32),
    /// The API asks for a pause.
    Paused(Option<Duration>),
    /// The checks have taken too long already.
    Slow,
}

impl ApiSeen {
    /// What went wrong, in the order in which it was asked.
    pub(super) fn misses(&self) -> impl Iterator<Item = (ApiPath, &Miss)> {
        fn miss<T>(path: ApiPath, answer: Option<&Result<T, Miss>>) -> Option<(ApiPath, &Miss)> {
            answer?.as_ref().err().map(|miss| (path, miss))
        }
        [
            miss(ApiPath::Agents, self.agents.as_ref()),
            miss(ApiPath::List, self.listing.as_ref()),
            miss(ApiPath::Session, self.session.as_ref().map(|session| &session.answer)),
            miss(ApiPath::Stream, self.stream.as_ref()),
        ]
        .into_iter()
        .flatten()
    }

    pub(super) fn errors(&self) -> impl Iterator<Item = &ApiError> {
        self.misses().filter_map(|(_, miss)| if let Miss::Error(error) = miss { Some(error) } else { None })
    }

    /// Whether something other than the Agntix API answers: no polled route has answered as promised, and one answered wrongly.
    pub(super) fn is_somebody_else(&self) -> bool {
        let mut found = ApiPath::ALL.into_iter().zip(&self.found).filter(|(path, _)| *path != ApiPath::Stream);
        let is_wrong = |(path, miss): (ApiPath, &Miss)| path != ApiPath::Stream && matches!(miss, Miss::Wrong(_));
        found.all(|(_, found)| found.is_none()) && self.misses().any(is_wrong)
    }

    pub(super) fn any_good(&self) -> bool {
        let session = self.session.as_ref().is_some_and(|session| session.answer.is_ok());
        matches!(self.agents, Some(Ok(_))) || matches!(self.listing, Some(Ok(_))) || session
    }
}

/// A page of agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agents {
    /// How many there are in all, as far as the answer says.
    pub total: u64,
    /// Pages that hold them.
    pub pages: u32,
}

/// A page of the sessions of the last day, newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Listing {
    /// How many there are in all, if the answer says so.
    pub total: Option<u64>,
    /// Sessions on the page.
    pub items: u64,
    /// Of those, the ones that have ended.
    pub ended: u64,
    /// Of those, the ones that carry their analysis.
    pub analysed: u64,
    /// Of these, the ones that are unresolved or negative.
    pub bad: u64,
    /// Starts a minute: of the whole day, or of the page, whichever are more.
    pub starts_per_minute: f64,
    /// Agents, channels, intents and languages on the page.
    pub agents: u64,
    /// Combinations of agent, type, platform and direction.
    pub channels: u64,
    /// Combinations of agent and intent.
    pub intents: u64,
    /// Combinations of agent and language.
    pub languages: u64,
}

/// One session that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionSeen {
    /// Whether the id came from the API or the operator; otherwise it was invented.
    pub exists: bool,
    /// The result.
    pub answer: Result<(), Miss>,
}
