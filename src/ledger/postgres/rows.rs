//! Loads the rows that the policy wants, and turns those that it gives into statements.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::connect::Connection;
use super::error::PostgresError;
use super::statements::{Parameter, Statements};
use super::totals::StoredSeries;
use crate::clock::Timestamp;
use crate::ledger::policy::Policy;
use crate::ledger::policy::contacts::ContactKey;
use crate::ledger::policy::rows::{
    Admitted, ContactWrite, CountedRow, Known, LeaseWrite, Number, PendingWrite, Rows, Writes, session_key,
    wanted_contacts, wanted_counted, wanted_pending,
};
use crate::ledger::{Change, Lease, Pending, encoding};
use crate::session::{Channel, Source, Stage};

/// How long everything that is read at the start may take.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// What is stored besides the series and the counted ids.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// What the policy keeps between the batches.
    pub(super) known: Known,
    /// The sessions that are not yet wholly counted.
    pub(super) pending: Vec<Pending>,
    /// The requests leased lately, in the order in which they were.
    pub(super) requests: Vec<Lease>,
    /// The single numbers, by name.
    pub(super) numbers: HashMap<String, i64>,
}

impl Stored {
    /// A number, if it was ever set.
    pub(super) fn number(&self, number: Number) -> Option<i64> {
        self.numbers.get(encoding::number(number)).copied()
    }
}

/// Reads what is stored besides the series and the counted ids. The database's clock is `ahead_ms` ahead of this machine's.
pub(super) async fn stored(connection: &Connection, ahead_ms: i64) -> Result<Stored, PostgresError> {
    let schema = connection.database().schema();
    let query = async |text: String| connection.ask(LOAD_LIMIT, |client| select(client, text)).await;
    let numbers = query(format!("SELECT name, value FROM {schema}.numbers")).await?;
    let numbers: HashMap<String, i64> = numbers.iter().map(|row| (row.get(0), row.get(1))).collect();
    let damaged = |detail: &str| PostgresError::Damaged {
        database: connection.database().name().into(),
        detail: detail.to_owned(),
    };
    let mut stored = Stored { numbers, ..Stored::default() };
    for row in query(format!("SELECT label, agent, value FROM {schema}.admitted")).await? {
        let (agent, value) = (text(&row, 1), text(&row, 2));
        let (Some(agent), Some(value)) = (agent, value) else { return Err(damaged("a row of admitted")) };
        stored.known.admitted.push(Admitted { label: row.get::<_, &str>(0).into(), agent, value });
    }
    stored.known.agents = agents(connection).await?;
    let days = query(format!("SELECT day FROM {schema}.days")).await?;
    stored.known.days = days.iter().map(|row| row.get(0)).collect();
    stored.known.initial_floor = stored.number(Number::InitialFloor);
    stored.known.floor = stored.number(Number::Floor);
    stored.known.first_start = stored.number(Number::FirstStart).map(Timestamp::from_millis);
    stored.known.look_back_done = stored.number(Number::LookBackDone) == Some(1);
    stored.known.watermark = stored.number(Number::Watermark).map(Timestamp::from_millis);
    for row in query(format!("SELECT agent, session_type FROM {schema}.contact_places ORDER BY number")).await? {
        let (Some(agent), Some(session_type)) = (text(&row, 0), text(&row, 1)) else {
            return Err(damaged("a row of contact_places"));
        };
        stored.known.contact_places.push((agent, session_type));
    }
    let mut channels = HashSet::new();
    for row in query(format!("SELECT {PENDING} FROM {schema}.pending")).await? {
        let pending = pending(&row).ok_or_else(|| damaged("a row of pending"))?;
        stored.pending.push(Pending { channel: pending.channel.map(|c| shared(c, &mut channels)), ..pending });
    }
    for row in query(format!("SELECT granted, count, per_window FROM {schema}.requests ORDER BY place")).await? {
        let number = |column: usize| u32::try_from(row.get::<_, i64>(column)).unwrap_or(u32::MAX);
        let granted = Timestamp::from_millis(row.get::<_, i64>(0).saturating_sub(ahead_ms));
        stored.requests.push(Lease { granted, count: number(1), per_window: number(2) });
    }
    Ok(stored)
}

