//! The durable, exactly-once memory of what has been counted.
//!
//! The seam is narrow on purpose: [`Ledger::commit`] takes a batch of [`Change`]s and answers when they are durable;
//! [`Opened`] holds what was there at the start. What a change means is decided by the [`policy`], which is pure; a backend
//! ([`sqlite`]; one that several replicas share would be another) only loads rows and writes rows.
//!
//! A session's id is the key (promise P1). Nothing of a session is stored but its id, its times, its channel and, once
//! counted, a hash of its id and of its classifications.

mod encoding;
mod hold;
pub mod moving;
pub mod past;
pub mod policy;
pub mod postgres;
mod queue;
pub mod record;
pub mod replay;
pub mod sqlite;
mod starting;
mod system;
#[cfg(test)]
mod tests;
pub mod transfer;

pub use hold::InitialZeroWindows;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use agntix_api::paths::ApiPath;

use crate::catalogue::{Exemplar, SeriesKey, SeriesState};
use crate::clock::Timestamp;
use crate::observation::AgentParts;
use crate::session::{Channel, Facts, MessageTally, Source, Stage};

/// A commit under way.
pub type Commit = Pin<Box<dyn Future<Output = Result<Vec<CommitOutcome>, Arc<LedgerError>>> + Send>>;

/// Called with every commit before it is answered, on the thread that writes; also when the store is found to be gone or back.
pub type Observer = Box<dyn FnMut(Result<Committed, &LedgerError>) + Send>;

/// Takes batches of changes and makes them durable.
pub trait Ledger: Send + Sync {
    /// Makes all of `changes` durable, or none, and then answers with one outcome for each change, in order. Batches are applied
    /// in the order of the calls. Whoever drops the future withdraws the changes, unless they are being written already.
    ///
    /// # Errors
    /// If they are not known to be durable. The same changes may be given again: what was counted is recognised.
    fn commit(&self, changes: Vec<Change>) -> Commit;
}

/// Something to be made durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// A session as observed at `now` (the API's time).
    Session {
        /// What it says.
        facts: Arc<Facts>,
        /// Where it was first heard of.
        source: Source,
        /// The API's time.
        now: Timestamp,
    },
    /// A session of which only the id is known.
    Heard {
        /// Its id.
        id: Arc<str>,
        /// Where it was heard of.
        source: Source,
        /// The API's time.
        now: Timestamp,
    },
    /// A session that the API no longer returns: counted as far as it is known.
    GiveUp {
        /// Its id.
        id: Arc<str>,
        /// The API's time.
        now: Timestamp,
    },
    /// The messages of a counted session were read, or are given up.
    Messages {
        /// Its id.
        id: Arc<str>,
        /// What they come to; `None`: they are given up, and nothing is counted.
        tally: Option<Arc<MessageTally>>,
    },
    /// Series whose initial-zero window is over (promise P3).
    Release(Arc<[SeriesKey]>),
    /// The first start, in the API's time, which must be trusted; a later one changes nothing.
    FirstStart(Timestamp),
    /// Every session created up to here has been heard of.
    Watermark(Timestamp),
    /// The sessions that were open have all been listed once.
    OpenListed,
    /// The look-back is done: from here on nothing belongs into starting values.
    LookBackDone,
    /// The path of a route was found: its place among the spellings.
    Path {
        /// Of which route.
        path: ApiPath,
        /// The place.
        place: u32,
    },
    /// Requests that may be sent from now on, and count as sent after a crash (promise P6).
    Lease(Lease),
    /// So many requests of the latest lease were not sent, and never will be.
    LeaseUnused(u32),
    /// The limit that the API states, in requests a minute; 0 if it states none any more.
    ApiLimit(u32),
}

/// Requests that the budget may spend, made durable before they are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// When it was granted, by this machine's clock.
    pub granted: Timestamp,
    /// How many requests.
    pub count: u32,
    /// The budget of a whole window at that time.
    pub per_window: u32,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum CommitOutcome {
    /// A session that is not yet wholly counted.
    Pending {
        /// How far it is.
        stage: Stage,
        /// The channel it is counted under.
        channel: Arc<Channel>,
    },
    /// The last step of the session was counted by this change.
    Counted {
        /// It ended before the daemon's first start.
        historic: bool,
        /// It was not known before this change.
        new: bool,
    },
    /// The session had been counted before; its messages, where the change is of these, or it was not waiting for them.
    AlreadyCounted,
    /// So had it, and it waits for its messages: whoever counted it may not have heard of that.
    AwaitsMessages,
    /// Created longer ago than sessions are remembered, and not pending: it may have been counted, so it is not.
    TooOld,
    /// The change was no session, and is done.
    Done,
}

/// A session that is not yet wholly counted, as the ledger remembers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The session.
    pub id: Arc<str>,
    /// When it was created, if that is known.
    pub created: Option<Timestamp>,
    /// How far it is.
    pub stage: Stage,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The channel it is counted under; absent while only the id is known.
    pub channel: Option<Arc<Channel>>,
    /// When it was first heard of.
    pub heard: Timestamp,
    /// Where it was first heard of.
    pub source: Source,
}

