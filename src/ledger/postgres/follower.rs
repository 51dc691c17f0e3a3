//! A replica that does not count: it reads what was committed since it last looked, and so knows what to show.
//!
//! It reads from a server that can be written to, in one statement, so that it sees every commit that was acknowledged before it
//! asked. What it has read fits together without gaps: the number of each commit follows that of the one before, and the last
//! one that was read is still there as it was. Else everything is read again.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::connect::{Connection, Database};
use super::error::PostgresError;
use super::gauges::{self, Shown};
use super::lease::{Uptime, uptime};
use super::rows;
use super::schema;
use super::settlement::{IS_SETTLED, TIMELINE};
use super::snapshot::{self, COMMIT_ID, CommitId, Snapshot, commit_id};
use super::statements::milliseconds;
use super::totals::Totals;
use super::upkeep::not_moved;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::{Committed, encoding};

/// How long a read may take; a scrape waits for it.
const LIMIT: Duration = Duration::from_secs(5);

/// How often the servers are asked which of them is the primary, at most.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(2);
/// How often it is read what the sessions of the agents carry, which seldom changes.
const AGENTS_EVERY: Duration = Duration::from_secs(10);

/// What a read has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is new.
    pub(super) committed: Committed,
    /// Whether the page is shown: the look-back is done.
    pub(super) is_published: bool,
    /// The history of the database: it changes when a standby is promoted.
    pub(super) timeline: String,
    /// Who has it, or had it last.
    pub(super) holder: String,
    /// How long it has had it.
    pub(super) since: Duration,
    /// What the replica that counts shows besides, if that is new.
    pub(super) shown: Option<Shown>,
    /// How old that is, new or not.
    pub(super) shown_age: Duration,
}

/// What was read so far.
#[derive(Debug)]
pub(super) struct Follower {
    database: Database,
    /// `ha.lease`
    lease: Duration,
    connection: Option<Connection>,
    config: PolicyConfig,
    /// `None` before everything was read.
    known: Option<Known>,
    /// The number of the last commit that was ever read.
    newest: i64,
    /// The version of the gauges that were read.
    gauges: i64,
    /// When it was read what the sessions of the agents carry.
    agents_read: Option<Uptime>,
    /// The timeline of the database, as of the last read that succeeded.
    timeline: String,
    /// When it was last asked which of the servers is the primary.
    looked_around: Option<Uptime>,
    /// Whether nobody had the lease, as of the last look.
    is_free: bool,
}

#[derive(Debug)]
struct Known {
    totals: Totals,
    /// The last commit that was read; `None` if it is not in the table, as after a fresh start.
    last: Option<CommitId>,
    sequence: i64,
}

/// What one statement says.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Look {
    sequence: i64,
    is_free: bool,
    /// Less than half of the lease is left; it is renewed every third.
    is_overdue: bool,
    holder: String,
    since: Duration,
    is_standby: bool,
    is_settled: bool,
    is_moved: bool,
    is_published: bool,
    gauges: i64,
    /// Of the gauges, if they have another version than those that were read.
    page: Option<Vec<u8>>,
    shown_age: Duration,
    timeline: String,
    /// That of the tables, and the oldest whose programs can use them.
    format: (i32, i32),
    commits: Vec<(CommitId, Vec<u8>)>,
}

impl Follower {
    /// Nothing is read yet.
    pub(super) fn new(database: Database, lease: Duration, config: PolicyConfig) -> Self {
        Self {
            database,
            lease,
            connection: None,
            config,
            known: None,
            newest: 0,
            gauges: 0,
            agents_read: None,
            timeline: String::new(),
            looked_around: None,
            is_free: false,
        }
    }

    /// The number of the last commit that was read.
    pub(super) fn sequence(&self) -> Option<i64> {
        self.known.as_ref().map(|known| known.sequence)
    }

    /// The number of the last commit that was ever read.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// Whether nobody has the lease.
    pub(super) fn is_free(&self) -> bool {
        self.is_free
    }

    /// Everything is to be read again: this replica has counted meanwhile, up to the commit of that number.
    pub(super) fn forget(&mut self, counted_up_to: i64) {
        (self.known, self.gauges) = (None, 0);
        self.newest = self.newest.max(counted_up_to);
    }

    /// Takes a reloaded configuration into effect.
    pub(super) fn reconfigure(&mut self, config: &PolicyConfig) {
        self.config.reload(config);
    }

