//! An open ledger file: opened, committed to, and closed again if that fails.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result, TransactionBehavior};

use super::checksums::Checksums;
use super::contacts::{self, Sweep};
use super::counted::CountedTables;
use super::in_place::{Fault, InPlace};
use super::mark::Mark;
use super::totals::{self, Totals};
use super::{backup, begin, leases, meta, new_ids, pending, rows, schema, series};
use crate::catalogue::SeriesKey;
use crate::config::Config;
use crate::ledger::policy::rows::Number;
use crate::ledger::policy::{Decision, Policy, PolicyConfig};
use crate::ledger::{Change, CommitOutcome, Committed, InitialZeroWindows, LedgerError, Opened};

/// What the ledger needs of the configuration.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// `state.path`
    pub directory: PathBuf,
    /// What decides how sessions are counted.
    pub policy: PolicyConfig,
}

impl From<&Config> for LedgerConfig {
    fn from(config: &Config) -> Self {
        Self { directory: config.state.path.clone(), policy: PolicyConfig::from(config) }
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
    policy: Policy,
    counted: CountedTables,
    totals: Totals,
    sweep: Sweep,
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
        if let Some(moved) = meta::moved(&connection).map_err(|e| schema::writing_error(&path, &e))? {
            return Err(LedgerError::Moved { path, moved });
        }
        let opened = (|| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            totals::catch_up_after_crash(&connection)?;
            new_ids::catch_up(&connection, &checksums)?;
            series::carry_over(&connection, &config.policy.bucket_schemas)?;
            if config.policy.windows.is_empty() {
                contacts::forget_all(&connection)?;
            }
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
            let look_back = self.cached.policy.look_back();
            Ok(Opened {
                pending: pending::load(&self.connection)?,
                series: series::load(&self.connection, &self.config.policy.bucket_schemas)?,
                first_start: look_back.first_start,
                look_back_done: look_back.done,
                watermark: self.cached.policy.watermark(),
                open_listed: meta::is_set(&self.connection, Number::OpenListed)?,
                leases: leases::load(&self.connection)?,
                agents: self.config.policy.agents.clone(),
                windows: InitialZeroWindows::default(),
                begun: self.begun,
                is_shared: false,
                api_limit: meta::get(&self.connection, Number::ApiLimit)?
                    .and_then(|limit| u32::try_from(limit).ok())
                    .filter(|limit| *limit > 0),
                paths: meta::paths(&self.connection)?,
            })
        };
        read().map_err(|e| schema::writing_error(&self.path, &e))
    }

    /// Applies the changes and makes them durable, all or none. After an error the store must not be used any more, but
    /// closed.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(Vec<CommitOutcome>, Committed), LedgerError> {
        self.look()?;
        let done = self.transact(changes).map_err(|e| schema::writing_error(&self.path, &e))?;
        self.in_place.check_after_write().map_err(|fault| self.displaced(fault))?;
        Ok(done)
    }

    fn transact(&mut self, changes: &[Change]) -> Result<(Vec<CommitOutcome>, Committed)> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Cached { policy, counted, totals, sweep } = &mut self.cached;
        let rows = rows::load(&transaction, counted, totals, policy, changes)?;
        let mut failed = None;
        let mut exists = |key: &SeriesKey| {
            totals.has(&transaction, key).unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        };
        let Decision { outcomes, writes, overflow, shared_contacts } = policy.decide(rows, changes, &mut exists);
        if let Some(error) = failed {
            return Err(error);
        }
        let committed = rows::write(&transaction, counted, totals, sweep, policy, writes)?;
        self.checksums.write_counting(&transaction)?;
        transaction.commit()?;
        self.mark.write(self.checksums.commit());
        Ok((outcomes, Committed { overflow, shared_contacts, ..committed }))
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
        self.config.policy.reload(&config.policy);
        self.cached.policy.reconfigure(&config.policy);
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
        let counted = CountedTables::load(connection, checksums)?;
        Ok(Self {
            policy: Policy::new(config.policy.clone(), rows::known(connection, &counted)?),
            counted,
            totals: Totals::load(connection, &config.policy.bucket_schemas, config.policy.charges())?,
            sweep: Sweep::default(),
        })
    }
}