/// What the sessions of each agent carry.
pub(super) async fn agents(connection: &Connection) -> Result<Vec<(Box<str>, i64)>, PostgresError> {
    let query = format!("SELECT agent, parts FROM {}.agents", connection.database().schema());
    let rows = connection.ask(LOAD_LIMIT, |client| select(client, query)).await?;
    let damaged =
        || PostgresError::Damaged { database: connection.database().name().into(), detail: "a row of agents".into() };
    rows.iter().map(|row| Ok((text(row, 0).ok_or_else(damaged)?, row.get(1)))).collect()
}

async fn select(client: &Client, text: String) -> Result<Vec<Row>, Error> {
    client.query_typed(&text, &[]).await
}

/// The channel as the first session of it holds it.
fn shared(channel: Arc<Channel>, channels: &mut HashSet<Arc<Channel>>) -> Arc<Channel> {
    if let Some(known) = channels.get(&channel) {
        return Arc::clone(known);
    }
    channels.insert(Arc::clone(&channel));
    channel
}

fn text(row: &Row, column: usize) -> Option<Box<str>> {
    std::str::from_utf8(row.get(column)).ok().map(Into::into)
}

const PENDING: &str = "id, created, stage, ended, channel, heard, source";

/// A row of `pending`; `None` if it makes no sense.
pub(super) fn pending(row: &Row) -> Option<Pending> {
    let time = |column: usize| row.get::<_, Option<i64>>(column).map(Timestamp::from_millis);
    let code = |column: usize| u8::try_from(row.get::<_, i16>(column)).unwrap_or(u8::MAX);
    let channel = match row.get::<_, Option<&[u8]>>(4) {
        None => None,
        Some(bytes) => Some(encoding::read_channel(std::str::from_utf8(bytes).ok()?).ok()?.into()),
    };
    Some(Pending {
        id: text(row, 0)?.into(),
        created: time(1),
        stage: Stage::from_code(code(2)),
        ended: time(3),
        channel,
        heard: time(5)?,
        source: Source::from_code(code(6)),
    })
}

/// The rows that a batch of changes wants: both questions are asked at once.
pub(super) async fn load(
    connection: &Connection,
    policy: &Policy,
    changes: &[Change],
    limit: Duration,
) -> Result<Rows, PostgresError> {
    let mut ids: Vec<&Arc<str>> = wanted_pending(changes).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Rows::default();
    if ids.is_empty() {
        return Ok(rows);
    }
    let schema = connection.database().schema();
    let names: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
    let keys: Vec<_> = ids.iter().map(|id| session_key(id)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 16]>::as_slice).collect();
    let pending_query = format!("SELECT {PENDING} FROM {schema}.pending WHERE id = ANY($1)");
    let counted_query = format!("SELECT key, parts, day FROM {schema}.counted WHERE key = ANY($1)");
    let (pending_rows, counted_rows) = connection
        .ask(limit, |client| async {
            let (names, keys) = (&names as &(dyn ToSql + Sync), &keys as &(dyn ToSql + Sync));
            let (names, keys) = ([(names, Type::BYTEA_ARRAY)], [(keys, Type::BYTEA_ARRAY)]);
            tokio::try_join!(client.query_typed(&pending_query, &names), client.query_typed(&counted_query, &keys))
        })
        .await?;
    for row in pending_rows {
        let found = pending(&row).ok_or_else(|| PostgresError::Damaged {
            database: connection.database().name().into(),
            detail: "a row of pending".into(),
        })?;
        rows.pending.insert(Arc::clone(&found.id), found);
    }
    let mut found = HashMap::new();
    for row in &counted_rows {
        let counted = CountedRow { parts: row.get(1), day: row.get(2) };
        // The rows of a day that was forgotten go bit by bit.
        if counted.day.is_none_or(|day| policy.retention().remembers(day)) {
            found.insert(row.get::<_, &[u8]>(0), counted);
        }
    }
    let counted = wanted_counted(changes, &rows.pending)
        .filter_map(|(id, _)| Some((Arc::clone(id), *found.get(session_key(id).as_slice())?)));
    rows.counted = counted.collect();
    rows.contacts = contacts(connection, changes, limit).await?;
    Ok(rows)
}

