//! The changes of a batch, applied inside one transaction: which steps of a session are still to be counted, and what
//! is remembered of it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agntix_api::paths::ApiPath;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Result, TransactionBehavior};

use super::admission::{Admission, Bounds, Gate};
use super::backup;
use super::begin;
use super::checksums::{self, Checksums};
use super::classification::{self, Judgement};
use super::counted::{self, Counted, Found};
use super::in_place::{Fault, InPlace};
use super::mark::Mark;
use super::meta::{self, Meta};
use super::room::{Charges, Room};
use super::series::{self, LookBack, Sums};
use super::totals::{self, Totals};
use super::{Change, Committed, Lease, LedgerError, Opened, Pending, Verdict, schema};
use crate::catalogue::{CHANNEL, Family, SeriesKey, buckets};
use crate::clock::Timestamp;
use crate::config::{Config, ExtractedField};
use crate::observation::{AgentParts, Step, additions, admitted_channel, zero_initialized};
use crate::session::{Channel, Facts, Outcome, Parts};
use crate::session::{Source, Stage};
use exposition::{BucketSchemaId, BucketSchemas, LabelSet};

/// What the ledger needs of the configuration.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// `state.path`
    pub directory: PathBuf,
    /// `sessions.retention`
    pub retention: Duration,
    /// The bucket bounds.
    pub bucket_schemas: Arc<BucketSchemas>,
    /// `metrics.extracted`
    pub extracted: Arc<[ExtractedField]>,
    /// What is learned of the agents; it outlives the file being opened again.
    pub agents: AgentParts,
    bounds: Bounds,
    charges: Charges,
}

impl From<&Config> for LedgerConfig {
    fn from(config: &Config) -> Self {
        let bucket_schemas = Arc::new(buckets::schemas(&config.metrics));
        Self {
            directory: config.state.path.clone(),
            retention: config.sessions.retention,
            extracted: config.metrics.extracted.clone().into(),
            agents: AgentParts::default(),
            charges: Charges::new(&bucket_schemas, &config.metrics.extracted),
            bucket_schemas,
            bounds: Bounds::from(&config.metrics),
        }
    }
}

impl LedgerConfig {
    /// Takes over what can change while the file is open.
    pub(super) fn reload(&mut self, new: &Self) {
        self.retention = new.retention;
        self.bounds = new.bounds;
    }
}

/// An open ledger file, and what of it is kept in memory.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    checksums: Checksums,
    mark: Mark,
    path: PathBuf,
    config: LedgerConfig,
    cached: Cached,
    in_place: InPlace,
    begun: bool,
}

/// What can be read again from the file, and is after every failed commit.
#[derive(Debug)]
struct Cached {
    admission: Admission,
    counted: Counted,
    totals: Totals,
    /// Shared with everything that a channel is told to: a tracker holds 100,000 sessions of a few hundred channels.
    zero_initialized: HashSet<Arc<Channel>>,
    look_back: LookBack,
}

impl Store {
    /// Opens the file, makes it if it is missing, and carries histograms over to the configured buckets.
    pub(super) fn open(config: LedgerConfig) -> Result<Self, LedgerError> {
        let begun = begin::begin(&config.directory)?;
        let in_place = Self::look_at(&config.directory)?;
        let store = Self::open_file(config, in_place, begun)?;
        begin::remove_broken_off(&store.config.directory);
        Ok(store)
    }

    /// Opens the file again that this process had open before; another one that has taken its place is refused, since the
    /// page would fall to what it holds.
    pub(super) fn reopen(config: LedgerConfig, in_place: InPlace) -> Result<Self, LedgerError> {
        match in_place.check() {
            Err(Fault::File(detail)) => Err(displaced(&config.directory, detail)),
            Ok(()) | Err(Fault::LogRemoved) => Self::open_file(config, in_place, false),
        }
    }

    fn look_at(directory: &Path) -> Result<InPlace, LedgerError> {
        InPlace::before_opening(&schema::file_in(directory))
            .map_err(|e| LedgerError::Directory { path: directory.into(), detail: e.to_string() })
    }

