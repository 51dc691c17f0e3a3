//! What to do next: which session, page or list of agents to ask for, what to make durable, how long to wait.
//!
//! The state machine behind the poller. It is given the time ([`Now`]), the answers and the outcomes of commits, and returns values:
//! what to do ([`NextAction`]), what to log, count and show (`Update`), how things stand (`Snapshot`).
//! It opens nothing, sleeps nowhere, reads no clock, logs nothing, and holds nothing that anybody else holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::Route;
use agntix_api::budget::{Budget, LEASE_VALID};

use super::agents::Agents;
use super::api_time::ApiTime;
use super::choice::RequestChoice;
use super::config::CoreConfig;
use super::contact::Contact;
use super::half_written::HalfWritten;
use super::listing_driver::ListingDriver;
use super::log_limit::LogLimit;
use super::messages::MessageQueue;
use super::pipeline::{Batch, CommitPipeline};
use super::reported::Reported;
use super::startup::{Lag, LookBackStage, Startup};
use super::unreadable::UnreadableSessions;
use super::updates::{Update, Updates};
use super::watched::WatchedSessions;
use crate::clock::{Tick, Timestamp};
use crate::config::Config;
use crate::discovery::Watched;
use crate::discovery::listing::{ListingPage, ListingSweep};
use crate::ledger::{Lease, Opened};
use crate::session::{Source, Stage};
use crate::tracker::Tracker;

/// The present moment, on all the clocks that matter.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the process started.
    pub tick: Tick,
    /// For the holds of the exposition, which live on the same clock.
    pub instant: Instant,
    /// This machine's clock.
    pub local: Timestamp,
}

/// What to ask of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One session.
    Session(Arc<str>),
    /// A page of the listing.
    List(ListingPage),
    /// A page of the agents.
    Agents(u32),
    /// A page of the messages of a session.
    Messages(Arc<str>, u32),
}