/// What is remembered of the customers of a batch; nothing is asked where none is to be recognised.
async fn contacts(
    connection: &Connection,
    changes: &[Change],
    limit: Duration,
) -> Result<HashMap<ContactKey, Box<[u8]>>, PostgresError> {
    let keys: Vec<ContactKey> = wanted_contacts(changes).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 16]>::as_slice).collect();
    let query = format!("SELECT key, record FROM {}.contacts WHERE key = ANY($1)", connection.database().schema());
    let keys: [(&(dyn ToSql + Sync), Type); 1] = [(&keys, Type::BYTEA_ARRAY)];
    let rows = connection.ask(limit, |client| client.query_typed(&query, &keys)).await?;
    let row = |row: &Row| Some((row.get::<_, &[u8]>(0).try_into().ok()?, row.get::<_, &[u8]>(1).into()));
    Ok(rows.iter().filter_map(row).collect())
}

fn write_contacts(
    statements: &mut Statements,
    schema: &str,
    contacts: Vec<ContactWrite>,
    places: &[(u16, Box<str>, Box<str>)],
) {
    if !places.is_empty() {
        let insert = format!("INSERT INTO {schema}.contact_places SELECT * FROM unnest($1, $2, $3)");
        let text = |text: &str| text.as_bytes().to_vec();
        let parameters = vec![
            array(column(places, |place| i32::from(place.0)), Type::INT4_ARRAY),
            array(column(places, |place| text(&place.1)), Type::BYTEA_ARRAY),
            array(column(places, |place| text(&place.2)), Type::BYTEA_ARRAY),
        ];
        statements.push(insert, parameters);
    }
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for ContactWrite { key, newest, record, .. } in contacts {
        match record {
            Some(record) => kept.push((key.to_vec(), newest, record.into_vec())),
            None => gone.push(key.to_vec()),
        }
    }
    if !kept.is_empty() {
        kept.sort_unstable();
        let insert = format!(
            "INSERT INTO {schema}.contacts SELECT * FROM unnest($1, $2, $3) \
             ON CONFLICT (key) DO UPDATE SET newest = excluded.newest, record = excluded.record"
        );
        let parameters = vec![
            array(column(&kept, |row| row.0.clone()), Type::BYTEA_ARRAY),
            array(column(&kept, |row| row.1), Type::INT8_ARRAY),
            array(column(&kept, |row| row.2.clone()), Type::BYTEA_ARRAY),
        ];
        statements.push(insert, parameters);
    }
    if !gone.is_empty() {
        gone.sort_unstable();
        let delete = format!("DELETE FROM {schema}.contacts WHERE key = ANY($1)");
        statements.push(delete, vec![array(gone, Type::BYTEA_ARRAY)]);
    }
}