/// What a ledger holds when it is opened.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what is stored, number by number")]
pub struct Opened {
    /// The sessions that are not yet wholly counted.
    pub pending: Vec<Pending>,
    /// Every series.
    pub series: Vec<SeriesState>,
    /// When the daemon first started, in the API's time.
    pub first_start: Option<Timestamp>,
    /// Whether the look-back of the first start is done.
    pub look_back_done: bool,
    /// Every session created up to here has been heard of.
    pub watermark: Option<Timestamp>,
    /// Whether the sessions that were open have all been listed once.
    pub open_listed: bool,
    /// The requests leased lately, in the order in which they were.
    pub leases: Vec<Lease>,
    /// Which parts of an analysis the sessions of each agent carry: shared with the ledger, which goes on learning.
    pub agents: AgentParts,
    /// The series that are in their initial-zero window: shared with the ledger, which tells of new ones.
    pub windows: InitialZeroWindows,
    /// The state was made just now: nothing has been counted before.
    pub begun: bool,
    /// Other replicas count in it as well, one after the other. The one before may be asleep, and not know that its turn is over.
    pub is_shared: bool,
    /// The limit that the API stated last, in requests a minute.
    pub api_limit: Option<u32>,
    /// By [`ApiPath`]: the place of the path that was found among the spellings.
    pub paths: [Option<u32>; ApiPath::ALL.len()],
}

/// What a commit made durable, for whoever shows it. It is reported before the commit is answered.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// The new states of the series that changed, or of all of them after the store was reopened.
    pub series: Vec<SeriesState>,
    /// The series that began with it, all of which are in their initial-zero window.
    zero_initialized: Vec<SeriesKey>,
    /// The series whose initial-zero window it has ended.
    pub released: Vec<Arc<[SeriesKey]>>,
    /// The sessions behind some of the changes.
    pub exemplars: Vec<Exemplar>,
    /// Label names for which a value was folded into `other`, one entry a time.
    pub overflow: Vec<Box<str>>,
    /// Sessions whose customer is a number that many share.
    pub shared_contacts: u64,
    /// Commits that the database had lost and that were committed again, where several share the ledger.
    pub replayed: u64,
    /// Whether the series are all there are, and stand in place of those before even where they are less: the database has lost
    /// commits for good.
    pub replaces: bool,
    /// Whether it was only read again what is stored: that a commit has failed stays true.
    pub is_read_only: bool,
    /// Whether the database has lost commits, or may have.
    pub has_lost: bool,
}

impl Committed {
    /// Takes in what a later part of the same commit made durable.
    fn absorb(&mut self, later: Self) {
        self.series.extend(later.series);
        self.zero_initialized.extend(later.zero_initialized);
        self.released.extend(later.released);
        self.exemplars.extend(later.exemplars);
        self.overflow.extend(later.overflow);
        self.replaces |= later.replaces;
        self.has_lost |= later.has_lost;
        self.is_read_only |= later.is_read_only;
        self.replayed += later.replayed;
        self.shared_contacts += later.shared_contacts;
    }
}

/// Why the ledger cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process holds the store.
    #[error("the state in {path} is in use by another process; stop it, or give this one another state.path")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A later version wrote the store.
    #[error(
        "the state in {path} was written by a newer version (format {found}, this version knows up to {known}); run that version, or give this one another state.path"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The file is not a ledger, or is broken.
    #[error(
        "the state in {path} is damaged or not an agntix-exporter state ({detail}); nothing was changed: restore it from a backup, keep what is sound with `agntix-exporter state export --salvage`, or move its directory away to start counting anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The directory cannot be made or written.
    #[error(
        "the state directory {path} cannot be used ({detail}); it must be on a local disk and writable by this user, or give another state.path"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The path no longer leads to the open file, so that a restart would not find what is written to it.
    #[error(
        "the state that this process has open is not in {path} any more ({detail}); nothing is counted until it is back: put it back, or stop the exporter, put a whole state there, and start it"
    )]
    Displaced {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        detail: String,
    },
    /// It was moved elsewhere, where the counts have gone on.
    #[error(
        "the state in {path} was moved to {} on {}, and whoever counts in it as well counts twice: use the new one. If nothing was counted there since, `agntix-exporter state reactivate` takes this one into use again",
        moved.to,
        moved.at
    )]
    Moved {
        /// The file.
        path: PathBuf,
        /// Where it has gone.
        moved: transfer::Moved,
    },
    /// The disk is full.
    #[error("the disk of the state in {path} is full; make room")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Any other failure of the store.
    #[error("the state in {path} could not be read or written ({detail})")]
    Io {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The database that replicas share.
    #[error(transparent)]
    Postgres(#[from] postgres::PostgresError),
    /// Too much waits to be written.
    #[error("the state takes changes more slowly than they come, and too many are waiting")]
    Busy,
    /// The writer has stopped.
    #[error("the state is closed")]
    Closed,
}