    fn open_file(config: LedgerConfig, mut in_place: InPlace, begun: bool) -> Result<Self, LedgerError> {
        let (connection, checksums) = schema::open(&config.directory)?;
        let path = schema::file_in(&config.directory);
        let opened = (|| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            totals::catch_up_after_crash(&connection)?;
            series::carry_over(&connection, &config.bucket_schemas)?;
            checksums.write(&connection)?;
            connection.execute_batch("COMMIT")?;
            Cached::load(&connection, &config, &checksums)
        })();
        let cached = opened.map_err(|e| schema::writing_error(&path, &e))?;
        let mark = Mark::open(&config.directory).map_err(|e: std::io::Error| LedgerError::Directory {
            path: config.directory.clone(),
            detail: e.to_string(),
        })?;
        in_place.opened();
        let store = Self { connection, checksums, mark, path, config, cached, in_place, begun };
        // Between the first look at it and its lock the file could have been replaced.
        if let Err(error) = store.look() {
            drop(store.close());
            return Err(error);
        }
        Ok(store)
    }

    /// What recognises the file.
    pub(super) fn in_place(&self) -> InPlace {
        self.in_place.clone()
    }

    /// Whether the file, which was not at its path, can be closed and opened there again.
    pub(super) fn is_back(&self) -> Result<(), LedgerError> {
        match self.in_place.check() {
            // What is in the removed log goes into the file when it is closed.
            Ok(()) | Err(Fault::LogRemoved) => Ok(()),
            Err(fault) => Err(self.displaced(fault)),
        }
    }

    /// Makes the copy that somebody has asked for, if anybody has.
    pub(super) fn serve_backup(&self) {
        backup::serve(&self.connection, &self.config.directory);
    }

    /// Whether the next start would find what is written here.
    ///
    /// # Errors
    /// [`LedgerError::Displaced`] if it would not.
    pub(super) fn look(&self) -> Result<(), LedgerError> {
        self.in_place.check().map_err(|fault| self.displaced(fault))
    }

    fn displaced(&self, fault: Fault) -> LedgerError {
        match fault {
            Fault::File(detail) => displaced(&self.config.directory, detail),
            Fault::LogRemoved => displaced(&self.config.directory, "ledger.sqlite-wal was removed".into()),
        }
    }

    /// Closes the file, and gives what recognises it when it is opened again.
    ///
    /// A file that is not at its path is left as it is, with its log: SQLite would otherwise remove by its name the log of
    /// whatever is at the path now.
    pub(super) fn close(self) -> InPlace {
        let Self { connection, mut in_place, .. } = self;
        if let Err(Fault::File(_)) = in_place.check() {
            // It fails on a closed connection only.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        // What cannot be closed is as after a crash.
        drop(connection);
        in_place.closed();
        in_place
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that the file holds but the counted ids.
    pub(super) fn contents(&self) -> Result<Opened, LedgerError> {
        let read = || {
            let look_back = self.cached.look_back;
            Ok(Opened {
                pending: read_pending(&self.connection)?,
                series: series::load(&self.connection, &self.config.bucket_schemas)?,
                first_start: look_back.first_start,
                look_back_done: look_back.done,
                watermark: Meta::Watermark.time(&self.connection)?,
                open_listed: Meta::OpenListed.get(&self.connection)? == Some(1),
                leases: read_leases(&self.connection)?,
                agents: self.config.agents.clone(),
                begun: self.begun,
                api_limit: Meta::ApiLimit
                    .get(&self.connection)?
                    .and_then(|limit| u32::try_from(limit).ok())
                    .filter(|limit| *limit > 0),
                paths: read_paths(&self.connection)?,
            })
        };
        read().map_err(|e| schema::writing_error(&self.path, &e))
    }

    /// Applies the changes and makes them durable, all or none. After an error the store must not be used any more, but
    /// closed.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(Vec<Verdict>, Committed), LedgerError> {
        self.look()?;
        let done = self.transact(changes).map_err(|e| schema::writing_error(&self.path, &e))?;
        self.in_place.check_after_write().map_err(|fault| self.displaced(fault))?;
        Ok(done)
    }

    fn transact(&mut self, changes: &[Change]) -> Result<(Vec<Verdict>, Committed)> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Batch {
            connection: &transaction,
            config: &self.config,
            cached: &mut self.cached,
            sums: Sums::default(),
            earlier: Committed::default(),
            now: Timestamp::default(),
            changes: changes.len(),
            charged: 0,
        };
        let verdicts = changes.iter().map(|change| batch.apply(change)).collect::<Result<Vec<_>>>()?;
        let committed = batch.finish()?;
        self.checksums.write_counting(&transaction)?;
        transaction.commit()?;
        self.mark.write(self.checksums.commit());
        Ok((verdicts, committed))
    }

    /// Checks one day of ids that was not checked yet. Gives whether there was one.
    ///
    /// # Errors
    /// If it is damaged.
    pub(super) fn check_next_day(&mut self) -> Result<bool, LedgerError> {
        let checked = self.cached.counted.check_next(&self.connection);
        checked.map_err(|e| schema::writing_error(&self.path, &e))
    }

    /// Takes a reloaded configuration into effect, but for the directory and the buckets, which need a restart.
    pub(super) fn reconfigure(&mut self, config: &LedgerConfig) {
        self.config.reload(config);
        self.cached.counted.set_retention(config.retention);
        self.cached.admission.set_bounds(config.bounds);
    }

    pub(super) fn config(&self) -> &LedgerConfig {
        &self.config
    }
}