/// What a batch writes besides the series, as statements; rows in the order of their keys, so that no two transactions can
/// wait for each other. `requests` are the requests leased lately, and how far the database's clock is ahead of this machine's.
pub(super) fn write(statements: &mut Statements, schema: &str, writes: Writes, requests: (&mut Vec<Lease>, i64)) {
    let Writes { keep_for_good, new_days, pending, counted, forget, numbers, agents, admitted, .. } = writes;
    // Series are the caller's, and customers that are too old are deleted while nothing else is to be done.
    let Writes { contacts, contact_places, leases, series: _, forget_contacts: _, .. } = writes;
    if !keep_for_good.is_empty() {
        let days = || vec![array(keep_for_good.clone(), Type::INT8_ARRAY)];
        statements.push(format!("UPDATE {schema}.counted SET day = NULL WHERE day = ANY($1)"), days());
        statements.push(format!("DELETE FROM {schema}.days WHERE day = ANY($1)"), days());
    }
    if !new_days.is_empty() {
        let days: Vec<i64> = new_days.into_iter().collect();
        let insert = format!("INSERT INTO {schema}.days SELECT * FROM unnest($1) ON CONFLICT (day) DO NOTHING");
        statements.push(insert, vec![array(days, Type::INT8_ARRAY)]);
    }
    write_pending(statements, schema, pending);
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for write in counted {
        match write.after {
            Some(row) => kept.push((write.key, row)),
            None => gone.push(write.key.to_vec()),
        }
    }
    if !kept.is_empty() {
        kept.sort_unstable_by_key(|(key, _)| *key);
        // A row that was not asked for may be there: of a session that was forgotten, say.
        let insert = format!(
            "INSERT INTO {schema}.counted SELECT * FROM unnest($1, $2, $3) \
             ON CONFLICT (key) DO UPDATE SET parts = excluded.parts, day = excluded.day"
        );
        statements.push(
            insert,
            vec![
                array(kept.iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>(), Type::BYTEA_ARRAY),
                array(kept.iter().map(|(_, row)| row.parts).collect::<Vec<_>>(), Type::INT8_ARRAY),
                array(kept.iter().map(|(_, row)| row.day).collect::<Vec<_>>(), Type::INT8_ARRAY),
            ],
        );
    }
    if !gone.is_empty() {
        gone.sort_unstable();
        let delete = format!("DELETE FROM {schema}.counted WHERE key = ANY($1)");
        statements.push(delete, vec![array(gone, Type::BYTEA_ARRAY)]);
    }
    if let Some(day) = forget {
        statements.push(format!("DELETE FROM {schema}.days WHERE day = $1"), vec![(Box::new(day), Type::INT8)]);
    }
    if !numbers.is_empty() {
        // The last of several of the same name stands.
        let numbers: std::collections::BTreeMap<_, _> =
            numbers.into_iter().map(|(number, value)| (encoding::number(number), value)).collect();
        upsert(statements, schema, "numbers", "name", "value", (Type::TEXT_ARRAY, Type::INT8_ARRAY), numbers);
    }
    if !agents.is_empty() {
        let agents: std::collections::BTreeMap<_, _> =
            agents.into_iter().map(|(agent, parts)| (agent.as_bytes().to_vec(), parts)).collect();
        upsert(statements, schema, "agents", "agent", "parts", (Type::BYTEA_ARRAY, Type::INT8_ARRAY), agents);
    }
    if !admitted.is_empty() {
        let mut admitted = admitted;
        admitted.sort_unstable();
        let column =
            |of: fn(&Admitted) -> &str| admitted.iter().map(|row| of(row).as_bytes().to_vec()).collect::<Vec<_>>();
        let insert = format!("INSERT INTO {schema}.admitted SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING");
        statements.push(
            insert,
            vec![
                array(admitted.iter().map(|row| row.label.to_string()).collect::<Vec<_>>(), Type::TEXT_ARRAY),
                array(column(|row| &row.agent), Type::BYTEA_ARRAY),
                array(column(|row| &row.value), Type::BYTEA_ARRAY),
            ],
        );
    }
    write_contacts(statements, schema, contacts, &contact_places);
    if !leases.is_empty() {
        write_requests(statements, schema, &leases, requests);
    }
}

fn write_pending(statements: &mut Statements, schema: &str, pending: Vec<PendingWrite>) {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for write in pending {
        match write {
            PendingWrite::Insert(row) | PendingWrite::Replace(row) => kept.push(row),
            PendingWrite::Delete(id) => gone.push(id.as_bytes().to_vec()),
        }
    }
    if !kept.is_empty() {
        kept.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let insert = format!(
            "INSERT INTO {schema}.pending ({PENDING}) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (id) DO UPDATE SET created = excluded.created, stage = excluded.stage, ended = excluded.ended, \
             channel = excluded.channel, heard = excluded.heard, source = excluded.source"
        );
        let channel = |row: &Pending| row.channel.as_deref().map(|channel| encoding::channel(channel).into_bytes());
        let parameters = vec![
            array(column(&kept, |row: &Pending| row.id.as_bytes().to_vec()), Type::BYTEA_ARRAY),
            array(column(&kept, |row| row.created.map(Timestamp::as_millis)), Type::INT8_ARRAY),
            array(column(&kept, |row| i16::from(row.stage.code())), Type::INT2_ARRAY),
            array(column(&kept, |row| row.ended.map(Timestamp::as_millis)), Type::INT8_ARRAY),
            array(column(&kept, channel), Type::BYTEA_ARRAY),
            array(column(&kept, |row| row.heard.as_millis()), Type::INT8_ARRAY),
            array(column(&kept, |row| i16::from(row.source.code())), Type::INT2_ARRAY),
        ];
        statements.push(insert, parameters);
    }
    if !gone.is_empty() {
        gone.sort_unstable();
        let delete = format!("DELETE FROM {schema}.pending WHERE id = ANY($1)");
        statements.push(delete, vec![array(gone, Type::BYTEA_ARRAY)]);
    }
}

