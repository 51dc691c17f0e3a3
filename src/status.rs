//! What the daemon says of itself to a person and to an orchestrator: the landing page and readiness read it, the
//! rest of the daemon writes it. Nothing personal may be put in here.

mod replica;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
pub use replica::{CensusStatus, ReplicaStatus, Report, Said};

/// The live status; readers never wait.
#[derive(Debug, Default)]
pub struct Status(ArcSwap<StatusSnapshot>);

impl Status {
    /// A status that begins as `snapshot`.
    pub fn new(snapshot: StatusSnapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The status at this moment.
    pub fn snapshot(&self) -> StatusSnapshot {
        StatusSnapshot::clone(&self.0.load())
    }

    /// Changes the status. `change` runs again if somebody else changed it meanwhile.
    pub fn update(&self, change: impl Fn(&mut StatusSnapshot)) {
        self.0.rcu(|old| {
            let mut new = StatusSnapshot::clone(old);
            change(&mut new);
            new
        });
    }
}

/// The status at one moment. What is not skipped the replica that counts says to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusSnapshot {
    /// The running version.
    #[serde(skip)]
    pub version: &'static str,
    /// When this process started.
    #[serde(skip)]
    pub started_at: Timestamp,
    /// Whether the API answers us.
    pub api: ApiStatus,
    /// Whether the daemon is ready, else why not, as a sentence.
    pub ready: Result<(), String>,
    /// How far a start is that takes longer than a moment, as sentences; nothing once it is over.
    pub progress: Option<String>,
    /// What is left to be read while sessions that should have been counted by now are not; nothing where there are none.
    pub lagging: Option<String>,
    /// What does not work although the rest does, and what to do about it: a sentence each.
    pub missing: Vec<String>,
    /// That no session has been found, where nothing is wrong; a sentence.
    pub nothing_found: Option<String>,
    /// The routes of the API that are in use.
    pub routes: Vec<RouteLine>,
    /// How far the look-back of a first start is.
    pub look_back: LookBack,
    /// Sessions heard of and not yet fetched.
    pub sessions_known: u64,
    /// Sessions known to be open.
    pub sessions_open: u64,
    /// Ended sessions that wait to be counted.
    pub sessions_ended: u64,
    /// Sessions counted since the state was begun.
    pub counted: u64,
    /// When the longest-waiting ended session ended; `None` when none waits.
    #[serde(with = "replica::milliseconds")]
    pub oldest_pending: Option<Timestamp>,
    /// When each source was last read without an error.
    #[serde(with = "replica::milliseconds_by_name")]
    pub last_success: BTreeMap<String, Timestamp>,
    /// Whether the last write to the state directory succeeded.
    #[serde(skip)]
    pub state_writable: bool,
    /// Host of `api.base_url`.
    pub api_host: String,
    /// How this process stands among those that share its counts; `None` for a single daemon.
    #[serde(skip)]
    pub replica: Option<ReplicaStatus>,
}

impl Default for StatusSnapshot {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started_at: Timestamp::default(),
            api: ApiStatus::Unknown,
            ready: Err("The daemon is starting.".into()),
            progress: None,
            lagging: None,
            missing: Vec::new(),
            nothing_found: None,
            routes: Vec::new(),
            look_back: LookBack::Running,
            sessions_known: 0,
            sessions_open: 0,
            sessions_ended: 0,
            counted: 0,
            oldest_pending: None,
            last_success: BTreeMap::new(),
            state_writable: true,
            api_host: String::new(),
            replica: None,
        }
    }
}

impl StatusSnapshot {
    /// How the daemon is on the whole, the worst first.
    pub fn summary(&self) -> Summary {
        match &self.replica {
            Some(replica) if !replica.is_active => self.summary_of_follower(replica),
            _ => self.summary_of_counting(),
        }
    }

    /// Of a replica that does not count: what it sees of the database itself, then what the one that counts says.
    fn summary_of_follower(&self, replica: &ReplicaStatus) -> Summary {
        if !self.state_writable {
            return Summary::bad("The database cannot be used", NO_DATABASE);
        }
        if let Err(why) = &self.ready {
            return Summary::wait("Getting ready", why.clone());
        }
        let Some(Said { ready, .. }) = &replica.said else {
            let last = match replica.holder.as_str() {
                "" => "None has counted so far".to_owned(),
                holder => format!("The last one that did is {holder}"),
            };
            let why = format!(
                "No replica says that it asks Agntix and counts. {last}. The page stands still, and deliveries wait in the inbox."
            );
            return Summary::bad("No replica counts", why);
        };
        let holder = Self { ready: ready.clone(), replica: None, ..self.clone() };
        let summary = holder.summary_of_counting();
        let explanation = format!("{} counts, and says: {}", replica.holder(), summary.explanation);
        Summary { explanation, ..summary }
    }

