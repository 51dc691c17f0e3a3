//! A state taken in line by line, in one transaction: all of it is there afterwards, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, CopyInSink, Error};

use super::turn::Turn;
use super::{ask, place};
use crate::ledger::encoding;
use crate::ledger::policy::contacts;
use crate::ledger::postgres::connect::Database;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::transfer::{AGENT_PARTS, Line, Pending, Refusal, Series, UpkeepError, contact_of, session_key_of};

/// Rows that are written at once.
const AT_ONCE: usize = 10_000;

/// A transaction that writes a state.
#[derive(Debug)]
pub(super) struct Sink {
    client: Client,
    database: Database,
    tables: BTreeMap<Table, Vec<Vec<Value>>>,
    series: i32,
    requests: i32,
    days: BTreeSet<i64>,
}

type Value = Box<dyn ToSql + Sync + Send>;

/// What lines become rows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Numbers,
    Agents,
    Buckets,
    Admitted,
    Series,
    Pending,
    Requests,
    ContactPlaces,
    Contacts,
    Counted,
    Days,
}

impl Table {
    const ALL: [Self; 11] = [
        Self::Numbers,
        Self::Agents,
        Self::Buckets,
        Self::Admitted,
        Self::Series,
        Self::Pending,
        Self::Requests,
        Self::ContactPlaces,
        Self::Contacts,
        Self::Counted,
        Self::Days,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Agents => "agents",
            Self::Buckets => "buckets",
            Self::Admitted => "admitted",
            Self::Series => "series",
            Self::Pending => "pending",
            Self::Requests => "requests",
            Self::ContactPlaces => "contact_places",
            Self::Contacts => "contacts",
            Self::Counted => "counted",
            Self::Days => "days",
        }
    }

    /// The columns, as they are declared.
    const fn columns(self) -> &'static [(&'static str, Type)] {
        match self {
            Self::Numbers => &[("name", Type::TEXT), ("value", Type::INT8)],
            Self::Agents => &[("agent", Type::BYTEA), ("parts", Type::INT8)],
            Self::Buckets => &[("name", Type::TEXT), ("bounds", Type::TEXT)],
            Self::Admitted => &[("label", Type::TEXT), ("agent", Type::BYTEA), ("value", Type::BYTEA)],
            Self::Series => &[
                ("id", Type::INT4),
                ("family", Type::INT2),
                ("labels", Type::BYTEA),
                ("buckets", Type::TEXT),
                ("created", Type::INT8),
                ("counts", Type::BYTEA),
                ("held", Type::BYTEA),
            ],
            Self::Pending => &[
                ("id", Type::BYTEA),
                ("created", Type::INT8),
                ("stage", Type::INT2),
                ("ended", Type::INT8),
                ("channel", Type::BYTEA),
                ("heard", Type::INT8),
                ("source", Type::INT2),
            ],
            Self::Requests => {
                &[("place", Type::INT4), ("granted", Type::INT8), ("count", Type::INT8), ("per_window", Type::INT8)]
            }
            Self::ContactPlaces => &[("number", Type::INT4), ("agent", Type::BYTEA), ("session_type", Type::BYTEA)],
            Self::Contacts => &[("key", Type::BYTEA), ("newest", Type::INT8), ("record", Type::BYTEA)],
            Self::Counted => &[("key", Type::BYTEA), ("parts", Type::INT8), ("day", Type::INT8)],
            Self::Days => &[("day", Type::INT8)],
        }
    }
}

impl Sink {
    /// Begins the transaction.
    ///
    /// # Errors
    /// [`UpkeepError::NotEmpty`] if there is anything already.
    pub(super) async fn begin(client: Client, database: &Database) -> Result<Self, UpkeepError> {
        ask(database, client.batch_execute("BEGIN")).await?;
        let sink = Self {
            client,
            database: database.clone(),
            tables: BTreeMap::new(),
            series: 0,
            requests: 0,
            days: BTreeSet::new(),
        };
        sink.refuse_occupied().await?;
        Ok(sink)
    }