/// They are few: all of them are written whenever one changes.
fn write_requests(
    statements: &mut Statements,
    schema: &str,
    writes: &[LeaseWrite],
    (requests, ahead_ms): (&mut Vec<Lease>, i64),
) {
    for write in writes {
        match write {
            LeaseWrite::Grant { lease, forget_before } => {
                requests.retain(|known| known.granted >= *forget_before);
                // Granted before the clock was set back; from here on they age.
                for known in requests.iter_mut() {
                    known.granted = known.granted.min(lease.granted);
                }
                requests.push(*lease);
            }
            LeaseWrite::Shorten(unused) => {
                if let Some(last) = requests.last_mut() {
                    last.count = last.count.saturating_sub(*unused);
                }
            }
        }
    }
    statements.push(format!("DELETE FROM {schema}.requests"), Vec::new());
    let column = |of: &dyn Fn(&Lease) -> i64| array(requests.iter().map(of).collect::<Vec<_>>(), Type::INT8_ARRAY);
    let places: Vec<i32> = (0..).take(requests.len()).collect();
    let insert = format!("INSERT INTO {schema}.requests SELECT * FROM unnest($1, $2, $3, $4)");
    let parameters = vec![
        array(places, Type::INT4_ARRAY),
        column(&|lease| lease.granted.as_millis().saturating_add(ahead_ms)),
        column(&|lease| lease.count.into()),
        column(&|lease| lease.per_window.into()),
    ];
    statements.push(insert, parameters);
}

/// Writes numbers by name.
fn upsert<K: ToSql + Sync + Send + std::fmt::Debug + 'static>(
    statements: &mut Statements,
    schema: &str,
    table: &str,
    key: &str,
    value: &str,
    (keys, values): (Type, Type),
    rows: std::collections::BTreeMap<K, i64>,
) {
    let (names, numbers): (Vec<K>, Vec<i64>) = rows.into_iter().unzip();
    let insert = format!(
        "INSERT INTO {schema}.{table} SELECT * FROM unnest($1, $2) ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}"
    );
    statements.push(insert, vec![array(names, keys), array(numbers, values)]);
}

/// The series as they are stored.
pub(super) fn write_series(statements: &mut Statements, schema: &str, series: &[StoredSeries]) {
    let insert = format!(
        "INSERT INTO {schema}.series SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (id) DO UPDATE SET created = excluded.created, counts = excluded.counts, held = excluded.held"
    );
    let held = |row: &StoredSeries| row.state.held_counts.as_deref().map(encoding::counts);
    let parameters = vec![
        array(column(series, |row| i32::try_from(row.id).unwrap_or(i32::MAX)), Type::INT4_ARRAY),
        array(column(series, |row| i16::from(row.family)), Type::INT2_ARRAY),
        array(column(series, |row| row.labels.as_bytes().to_vec()), Type::BYTEA_ARRAY),
        array(column(series, |row| row.buckets.to_string()), Type::TEXT_ARRAY),
        array(column(series, |row| row.state.created_ms), Type::INT8_ARRAY),
        array(column(series, |row| encoding::counts(&row.state.counts)), Type::BYTEA_ARRAY),
        array(column(series, held), Type::BYTEA_ARRAY),
    ];
    statements.push(insert, parameters);
}

/// Writes numbers by their names, each once.
pub(super) fn write_numbers(statements: &mut Statements, schema: &str, numbers: Vec<(String, i64)>) {
    if numbers.is_empty() {
        return;
    }
    let insert = format!(
        "INSERT INTO {schema}.numbers SELECT * FROM unnest($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    );
    let (names, values): (Vec<String>, Vec<i64>) = numbers.into_iter().unzip();
    statements.push(insert, vec![array(names, Type::TEXT_ARRAY), array(values, Type::INT8_ARRAY)]);
}

fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn array<T: ToSql + Sync + Send + 'static>(values: Vec<T>, kind: Type) -> Parameter {
    (Box::new(values), kind)
}
