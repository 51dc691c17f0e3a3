//! What becomes of the page when another server has become the primary: a standby may lack commits that were acknowledged, and
//! that replicas have shown.
//!
//! The row of the lease names the timeline of the database as of which everything that was ever shown is known to be there. While
//! the database is on another timeline, no replica serves a page. Whoever counts settles it: at once if it counted before and
//! after, since it knows each commit and has made those again that were missing; at once if the last commit was synchronous;
//! else when every replica has said how far it had seen and has put into the inbox again what it knows, and that is counted. A
//! replica that says nothing is waited for, but no longer than [`LONGEST`].

use std::collections::HashSet;
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::connect::{Connection, Database};
use super::error::PostgresError;
use super::lease::{Uptime, uptime};
use super::news::{self, Item};
use crate::catalogue::SeriesKey;

/// How long pages wait for it.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// How long to wait between two looks at what the replicas have said.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// How long a question may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The timeline of a primary. The control file says it only after the next checkpoint.
pub(super) const TIMELINE: &str = "left(pg_walfile_name(pg_current_wal_lsn()), 8)";
/// Of the row of the lease, called `l`: whether it is settled. A database in which nothing was counted yet has lost nothing.
pub(super) const IS_SETTLED: &str =
    "(pg_is_in_recovery() OR l.timeline IN ('', left(pg_walfile_name(pg_current_wal_lsn()), 8)))";

/// What is known in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything that was shown is there.
    Whole,
    /// So many commits were seen by a replica and are not there. What the replicas knew of them is counted again.
    Lost(i64),
    /// A replica has not said what it had seen.
    Unknown,
}

/// A replica that begins to count, and has to settle it.
#[derive(Debug)]
pub(super) struct Settlement {
    /// The number of the last commit that was there.
    found: i64,
    is_synchronous: bool,
    began: Uptime,
    looked: Option<Uptime>,
    /// The last delivery that was in the inbox when every replica had said what it knows.
    delivery: Option<i64>,
}

/// What a look finds.
struct Reports {
    is_complete: bool,
    newest: i64,
    /// The numbers of the first and the last delivery in the inbox.
    inbox: Option<(i64, i64)>,
}

impl Settlement {
    /// Begins it.
    pub(super) fn begin(found: i64, is_synchronous: bool) -> Self {
        Self { found, is_synchronous, began: uptime(), looked: None, delivery: None }
    }

    /// How long nothing is to be looked at.
    pub(super) fn wait(&self) -> Duration {
        self.looked.map_or(Duration::ZERO, |looked| (looked + BETWEEN_LOOKS).saturating_sub(uptime()))
    }

    /// Looks at what the replicas have said. `None`: not yet.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(super) async fn look(&mut self, connection: &Connection) -> Result<Option<Verdict>, PostgresError> {
        if self.is_synchronous {
            return Ok(Some(Verdict::Whole));
        }
        let reports = reports(connection).await?;
        self.looked = Some(uptime());
        Ok(self.verdict(&reports, uptime()))
    }

    /// Those of the series in their initial-zero window that may have been shown without it, since the commit that ended it may
    /// be lost: they must not be shown at 0 again. The others go on, so that their first rise is not hidden.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(super) async fn released(
        &self,
        connection: &Connection,
        held: Vec<SeriesKey>,
        window: Duration,
    ) -> Result<Vec<SeriesKey>, PostgresError> {
        // Whoever counted before has committed nothing since this began.
        let recent = recent(connection, window + uptime().saturating_sub(self.began)).await?;
        Ok(released(held, &recent, self.found))
    }

    fn verdict(&mut self, reports: &Reports, now: Uptime) -> Option<Verdict> {
        let is_late = now.saturating_sub(self.began) >= LONGEST;
        let known =
            if reports.newest > self.found { Verdict::Lost(reports.newest - self.found) } else { Verdict::Whole };
        if !reports.is_complete {
            let verdict = if known == Verdict::Whole { Verdict::Unknown } else { known };
            return is_late.then_some(verdict);
        }
        let last = *self.delivery.get_or_insert(reports.inbox.map_or(0, |(_, last)| last));
        let is_counted = reports.inbox.is_none_or(|(first, _)| first > last);
        (is_counted || is_late).then_some(known)
    }
}

/// What a commit began.
struct Begun {
    /// The number of the commit.
    sequence: i64,
    series: Vec<SeriesKey>,
}

/// The commits of the last `span` by the database's clock, with the series that began with each.
async fn recent(connection: &Connection, span: Duration) -> Result<Vec<Begun>, PostgresError> {
    let schema = connection.database().schema();
    let query = format!(
        "SELECT sequence, news FROM {schema}.commits WHERE at > clock_timestamp() - $1 * interval '1 millisecond'"
    );
    let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&span_ms, Type::INT8)];
    let rows = connection.ask(LIMIT, |client| async { client.query_typed(&query, &parameters).await }).await?;
    let begun = |item| if let Item::New { family, labels, .. } = item { news::key(family, &labels) } else { None };
    let commit = |row: &tokio_postgres::Row| {
        let items = news::read(row.get(1)).unwrap_or_default();
        Begun { sequence: row.get(0), series: items.into_iter().filter_map(begun).collect() }
    };
    Ok(rows.iter().map(commit).collect())
}

