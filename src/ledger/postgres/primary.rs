//! Which primary a server is: one whose place another has taken may answer still, as if nothing had happened.

use tokio_postgres::Client;

use super::settlement::TIMELINE;
use super::statements::first_row;

/// A primary. A standby that is promoted begins a new timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Primary {
    /// The identifier of the cluster, which a new cluster, as after a major upgrade, does not share.
    pub(super) system: i64,
    /// Grows with each promotion.
    pub(super) timeline: u32,
}

impl Primary {
    /// Whether `other` has taken its place.
    pub(super) fn is_replaced_by(self, other: Self) -> bool {
        self.system == other.system && self.timeline < other.timeline
    }
}

/// Which primary it is. `None`: it does not know, and so has no standbys that could be promoted.
pub(super) async fn primary_of(client: &Client) -> Option<Primary> {
    let query = format!("SELECT system_identifier, {TIMELINE} FROM pg_control_system()");
    let answer = client.simple_query(&query).await.ok()?;
    let row = first_row(&answer)?;
    let (system, timeline) = (row.get(0)?.parse().ok()?, u32::from_str_radix(row.get(1)?, 16).ok()?);
    Some(Primary { system, timeline })
}