    /// Reads what is new. `accepts_loss`: what is in the database is taken for what there is, even if more was read before.
    ///
    /// # Errors
    /// If it is not certain that everything was read that was acknowledged before the call.
    pub(super) async fn read(&mut self, accepts_loss: bool) -> Result<Found, PostgresError> {
        self.is_free = false;
        let mut read = self.read_new(accepts_loss).await;
        if matches!(read, Err(PostgresError::Replaced { .. })) {
            // The next connection leads to the server that has taken its place.
            self.connection = None;
            read = self.read_new(accepts_loss).await;
        }
        match read {
            Ok(found) => Ok(found),
            Err(error) => {
                self.connection = None;
                Err(schema::explained(&self.database, error).await)
            }
        }
    }

    async fn read_new(&mut self, accepts_loss: bool) -> Result<Found, PostgresError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connection().await?,
        };
        let connection = self.connection.insert(connection);
        let from = self.known.as_ref().map_or(i64::MAX, |known| known.sequence);
        let mut look = look(connection, from, self.lease, self.gauges).await?;
        if look.is_standby {
            return Err(PostgresError::Standby { database: self.database.name().into() });
        }
        let (version, compatible) = look.format;
        schema::known(&self.database, version, compatible)?;
        if look.is_moved {
            self.is_free = false;
            return Err(PostgresError::Gone { database: self.database.name().into() });
        }
        if look.is_suspicious(self.looked_around) {
            self.looked_around = Some(uptime());
            self.database.find_primary().await;
        }
        if self.database.is_replaced(&look.timeline) {
            return Err(PostgresError::Replaced { database: self.database.name().into() });
        }
        self.is_free = look.is_free;
        if !look.is_settled {
            return Err(PostgresError::Unsettled { database: self.database.name().into() });
        }
        // Since then another server has become the primary, and whoever counts has settled what it lacks.
        let accepts_loss = accepts_loss || self.timeline != look.timeline;
        let has_lost = look.sequence < self.newest || self.known.as_ref().is_some_and(|known| known.is_gone(&look));
        if has_lost && !accepts_loss {
            self.is_free = false;
            let detail = format!("commit {} was read, the last one is {}", self.newest, look.sequence);
            return Err(PostgresError::Lost { database: self.database.name().into(), detail });
        }
        let (version, timeline) = (look.gauges, look.timeline.clone());
        let mut found = Found {
            holder: look.holder.clone(),
            since: look.since,
            shown: look.page.take().map(|page| gauges::decode(&page)),
            shown_age: look.shown_age,
            timeline: look.timeline.clone(),
            is_published: look.is_published,
            committed: Committed::default(),
        };
        let known = self.known.take().filter(|known| !has_lost && known.is_followed_by(&look));
        let learning = known.map_or(Learning::ReadAll, |known| known.learn(look, &self.config));
        let (known, committed) = match learning {
            Learning::Done(learned) => *learned,
            Learning::ReadAll => load(connection, &self.config).await?,
            Learning::Damaged => {
                let detail = "a row of commits makes no sense, or is of a newer version".into();
                return Err(PostgresError::Damaged { database: self.database.name().into(), detail });
            }
        };
        self.newest = known.sequence;
        found.committed = committed;
        (found.committed.replaces, found.committed.has_lost) = (has_lost, has_lost);
        self.timeline = timeline;
        // By what the sessions of an agent carry a delivery is judged that is taken here.
        if self.agents_read.is_none_or(|at| uptime().saturating_sub(at) >= AGENTS_EVERY) {
            self.config.agents.restore(rows::agents(connection).await?);
            self.agents_read = Some(uptime());
        }
        self.gauges = version;
        self.known = Some(known);
        Ok(found)
    }
}

/// What came of the rows that are new.
enum Learning {
    Done(Box<(Known, Committed)>),
    ReadAll,
    Damaged,
}

impl Look {
    /// Whether the lease is not renewed in time: its holder is gone, or renews it on another server, which has become the primary.
    fn is_suspicious(&self, looked_around: Option<Uptime>) -> bool {
        let is_recent = looked_around.is_some_and(|at| uptime().saturating_sub(at) < LOOK_AROUND_EVERY);
        self.is_overdue && !is_recent
    }
}