impl Ask {
    /// The route.
    pub const fn route(&self) -> Route {
        match self {
            Self::Session(_) => Route::Session,
            Self::List(_) => Route::List,
            Self::Agents(_) => Route::Agents,
            Self::Messages(..) => Route::Messages,
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum NextAction {
    /// Send this request.
    Ask(Ask),
    /// Make this durable.
    Commit(Batch),
    /// Nothing, until then or until something comes in.
    Wait(Tick),
}

/// The state of the poller.
#[derive(Debug)]
pub struct Core {
    pub(super) config: CoreConfig,
    pub(super) tracker: Tracker,
    pub(super) listing: ListingDriver,
    pub(super) agents: Agents,
    pub(super) choice: RequestChoice,
    pub(super) contact: Contact,
    pub(super) api_time: ApiTime,
    /// When sources last gave what they had, by this machine's clock; `None` once the API's time is known or overdue.
    pub(super) succeeded_by_machine: Option<BTreeMap<Source, Timestamp>>,
    pub(super) watched: WatchedSessions,
    pub(super) log_limit: LogLimit,
    pub(super) startup: Startup,
    pub(super) lag: Lag,
    pub(super) rng: fastrand::Rng,
    pub(super) commits: CommitPipeline,
    /// The counted sessions whose messages are still to be read.
    pub(super) messages: MessageQueue,
    pub(super) half_written: HalfWritten,
    /// Sessions counted lately, which the stream will report once more; bounded.
    pub(super) counted_lately: HashSet<Arc<str>>,
    pub(super) unreadable: UnreadableSessions,
    /// What of the API's state is in the log.
    pub(super) reported: Reported,
    pub(super) updates: Updates,
    pub(super) started: Tick,
}

/// What the core has to know besides the configuration and the ledger.
pub struct CoreDeps {
    /// How the credential is named to a person.
    pub credential: String,
    /// Host of the API.
    pub host: String,
    /// Seed of the jitter.
    pub seed: u64,
    /// Sessions counted since the state was begun.
    pub counted: u64,
}

impl Core {
    /// Goes on from what the ledger holds.
    pub fn new(config: &Config, opened: &Opened, deps: CoreDeps, now: Now) -> Self {
        let CoreDeps { credential, host, seed, counted } = deps;
        let mut tracker = Tracker::default();
        let (unread, uncounted): (Vec<_>, Vec<_>) =
            opened.pending.iter().partition(|pending| pending.stage == Stage::Messages);
        for pending in uncounted {
            tracker.restore(pending.clone(), now.tick);
        }
        let mut budget = Budget::new(config.api.budget_share, config.api.requests_per_minute);
        let next_leases = opened.leases.iter().skip(1).map(|lease| Some(lease.granted)).chain([None]);
        if let Some(limit) = opened.api_limit {
            budget.remember_limit(limit);
        }
        let per_window = budget.per_window();
        for (Lease { granted, count, .. }, next) in opened.leases.iter().zip(next_leases) {
            // The next lease was granted when this one was used up or had lapsed, so that nothing was sent of it since.
            let used_for = next.map_or(LEASE_VALID, |next| next.since(*granted).min(LEASE_VALID)) + config.api.timeout;
            // One that lies in the future was granted before the clock was set back: it is as good as new.
            let age = now.local.since(*granted);
            // The process before has ended, unless it shares the ledger: it may be asleep, and send the rest when it wakes.
            let used_for = if opened.is_shared { used_for } else { used_for.min(age) };
            budget.restore(age, used_for, *count, per_window, now.tick);
        }
        let sweep = ListingSweep::new(opened.watermark);
        let sweep = if opened.open_listed { sweep } else { sweep.with_open_sessions() };
        let mut core = Self {
            config: CoreConfig::from(config),
            tracker,
            listing: ListingDriver::new(sweep),
            agents: Agents::default(),
            choice: RequestChoice::new(budget),
            contact: Contact::new(&config.api, &opened.paths, opened.watermark.is_some(), credential, host),
            api_time: ApiTime::default(),
            succeeded_by_machine: Some(BTreeMap::new()),
            watched: WatchedSessions::default(),
            log_limit: LogLimit::default(),
            startup: Startup {
                first_start: opened.first_start,
                first_contact: None,
                look_back: if opened.look_back_done { LookBackStage::Done } else { LookBackStage::Running },
                pages: 0,
                files_unread: !config.sessions.files.is_empty(),
                ready: false,
                deadline_passed: false,
                counted,
            },
            lag: Lag { is_behind: true, caught_up_at: Tick::ZERO },
            rng: fastrand::Rng::with_seed(seed),
            commits: CommitPipeline::default(),
            messages: MessageQueue::default(),
            half_written: HalfWritten::default(),
            counted_lately: HashSet::new(),
            unreadable: UnreadableSessions::default(),
            reported: Reported::default(),
            updates: Updates::default(),
            started: now.tick,
        };
        core.config.observation.agents = opened.agents.clone();
        for pending in unread {
            core.messages_restored(pending, now);
        }
        core.watched.set_recent_limit(config.metrics.watch_recent);
        core.watch(Watched { source: Source::Configured, ids: configured_ids(config) }, now);
        if core.startup.look_back == LookBackStage::Done {
            core.updates.push(Update::Publish(now.instant));
        }
        core
    }

    /// Takes a reloaded configuration into effect.
    pub fn reconfigure(&mut self, config: &Config, credential: String, host: String, now: Now) {
        let agents = self.config.observation.agents.clone();
        self.config = CoreConfig::from(config);
        self.config.observation.agents = agents;
        self.choice.budget.reconfigure(config.api.budget_share, config.api.requests_per_minute);
        self.watched.set_recent_limit(config.metrics.watch_recent);
        self.contact.reconfigure(config, credential, host);
        self.listing.sweep.retry(now.tick);
        self.agents.retry(now.tick);
        self.tracker.retry_failing(now.tick, true);
        self.watch(Watched { source: Source::Configured, ids: configured_ids(config) }, now);
        // A source that is switched off gives no news, and that is no fault to be shown.
        if config.sessions.files.is_empty() {
            self.watch(Watched { source: Source::File, ids: Vec::new() }, now);
            self.is_off(Source::File);
        }
        if !config.sessions.listing {
            self.is_off(Source::Listing);
        }
    }

    /// How often [`tick`](Self::tick) wants to be called: once a second, or as the hold of new series needs.
    pub fn tick_interval(&self) -> Duration {
        (self.config.hold / 4).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }

    /// What there is to log, count and show since the last call, in the order in which it came about.
    pub fn drain_updates(&mut self) -> std::vec::Drain<'_, Update> {
        self.updates.drain()
    }
}

fn configured_ids(config: &Config) -> Vec<Arc<str>> {
    let ids: BTreeSet<&str> = config.sessions.ids.iter().map(|id| id.trim()).collect();
    ids.into_iter().map(Arc::from).collect()
}