    fn summary_of_counting(&self) -> Summary {
        let host = if self.api_host.is_empty() { "the Agntix API" } else { &self.api_host };
        if let ApiStatus::Down(why) = &self.api {
            return Summary::bad("Agntix does not answer", why.clone());
        }
        if !self.state_writable && self.replica.is_some() {
            return Summary::bad("The database cannot be used", NO_DATABASE);
        }
        if !self.state_writable {
            return Summary::bad(
                "Counts cannot be saved",
                "The state directory cannot be written, or the state is not in it any more; the log says which. Nothing is acknowledged or asked for until it can be.",
            );
        }
        let progress = self.progress.as_ref().map_or_else(String::new, |progress| format!(" {progress}"));
        if let Err(why) = &self.ready {
            return Summary::wait("Getting ready", format!("{why}{progress}"));
        }
        if self.api == ApiStatus::Unknown {
            return Summary::wait("Getting ready", format!("{host} has not been asked yet."));
        }
        if self.look_back == LookBack::Running {
            let why =
                "The first start looks back at what has ended before; the session metrics are shown when that is done.";
            return Summary::wait("Looking back", format!("{why}{progress}"));
        }
        if let Some(left) = &self.lagging {
            let why =
                "Sessions that should have been counted by now are not (agntix_exporter_catching_up is 1). Left: ";
            return Summary::wait("Catching up", format!("{why}{left}."));
        }
        if !self.missing.is_empty() {
            return Summary::wait("Something is missing", self.missing.join(" "));
        }
        let nothing = self.nothing_found.as_ref().map_or_else(String::new, |nothing| format!(" {nothing}"));
        let place = if self.replica.is_some() { "in the database" } else { "on disk" };
        Summary::good("All is well", format!("{host} answers, and the counts are safe {place}.{nothing}"))
    }
}

/// What follows when the shared ledger cannot be used.
const NO_DATABASE: &str = "The database of state.url cannot be used; the log says why. /metrics answers 503, and nothing is \
                           acknowledged or asked for until it can be.";

/// How the daemon is on the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How good that is.
    pub mood: Mood,
    /// In a few words.
    pub headline: &'static str,
    /// Why, in a sentence or two.
    pub explanation: String,
}

impl Summary {
    fn good(headline: &'static str, explanation: impl Into<String>) -> Self {
        Self { mood: Mood::Good, headline, explanation: explanation.into() }
    }

    fn wait(headline: &'static str, explanation: impl Into<String>) -> Self {
        Self { mood: Mood::Wait, headline, explanation: explanation.into() }
    }

    fn bad(headline: &'static str, explanation: impl Into<String>) -> Self {
        Self { mood: Mood::Bad, headline, explanation: explanation.into() }
    }
}

/// How good a status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All is well.
    Good,
    /// It will be well without anybody's help, or something is missing.
    Wait,
    /// Somebody has to look.
    Bad,
}

/// A route of the API, and how it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLine {
    /// What it gives, as a person says it.
    pub gives: Cow<'static, str>,
    /// The path under which it is asked.
    pub path: String,
    /// How long ago it answered as it promises; `None` if it never has.
    pub good_ago: Option<Duration>,
    /// What came since in place of a good answer.
    pub trouble: Option<String>,
}

/// Whether the API answers with our credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiStatus {
    /// It has not been asked yet.
    #[default]
    Unknown,
    /// It does.
    Up,
    /// It does not: why, and what to look at, as a sentence.
    Down(String),
}

/// How far the look-back of a first start is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LookBack {
    /// Session metrics are not on the page yet.
    #[default]
    Running,
    /// All of it is in the starting values.
    Done,
    /// `sessions.look_back_deadline` passed first.
    DeadlinePassed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_add_up() {
        let status = Status::default();
        status.update(|s| s.counted += 2);
        status.update(|s| s.ready = Ok(()));
        let now = status.snapshot();
        assert_eq!((now.counted, now.ready), (2, Ok(())));
    }

    #[test]
    fn the_worst_is_said_first() {
        let mut status = StatusSnapshot {
            ready: Ok(()),
            api: ApiStatus::Up,
            look_back: LookBack::Done,
            ..StatusSnapshot::default()
        };
        assert_eq!(status.summary().mood, Mood::Good);
        status.nothing_found = Some("No session has been found.".into());
        assert!(status.summary().explanation.ends_with("No session has been found."));
        status.missing = vec!["The gateway has no listing.".into()];
        assert_eq!(
            (status.summary().mood, status.summary().explanation.as_str()),
            (Mood::Wait, "The gateway has no listing.")
        );
        status.lagging = Some("92 ended sessions that may get an analysis".into());
        assert_eq!((status.summary().mood, status.summary().headline), (Mood::Wait, "Catching up"));
        status.look_back = LookBack::Running;
        status.progress = Some("Done: nothing.".into());
        assert_eq!((status.summary().mood, status.summary().headline), (Mood::Wait, "Looking back"));
        assert!(status.summary().explanation.ends_with(" Done: nothing."));
        status.progress = None;
        status.ready = Err("The first listing is not done.".into());
        assert_eq!(status.summary().explanation, "The first listing is not done.");
        status.state_writable = false;
        assert_eq!(status.summary().headline, "Counts cannot be saved");
        status.api = ApiStatus::Down("401: look at api.key_file.".into());
        assert_eq!(status.summary().explanation, "401: look at api.key_file.");
    }
}
