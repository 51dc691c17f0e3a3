//! What the daemon says of itself to a person and to an orchestrator: the landing page and readiness read it, the
//! rest of the daemon writes it. Nothing personal may be put in here.

use std::collections::BTreeMap;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Timestamp;

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

/// The status at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSnapshot {
    /// The running version.
    pub version: &'static str,
    /// When this process started.
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
    pub oldest_pending: Option<Timestamp>,
    /// When each source was last read without an error.
    pub last_success: BTreeMap<String, Timestamp>,
    /// Whether the last write to the state directory succeeded.
    pub state_writable: bool,
    /// Host of `api.base_url`.
    pub api_host: String,
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
        }
    }
}

/// A route of the API, and how it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLine {
    /// What it gives, as a person says it.
    pub gives: &'static str,
    /// The path under which it is asked.
    pub path: String,
    /// How long ago it answered as it promises; `None` if it never has.
    pub good_ago: Option<Duration>,
    /// What came since in place of a good answer.
    pub trouble: Option<String>,
}

/// Whether the API answers with our credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}
