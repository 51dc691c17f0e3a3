//! A session as bytes, for whoever keeps what was observed and counts it later: what can be counted of it, and nothing else.

use std::sync::Arc;

use super::Change;
use super::policy::PolicyConfig;
use super::postgres::{Names, decode, encode};
use crate::clock::Timestamp;
use crate::session::{Facts, Source};

/// Writes and reads sessions, whose named fields are known by the configuration.
#[derive(Clone, Debug)]
pub struct Records(Names);

impl Records {
    /// Under a configuration.
    pub fn new(policy: &PolicyConfig) -> Self {
        Self(Names::of(policy))
    }

    /// A session as bytes.
    pub fn encode(&self, facts: &Arc<Facts>) -> Vec<u8> {
        let change = Change::Session { facts: Arc::clone(facts), source: Source::Listing, now: Timestamp::default() };
        // It is a session, and every session has bytes.
        encode(&change, &self.0).unwrap_or_default()
    }

    /// What [`encode`](Self::encode) has made; `None` of anything else.
    pub fn decode(&self, bytes: &[u8]) -> Option<Arc<Facts>> {
        match decode(bytes, &self.0)? {
            Change::Session { facts, .. } => Some(facts),
            _ => None,
        }
    }
}
