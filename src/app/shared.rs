//! A daemon that shares its counts with others: while it has the lease it asks the API, as a single daemon does; else it only
//! takes deliveries and serves the page.
//!
//! A *turn* is the time during which this replica counts. Whatever asks Agntix for anything is made when a turn begins, from what
//! the database holds, and ends with it: the budget of the organization is spent by one replica.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use agntix_api::Client;
use agntix_api::paths::ApiPath;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::reload::IdFiles;
use super::shown::{self, Following, LatestExemplars, Sources};
use super::whole_log::WholeLog;
use super::{AppError, INBOX, NEWS, commits};
use crate::catalogue::{ExporterMetrics, Exposition, Family};
use crate::clock::{ApiClock, Clock};
use crate::config::{Config, DatabaseUrl};
use crate::discovery::webhook::Deliveries;
use crate::discovery::{News, stream};
use crate::ledger::policy::PolicyConfig;
use crate::ledger::postgres::{
    Census, Database, DeliveryLedger, Observers, PageReader, PostgresLedger, Replica, StoreConfig, Waiting, Whole,
};
use crate::ledger::{Change, Ledger, LedgerError, Observer, Opened, postgres};
use crate::observation::AgentParts;
use crate::poller::{Inbox, Poller, Reconfigure};
use crate::status::{CensusStatus, ReplicaStatus, Status};
use crate::supervisor::Pulse;
use crate::tasks::Tasks;

/// How often the inbox is looked into while it is empty.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the replicas are counted.
const CENSUS_EVERY: Duration = Duration::from_secs(5);
/// Deliveries that are counted at once.
const AT_ONCE: i64 = 256;

/// What is in effect.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) config: Config,
    pub(super) client: Client,
}

/// This replica, ready to run.
pub(super) struct Shared {
    replica: Replica,
    /// Whether the page is current.
    pub(super) reader: PageReader,
    /// What is in effect; a reload replaces it.
    pub(super) current: watch::Sender<Current>,
    /// Where deliveries are made durable.
    pub(super) deliveries: DeliveryLedger,
    /// What is known of the agents while this replica counts.
    pub(super) agents: AgentParts,
    inbox: postgres::Inbox,
    census: Census,
    counting: watch::Sender<Weak<PostgresLedger>>,
    sources: Sources,
}

/// The configuration of the store.
pub(super) fn store_config(config: &Config) -> StoreConfig {
    StoreConfig { lease: config.ha.lease, policy: PolicyConfig::from(config) }
}

/// Makes this process a replica of the ledger at `url`.
///
/// # Errors
/// If the database cannot be reached or used.
pub(super) async fn open(
    in_effect: Current,
    url: &DatabaseUrl,
    (mut observer, outage): (Observer, commits::Outage),
    (exposition, own, status): (Arc<Exposition>, ExporterMetrics, Arc<Status>),
    (clock, pulse): (Arc<dyn Clock>, Pulse),
    tasks: &Tasks,
) -> Result<Shared, AppError> {
    let (store, state) = (store_config(&in_effect.config), in_effect.config.state.clone());
    let lease = humantime::format_duration(store.lease);
    let database = Database::new(url.expose(), state.password_file.clone(), &state.schema, tasks.clone())
        .map_err(LedgerError::from)?;
    let inbox = postgres::Inbox::new(database.clone(), &store.policy);
    let (agents, name) = (store.policy.agents.clone(), postgres::this_process());
    let replica = ReplicaStatus {
        name: name.clone(),
        database: database.name().to_owned(),
        schema: state.schema.clone(),
        ..ReplicaStatus::default()
    };
    status.update(|status| status.replica = Some(replica.clone()));
    let (current, receiver) = watch::channel(in_effect);
    let exemplars = LatestExemplars::default();
    let noted = exemplars.clone();
    let news = commits::news_observer(Arc::clone(&exposition), own.clone(), Arc::clone(&status), outage);
    let sources = Sources { exposition, own: own.clone(), status, exemplars };
    let mut following = Following::new(sources.clone(), clock, pulse, receiver);
    let observers = Observers {
        commits: Box::new(move |result| {
            if let Ok(committed) = &result {
                noted.note(&committed.exemplars);
            }
            observer(result);
        }),
        news,
        looks: Box::new(move |read| following.looked(read)),
    };
    let (replica, reader) = Replica::start(database.clone(), &name, store, inbox.clone(), observers).await?;
    tracing::info!(
        backend = "PostgreSQL", database = database.name(), schema = %state.schema, format = database.table_format(), replica = name,
        %lease, "this replica shares the counts of a database; state.path is not used"
    );
    let (counting, counts) = watch::channel(Weak::new());
    // There before they happen, so that the first one is a rise.
    own.ledger_regressions.with_label_values::<&str>(&[]);
    own.ledger_replayed_commits.with_label_values::<&str>(&[]);
    own.ledger_lost_sessions.with_label_values::<&str>(&[]);
    own.active.with_label_values::<&str>(&[]).set(0);
    let census = Census::new(database, &name);
    let deliveries = DeliveryLedger::new(inbox.clone(), counts);
    Ok(Shared { replica, reader, current, deliveries, agents, inbox, census, counting, sources })
}