fn displaced(directory: &Path, detail: String) -> LedgerError {
    LedgerError::Displaced { path: begin::absolute(directory), detail }
}

impl Cached {
    fn load(connection: &Connection, config: &LedgerConfig, checksums: &Checksums) -> Result<Self> {
        let done = Meta::LookBackDone.get(connection)? == Some(1);
        config.agents.restore(meta::agent_parts(connection)?);
        Ok(Self {
            admission: Admission::load(connection, config.bounds)?,
            counted: Counted::load(connection, config.retention, checksums)?,
            totals: Totals::load(connection, &config.bucket_schemas, &config.charges)?,
            zero_initialized: HashSet::new(),
            look_back: LookBack { first_start: Meta::FirstStart.time(connection)?, done },
        })
    }
}

/// A transaction under way.
struct Batch<'s> {
    connection: &'s Connection,
    config: &'s LedgerConfig,
    cached: &'s mut Cached,
    sums: Sums,
    /// What came of the sums before the look-back was done, if that is one of the changes.
    earlier: Committed,
    now: Timestamp,
    /// How many changes the transaction has.
    changes: usize,
    /// What the series are charged that the sums bring.
    charged: u64,
}

impl Batch<'_> {
    fn apply(&mut self, change: &Change) -> Result<Verdict> {
        match change {
            Change::Session { facts, source, now } => self.session(facts, *source, *now),
            Change::Heard { id, source, now } => self.heard(id, *source, *now),
            Change::GiveUp { id, now } => self.give_up(id, *now),
            Change::Release(keys) => {
                let totals = &mut self.cached.totals;
                keys.iter().try_for_each(|key| totals.release(self.connection, key)).map(|()| Verdict::Done)
            }
            Change::FirstStart(at) => self.begin(*at).map(|()| Verdict::Done),
            Change::Watermark(at) => {
                let known = Meta::Watermark.time(self.connection)?;
                if known.is_none_or(|known| *at > known) {
                    Meta::Watermark.set(self.connection, at.as_millis())?;
                }
                Ok(Verdict::Done)
            }
            Change::OpenListed => Meta::OpenListed.set(self.connection, 1).map(|()| Verdict::Done),
            Change::Path { path, place } => {
                Meta::Path(*path).set(self.connection, i64::from(*place)).map(|()| Verdict::Done)
            }
            Change::LookBackDone => {
                // What came before it in the same transaction is in the starting values still.
                let earlier = self.add_up()?;
                self.earlier.absorb(earlier);
                Meta::LookBackDone.set(self.connection, 1)?;
                self.cached.look_back.done = true;
                Ok(Verdict::Done)
            }
            Change::Lease(lease) => write_lease(self.connection, lease).map(|()| Verdict::Done),
            Change::LeaseUnused(count) => shorten_lease(self.connection, *count).map(|()| Verdict::Done),
            Change::ApiLimit(limit) => Meta::ApiLimit.set(self.connection, i64::from(*limit)).map(|()| Verdict::Done),
        }
    }

    /// Dates the first start, once. What was counted before stays as it was counted.
    fn begin(&mut self, first_start: Timestamp) -> Result<()> {
        if self.cached.look_back.first_start.is_some() {
            return Ok(());
        }
        Meta::FirstStart.set(self.connection, first_start.as_millis())?;
        self.cached.counted.begin(self.connection, first_start)?;
        self.cached.look_back.first_start = Some(first_start);
        Ok(())
    }

    fn session(&mut self, facts: &Facts, source: Source, now: Timestamp) -> Result<Verdict> {
        self.now = self.now.max(now);
        let look_back = self.cached.look_back;
        let known = find_pending(self.connection, &facts.id)?;
        let mut stage = known.as_ref().map_or(Stage::Known, |pending| pending.stage);
        let mut is_resumed = false;
        // A configured id is heard of again at every start, so that it says nothing of what was counted.
        if stage == Stage::Known {
            let counted = self.cached.counted.find(self.connection, &facts.id, facts.created)?;
            if let Some(found) = counted.as_ref().filter(|found| found.parts == counted::STARTED_ONLY) {
                // It was given up while it was open, and here it is again: its start is counted, the rest is not.
                self.cached.counted.take(self.connection, &facts.id, found)?;
                (stage, is_resumed) = (Stage::Open, true);
            } else if counted.is_some() || self.cached.counted.is_forgotten(facts.created) {
                if known.is_some() {
                    delete_pending(self.connection, &facts.id)?;
                }
                let Some(found) = counted else { return Ok(Verdict::TooOld) };
                self.reclassify(facts, &found, look_back)?;
                return Ok(Verdict::AlreadyCounted);
            }
        }
        let folded = self.cached.admission.folded();
        let channel = self.channel(&facts.channel, &facts.id, now, look_back)?;
        if stage >= Stage::Open {
            // That the session is counted under `other` was told with its start.
            self.cached.admission.keep_folded(folded);
        }
        if stage < Stage::Open {
            self.step(facts, Step::Started, &channel, look_back)?;
        }
        if stage < Stage::Ended && facts.ended.is_some() {
            self.step(facts, Step::Ended, &channel, look_back)?;
        }
        if let (Some(ended), Some(outcome)) = (&facts.ended, &facts.outcome) {
            self.step(facts, Step::Outcome, &channel, look_back)?;
            let parts = classification::remember(facts, outcome);
            self.cached.counted.insert(self.connection, &facts.id, facts.created, parts)?;
            if known.is_some() {
                delete_pending(self.connection, &facts.id)?;
            }
            if !outcome.timed_out {
                self.learn(facts)?;
            }
            let new = known.is_none() && !is_resumed;
            return Ok(Verdict::Counted { historic: look_back.is_historic(ended.at), new });
        }
        let reached = if facts.ended.is_some() { Stage::Ended } else { Stage::Open };
        if known.as_ref().is_none_or(|pending| pending.stage < reached) {
            let pending = Pending {
                id: Arc::clone(&facts.id),
                created: Some(facts.created),
                stage: reached,
                ended: facts.ended.as_ref().map(|ended| ended.at),
                channel: Some(Arc::clone(&channel)),
                heard: known.as_ref().map_or(now, |pending| pending.heard),
                source: known.as_ref().map_or(source, |pending| pending.source),
            };
            write_pending(self.connection, &pending, known.is_some())?;
        }
        // A stage that was reached is never left again, even if the API says OPEN after CLOSED.
        Ok(Verdict::Pending { stage: reached.max(stage), channel })
    }

    /// Remembers which parts the analysis of a counted session has.
    fn learn(&self, facts: &Facts) -> Result<()> {
        let (agent, counted) = (&facts.channel.agent_id, Parts::counted(!self.config.extracted.is_empty()));
        match self.config.agents.learn(agent, facts.parts, counted) {
            Some(code) => meta::set_agent_parts(self.connection, agent, code),
            None => Ok(()),
        }
    }

    fn channel(
        &mut self,
        channel: &Channel,
        session: &Arc<str>,
        now: Timestamp,
        look_back: LookBack,
    ) -> Result<Arc<Channel>> {
        let channel = self.gated(|gate| admitted_channel(channel, gate))?;
        if let Some(known) = self.cached.zero_initialized.get(&channel) {
            return Ok(Arc::clone(known));
        }
        self.sums.add(zero_initialized(&channel, now), session, &self.config.bucket_schemas, look_back);
        let channel = Arc::new(channel);
        self.cached.zero_initialized.insert(Arc::clone(&channel));
        Ok(channel)
    }

    /// Lets `act` ask which values and series are admitted.
    fn gated<T>(&mut self, act: impl FnOnce(&mut Gate<'_>) -> T) -> Result<T> {
        let Self { connection, config, cached, sums, changes, charged, .. } = self;
        let Cached { admission, totals, .. } = &mut **cached;
        let mut failed = None;
        let mut exists = |key: &SeriesKey| {
            let found = if sums.deltas.contains_key(key) { Ok(true) } else { totals.has(connection, key) };
            found.unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        };
        let limit = (admission.max_series(), totals.charged());
        let room = Room::of(&config.charges, limit, *changes, charged, &mut exists);
        let done = act(&mut Gate { admission, room });
        failed.map_or(Ok(done), Err)
    }

    fn step(&mut self, facts: &Facts, step: Step, channel: &Channel, look_back: LookBack) -> Result<()> {
        let LedgerConfig { bucket_schemas, extracted, .. } = self.config;
        let additions = self.gated(|gate| additions(facts, step, channel, bucket_schemas, extracted, gate))?;
        self.sums.add(additions, &facts.id, bucket_schemas, look_back);
        Ok(())
    }

    fn reclassify(&mut self, facts: &Facts, found: &Found, look_back: LookBack) -> Result<()> {
        // Without an analysis there is nothing to compare with: a session does not lose the one it had.
        let Some(outcome) = facts.outcome.as_ref().filter(|outcome| !outcome.timed_out) else { return Ok(()) };
        // What is remembered of when an analysis was made counts from the day under which the session was counted.
        let counted_as = found
            .day
            .filter(|day| *day != facts.created.day())
            .map(|day| Facts { created: Timestamp::from_millis(day.saturating_mul(DAY_MS)), ..facts.clone() });
        let (parts, remember) = match classification::judge(found.parts, counted_as.as_ref().unwrap_or(facts), outcome)
        {
            Judgement::Stands => return Ok(()),
            Judgement::Confirmed(remember) => (Vec::new(), remember),
            Judgement::Replaced { parts, remember } => (parts, remember),
        };
        let folded = self.cached.admission.folded();
        let channel = self.channel(&facts.channel, &facts.id, self.now, look_back)?;
        self.cached.admission.keep_folded(folded);
        for part in parts {
            let family = Family::Reclassifications;
            let labels = LabelSet::new(family.descriptor().labels, [channel.agent_id.as_str(), part]);
            let addition = crate::observation::Addition {
                key: SeriesKey { family, labels },
                schema: BucketSchemaId::NONE,
                bucket: 0,
                amount: 1,
                sum: 0,
                at: self.now,
                exemplar: None,
            };
            self.sums.add(vec![addition], &facts.id, &self.config.bucket_schemas, look_back);
        }
        self.cached.counted.update(self.connection, &facts.id, found, remember)
    }

    fn heard(&mut self, id: &Arc<str>, source: Source, now: Timestamp) -> Result<Verdict> {
        if find_pending(self.connection, id)?.is_none() {
            let stage = Stage::Known;
            let pending =
                Pending { id: Arc::clone(id), created: None, stage, ended: None, channel: None, heard: now, source };
            write_pending(self.connection, &pending, false)?;
        }
        Ok(Verdict::Done)
    }

    fn give_up(&mut self, id: &Arc<str>, now: Timestamp) -> Result<Verdict> {
        self.now = self.now.max(now);
        let look_back = self.cached.look_back;
        let Some(pending) = find_pending(self.connection, id)? else { return Ok(Verdict::Done) };
        delete_pending(self.connection, id)?;
        if let (Stage::Open, Some(created)) = (pending.stage, pending.created) {
            // It may come back, and its start is counted.
            self.cached.counted.insert(self.connection, id, created, counted::STARTED_ONLY)?;
        }
        if let (Some(created), Some(channel), Some(at)) = (pending.created, &pending.channel, pending.ended) {
            let outcome = Outcome { timed_out: true, ..Outcome::default() };
            let facts = Facts {
                id: Arc::clone(id),
                created,
                channel: Channel::clone(channel),
                state: String::new(),
                last_activity: None,
                updated: None,
                ended: Some(crate::session::Ended { at, duration_ms: None }),
                outcome: Some(outcome.clone()),
                parts: crate::session::Parts::NONE,
                malformed: Vec::new(),
            };
            self.step(&facts, Step::Outcome, channel, look_back)?;
            self.cached.counted.insert(self.connection, id, created, classification::remember(&facts, &outcome))?;
        }
        Ok(Verdict::Done)
    }

    /// Writes the sums so far, as the look-back stands.
    fn add_up(&mut self) -> Result<Committed> {
        let sums = std::mem::take(&mut self.sums);
        let look_back = self.cached.look_back;
        self.charged = 0;
        let LedgerConfig { bucket_schemas, charges, .. } = self.config;
        self.cached.totals.add(self.connection, sums, bucket_schemas, charges, look_back, self.now)
    }

    fn finish(mut self) -> Result<Committed> {
        self.cached.admission.store(self.connection)?;
        let overflow = self.cached.admission.take_overflow();
        let later = self.add_up()?;
        let mut committed = self.earlier;
        committed.absorb(later);
        if self.now > Timestamp::default() {
            self.cached.counted.forget(self.connection, self.now)?;
        }
        committed.overflow = overflow;
        Ok(committed)
    }
}

