//! What the core wants in the log, as values: the shell writes them (`log`), tests may look at them. Nothing is written here.
//!
//! Each variant is one line of the log; its fields are the line's. Lines about single sessions carry how many like them were
//! suppressed before ([`LogLimit`](super::log_limit::LogLimit)).

use std::sync::Arc;
use std::time::Duration;

use agntix_api::paths::AfterWrong;
use agntix_api::{ApiError, Route};

use crate::discovery::paging::Contradiction;
use crate::session::Source;

/// A line of the log.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The API answers, or does not.
    Api(ApiNotice),
    /// How much the API may be asked.
    Limit(LimitNotice),
    /// Warning: something is wrong with a session.
    Session(SessionNotice),
    /// Something about the listing of sessions, or the list of agents.
    List(ListNotice),
    /// Warning: this machine's clock and the API's differ.
    ClocksDiffer {
        /// By so many milliseconds the API's is ahead.
        ahead_of_machine_ms: i64,
    },
    /// Warning: more sessions are to be watched than may be.
    WatchedLeftOut {
        /// Who wants them watched.
        source: Source,
        /// How many are.
        watched: usize,
        /// How many more are not.
        left_out: u64,
    },
    /// Info: a start that takes longer than a moment goes on.
    StartUnderWay {
        /// What is done, as text.
        done: String,
        /// What is left, as text.
        left: String,
        /// When it is over at the latest.
        ready_within: Option<Duration>,
    },
    /// The look-back is over. Warning if its deadline has passed, else info.
    LookBackOver(LookBackEnd),
    /// Info: every source has been read once.
    Ready,
}

/// A line about whether the API answers as it should.
#[derive(Clone, Debug)]
pub enum ApiNotice {
    /// Error: it does not since now; `why` is the whole message.
    Down {
        /// Why, and what to do about it, as sentences.
        why: String,
    },
    /// Error: it refuses the credential; `why` is the whole message.
    CredentialRefused {
        /// The route that refused it.
        route: Route,
        /// What came.
        error: ApiError,
        /// Why, and what to do about it, as sentences.
        why: String,
    },
    /// Error: so many requests in a row have failed that it counts as down.
    Unusable {
        /// Its host.
        host: String,
        /// What came last.
        error: ApiError,
    },
    /// Info: it answers as it should again.
    Up {
        /// For how long it had not.
        down_for: Duration,
        /// Its host.
        host: String,
    },
    /// Debug: a request failed.
    RequestFailed {
        /// Its route.
        route: Route,
        /// What came.
        error: ApiError,
    },
    /// Debug: a request was lost with a connection whose loss is counted already.
    ConnectionLost {
        /// What came.
        why: String,
    },
    /// Debug: it had not begun with a request, which is sent again.
    RequestNotTaken {
        /// Its route.
        route: Route,
    },
    /// Debug: an answer is not what its route promises.
    NotAsPromised {
        /// The route.
        route: Route,
        /// The path that was asked.
        path: Arc<str>,
        /// What came.
        what: String,
        /// What follows for the path.
        after: AfterWrong,
    },
    /// Info: the path of a route was found among its spellings.
    PathFound {
        /// The route.
        route: Route,
        /// The path.
        path: Arc<str>,
        /// Its key in the configuration.
        key: &'static str,
    },
}

/// A line about how much the API may be asked.
#[derive(Clone, Debug)]
pub enum LimitNotice {
    /// Info: it stated another limit.
    Stated {
        /// The limit, as text.
        stated: String,
        /// How many requests a minute are sent at most for that.
        may_send: u32,
    },
    /// Warning: it stated a limit of no requests.
    Zero {
        /// The limit, as text.
        stated: String,
    },
    /// Warning: it does not state its limit any more.
    NotStated,
    /// Warning: it asks for a pause (`Retry-After`).
    RetryAfter {
        /// The status of the answer.
        status: u16,
        /// For how long nothing is sent.
        wait: Duration,
        /// The request, by the API's name for it.
        request_id: Option<String>,
        /// Lines like it that were not written.
        suppressed: u64,
    },
    /// Warning: it asks for fewer requests (429).
    TooManyRequests {
        /// For how long nothing is sent.
        wait: Duration,
        /// The request, by the API's name for it.
        request_id: Option<String>,
        /// Lines like it that were not written.
        suppressed: u64,
    },
}

/// A line about one session.
#[derive(Clone, Debug)]
pub struct SessionNotice {
    /// The session.
    pub session: Arc<str>,
    /// What is wrong with it.
    pub trouble: SessionTrouble,
    /// The request, by the API's name for it.
    pub request_id: Option<String>,
    /// Lines like it that were not written.
    pub suppressed: u64,
}

/// What is wrong with a session.
#[derive(Clone, Debug)]
pub enum SessionTrouble {
    /// It cannot be read.
    Unreadable {
        /// What came.
        why: String,
        /// When it is asked for again, from now; absent where the fault may be the route's.
        again: Option<Duration>,
    },
    /// Parts of it make no sense, and are left out.
    PartsLeftOut {
        /// The parts, joined by commas.
        parts: String,
    },
    /// Its messages cannot be read, and most likely those of no session.
    NoMessages {
        /// What came.
        why: String,
    },
    /// It is older than sessions are remembered, and is not counted.
    TooOld,
}

/// A line about the listing of sessions, or the list of agents.
#[derive(Clone, Debug)]
pub enum ListNotice {
    /// Warning: something is wrong with a page of the listing.
    Page {
        /// What is wrong with it.
        trouble: PageTrouble,
        /// The request, by the API's name for it.
        request_id: Option<String>,
        /// Lines like it that were not written.
        suppressed: u64,
    },
    /// Debug: a page is empty where there should be more.
    PageEmpty,
    /// Warning: what the listing says of its length contradicts its pages.
    Contradicts(Contradiction),
    /// Warning: the listing repeats itself, or ignores what it is asked for.
    Repeats {
        /// Lines like it that were not written.
        suppressed: u64,
    },
    /// Warning: the API does not list open sessions by state.
    NoOpenSessions {
        /// What came.
        error: ApiError,
    },
    /// The gateway has no listing. Warning; error if no other source reports sessions.
    Absent {
        /// What was tried, and what came.
        tried: String,
        /// Another source reports sessions.
        hears_elsewhere: bool,
    },
    /// Warning: the agents cannot be read.
    NoAgents {
        /// What was tried, and what came.
        tried: String,
    },
    /// Warning: what the list of agents says of its length contradicts its pages.
    AgentsContradict(Contradiction),
}

/// What is wrong with a page of the listing.
#[derive(Clone, Debug)]
pub enum PageTrouble {
    /// Entries have no readable id, and are left out.
    Unnamed {
        /// How many.
        sessions: usize,
    },
    /// The one entry that spoils it is left out.
    EntryLeftOut {
        /// What came.
        why: String,
    },
    /// It cannot be read, and is asked for again.
    Unreadable {
        /// What came.
        why: String,
    },
}

/// How a look-back ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookBackEnd {
    /// All that it found is counted.
    Complete,
    /// At its deadline, with nothing left but sessions that wait for their analysis.
    AwaitingAnalysis {
        /// How many.
        waiting: usize,
    },
    /// At its deadline.
    DeadlinePassed {
        /// How many sessions were not counted yet.
        waiting: usize,
    },
}
