//! What a backend loads for the policy, and what it writes for it: plain rows, many at a time, and nothing of how or where
//! they are stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::contacts::ContactKey;
use super::sums::Additions;
use crate::catalogue::SeriesKey;
use crate::clock::Timestamp;
use crate::ledger::{Change, Lease, Pending};
use crate::session::Stage;
use agntix_api::paths::ApiPath;

/// Under which a session is remembered once it is counted: the first 16 bytes of the SHA-256 of its id.
pub(in crate::ledger) type SessionKey = [u8; 16];

/// The key of a session.
pub(in crate::ledger) fn session_key(id: &str) -> SessionKey {
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let mut key = [0; 16];
    key.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    key
}

/// Where a session is remembered as counted, and with which parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct CountedRow {
    /// Hashes of its classifications, or one of the constants in [`classification`](super::classification).
    pub(in crate::ledger) parts: i64,
    /// Under which day; none among the old sessions, which are remembered for good.
    pub(in crate::ledger) day: Option<i64>,
}

/// What is stored of the sessions that a batch of changes is about, before the batch.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Rows {
    /// Of each session of [`wanted_pending`] that is not yet wholly counted.
    pub(in crate::ledger) pending: HashMap<Arc<str>, Pending>,
    /// Of each session of [`wanted_counted`] that is counted.
    pub(in crate::ledger) counted: HashMap<Arc<str>, CountedRow>,
    /// Of each customer of [`wanted_contacts`] what is remembered.
    pub(in crate::ledger) contacts: HashMap<ContactKey, Box<[u8]>>,
    /// What all series are charged (see [`room`](super::room)).
    pub(in crate::ledger) charged: u64,
}

/// The sessions whose pending rows a batch needs; some perhaps more than once.
pub(in crate::ledger) fn wanted_pending(changes: &[Change]) -> impl Iterator<Item = &Arc<str>> {
    changes.iter().filter_map(|change| match change {
        Change::Session { facts, .. } => Some(&facts.id),
        Change::Heard { id, .. } | Change::GiveUp { id, .. } | Change::Messages { id, .. } => Some(id),
        _ => None,
    })
}

/// The sessions whose counted rows a batch needs, and when each says that it was created; some perhaps more than once. A
/// session of which more than the id is pending is not counted, unless only its messages are still to be read.
pub(in crate::ledger) fn wanted_counted<'c>(
    changes: &'c [Change],
    pending: &HashMap<Arc<str>, Pending>,
) -> impl Iterator<Item = (&'c Arc<str>, Timestamp)> {
    changes.iter().filter_map(|change| match change {
        Change::Session { facts, .. }
            if pending.get(&facts.id).is_none_or(|row| matches!(row.stage, Stage::Known | Stage::Messages)) =>
        {
            Some((&facts.id, facts.created))
        }
        _ => None,
    })
}

/// The customers whose rows a batch needs; some perhaps more than once.
pub(in crate::ledger) fn wanted_contacts(changes: &[Change]) -> impl Iterator<Item = ContactKey> {
    changes.iter().filter_map(|change| match change {
        Change::Session { facts, .. } if facts.outcome.is_some() => facts.contact,
        _ => None,
    })
}

/// What is known between the batches, as it is stored.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Known {
    /// Every label value that was admitted.
    pub(in crate::ledger) admitted: Vec<Admitted>,
    /// By agent: what its sessions carry.
    pub(in crate::ledger) agents: Vec<(Box<str>, i64)>,
    /// The days under which sessions are remembered.
    pub(in crate::ledger) days: BTreeSet<i64>,
    /// [`Number::InitialFloor`]
    pub(in crate::ledger) initial_floor: Option<i64>,
    /// [`Number::Floor`]
    pub(in crate::ledger) floor: Option<i64>,
    /// [`Number::FirstStart`]
    pub(in crate::ledger) first_start: Option<Timestamp>,
    /// [`Number::LookBackDone`]
    pub(in crate::ledger) look_back_done: bool,
    /// [`Number::Watermark`]
    pub(in crate::ledger) watermark: Option<Timestamp>,
    /// Agents and types of the sessions of customers, by their numbers.
    pub(in crate::ledger) contact_places: Vec<(Box<str>, Box<str>)>,
}