    async fn refuse_occupied(&self) -> Result<(), UpkeepError> {
        let schema = self.database.schema();
        let mut found = Vec::new();
        for table in Table::ALL.map(Table::name).into_iter().chain(["inbox"]) {
            let count = format!("SELECT count(*) FROM {schema}.{table}");
            let rows: i64 = ask(&self.database, self.client.query_typed_one(&count, &[])).await?.get(0);
            if rows > 0 {
                found.push(format!("{rows} rows of {table}"));
            }
        }
        let sequence = format!("SELECT sequence FROM {schema}.lease");
        let sequence: i64 = ask(&self.database, self.client.query_typed_one(&sequence, &[])).await?.get(0);
        if sequence > 0 {
            found.push(format!("{sequence} commits"));
        }
        if found.is_empty() {
            return Ok(());
        }
        let schema = schema.to_owned();
        Err(UpkeepError::NotEmpty { place: place(&self.database), found: found.join(", "), schema })
    }

    /// Takes a line in.
    pub(super) async fn take(&mut self, line: Line) -> Result<(), Refusal> {
        let (table, row) = self.row(line)?;
        let Some(table) = table else { return Ok(()) };
        let rows = self.tables.entry(table).or_default();
        rows.push(row);
        if rows.len() >= AT_ONCE {
            let rows = std::mem::take(rows);
            self.write(table, rows).await?;
        }
        Ok(())
    }

    fn row(&mut self, line: Line) -> Result<(Option<Table>, Vec<Value>), Refusal> {
        let (table, row): (Table, Vec<Value>) = match line {
            Line::AgntixExporterState { .. } | Line::End { .. } => return Ok((None, Vec::new())),
            Line::Meta(key, value) => match key.strip_prefix(AGENT_PARTS) {
                Some(agent) => (Table::Agents, vec![Box::new(agent.as_bytes().to_vec()), Box::new(value)]),
                None => (Table::Numbers, vec![Box::new(key), Box::new(value)]),
            },
            Line::Layout(name, bounds) => (Table::Buckets, vec![Box::new(name), Box::new(bounds)]),
            Line::Admitted(label, agent, value) => {
                (Table::Admitted, vec![Box::new(label), Box::new(agent.into_bytes()), Box::new(value.into_bytes())])
            }
            Line::Series(series) => {
                let family = series.family().map_err(Refusal::Line)?;
                let labels = series.current_labels(family).map_err(Refusal::Line)?;
                let family = i16::from(family.code());
                let Series { layout, created, cells, held, .. } = series;
                let id = self.series;
                self.series += 1;
                let (labels, counts) = (labels.as_str().as_bytes().to_vec(), encoding::counts(&cells));
                let held = held.as_deref().map(encoding::counts);
                let row: Vec<Value> = vec![
                    Box::new(id),
                    Box::new(family),
                    Box::new(labels),
                    Box::new(layout),
                    Box::new(created),
                    Box::new(counts),
                    Box::new(held),
                ];
                (Table::Series, row)
            }
            Line::Pending(Pending { id, created, stage, ended, channel, heard, source }) => {
                let channel = channel.map(|channel| serde_json::json!(channel).to_string().into_bytes());
                let row: Vec<Value> = vec![
                    Box::new(id.into_bytes()),
                    Box::new(created),
                    Box::new(i16::from(stage)),
                    Box::new(ended),
                    Box::new(channel),
                    Box::new(heard),
                    Box::new(i16::from(source)),
                ];
                (Table::Pending, row)
            }
            Line::ContactPlace(number, agent, session_type) => {
                let number = i32::try_from(number).map_err(|_| Refusal::Line("there is no such number".into()))?;
                let row: Vec<Value> =
                    vec![Box::new(number), Box::new(agent.into_bytes()), Box::new(session_type.into_bytes())];
                (Table::ContactPlaces, row)
            }
            Line::Contact(key, record) => {
                let (key, record) = contact_of(&key, &record).map_err(Refusal::Line)?;
                let newest = contacts::newest(&record).map_or(0, crate::clock::Timestamp::as_millis);
                (Table::Contacts, vec![Box::new(key), Box::new(newest), Box::new(record)])
            }
            Line::Lease(granted, count, per_window) => {
                let place = self.requests;
                self.requests += 1;
                (Table::Requests, vec![Box::new(place), Box::new(granted), Box::new(count), Box::new(per_window)])
            }
            Line::Counted { day, id, parts } => {
                self.days.extend(day);
                let key = session_key_of(&id).map_err(Refusal::Line)?.to_vec();
                (Table::Counted, vec![Box::new(key), Box::new(parts), Box::new(day)])
            }
        };
        Ok((Some(table), row))
    }

