//! The lines of an exported state, as JSON: a head, the contents in any order, and a closing line that counts them.
//!
//! Each ends in a checksum of its own, the member `check`: the first 8 bytes of the SHA-256 of the line
//! without it, in hexadecimal. The closing line has the SHA-256 of all bytes before it, so that `head -n -1 FILE | sha256sum` says it, too.
//!
//! They hold what the file holds: ids of sessions that are not yet wholly counted, hashes of those that are, and series
//! with their labels. Nothing else of a session is stored, so nothing personal can be in them.

use serde::{Deserialize, Serialize};

use crate::catalogue::Family;
use crate::ledger::encoding;
use crate::ledger::policy::rows::SessionKey;
use crate::session::Source;
use exposition::LabelSet;

/// The newest format that this version reads and writes. Raise it whenever an earlier version would misread a line; it was that of
/// the embedded store until there were two stores.
pub(in crate::ledger) const FORMAT: i64 = 4;
/// The end of the year 9999.
const MOST_DAYS: i64 = 2_932_896;

/// One line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::ledger) enum Line {
    /// The first line.
    AgntixExporterState {
        /// [`FORMAT`]
        format: i64,
        /// Of the program that wrote it; for a person.
        version: String,
        /// It is what was sound of a damaged state.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        salvaged: bool,
    },
    /// A single number.
    Meta(String, i64),
    /// The bucket bounds of a histogram, as the store writes them.
    Layout(String, String),
    /// A label value that has series of its own: label, agent, value.
    Admitted(String, String, String),
    /// A series.
    Series(Series),
    /// A session that is not yet wholly counted.
    Pending(Pending),
    /// Requests that may have been sent: when they were granted, how many, of how many a window.
    Lease(i64, i64, i64),
    /// The number of an agent and type among those of customers' sessions.
    ContactPlace(i64, String, String),
    /// A customer, as a keyed hash, and what is remembered of their sessions; both in hexadecimal.
    Contact(String, String),
    /// A counted session.
    Counted {
        /// Days since 1970; absent for sessions that were older than the retention when the state was begun.
        #[serde(skip_serializing_if = "Option::is_none")]
        day: Option<i64>,
        /// The first 16 bytes of the SHA-256 of its id, in hexadecimal.
        id: String,
        /// Hashes of its classifications.
        parts: i64,
    },
    /// The last line.
    End {
        /// How many came before it.
        lines: u64,
        /// The SHA-256 of their bytes, in hexadecimal.
        sha256: String,
    },
}

/// The first line of an export of format 2 or earlier, which had no checksums.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Earlier {
    AgntixExporterState { format: i64 },
}

const CHECK: &[u8] = b",\"check\":\"";
const CHECK_DIGITS: usize = 16;
const CLOSE: &[u8] = b"\"}\n";

impl Line {
    /// The line as text, with its checksum.
    pub(in crate::ledger) fn sealed(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        let check = check_of(&text);
        // Every line is an object.
        text.pop();
        for part in [CHECK, check.as_bytes(), CLOSE] {
            text.extend_from_slice(part);
        }
        Ok(text)
    }

    /// Reads a line; else says why it is none.
    pub(in crate::ledger) fn read(text: &[u8]) -> Result<Self, String> {
        let Some((line, check)) = parts(text) else {
            return Err(match serde_json::from_slice(text) {
                Ok(Earlier::AgntixExporterState { format }) if format < 3 => format!(
                    "it is of format {format}, which has no checksums: import it with the version that wrote it, and start this version on that state"
                ),
                _ => "it has no checksum, or is cut off".into(),
            });
        };
        if check_of(&line).as_bytes() != check {
            return Err("its checksum is not that of what stands in it".into());
        }
        serde_json::from_slice(&line).map_err(|error| error.to_string())
    }
}

/// Bytes in hexadecimal.
pub(in crate::ledger) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The key and the record of a customer.
///
/// # Errors
/// If they are not what a line has of one.
pub(in crate::ledger) fn contact_of(key: &str, record: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let bytes = |text: &str| {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        if rest.is_empty() { pairs.iter().map(byte).collect::<Option<Vec<u8>>>() } else { None }
    };
    let key = bytes(key).filter(|key| key.len() == 16);
    key.zip(bytes(record)).ok_or_else(|| "a customer is not in hexadecimal digits".into())
}

impl Line {
    /// Whether it holds what a state can.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::ledger) fn check(&self) -> Result<(), String> {
        match self {
            Self::Series(series) => series.family().map(drop),
            Self::Pending(Pending { stage, source, .. }) if usize::from(*source) >= Source::ALL.len() || *stage > 3 => {
                Err("there is no such stage or source".into())
            }
            Self::Counted { day: Some(day), .. } if !(0..=MOST_DAYS).contains(day) => {
                Err("day is not a number of days since 1970".into())
            }
            Self::Counted { id, .. } => session_key_of(id).map(drop),
            Self::Contact(key, record) => contact_of(key, record).map(drop),
            _ => Ok(()),
        }
    }
}

/// The key of a counted session, from its 32 digits.
///
/// # Errors
/// If it is not so many digits.
pub(in crate::ledger) fn session_key_of(id: &str) -> Result<SessionKey, String> {
    let number = Some(id).filter(|id| id.len() == 32).and_then(|id| u128::from_str_radix(id, 16).ok());
    Ok(number.ok_or("id is not 32 hexadecimal digits")?.to_be_bytes())
}

/// The line of a counted session.
pub(in crate::ledger) fn counted(key: SessionKey, parts: i64, day: Option<i64>) -> Line {
    Line::Counted { day, id: format!("{:032x}", u128::from_be_bytes(key)), parts }
}

/// A line without its checksum, and that.
fn parts(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (rest, check) = text.strip_suffix(CLOSE)?.split_last_chunk::<CHECK_DIGITS>()?;
    let mut line = rest.strip_suffix(CHECK)?.to_vec();
    line.push(b'}');
    Some((line, check))
}

fn check_of(line: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, line);
    format!("{:016x}", u64::from_le_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default()))
}

/// A series; times are Unix time in milliseconds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ledger) struct Series {
    pub metric: String,
    pub labels: String,
    pub layout: String,
    pub created: i64,
    pub cells: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<u64>>,
}

impl Series {
    /// Its family.
    ///
    /// # Errors
    /// If there is none of that name, or its labels are others.
    pub(in crate::ledger) fn family(&self) -> Result<Family, String> {
        let Self { metric, labels, .. } = self;
        let family = Family::ALL.into_iter().find(|family| family.descriptor().name == *metric);
        let family = family.ok_or_else(|| format!("there is no metric {metric:?}"))?;
        encoding::labels(family, labels).ok_or_else(|| format!("they are no labels of {metric}"))?;
        Ok(family)
    }

    /// Its labels, as this version has those of the family.
    ///
    /// # Errors
    /// If they are none of it.
    pub(in crate::ledger) fn current_labels(&self, family: Family) -> Result<LabelSet, String> {
        encoding::labels(family, &self.labels).ok_or_else(|| format!("they are no labels of {}", self.metric))
    }
}

/// A session that is not yet wholly counted; times are Unix time in milliseconds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ledger) struct Pending {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    pub stage: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<[String; 4]>,
    pub heard: i64,
    pub source: u8,
}