/// A label value that has series of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct Admitted {
    /// The label.
    pub(in crate::ledger) label: Box<str>,
    /// The agent for which it was admitted; empty for agents themselves.
    pub(in crate::ledger) agent: Box<str>,
    /// The value.
    pub(in crate::ledger) value: Box<str>,
}

/// A single number of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Number {
    /// Milliseconds: when the daemon first started, in the API's time.
    FirstStart,
    /// 1 once the look-back is done.
    LookBackDone,
    /// Milliseconds: every session created up to here has been heard of.
    Watermark,
    /// 1 once the sessions that were open have all been listed.
    OpenListed,
    /// Days: sessions created before it were never remembered by day.
    InitialFloor,
    /// Days: sessions created before it are forgotten.
    Floor,
    /// Requests a minute that the API has said to be the organization's limit; 0 if it says none any more.
    ApiLimit,
    /// The place of the path that was found among the spellings of a route.
    Path(ApiPath),
}

/// What a batch of changes writes, all in one transaction, in the order of the fields.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Writes {
    /// Days whose sessions are remembered for good from now on, and not by day.
    pub(in crate::ledger) keep_for_good: Vec<i64>,
    /// Days under which sessions are remembered from now on.
    pub(in crate::ledger) new_days: BTreeSet<i64>,
    /// Sessions that are not yet wholly counted; each once.
    pub(in crate::ledger) pending: Vec<PendingWrite>,
    /// Sessions that are remembered as counted; each once.
    pub(in crate::ledger) counted: Vec<CountedWrite>,
    /// A day that is forgotten with its sessions.
    pub(in crate::ledger) forget: Option<i64>,
    /// The last of several of the same number stands.
    pub(in crate::ledger) numbers: Vec<(Number, i64)>,
    /// What the sessions of an agent carry; the last of several of the same agent stands.
    pub(in crate::ledger) agents: Vec<(Box<str>, i64)>,
    /// Label values that were not admitted before.
    pub(in crate::ledger) admitted: Vec<Admitted>,
    /// What is remembered of customers; each once.
    pub(in crate::ledger) contacts: Vec<ContactWrite>,
    /// Agents and types that have a number from now on.
    pub(in crate::ledger) contact_places: Vec<(u16, Box<str>, Box<str>)>,
    /// Customers whose newest session ended before it are forgotten; not all of them at once.
    pub(in crate::ledger) forget_contacts: Option<Timestamp>,
    /// Requests that may be sent.
    pub(in crate::ledger) leases: Vec<LeaseWrite>,
    /// What becomes of the series, in this order.
    pub(in crate::ledger) series: Vec<SeriesWrite>,
}

/// What becomes of the row of a session that is not yet wholly counted.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ledger) enum PendingWrite {
    /// There was none.
    Insert(Pending),
    /// There was one.
    Replace(Pending),
    /// It goes.
    Delete(Arc<str>),
}

/// What becomes of the row of a counted session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct CountedWrite {
    /// The session.
    pub(in crate::ledger) key: SessionKey,
    /// The row as it was loaded. One that was not asked for may be there all the same, and is replaced.
    pub(in crate::ledger) before: Option<CountedRow>,
    /// The row as it is to be.
    pub(in crate::ledger) after: Option<CountedRow>,
}

/// What becomes of the row of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct ContactWrite {
    /// The customer.
    pub(in crate::ledger) key: ContactKey,
    /// There was a row.
    pub(in crate::ledger) is_known: bool,
    /// When their newest session ended, in milliseconds.
    pub(in crate::ledger) newest: i64,
    /// What is remembered; nothing: the row goes.
    pub(in crate::ledger) record: Option<Box<[u8]>>,
}

/// A change of the leased requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum LeaseWrite {
    /// A lease is added. Earlier ones that were granted before `forget_before` go, and those that lie in the future count as
    /// granted now.
    Grant {
        /// The lease.
        lease: Lease,
        /// When what was granted does not count any more.
        forget_before: Timestamp,
    },
    /// So many requests of the latest lease are taken back.
    Shorten(u32),
}

/// A change of series.
#[derive(Debug)]
pub(in crate::ledger) enum SeriesWrite {
    /// Amounts are added; series that are not there begin with them.
    Add(Additions),
    /// The initial-zero window of these series is over.
    Release(Arc<[SeriesKey]>),
    /// What each series shows now is its starting value, which is kept.
    Starting,
}