const DAY_MS: i64 = 86_400_000;
/// Covers the window of the budget, the validity of a lease and a request's time-out.
const LEASES_KEPT: Duration = Duration::from_secs(120);
pub(super) const INSERT_PENDING: &str =
    "INSERT INTO pending VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, row_added('pending', ?1, ?2, ?3, ?4, ?5, ?6, ?7))";
pub(super) const INSERT_LEASE: &str = "INSERT INTO leases VALUES (?1, ?2, ?3, row_added('leases', ?1, ?2, ?3))";
const PENDING: &str = "id, created, stage, ended, channel, heard, source";

fn find_pending(connection: &Connection, id: &str) -> Result<Option<Pending>> {
    connection
        .prepare_cached(&format!("SELECT {PENDING} FROM pending WHERE id = ?1"))?
        .query_row([id], pending_from)
        .optional()
}

fn read_pending(connection: &Connection) -> Result<Vec<Pending>> {
    let mut channels = HashSet::new();
    let mut statement = connection.prepare(&format!("SELECT {PENDING} FROM pending"))?;
    let rows = statement.query_map([], pending_from)?;
    rows.map(|row| row.map(|pending| Pending { channel: pending.channel.map(|c| shared(c, &mut channels)), ..pending }))
        .collect()
}

/// The channel as the first session of it holds it.
fn shared(channel: Arc<Channel>, channels: &mut HashSet<Arc<Channel>>) -> Arc<Channel> {
    if let Some(known) = channels.get(&channel) {
        return Arc::clone(known);
    }
    channels.insert(Arc::clone(&channel));
    channel
}

