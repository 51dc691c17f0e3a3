//! What to do next: which session, page or list of agents to ask for, what to make durable, how long to wait.
//!
//! The state machine behind the poller. It is told the time ([`Now`]), the answers and the verdicts, and answers with values:
//! what to do ([`NextAction`]), what to log, count and show ([`Update`]), how things stand ([`Snapshot`](super::snapshot)).
//! It opens nothing, sleeps nowhere, reads no clock, logs nothing, and holds nothing that anybody else holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agents::Agents;
use super::api_time::ApiTime;
use super::complaints::Complaints;
use super::contact::StreamSeen;
use super::health::{Health, backoff};
use super::notices::Notice;
use super::standing::Reported;
use super::unreadable::Unreadable;
use super::updates::{MetricUpdate, Update, Updates};
use super::watched::WatchedSessions;
use crate::agntix::Route;
use crate::agntix::budget::{Budget, Grant, LEASE_VALID, Priority};
use crate::agntix::paths::{ApiPath, PathChoice};
use crate::catalogue::SeriesKey;
use crate::clock::{Tick, Timestamp};
use crate::config::{ApiConfig, Config};
use crate::discovery::listing::{ListPage, Listing, PageSeen};
use crate::discovery::unnamed::Unnamed;
use crate::discovery::{Hint, News, Watched};
use crate::ledger::{Change, Lease, Opened};
use crate::observation::ObservationConfig;
use crate::session::{Facts, Parts, Source, Stage};
use crate::tracker::{Class, Progress, Schedule, Tracker};

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
    List(ListPage),
    /// A page of the agents.
    Agents(u32),
}

