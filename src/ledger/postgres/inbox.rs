//! The inbox: deliveries that any replica has made durable, until the one that counts has counted them.
//!
//! What is kept of a session is what can be counted of it, and nothing else. A delivery is read as often as it takes and deleted
//! once it is counted; one that is counted and read again is recognised by its session.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::PostgresLedger;
use super::connect::Database;
use super::error::PostgresError;
use super::kept::Kept;
use super::lease::uptime;
use super::upkeep::not_moved;
use crate::clock::Timestamp;
use crate::config::ExtractedField;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::{Change, Commit, CommitOutcome, Ledger, LedgerError};
use crate::session::{Channel, Ended, Extracted, Facts, Outcome, Parts, Source};

/// How long a delivery may take to become durable.
const LIMIT: Duration = Duration::from_secs(8);

/// Deliveries that are put into it again with one statement.
const AT_ONCE: usize = 2_000;

/// The deliveries that are still to be counted. Clones share them.
#[derive(Clone, Debug)]
pub struct Inbox {
    database: Database,
    names: Names,
    /// What was put into it lately.
    kept: Arc<Mutex<Kept<Vec<u8>>>>,
}

/// Tells a delivery from all others. The number alone does not: a standby that is promoted may give the last ones again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryId {
    /// They are not always in the order in which deliveries came.
    number: i64,
    /// When it was written by the clock of the database, in microseconds.
    at_us: i64,
}

/// When a delivery was written, in microseconds.
const AT_US: &str = "(extract(epoch FROM inbox.at) * 1000000)::bigint";

/// A delivery that is still to be counted.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Which one it is.
    pub id: DeliveryId,
    /// What it says. `None`: it makes no sense to this version.
    pub change: Option<Change>,
}

impl Inbox {
    /// The inbox of a database.
    pub fn new(database: Database, policy: &PolicyConfig) -> Self {
        Self { database, names: Names::of(policy), kept: Arc::default() }
    }

    /// Makes sessions durable. Changes that are about no session are left out.
    ///
    /// # Errors
    /// If they are not known to be durable.
    pub async fn put(&self, changes: &[Change]) -> Result<(), PostgresError> {
        let deliveries: Vec<Vec<u8>> = changes.iter().filter_map(|change| encode(change, &self.names)).collect();
        if deliveries.is_empty() {
            return Ok(());
        }
        self.insert(&deliveries).await?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(0, deliveries, uptime());
        Ok(())
    }

    /// Keeps sessions that were counted by this replica, as if they had been put into it.
    pub(super) fn keep(&self, counted: &[Change]) {
        let deliveries = counted.iter().filter_map(|change| encode(change, &self.names)).collect();
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(0, deliveries, uptime());
    }

    /// Puts into it again what was put into it lately: the database may have lost it. What was counted is recognised.
    ///
    /// # Errors
    /// If it is not known to be durable.
    pub(super) async fn put_again(&self) -> Result<(), PostgresError> {
        let deliveries = self.kept.lock().unwrap_or_else(PoisonError::into_inner).all();
        for some in deliveries.chunks(AT_ONCE) {
            self.insert(some).await?;
        }
        Ok(())
    }

    async fn insert(&self, deliveries: &[Vec<u8>]) -> Result<(), PostgresError> {
        let schema = self.database.schema();
        let not_moved = not_moved(schema);
        let insert = format!("INSERT INTO {schema}.inbox (delivery) SELECT * FROM unnest($1) WHERE {not_moved}");
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&deliveries, Type::BYTEA_ARRAY)];
        let connection = self.database.connection().await?;
        let inserted = connection.ask(LIMIT, |client| client.execute_typed(&insert, &parameters)).await?;
        // What nobody would ever count must not be acknowledged.
        if inserted == 0 { Err(PostgresError::Gone { database: self.database.name().into() }) } else { Ok(()) }
    }

    /// The oldest deliveries, `most` of them at most.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn oldest(&self, most: i64) -> Result<Vec<Waiting>, PostgresError> {
        let schema = self.database.schema();
        let query = format!("SELECT number, {AT_US}, delivery FROM {schema}.inbox ORDER BY number LIMIT {most}");
        let connection = self.database.connection().await?;
        let rows = connection.ask(LIMIT, |client| client.query_typed(&query, &[])).await?;
        let waiting = |row: &Row| Waiting {
            id: DeliveryId { number: row.get(0), at_us: row.get(1) },
            change: decode(row.get(2), &self.names),
        };
        Ok(rows.iter().map(waiting).collect())
    }

    /// Deletes deliveries that were counted.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn delete(&self, counted: &[DeliveryId]) -> Result<(), PostgresError> {
        let delete = format!(
            "DELETE FROM {}.inbox USING unnest($1, $2) AS counted (number, at_us) \
             WHERE inbox.number = counted.number AND {AT_US} = counted.at_us",
            self.database.schema()
        );
        let (numbers, times): (Vec<i64>, Vec<i64>) = counted.iter().map(|id| (id.number, id.at_us)).unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&numbers, Type::INT8_ARRAY), (&times, Type::INT8_ARRAY)];
        let connection = self.database.connection().await?;
        connection.ask(LIMIT, |client| client.execute_typed(&delete, &parameters)).await.map(drop)
    }
}

