//! The lines of an exported state, as JSON: a head, the contents in any order, and a closing line that counts them.
//!
//! Each ends in a checksum of its own, the member `check`: the first 8 bytes of the SHA-256 of the line
//! without it, in hexadecimal. The closing line has the SHA-256 of all bytes before it, so that `head -n -1 FILE | sha256sum` says it, too.
//!
//! They hold what the file holds: ids of sessions that are not yet wholly counted, hashes of those that are, and series
//! with their labels. Nothing else of a session is stored, so nothing personal can be in them.

use serde::{Deserialize, Serialize};

use crate::ledger::sqlite::checksums::first_eight;

/// One line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// The first line.
    AgntixExporterState {
        /// Of the store.
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
    pub(super) fn sealed(&self) -> serde_json::Result<Vec<u8>> {
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
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
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

/// A line without its checksum, and that.
fn parts(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (rest, check) = text.strip_suffix(CLOSE)?.split_last_chunk::<CHECK_DIGITS>()?;
    let mut line = rest.strip_suffix(CHECK)?.to_vec();
    line.push(b'}');
    Some((line, check))
}

fn check_of(line: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, line);
    format!("{:016x}", first_eight(digest.as_ref()))
}

/// A series; times are Unix time in milliseconds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    pub metric: String,
    pub labels: String,
    pub layout: String,
    pub created: i64,
    pub cells: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<u64>>,
}

/// A session that is not yet wholly counted; times are Unix time in milliseconds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
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