/// What a turn is made of.
#[derive(Clone)]
pub(super) struct TurnDeps {
    /// What is in effect; a reload replaces it.
    pub(super) current: watch::Receiver<Current>,
    pub(super) clients: watch::Sender<Client>,
    pub(super) webhook: Option<Arc<Deliveries>>,
    pub(super) exposition: Arc<Exposition>,
    pub(super) own: ExporterMetrics,
    pub(super) status: Arc<Status>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) api_clock: Arc<ApiClock>,
    pub(super) pulse: Pulse,
    pub(super) tasks: Tasks,
    pub(super) shutdown: CancellationToken,
}

impl Shared {
    /// Follows, and counts in turns, until `shutdown`.
    pub(super) async fn run(self, deps: TurnDeps) {
        let Self { replica, reader, inbox, census, counting, sources, .. } = self;
        let shutdown = deps.shutdown.clone();
        let taking_part = take_part(census, reader, deps.own.clone(), Arc::clone(&deps.status), shutdown.clone());
        deps.tasks.spawn("the census of replicas", taking_part);
        let turn = move |ledger, opened| {
            turn(deps.clone(), (inbox.clone(), sources.clone()), counting.clone(), ledger, opened)
        };
        replica.run(turn, shutdown).await;
    }
}

/// Counts this replica in among the others, and shows how the whole is.
async fn take_part(
    census: Census,
    reader: PageReader,
    own: ExporterMetrics,
    status: Arc<Status>,
    shutdown: CancellationToken,
) {
    let (mut taken, mut known, mut log) = (None, None, WholeLog::default());
    loop {
        let (is_active, standing) = (reader.is_active(), reader.standing());
        log.counts(&standing.holder);
        own.active.with_label_values::<&str>(&[]).set(i64::from(is_active));
        status.update(|status| {
            if let Some(replica) = &mut status.replica {
                replica.is_active = is_active;
                replica.sequence = standing.sequence;
                replica.census = known;
            }
        });
        if taken.is_none_or(|at: Instant| at.elapsed() >= CENSUS_EVERY) {
            taken = Some(Instant::now());
            match census.take().await {
                Ok(Whole { replicas, inbox, durability }) => {
                    own.replicas.with_label_values::<&str>(&[]).set(replicas);
                    own.inbox_deliveries.with_label_values::<&str>(&[]).set(inbox);
                    let is_synchronous = durability.is_synchronous();
                    own.ledger_synchronous.with_label_values::<&str>(&[]).set(i64::from(is_synchronous));
                    known = Some(CensusStatus { replicas, inbox, is_synchronous });
                    log.whole(replicas, durability);
                }
                Err(error) => {
                    // What is not known is not shown.
                    own.replicas.reset();
                    own.inbox_deliveries.reset();
                    own.ledger_synchronous.reset();
                    known = None;
                    tracing::debug!(%error, "the replicas could not be counted");
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    if let Err(error) = census.leave().await {
        tracing::debug!(%error, "the other replicas count this one for some seconds more");
    }
}

/// News that nobody waits for: while this replica does not count, the one that does learns of deliveries from the inbox.
pub(super) fn unheard(tasks: &Tasks) -> mpsc::Sender<News> {
    let (news, mut unheard) = mpsc::channel(NEWS);
    tasks.spawn_detached("the sink of news", async move { while unheard.recv().await.is_some() {} });
    news
}

/// Counts until the ledger is lost or the daemon stops.
async fn turn(
    deps: TurnDeps,
    (inbox, sources): (postgres::Inbox, Sources),
    counting: watch::Sender<Weak<PostgresLedger>>,
    ledger: PostgresLedger,
    mut opened: Opened,
) {
    let TurnDeps { mut current, clients, webhook, exposition, own, status, clock, api_clock, pulse, tasks, shutdown } =
        deps;
    tracing::info!(series = opened.series.len(), pending = opened.pending.len(), "this replica counts");
    let (ledger, stop) = (Arc::new(ledger), shutdown.child_token());
    if ledger.is_settled() {
        exposition.apply(&opened.series, Vec::new());
    }
    let outcomes = opened.series.iter().filter(|series| series.key.family == Family::Outcomes);
    let counted = outcomes.flat_map(|series| &series.counts).sum();
    let since = clock.now();
    status.update(|status| {
        status.counted = counted;
        if let Some(replica) = &mut status.replica {
            (replica.is_active, replica.since) = (true, Some(since));
            replica.holder.clone_from(&replica.name);
            (replica.said, replica.differing) = (None, Vec::new());
        }
    });
    // The page has them, and the turn lasts long.
    opened.series = Vec::new();
    let (watched, watched_inbox) = mpsc::channel(INBOX);
    let (reconfigure, reconfigure_inbox) = mpsc::channel(1);
    let (news, news_inbox) = mpsc::channel(NEWS);
    let Current { config, client } = current.borrow_and_update().clone();
    let poller = Poller::new(
        &config,
        client,
        Arc::clone(&ledger) as Arc<dyn Ledger>,
        &opened,
        Arc::clone(&exposition),
        own.clone(),
        status,
        clock,
        api_clock,
        Inbox { watched: watched_inbox, news: news_inbox, reconfigure: reconfigure_inbox },
    );
    if let Some(webhook) = &webhook {
        webhook.report_to(news.clone());
    }
    counting.send_replace(Arc::downgrade(&ledger));
    if config.stream.enabled {
        let path = opened.paths.get(ApiPath::Stream as usize).copied().flatten();
        let following = stream::follow(clients.subscribe(), news.clone(), path, stop.clone());
        tasks.spawn("the follower of the event stream", following);
    }
    let shown_current = current.clone();
    let mut id_files = IdFiles::watch(&config.sessions.files, watched, tasks.clone(), stop.clone());
    let reload = async {
        while current.changed().await.is_ok() {
            let Current { config, client } = current.borrow_and_update().clone();
            id_files.rewatch(&config.sessions.files);
            let (done, _) = tokio::sync::oneshot::channel();
            let _ = reconfigure.send(Reconfigure { config: Box::new(config), client, done }).await;
        }
    };
    let end = async {
        tokio::select! {
            () = ledger.lost().cancelled() => {}
            () = shutdown.cancelled() => {}
            () = empty(&inbox, &ledger, &news) => {}
            () = reload => {}
            () = shown::show(ledger.gauges(), &sources, shown_current) => {}
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(Box::pin(poller.run(pulse, stop.clone())), end);
    // A ledger that is lost answers like one that is closed.
    if let (Err(error), false) = (ended, ledger.lost().is_cancelled()) {
        tracing::error!(%error, "counting has stopped by itself");
    }
    counting.send_replace(Weak::new());
    // What Agntix said to this replica grows old.
    for gauge in [&own.api_rate_limit, &own.api_rate_limit_remaining, &own.api_rate_limit_reset] {
        gauge.reset();
    }
    if let Some(webhook) = &webhook {
        webhook.report_to(unheard(&tasks));
    }
    // It commits what waits, and gives the lease up.
    if let Err(error) = tokio::task::spawn_blocking(move || drop(ledger)).await {
        tracing::error!(%error, "the ledger could not be closed");
    }
    tracing::info!("this replica counts no more");
}

/// Counts the deliveries that the replicas have put into the inbox, as long as this one counts.
async fn empty(inbox: &postgres::Inbox, ledger: &Arc<PostgresLedger>, news: &mpsc::Sender<News>) {
    let mut was_failing = false;
    loop {
        let (is_failing, pause) = match count_oldest(inbox, ledger, news).await {
            Ok(counted) if counted > 0 => (false, Duration::ZERO),
            Ok(_) => (false, LOOK_EVERY),
            Err(error) => {
                if !was_failing {
                    tracing::warn!(%error, "the inbox cannot be counted now; its deliveries stay in it");
                }
                (true, LOOK_EVERY)
            }
        };
        was_failing = is_failing;
        tokio::time::sleep(pause).await;
    }
}

/// Counts the oldest deliveries; how many.
async fn count_oldest(
    inbox: &postgres::Inbox,
    ledger: &Arc<PostgresLedger>,
    news: &mpsc::Sender<News>,
) -> Result<usize, Arc<LedgerError>> {
    let waiting = inbox.oldest(AT_ONCE).await.map_err(|error| Arc::new(error.into()))?;
    let ids: Vec<_> = waiting.iter().map(|delivery| delivery.id).collect();
    let unreadable = waiting.iter().filter(|delivery| delivery.change.is_none()).count();
    if unreadable > 0 {
        tracing::warn!(
            deliveries = unreadable,
            "deliveries in the inbox make no sense to this version, and are left out"
        );
    }
    let changes: Vec<Change> = waiting.into_iter().filter_map(|Waiting { change, .. }| change).collect();
    if !changes.is_empty() {
        let outcomes = ledger.commit(changes.clone()).await?;
        for (change, outcome) in changes.into_iter().zip(outcomes) {
            let heard = match change {
                Change::Session { facts, source, .. } => News::Session { facts, outcome, source },
                Change::Heard { id, source, .. } => News::Id { id, source },
                _ => continue,
            };
            // The poller ends with the turn.
            let _ = news.send(heard).await;
        }
    }
    if !ids.is_empty() {
        inbox.delete(&ids).await.map_err(|error| Arc::new(error.into()))?;
    }
    Ok(ids.len())
}