fn pending_from(row: &rusqlite::Row<'_>) -> Result<Pending> {
    let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
    let id: String = row.get(0)?;
    let channel: Option<String> = row.get(4)?;
    let channel = channel.map(|text| channel_from(&text)).transpose()?.map(Arc::new);
    Ok(Pending {
        id: id.into(),
        created: time(row.get(1)?),
        stage: Stage::from_code(row.get(2)?),
        ended: time(row.get(3)?),
        channel,
        heard: Timestamp::from_millis(row.get(5)?),
        source: Source::from_code(row.get(6)?),
    })
}

/// The channel is stored as a JSON array of its values.
fn channel_from(text: &str) -> Result<Channel> {
    let values = serde_json::from_str::<[String; CHANNEL.len()]>(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, e.into()))?;
    let [agent_id, session_type, platform, direction] = values;
    Ok(Channel { agent_id, session_type, platform, direction })
}

/// Writes a session in the place of what was known of it, if it was known.
fn write_pending(connection: &Connection, pending: &Pending, is_known: bool) -> Result<()> {
    let channel = pending.channel.as_ref().map(|channel| serde_json::json!(channel.values()).to_string());
    if is_known {
        delete_pending(connection, &pending.id)?;
    }
    connection.prepare_cached(INSERT_PENDING)?.execute((
        &*pending.id,
        pending.created.map(Timestamp::as_millis),
        pending.stage.code(),
        pending.ended.map(Timestamp::as_millis),
        channel,
        pending.heard.as_millis(),
        pending.source.code(),
    ))?;
    Ok(())
}