/// A window lasts at least as long as `recent` reaches back, so that of a series that began in one of these commits it had not
/// ended. What has begun since the commit `found` may have begun before, in commits that are lost: after that one, but when is
/// known only if that one is recent.
fn released(held: Vec<SeriesKey>, recent: &[Begun], found: i64) -> Vec<SeriesKey> {
    if !recent.iter().any(|commit| commit.sequence <= found) {
        return held;
    }
    let begun: HashSet<&SeriesKey> = recent.iter().flat_map(|commit| &commit.series).collect();
    held.into_iter().filter(|key| !begun.contains(key)).collect()
}

async fn reports(connection: &Connection) -> Result<Reports, PostgresError> {
    let schema = connection.database().schema();
    let query = format!(
        "SELECT (SELECT coalesce(bool_and(timeline = {TIMELINE}), true) FROM {schema}.replicas), \
         (SELECT coalesce(max(newest), 0) FROM {schema}.replicas WHERE timeline = {TIMELINE}), \
         (SELECT min(number) FROM {schema}.inbox), (SELECT max(number) FROM {schema}.inbox)"
    );
    let row = connection.ask(LIMIT, |client| client.query_typed_one(&query, &[])).await?;
    let (first, last): (Option<i64>, Option<i64>) = (row.get(2), row.get(3));
    Ok(Reports { is_complete: row.get(0), newest: row.get(1), inbox: first.zip(last) })
}

/// Says to whoever counts how far this replica had seen, after it has put into the inbox again what it knows.
///
/// # Errors
/// If the database does not answer.
pub(super) async fn report(database: &Database, name: &str, newest: i64) -> Result<(), PostgresError> {
    let schema = database.schema();
    let insert = format!(
        "INSERT INTO {schema}.replicas VALUES ($1, clock_timestamp(), {TIMELINE}, $2) ON CONFLICT (name) DO UPDATE \
         SET seen = excluded.seen, timeline = excluded.timeline, newest = excluded.newest"
    );
    let connection = database.connection().await?;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&newest, Type::INT8)];
    connection.ask(LIMIT, |client| client.execute_typed(&insert, &parameters)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use exposition::LabelSet;

    use super::*;
    use crate::catalogue::Family;

    #[test]
    fn windows_go_on_that_no_lost_commit_can_have_ended() {
        let key = |agent: &str| news::key(Family::Languages.code(), &labels(agent)).unwrap();
        let begun = |sequence, agents: &[&str]| Begun { sequence, series: agents.iter().copied().map(key).collect() };
        let held = || ["old", "new", "again"].map(key).to_vec();
        // `again` is counted again by whoever counts now.
        let recent = [begun(10, &["new"]), begun(11, &["again"])];
        assert_eq!(released(held(), &recent, 10), [key("old")]);
        // Nobody knows when it was shown first, which may be long ago.
        assert_eq!(released(held(), &[begun(11, &["again"])], 10), held());
        assert_eq!(released(held(), &[], 10), held());
    }

    fn labels(agent: &str) -> String {
        LabelSet::new(Family::Languages.descriptor().labels, [agent, "en", "resolved", "none"]).as_str().to_owned()
    }

    fn settlement() -> Settlement {
        Settlement { found: 10, is_synchronous: false, began: Uptime::ZERO, looked: None, delivery: None }
    }

    fn reports(is_complete: bool, newest: i64, inbox: Option<(i64, i64)>) -> Reports {
        Reports { is_complete, newest, inbox }
    }

    #[test]
    fn replica_that_says_nothing_is_waited_for_but_not_for_ever() {
        let at = Duration::from_secs;
        assert_eq!(settlement().verdict(&reports(false, 10, None), at(9)), None);
        assert_eq!(settlement().verdict(&reports(false, 10, None), at(10)), Some(Verdict::Unknown));
        assert_eq!(settlement().verdict(&reports(false, 12, None), at(10)), Some(Verdict::Lost(2)));
        assert_eq!(settlement().verdict(&reports(true, 10, None), at(0)), Some(Verdict::Whole));
    }

    #[test]
    fn deliveries_that_were_put_into_the_inbox_again_are_counted_before_pages_are_served() {
        let at = Duration::from_secs;
        let mut settlement = settlement();
        assert_eq!(settlement.verdict(&reports(true, 12, Some((3, 7))), at(1)), None);
        // What comes later is not waited for.
        assert_eq!(settlement.verdict(&reports(true, 12, Some((6, 90))), at(2)), None);
        assert_eq!(settlement.verdict(&reports(true, 12, Some((8, 99))), at(3)), Some(Verdict::Lost(2)));
        assert_eq!(settlement.verdict(&reports(true, 12, Some((5, 99))), at(10)), Some(Verdict::Lost(2)));
    }
}
