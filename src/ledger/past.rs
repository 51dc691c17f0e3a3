//! What a ledger knows of the past, for whoever writes a history that is to end where its counters begin: when they began, with
//! which values, under which label values, and which sessions are in them.
//!
//! It is read once and kept in a file ([`keep`]), so that a history that is broken off and resumed goes by the same
//! knowledge. A running exporter is not disturbed: its state is copied, or read in one transaction of the database.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;

use agntix_api::paths::ApiPath;

use super::encoding;
use super::moving::Place;
use super::policy::rows::{Admitted, Number, session_key};
use super::sqlite::upkeep::{State, back_up, glance};
use super::starting::{Starting, StartingNumbers};
use super::transfer::{AGENT_PARTS, Line, Output, Refusal, UpkeepError, read_all, session_key_of};
use crate::catalogue::SeriesKey;
use crate::clock::Timestamp;
use exposition::{BucketSchemaId, BucketSchemas};

const DAY_MS: i64 = 86_400_000;
const UNREADABLE: &str = "a starting value that makes no sense";

/// What a ledger knows of the past.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// When the daemon first started, in the API's time.
    pub first_start: Option<Timestamp>,
    /// Whether its look-back is done: the starting values are final.
    pub look_back_done: bool,
    /// The ids of sessions created from here on are remembered; those of earlier ones may be forgotten.
    pub remembered_since: Option<Timestamp>,
    /// By [`ApiPath`]: the place of the path that was found among the spellings.
    pub paths: [Option<u32>; ApiPath::ALL.len()],
    /// By agent: which parts of an analysis its sessions carry.
    pub agents: Vec<(Box<str>, i64)>,
    /// Every series, and the name of its buckets.
    pub series: Vec<(SeriesKey, String)>,
    /// The starting values of the series that have one other than 0, with the names of their buckets; `None` if the version that
    /// began the state did not keep them.
    starting: Option<Vec<Starting>>,
    /// Whether there is a state at all.
    pub is_there: bool,
    /// Label values that have series of their own.
    pub(super) admitted: Vec<Admitted>,
}

/// Writes what the ledger in `place` knows to `to`; `scratch` is a directory for a copy of the state, which is removed. Gives
/// whether there is a state.
///
/// # Errors
/// If the state cannot be read, or `to` takes no more.
pub fn keep(place: Place<'_>, scratch: &Path, to: &mut dyn Write) -> Result<bool, UpkeepError> {
    let mut nothing = |_| ();
    let mut out = Output::begin(to, &mut nothing, false)?;
    let mut first_day = None;
    let mut each = |line: Line| match &line {
        Line::Meta(name, value) => {
            if *name == encoding::number(Number::FirstStart) {
                first_day = Some(value.div_euclid(DAY_MS));
            }
            out.line(&line)
        }
        // What the live counters have of the past are sessions that began before they did.
        Line::Counted { day, .. } if day.is_none() || *day <= first_day => out.line(&line),
        Line::Admitted(..) | Line::Series(_) | Line::Pending(_) => out.line(&line),
        _ => Ok(()),
    };
    let is_there = match place {
        Place::Directory(directory) => {
            let is_there = glance(directory)?.is_some();
            if is_there {
                let copy = tempfile::Builder::new().prefix("state-").tempdir_in(scratch).map_err(UpkeepError::Copy)?;
                back_up(directory, &copy.path().join("ledger.sqlite"))?;
                State::open(copy.path())?.lines(&mut each)?;
            }
            is_there
        }
        Place::Database(state) => {
            let is_there = state.is_there()?;
            if is_there {
                state.lines(&mut each)?;
            }
            is_there
        }
    };
    out.end()?;
    Ok(is_there)
}

