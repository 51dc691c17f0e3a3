//! The lines of an exported state, as JSON: a head, the contents in any order, and a closing line that counts them.
//!
//! They hold what the file holds: ids of sessions that are not yet wholly counted, hashes of those that are, and series
//! with their labels. Nothing else of a session is stored, so nothing personal can be in them.

use serde::{Deserialize, Serialize};

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
    },
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