fn delete_pending(connection: &Connection, id: &str) -> Result<()> {
    let statement = "DELETE FROM pending WHERE id = ?1 RETURNING row_removed('pending', hash)";
    checksums::delete(connection, statement, [id]).map(drop)
}

fn write_lease(connection: &Connection, lease: &Lease) -> Result<()> {
    let old = "DELETE FROM leases WHERE granted < ?1 RETURNING row_removed('leases', hash)";
    checksums::delete(connection, old, [lease.granted.minus(LEASES_KEPT).as_millis()])?;
    // Granted before the clock was set back; from here on they age.
    connection
        .prepare_cached(
            "UPDATE leases SET granted = ?1, hash = row_changed('leases', hash, ?1, count, per_window)
             WHERE granted > ?1",
        )?
        .execute([lease.granted.as_millis()])?;
    connection.prepare_cached(INSERT_LEASE)?.execute((lease.granted.as_millis(), lease.count, lease.per_window))?;
    Ok(())
}

/// Takes back what was not sent of the latest lease.
fn shorten_lease(connection: &Connection, unused: u32) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE leases SET count = max(count - ?1, 0),
             hash = row_changed('leases', hash, granted, max(count - ?1, 0), per_window)
             WHERE rowid = (SELECT max(rowid) FROM leases)",
        )?
        .execute([unused])
        .map(drop)
}

pub(super) fn read_paths(connection: &Connection) -> Result<[Option<u32>; ApiPath::ALL.len()]> {
    let mut places = [None; ApiPath::ALL.len()];
    for (path, place) in ApiPath::ALL.into_iter().zip(&mut places) {
        *place = Meta::Path(path).get(connection)?.and_then(|place| u32::try_from(place).ok());
    }
    Ok(places)
}

fn read_leases(connection: &Connection) -> Result<Vec<Lease>> {
    connection
        .prepare("SELECT granted, count, per_window FROM leases ORDER BY rowid")?
        .query_map([], |row| {
            Ok(Lease { granted: Timestamp::from_millis(row.get(0)?), count: row.get(1)?, per_window: row.get(2)? })
        })?
        .collect()
}