impl Ask {
    /// The route.
    pub const fn route(&self) -> Route {
        match self {
            Self::Session(_) => Route::Session,
            Self::List(_) => Route::List,
            Self::Agents(_) => Route::Agents,
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

/// Changes to be made durable together, and what for.
#[derive(Debug)]
pub struct Batch {
    /// The changes.
    pub changes: Vec<Change>,
    /// What follows from the verdicts.
    pub purpose: Purpose,
}

/// What a batch is for.
#[derive(Debug)]
pub enum Purpose {
    /// One session was asked for.
    Session(Arc<Facts>),
    /// A page of the listing was read: what it held, and the sessions of the batch.
    Page {
        /// What is known before the verdicts.
        seen: PageSeen,
        /// One a change.
        entries: Vec<Arc<Facts>>,
        /// Sessions whose entries could not be used; they are asked for one by one.
        unusable: Vec<Arc<str>>,
        /// Most entries have no id, so that the page is read again.
        again: bool,
    },
    /// A session is given up.
    GiveUp(Arc<str>),
    /// The budget may spend requests.
    Lease {
        /// So many.
        count: u32,
        /// Granted then; they lapse some time later.
        granted: Tick,
    },
    /// Held series may rise.
    Release(Vec<SeriesKey>),
    /// The look-back is done.
    LookBackDone,
    /// Nothing follows.
    Note,
}

/// What the core needs of the configuration.
#[derive(Clone, Debug)]
pub(super) struct CoreConfig {
    pub(super) observation: ObservationConfig,
    pub(super) schedule: Schedule,
    pub(super) listing: bool,
    pub(super) listing_interval: Duration,
    pub(super) agents_interval: Duration,
    pub(super) ended_interval: Duration,
    pub(super) recent_window: Duration,
    pub(super) retention: Duration,
    pub(super) look_back_deadline: Duration,
    pub(super) max_tracked: usize,
    pub(super) max_agents: usize,
    pub(super) open_interval: Duration,
    /// Deliveries are expected.
    pub(super) webhook: bool,
    /// Something else than the listing tells of sessions.
    pub(super) elsewhere: bool,
    pub(super) hold: Duration,
}

impl From<&Config> for CoreConfig {
    fn from(config: &Config) -> Self {
        Self {
            observation: ObservationConfig::from(config),
            schedule: Schedule::from(&config.poll),
            listing: config.sessions.listing,
            listing_interval: config.poll.listing_interval,
            agents_interval: config.poll.agents_interval,
            ended_interval: config.poll.ended_interval,
            recent_window: config.sessions.recent_window,
            retention: config.sessions.retention,
            look_back_deadline: config.sessions.look_back_deadline,
            max_tracked: config.sessions.max_tracked,
            max_agents: config.metrics.max_agents,
            open_interval: config.poll.open_interval,
            webhook: config.webhook.enabled,
            elsewhere: config.webhook.enabled
                || config.stream.enabled
                || !config.sessions.ids.is_empty()
                || !config.sessions.files.is_empty(),
            hold: config.metrics.new_series_hold,
        }
    }
}

/// How far the look-back of a first start is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LookBackStage {
    /// It goes on.
    #[default]
    Running,
    /// It is over, which is being made durable.
    Closing,
    /// The session metrics are shown.
    Done,
}

/// How far the first start is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// When the daemon first started, in the API's time; `None` until that is known.
    pub(super) first_start: Option<Timestamp>,
    /// What the first start is dated by, until the API's time is trusted: the tick of the first good answer, or of the end
    /// of the look-back without one, and the `Date` of that answer.
    pub(super) first_contact: Option<(Tick, Option<Timestamp>)>,
    pub(super) look_back: LookBackStage,
    /// Pages of the listing that this process has read.
    pub(super) pages: u64,
    /// There are files of ids that have not been read yet.
    pub(super) files_unread: bool,
    /// Every source has been read once.
    pub(super) ready: bool,
    /// `sessions.look_back_deadline` passed before the look-back was done.
    pub(super) deadline_passed: bool,
    /// Sessions counted since the state was begun.
    pub(super) counted: u64,
    /// There are sessions that should have been counted by now.
    pub(super) lags: bool,
    /// Until then the session metrics lag behind: what was counted late may be in the initial-zero window of its series.
    pub(super) caught_up_at: Tick,
}

/// The state of the poller.
#[derive(Debug)]
pub struct Core {
    pub(super) config: CoreConfig,
    pub(super) tracker: Tracker,
    pub(super) listing: Listing,
    pub(super) agents: Agents,
    pub(super) budget: Budget,
    pub(super) health: Health,
    /// By route: under which path it is asked.
    pub(super) paths: [PathChoice; Route::ALL.len()],
    /// The event stream, once it was asked for.
    pub(super) stream: Option<StreamSeen>,
    /// By route: requests under way.
    pub(super) asking: [u32; Route::ALL.len()],
    /// What the paths and the credential were made from.
    api: ApiConfig,
    pub(super) api_time: ApiTime,
    /// When sources last gave what they had, by this machine's clock; `None` once the API's time is known or overdue.
    pub(super) succeeded_by_machine: Option<BTreeMap<Source, Timestamp>>,
    pub(super) watched: WatchedSessions,
    pub(super) complaints: Complaints,
    pub(super) life: Life,
    pub(super) credential: String,
    pub(super) host: String,
    pub(super) rng: fastrand::Rng,
    /// Batches to be committed.
    pub(super) ready: VecDeque<Batch>,
    /// Changes that are being committed.
    committing: usize,
    leasing: bool,
    pub(super) releasing: bool,
    /// A page of the listing is being asked for or committed.
    pub(super) listing_busy: bool,
    /// How often the present page was read again because most of its entries had no id.
    pub(super) page_retries: u8,
    /// Entries of the listing without a usable id.
    pub(super) unnamed: Unnamed,
    /// Sessions in a row for which the credential was refused with 403.
    pub(super) forbidden_in_row: u8,
    /// Sessions asked for one by one because their entry in the listing could not be used; bounded.
    pub(super) asked_for_entry: HashSet<Arc<str>>,
    /// Sessions of agents that nothing is known of, whose analysis has had these of its parts since then; bounded.
    pub(super) half_written: HashMap<Arc<str>, (Tick, Parts)>,
    /// Sessions counted lately, of which the stream will tell once more; bounded.
    pub(super) counted_lately: HashSet<Arc<str>>,
    pub(super) unreadable: Unreadable,
    /// Requests in a row that the API had not begun with.
    pub(super) unprocessed: u32,
    /// When a lost connection was last counted as a failure.
    pub(super) connection_lost: Option<Tick>,
    /// What of the API's state is in the log.
    pub(super) reported: Reported,
    pub(super) updates: Updates,
    /// Due requests have been waiting for the budget since.
    throttled_since: Option<Tick>,
    /// After a failed commit, nothing is done before.
    state_retry: Tick,
    state_failures: u32,
    pub(super) started: Tick,
}

/// Changes under way at once; beyond it, answers have to wait for the disk.
const MAX_COMMITTING: usize = 4096;
/// A listing that waits for so long goes before open sessions, which would otherwise starve it.
const LISTING_PATIENCE: Duration = Duration::from_secs(60);
/// One that waits for so long goes before everything: sessions that cannot be finished must not stop discovery.
const LISTING_STARVED: Duration = Duration::from_secs(300);
/// Commits are tried again after this much at most while the state cannot be written.
const STATE_RETRY_CAP: Duration = Duration::from_secs(5);
const FAR: Duration = Duration::from_secs(3600);

/// What could be asked for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidate {
    Sessions(Class),
    StarvedListing,
    FirstListing,
    FirstAgents,
    OverdueListing,
    OverdueAgents,
    Listing,
    Agents,
}