    async fn write(&self, table: Table, rows: Vec<Vec<Value>>) -> Result<(), UpkeepError> {
        let columns: Vec<&str> = table.columns().iter().map(|(name, _)| *name).collect();
        let types: Vec<Type> = table.columns().iter().map(|(_, kind)| kind.clone()).collect();
        let (schema, name) = (self.database.schema(), table.name());
        let copy = format!("COPY {schema}.{name} ({}) FROM STDIN BINARY", columns.join(", "));
        let written = ask(&self.database, write_rows(&self.client, &copy, &types, &rows)).await;
        written.map(drop).map_err(|error| {
            // A series is known by its labels, of which two may be the same; that shows when all are read.
            if error.has_code(&SqlState::UNIQUE_VIOLATION) {
                UpkeepError::Twice { what: name.to_owned() }
            } else {
                error.into()
            }
        })
    }

    /// Writes what is left, and gives the connection, whose transaction has not ended.
    ///
    /// # Errors
    /// If it cannot be written, or histograms have buckets that no line says.
    pub(super) async fn written(mut self) -> Result<Client, UpkeepError> {
        let days: Vec<Vec<Value>> = self.days.iter().map(|day| vec![Box::new(*day) as Value]).collect();
        self.tables.insert(Table::Days, days);
        for (table, rows) in std::mem::take(&mut self.tables) {
            if !rows.is_empty() {
                self.write(table, rows).await?;
            }
        }
        let schema = self.database.schema();
        let strange = format!(
            "SELECT buckets FROM {schema}.series WHERE buckets <> '' \
             AND buckets NOT IN (SELECT name FROM {schema}.buckets) LIMIT 1"
        );
        if let Some(row) = ask(&self.database, self.client.query_typed_opt(&strange, &[])).await? {
            let detail = format!("no line has the buckets {:?}", row.get::<_, String>(0));
            return Err(PostgresError::Damaged { database: self.database.name().into(), detail }.into());
        }
        Ok(self.client)
    }
}

async fn write_rows(client: &Client, copy: &str, types: &[Type], rows: &[Vec<Value>]) -> Result<u64, Error> {
    let sink: CopyInSink<bytes::Bytes> = client.copy_in(copy).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    for row in rows {
        let row: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await
}

/// Ends the transaction of a state that is all there: it is the first commit, and whoever asks for the lease gets it.
pub(super) async fn commit(client: &Client, turn: &Turn) -> Result<(), UpkeepError> {
    let (database, schema) = (&turn.database, turn.database.schema());
    let update = format!(
        "UPDATE {schema}.lease SET sequence = CASE WHEN epoch = $1 AND sequence = $2 THEN 1 END, folded = 1, \
         epoch = epoch + 1, expires = to_timestamp(0)"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&turn.epoch, Type::INT8), (&turn.sequence, Type::INT8)];
    ask(database, client.execute_typed(&update, &parameters)).await.map_err(PostgresError::of_fenced)?;
    ask(database, client.batch_execute("COMMIT")).await?;
    Ok(())
}