impl Known {
    /// Whether what was read is not there any more, or is something else.
    fn is_gone(&self, look: &Look) -> bool {
        let first = look.commits.first().map(|(id, _)| *id).filter(|id| id.sequence == self.sequence);
        matches!((self.last, first), (Some(last), Some(first)) if last != first)
    }

    /// Whether the rows go on where this ends. The row of the last commit is there as well, unless nobody needs it any more.
    fn is_followed_by(&self, look: &Look) -> bool {
        let rest = look.commits.iter().filter(|(id, _)| id.sequence > self.sequence);
        let numbers = rest.map(|(id, _)| id.sequence);
        numbers.eq(self.sequence + 1..=look.sequence)
    }

    fn learn(mut self, look: Look, config: &PolicyConfig) -> Learning {
        let mut committed = Committed::default();
        for (id, news) in look.commits {
            if id.sequence > self.sequence {
                let Some(learned) = self.totals.learn(&news, &config.bucket_schemas, config.charges()) else {
                    return Learning::Damaged;
                };
                if learned.is_stale {
                    return Learning::ReadAll;
                }
                committed.absorb(learned.committed);
            }
            (self.sequence, self.last) = (id.sequence, Some(id));
        }
        Learning::Done(Box::new((self, committed)))
    }
}

async fn load(connection: &Connection, config: &PolicyConfig) -> Result<(Known, Committed), PostgresError> {
    let Snapshot { position, last, totals, buckets } = snapshot::load(connection, config).await?;
    for (_, schema) in config.bucket_schemas.iter().skip(1) {
        if buckets.get(&*schema.name).is_some_and(|bounds| *bounds != encoding::bounds(&schema.bounds)) {
            return Err(PostgresError::OtherBuckets { buckets: schema.name.to_string() });
        }
    }
    let committed = Committed { series: totals.all(), ..Committed::default() };
    Ok((Known { totals, last, sequence: position.sequence }, committed))
}

/// `shown` is the version of the gauges that were read.
async fn look(connection: &Connection, from: i64, lease: Duration, shown: i64) -> Result<Look, PostgresError> {
    let half_ms = milliseconds(lease / 2);
    let schema = connection.database().schema();
    let not_moved = not_moved(schema);
    let query = format!(
        "SELECT l.sequence, {IS_SETTLED}, l.expires <= clock_timestamp(), \
         l.expires <= clock_timestamp() + $2 * interval '1 millisecond', l.holder, pg_is_in_recovery(), \
         EXISTS (SELECT 1 FROM {schema}.numbers WHERE name = 'look_back_done' AND value = 1), \
         g.version, \
         CASE WHEN pg_is_in_recovery() THEN '' ELSE {TIMELINE} END, f.version, f.compatible, \
         (extract(epoch FROM clock_timestamp() - l.since) * 1000)::bigint, \
         (extract(epoch FROM clock_timestamp() - g.at) * 1000)::bigint, \
         CASE WHEN g.version <> $3 AND row_number() OVER (ORDER BY c.sequence) = 1 THEN g.page END, {COMMIT_ID}, c.news, \
         NOT {not_moved} \
         FROM {schema}.lease l CROSS JOIN {schema}.format f CROSS JOIN {schema}.gauges g \
         LEFT JOIN {schema}.commits c ON c.sequence >= $1 ORDER BY c.sequence"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&from, Type::INT8), (&half_ms, Type::INT8), (&shown, Type::INT8)];
    let rows = connection.ask(LIMIT, |client| async { client.query_typed(&query, &parameters).await }).await?;
    let Some(row) = rows.first() else {
        let detail = "the row of the lease is missing".into();
        return Err(PostgresError::Damaged { database: connection.database().name().into(), detail });
    };
    // Clocks of servers differ, and a promoted one may be behind.
    let length = |column| Duration::from_millis(u64::try_from(row.get::<_, i64>(column)).unwrap_or_default());
    let commit = |row: &tokio_postgres::Row| Some((commit_id(row, 14)?, row.get(17)));
    Ok(Look {
        sequence: row.get(0),
        is_settled: row.get(1),
        is_free: row.get(2),
        is_overdue: row.get(3),
        holder: row.get(4),
        is_standby: row.get(5),
        is_moved: row.get(18),
        is_published: row.get(6),
        gauges: row.get(7),
        timeline: row.get(8),
        format: (row.get(9), row.get(10)),
        since: length(11),
        shown_age: length(12),
        page: row.get(13),
        commits: rows.iter().filter_map(commit).collect(),
    })
}