const CANDIDATES: [Candidate; 10] = [
    Candidate::StarvedListing,
    Candidate::Sessions(Class::Finishing),
    Candidate::FirstListing,
    Candidate::FirstAgents,
    Candidate::OverdueListing,
    Candidate::OverdueAgents,
    Candidate::Sessions(Class::Open),
    Candidate::Listing,
    Candidate::Agents,
    Candidate::Sessions(Class::Watched),
];

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
        for pending in &opened.pending {
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
            budget.restore(now.local.since(*granted), used_for, *count, per_window, now.tick);
        }
        let listing = Listing::new(opened.watermark);
        let mut core = Self {
            config: CoreConfig::from(config),
            tracker,
            listing: if opened.open_listed { listing } else { listing.with_open_sessions() },
            agents: Agents::default(),
            budget,
            health: Health::with_history(if opened.watermark.is_some() { &[Route::List] } else { &[] }),
            paths: Route::ALL.map(|route| {
                let path = ApiPath::from(route);
                PathChoice::new(path, &config.api, opened.paths.get(path as usize).copied().flatten())
            }),
            stream: None,
            asking: [0; Route::ALL.len()],
            api: config.api.clone(),
            api_time: ApiTime::default(),
            succeeded_by_machine: Some(BTreeMap::new()),
            watched: WatchedSessions::default(),
            complaints: Complaints::default(),
            life: Life {
                first_start: opened.first_start,
                first_contact: None,
                look_back: if opened.look_back_done { LookBackStage::Done } else { LookBackStage::Running },
                caught_up_at: Tick::ZERO,
                pages: 0,
                files_unread: !config.sessions.files.is_empty(),
                ready: false,
                deadline_passed: false,
                counted,
                lags: true,
            },
            credential,
            host,
            rng: fastrand::Rng::with_seed(seed),
            ready: VecDeque::new(),
            committing: 0,
            leasing: false,
            releasing: false,
            listing_busy: false,
            page_retries: 0,
            unnamed: Unnamed::default(),
            forbidden_in_row: 0,
            asked_for_entry: HashSet::new(),
            half_written: HashMap::new(),
            counted_lately: HashSet::new(),
            unreadable: Unreadable::default(),
            unprocessed: 0,
            connection_lost: None,
            reported: Reported::default(),
            updates: Updates::default(),
            throttled_since: None,
            state_retry: Tick::ZERO,
            state_failures: 0,
            started: now.tick,
        };
        core.config.observation.agents = opened.agents.clone();
        core.watched.set_recent_limit(config.metrics.watch_recent);
        core.watch(Watched { source: Source::Configured, ids: configured_ids(config) }, now);
        if core.life.look_back == LookBackStage::Done {
            core.updates.push(Update::Publish(now.instant));
        }
        core
    }

    /// Takes a reloaded configuration into effect.
    pub fn reconfigure(&mut self, config: &Config, credential: String, host: String, now: Now) {
        let agents = self.config.observation.agents.clone();
        self.config = CoreConfig::from(config);
        self.config.observation.agents = agents;
        self.budget.reconfigure(config.api.budget_share, config.api.requests_per_minute);
        self.watched.set_recent_limit(config.metrics.watch_recent);
        // What was refused, unreachable or missing may be none of it any more.
        let is_same_api = self.api.is_asked_like(&config.api) && self.credential == credential;
        self.health.retry(is_same_api);
        if !config.sessions.listing {
            self.health.forget(Route::List);
        }
        self.paths = std::array::from_fn(|route| match self.paths.get(route) {
            Some(path) if is_same_api => path.clone(),
            Some(path) => path.reconfigured(&config.api),
            None => PathChoice::new(ApiPath::List, &config.api, None),
        });
        self.api = config.api.clone();
        (self.credential, self.host) = (credential, host);
        self.listing.retry(now.tick);
        self.agents.retry(now.tick);
        self.tracker.retry_failing(now.tick, true);
        self.watch(Watched { source: Source::Configured, ids: configured_ids(config) }, now);
        // A source that is off gives no news any more, and nobody is to be told that it does not.
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

    /// A source says which sessions it wants watched.
    pub fn watch(&mut self, watched: Watched, now: Now) {
        let Watched { source, mut ids } = watched;
        let api_now = self.api_time.now(now.tick, now.local);
        let left_out = self.watched.bound(source, &mut ids, self.config.max_tracked);
        if left_out > 0 {
            self.updates.metric(MetricUpdate::WatchedLeftOut(left_out));
            self.updates.notice(Notice::WatchedLeftOut { source, watched: ids.len(), left_out });
        }
        let mut heard = Vec::new();
        for id in &ids {
            if self.tracker.hear(id, source, api_now, now.tick) {
                heard.push(Change::Heard { id: Arc::clone(id), source, now: api_now });
            }
        }
        if source == Source::File {
            self.life.files_unread = false;
            self.succeeded(source, api_now);
        }
        self.updates.discovered(source, heard.len() as u64);
        self.watched.set(source, ids);
        self.tracker.watch(self.watched.ids());
        if !heard.is_empty() {
            self.ready.push_back(Batch { changes: heard, purpose: Purpose::Note });
        }
    }

    /// A source has heard something.
    pub fn told(&mut self, news: News, now: Now) {
        let api_now = self.api_time.now(now.tick, now.local);
        match news {
            News::Session { facts, verdict, source } => {
                self.succeeded(source, api_now);
                self.session_told(&facts, &verdict, source, now, api_now);
            }
            News::Id { id, source } => {
                self.succeeded(source, api_now);
                if self.tracker.hear(&id, source, api_now, now.tick) {
                    self.updates.discovered(source, 1);
                }
                self.tracker.note_announced(&id);
            }
            News::Alive(source) => {
                self.succeeded(source, api_now);
                self.stream_lives(source, now);
            }
            News::StreamOpened { path, place } => self.stream_opened(path, place),
            News::StreamMissing { path, why } => self.stream_missing(path, why),
            News::Hint { id, hint } => {
                self.succeeded(Source::Stream, api_now);
                self.stream_lives(Source::Stream, now);
                self.hinted(&id, hint, now, api_now);
            }
        }
    }

    fn hinted(&mut self, id: &Arc<str>, hint: Hint, now: Now, api_now: Timestamp) {
        match self.tracker.get(id).map(|tracked| tracked.progress) {
            Some(Progress::Pending(Stage::Ended)) => {
                if hint != Hint::Started {
                    self.tracker.reschedule(id, now.tick);
                }
            }
            Some(Progress::Pending(_)) => {
                if hint == Hint::Ended {
                    self.tracker.reschedule(id, now.tick);
                }
            }
            Some(Progress::Counted) => {}
            // An update of a session that nobody knows: it was counted, or the listing will bring it.
            None if hint == Hint::Updated => {}
            None if self.counted_lately.contains(id) || self.tracker.pending() >= self.config.max_tracked => {}
            None => {
                let source = Source::Stream;
                self.tracker.hear(id, source, api_now, now.tick);
                self.updates.discovered(source, 1);
                let changes = vec![Change::Heard { id: Arc::clone(id), source, now: api_now }];
                self.ready.push_back(Batch { changes, purpose: Purpose::Note });
                if hint == Hint::Started {
                    // A session that has just begun has nothing to tell yet, and the stream will tell of its end.
                    self.tracker.reschedule(id, now.tick + self.config.open_interval);
                }
            }
        }
    }

    /// What to do at `now`; to be called until it says to wait. Without `may_ask`, all requests that may be under way at
    /// once are, and only commits are given.
    pub fn next(&mut self, now: Now, may_ask: bool) -> NextAction {
        let (next, throttled) = self.decide(now, may_ask);
        if let Some(since) = self.throttled_since {
            self.updates.metric(MetricUpdate::Throttled(now.tick.saturating_sub(since)));
        }
        self.throttled_since = throttled.then_some(now.tick);
        next
    }

    fn decide(&mut self, now: Now, may_ask: bool) -> (NextAction, bool) {
        if self.state_retry > now.tick {
            return (NextAction::Wait(self.state_retry), false);
        }
        if self.state_failures > 0 {
            // One commit tells whether the state can be written again; until then nothing is asked for.
            if self.committing > 0 {
                return (NextAction::Wait(now.tick + FAR), false);
            }
            let batch = self.ready.pop_front().unwrap_or_else(|| self.state_probe(now));
            self.committing += batch.changes.len();
            return (NextAction::Commit(batch), false);
        }
        if self.committing >= MAX_COMMITTING {
            return (NextAction::Wait(now.tick + FAR), false);
        }
        if let Some(batch) = self.ready.pop_front() {
            self.committing += batch.changes.len();
            return (NextAction::Commit(batch), false);
        }
        if !may_ask {
            return (NextAction::Wait(now.tick + FAR), false);
        }
        let mut wait = now.tick + FAR;
        for candidate in CANDIDATES {
            let Some(route) = self.route_if_due(candidate, now.tick) else { continue };
            if let Err(until) = self.health.may_ask(route, now.tick) {
                wait = wait.min(until);
                continue;
            }
            if self.waits_for_path(route) {
                continue;
            }
            let priority = match candidate {
                Candidate::Sessions(Class::Finishing) => Priority::Urgent,
                _ => Priority::Normal,
            };
            match self.budget.ask(priority, now.tick) {
                Grant::Granted => match self.take(candidate, now) {
                    Some(ask) => {
                        self.health.asked(route, now.tick);
                        self.sent(route);
                        return (NextAction::Ask(ask), false);
                    }
                    // Nothing takes it after all.
                    None => self.budget.give_back(now.tick),
                },
                Grant::Lease(_) if self.leasing => return (NextAction::Wait(now.tick + FAR), false),
                Grant::Lease(count) => {
                    self.leasing = true;
                    // So that a crash charges no more than was sent of the one before.
                    let unused = Some(self.budget.unused()).filter(|unused| *unused > 0).map(Change::LeaseUnused);
                    self.committing += 1 + usize::from(unused.is_some());
                    let lease = Lease { granted: now.local, count, per_window: self.budget.per_window() };
                    return (
                        NextAction::Commit(Batch {
                            changes: unused.into_iter().chain([Change::Lease(lease)]).collect(),
                            purpose: Purpose::Lease { count, granted: now.tick },
                        }),
                        false,
                    );
                }
                // Less urgent ones would have to wait as long.
                Grant::Wait(until) => return (NextAction::Wait(wait.min(until)), true),
            }
        }
        for due in [self.tracker.next_due(), self.listing_due(), Some(self.agents.due())].into_iter().flatten() {
            if due > now.tick {
                wait = wait.min(due);
            }
        }
        (NextAction::Wait(wait), false)
    }

    /// A commit that changes nothing but has to be written.
    fn state_probe(&self, now: Now) -> Batch {
        let lease = Lease { granted: now.local, count: 0, per_window: self.budget.per_window() };
        Batch { changes: vec![Change::Lease(lease)], purpose: Purpose::Note }
    }

    fn listing_due(&self) -> Option<Tick> {
        let may = self.config.listing && !self.listing_busy && self.tracker.pending() < self.config.max_tracked;
        may.then(|| self.listing.due())
    }

    fn route_if_due(&self, candidate: Candidate, now: Tick) -> Option<Route> {
        let (due, route) = match candidate {
            Candidate::Sessions(class) => return self.tracker.due_in(class, now).map(|_| Route::Session),
            Candidate::StarvedListing => (self.listing_due()? + LISTING_STARVED, Route::List),
            Candidate::OverdueListing => (self.listing_due()? + LISTING_PATIENCE, Route::List),
            // Whether these routes work is not known yet, and one request each tells.
            Candidate::FirstListing if self.health.has_answered(Route::List) => return None,
            Candidate::FirstListing | Candidate::Listing => (self.listing_due()?, Route::List),
            Candidate::FirstAgents if self.health.has_answered(Route::Agents) => return None,
            Candidate::OverdueAgents => (self.agents.due().saturating_add(self.config.agents_interval), Route::Agents),
            Candidate::FirstAgents | Candidate::Agents => (self.agents.due(), Route::Agents),
        };
        (due <= now).then_some(route)
    }

    fn take(&mut self, candidate: Candidate, now: Now) -> Option<Ask> {
        Some(match candidate {
            Candidate::Sessions(class) => {
                let id = self.tracker.due_in(class, now.tick)?;
                self.tracker.take(&id);
                Ask::Session(id)
            }
            Candidate::StarvedListing | Candidate::FirstListing | Candidate::OverdueListing | Candidate::Listing => {
                self.listing_busy = true;
                let api_now = self.api_time.now(now.tick, now.local);
                let begin = self.recent_window_begin(now);
                Ask::List(self.listing.page(now.tick, begin, api_now))
            }
            Candidate::FirstAgents | Candidate::OverdueAgents | Candidate::Agents => {
                self.agents.asked();
                Ask::Agents(self.agents.page())
            }
        })
    }

    /// A batch was committed, or not; the batch itself comes back in the latter case.
    pub(super) fn commit_ended(&mut self, changes: usize, failed: Option<Batch>, now: Now) {
        self.committing = self.committing.saturating_sub(changes);
        let Some(batch) = failed else {
            self.state_failures = 0;
            return;
        };
        self.state_failures = self.state_failures.saturating_add(1);
        let wait = backoff(self.state_failures, self.rng.f64()).clamp(Duration::from_millis(100), STATE_RETRY_CAP);
        self.state_retry = now.tick + wait;
        match batch.purpose {
            Purpose::Lease { .. } => self.leasing = false,
            Purpose::Release(_) => self.releasing = false,
            // Recognised by the ledger if it was durable after all.
            _ => self.ready.push_back(batch),
        }
    }

    pub(super) fn lease_granted(&mut self, count: u32, granted: Tick) {
        self.leasing = false;
        self.budget.leased(count, granted);
    }

    /// What there is to log, count and show since the last call, in the order in which it came about.
    pub fn drain_updates(&mut self) -> std::vec::Drain<'_, Update> {
        self.updates.drain()
    }

    /// A source gave what it had.
    pub(super) fn succeeded(&mut self, source: Source, at: Timestamp) {
        // A sweep that was under way when the listing was switched off.
        if source == Source::Listing && !self.config.listing {
            return;
        }
        if let Some(waiting) = &mut self.succeeded_by_machine {
            // By this machine's clock, which only stands in until the API has said the time.
            waiting.insert(source, at);
            return;
        }
        self.updates.push(Update::SourceSucceeded { source, at: Some(at) });
    }

    fn is_off(&mut self, source: Source) {
        self.updates.push(Update::SourceSucceeded { source, at: None });
    }
}

fn configured_ids(config: &Config) -> Vec<Arc<str>> {
    let ids: BTreeSet<&str> = config.sessions.ids.iter().map(|id| id.trim()).collect();
    ids.into_iter().map(Arc::from).collect()
}