impl Past {
    /// Reads what [`keep`] has written. `counted` gets the key of every session that the live counters have, or will have.
    ///
    /// # Errors
    /// If it is not whole, or `counted` fails.
    pub fn read<E: Into<UpkeepError>>(
        from: &mut dyn BufRead,
        counted: &mut dyn FnMut([u8; 16]) -> Result<(), E>,
    ) -> Result<Self, UpkeepError> {
        let mut past = Self::default();
        let (mut floor, mut initial_floor, mut starting) = (None, None, StartingNumbers::default());
        let mut take = |line: Line| -> Result<(), Refusal> {
            past.is_there = true;
            match line {
                Line::Meta(name, value) => match name.strip_prefix(AGENT_PARTS) {
                    Some(agent) => past.agents.push((agent.into(), value)),
                    None if name == encoding::number(Number::FirstStart) => {
                        past.first_start = Some(Timestamp::from_millis(value));
                    }
                    None if name == encoding::number(Number::LookBackDone) => past.look_back_done = value == 1,
                    None if name == encoding::number(Number::Floor) => floor = Some(value),
                    None if name == encoding::number(Number::InitialFloor) => initial_floor = Some(value),
                    None if starting.take(&name, value).ok_or_else(|| Refusal::Line(UNREADABLE.into()))? => {}
                    None => {
                        let is_named = |path: &ApiPath| name == encoding::number(Number::Path(*path));
                        let found = ApiPath::ALL.iter().position(is_named);
                        if let Some(place) = found.and_then(|place| past.paths.get_mut(place)) {
                            *place = u32::try_from(value).ok();
                        }
                    }
                },
                Line::Admitted(label, agent, value) => {
                    past.admitted.push(Admitted { label: label.into(), agent: agent.into(), value: value.into() });
                }
                Line::Series(series) => {
                    let family = series.family().map_err(Refusal::Line)?;
                    let labels = series.current_labels(family).map_err(Refusal::Line)?;
                    past.series.push((SeriesKey { family, labels }, series.layout));
                }
                Line::Pending(pending) => {
                    counted(session_key(&pending.id)).map_err(|error| Refusal::Store(error.into()))?;
                }
                Line::Counted { id, .. } => {
                    let key = session_key_of(&id).map_err(Refusal::Line)?;
                    counted(key).map_err(|error| Refusal::Store(error.into()))?;
                }
                _ => {}
            }
            Ok(())
        };
        read_all(from, &mut |_| (), &mut take)?;
        past.starting = starting.finish();
        // Before the initial floor they are remembered for good.
        let has_forgotten = floor.zip(initial_floor).is_some_and(|(floor, initial)| floor > initial);
        past.remembered_since =
            floor.filter(|_| has_forgotten).map(|day: i64| Timestamp::from_millis(day.saturating_mul(DAY_MS)));
        Ok(past)
    }
}

/// The value of a series where the live counters begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartingValue {
    /// The bounds of its buckets.
    pub schema: BucketSchemaId,
    /// Its counts.
    pub counts: Box<[u64]>,
}

impl Past {
    /// Whether the starting values were kept; by the version that began the state they were not.
    pub fn has_starting_values(&self) -> bool {
        self.starting.is_some()
    }

    /// The starting values of the series, by the bounds of `schemas`; those of buckets that are not configured any more are left
    /// out, as they are on the page.
    pub fn starting_values(&self, schemas: &BucketSchemas) -> BTreeMap<SeriesKey, StartingValue> {
        let values = self.starting.iter().flatten().filter_map(|starting| {
            let Starting { key, layout, bounds, counts } = starting;
            let id = schemas.by_name(layout)?;
            let schema = schemas.get(id)?;
            let is_carried = id != BucketSchemaId::NONE && **bounds != *schema.bounds;
            let counts = if is_carried { encoding::carried_over(counts, bounds, schema) } else { counts.clone() };
            (counts.len() == schemas.width(id))
                .then(|| (key.clone(), StartingValue { schema: id, counts: counts.into() }))
        });
        values.collect()
    }
}

/// Under which key a session is remembered once it is counted.
pub fn key_of(id: &str) -> [u8; 16] {
    session_key(id)
}