/// Where deliveries are made durable: counted, if this replica counts; else in the inbox.
#[derive(Clone, Debug)]
pub struct DeliveryLedger {
    inbox: Inbox,
    counting: watch::Receiver<Weak<PostgresLedger>>,
}

impl DeliveryLedger {
    /// With the ledger that this replica counts in, while it does.
    pub fn new(inbox: Inbox, counting: watch::Receiver<Weak<PostgresLedger>>) -> Self {
        Self { inbox, counting }
    }
}

impl Ledger for DeliveryLedger {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        let counted = self.counting.borrow().upgrade().map(|ledger| ledger.commit(changes.clone()));
        let inbox = self.inbox.clone();
        Box::pin(async move {
            if let Some(counted) = counted {
                match counted.await {
                    // It counts no more; another replica does.
                    Err(error) if matches!(*error, LedgerError::Closed) => {}
                    answer => return answer,
                }
            }
            inbox.put(&changes).await.map_err(|error| Arc::new(LedgerError::from(error)))?;
            Ok(changes.iter().map(|_| CommitOutcome::Done).collect())
        })
    }
}

/// A delivery as it is stored, as JSON. What is added later must be optional, since replicas of two versions run side by side.
#[derive(Debug, Serialize, Deserialize)]
struct Delivery {
    id: String,
    source: u8,
    /// The API's time, in milliseconds.
    now: i64,
    /// Absent if only the id is known.
    session: Option<Session>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Session {
    created: i64,
    channel: [String; 4],
    state: String,
    last_activity: Option<i64>,
    updated: Option<i64>,
    ended: Option<(i64, Option<u64>)>,
    outcome: Option<Analysis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contact: Option<[u8; 16]>,
    parts: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Analysis {
    timed_out: bool,
    resolution: Option<String>,
    resolution_confidence: Option<u32>,
    sentiment: Option<String>,
    sentiment_score: Option<i32>,
    language: Option<String>,
    intent: Option<String>,
    intent_confidence: Option<u32>,
    /// By the name of the field: a value to be counted, or thousandths to be measured.
    extracted: Vec<(String, Option<String>, Option<u64>)>,
    /// By the name of the session variable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variables: Vec<(String, String)>,
}

/// The fields and variables that the operator has named, which are stored by their names: their places are each replica's own.
#[derive(Clone, Debug, Default)]
pub(in crate::ledger) struct Names {
    extracted: Arc<[ExtractedField]>,
    variables: Arc<[String]>,
}

impl Names {
    /// Those of a configuration.
    pub(in crate::ledger) fn of(policy: &PolicyConfig) -> Self {
        Self { extracted: Arc::clone(&policy.extracted), variables: Arc::clone(&policy.variables) }
    }
}

pub(in crate::ledger) fn encode(change: &Change, names: &Names) -> Option<Vec<u8>> {
    let delivery = match change {
        Change::Session { facts, source, now } => Delivery {
            id: facts.id.to_string(),
            source: source.code(),
            now: now.as_millis(),
            session: Some(session(facts, names)),
        },
        Change::Heard { id, source, now } => {
            Delivery { id: id.to_string(), source: source.code(), now: now.as_millis(), session: None }
        }
        _ => return None,
    };
    serde_json::to_vec(&delivery).ok()
}

fn session(facts: &Facts, names: &Names) -> Session {
    let Facts { created, channel, state, last_activity, updated, ended, outcome, contact, parts, .. } = facts;
    let extracted = |(place, value): &(usize, Extracted)| {
        let name = names.extracted.get(*place)?.field.clone();
        Some(match value {
            Extracted::Value(value) => (name, Some(value.clone()), None),
            Extracted::Number(number) => (name, None, Some(*number)),
        })
    };
    let variable =
        |(place, value): &(usize, String)| names.variables.get(*place).map(|name| (name.clone(), value.clone()));
    let analysis = |outcome: &Outcome| Analysis {
        timed_out: outcome.timed_out,
        resolution: outcome.resolution.clone(),
        resolution_confidence: outcome.resolution_confidence,
        sentiment: outcome.sentiment.clone(),
        sentiment_score: outcome.sentiment_score,
        language: outcome.language.clone(),
        intent: outcome.intent.clone(),
        intent_confidence: outcome.intent_confidence,
        extracted: outcome.extracted.iter().filter_map(extracted).collect(),
        variables: outcome.variables.iter().filter_map(variable).collect(),
    };
    Session {
        created: created.as_millis(),
        channel: channel.values().map(str::to_owned),
        state: state.clone(),
        last_activity: last_activity.map(Timestamp::as_millis),
        updated: updated.map(Timestamp::as_millis),
        ended: ended.as_ref().map(|ended| (ended.at.as_millis(), ended.duration_ms)),
        outcome: outcome.as_ref().map(analysis),
        contact: *contact,
        parts: parts.bits(),
    }
}

/// A delivery as it was stored; `None` if it makes no sense to this version.
pub(in crate::ledger) fn decode(bytes: &[u8], names: &Names) -> Option<Change> {
    let Delivery { id, source, now, session } = serde_json::from_slice(bytes).ok()?;
    let (id, source, now) = (Arc::<str>::from(id), Source::from_code(source), Timestamp::from_millis(now));
    let Some(session) = session else { return Some(Change::Heard { id, source, now }) };
    let [agent_id, session_type, platform, direction] = session.channel;
    let extracted = |(name, value, number): (String, Option<String>, Option<u64>)| {
        let place = names.extracted.iter().position(|field| field.field == name)?;
        Some((place, value.map(Extracted::Value).or_else(|| number.map(Extracted::Number))?))
    };
    let variable =
        |(name, value): (String, String)| Some((names.variables.iter().position(|known| *known == name)?, value));
    let outcome = |analysis: Analysis| Outcome {
        timed_out: analysis.timed_out,
        resolution: analysis.resolution,
        resolution_confidence: analysis.resolution_confidence,
        sentiment: analysis.sentiment,
        sentiment_score: analysis.sentiment_score,
        language: analysis.language,
        intent: analysis.intent,
        intent_confidence: analysis.intent_confidence,
        extracted: analysis.extracted.into_iter().filter_map(extracted).collect(),
        variables: analysis.variables.into_iter().filter_map(variable).collect(),
    };
    let facts = Facts {
        id,
        created: Timestamp::from_millis(session.created),
        channel: Channel { agent_id, session_type, platform, direction },
        state: session.state,
        last_activity: session.last_activity.map(Timestamp::from_millis),
        updated: session.updated.map(Timestamp::from_millis),
        ended: session.ended.map(|(at, duration_ms)| Ended { at: Timestamp::from_millis(at), duration_ms }),
        outcome: session.outcome.map(outcome),
        contact: session.contact,
        parts: Parts::from_bits(session.parts),
        // They were reported where the delivery was taken.
        malformed: Vec::new(),
    };
    Some(Change::Session { facts: Arc::new(facts), source, now })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExtractedKind;
    use crate::ledger::tests::{at, facts};

    fn names(fields: &[&str], variables: &[&str]) -> Names {
        let field =
            |name: &&str| ExtractedField { field: (*name).into(), kind: ExtractedKind::Enum, buckets: Vec::new() };
        Names {
            extracted: fields.iter().map(field).collect(),
            variables: variables.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn delivery_is_read_as_it_was_written_also_under_another_order_of_fields() {
        let mut whole = Facts::clone(&facts("s\0\u{1F600}", Some(5), Some("Refund")));
        whole.updated = Some(at(9));
        whole.contact = Some([7; 16]);
        let extracted = [(0, Extracted::Value("gold".into())), (1, Extracted::Number(1_500))];
        whole.outcome.as_mut().unwrap().extracted = extracted.to_vec();
        whole.outcome.as_mut().unwrap().variables = vec![(0, "spring".into()), (1, "acme".into())];
        let change =
            |facts: &Facts| Change::Session { facts: Arc::new(facts.clone()), source: Source::Webhook, now: at(7) };
        let bytes = encode(&change(&whole), &names(&["plan", "price"], &["campaign", "tenant"])).unwrap();
        let read = decode(&bytes, &names(&["price", "new", "plan"], &["tenant", "campaign"])).unwrap();
        let [plan, price] = extracted;
        whole.outcome.as_mut().unwrap().extracted = vec![(2, plan.1), (0, price.1)];
        whole.outcome.as_mut().unwrap().variables = vec![(1, "spring".into()), (0, "acme".into())];
        assert_eq!(format!("{read:?}"), format!("{:?}", change(&whole)));

        let heard = Change::Heard { id: "s".into(), source: Source::Webhook, now: at(1) };
        let bytes = encode(&heard, &Names::default()).unwrap();
        assert_eq!(format!("{:?}", decode(&bytes, &Names::default()).unwrap()), format!("{heard:?}"));
        assert!(decode(b"{}", &Names::default()).is_none());
        assert!(encode(&Change::OpenListed, &Names::default()).is_none());
    }
}
