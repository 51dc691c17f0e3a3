//! What the log says of all replicas and their database: a line when something has changed, and none while it stays so.

use crate::ledger::postgres::Durability;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct WholeLog {
    holder: String,
    replicas: Option<i64>,
    durability: Option<Durability>,
}

impl WholeLog {
    /// Which replica counts, or did last; empty if that is not known.
    pub(super) fn counts(&mut self, holder: &str) {
        if holder.is_empty() || self.holder == holder {
            return;
        }
        let before = Some(self.holder.as_str()).filter(|before| !before.is_empty());
        tracing::info!(replica = holder, before, "the replica that counts");
        self.holder = holder.into();
    }

    /// How many replicas there are, and what becomes of an acknowledged commit.
    pub(super) fn whole(&mut self, replicas: i64, durability: Durability) {
        if self.replicas != Some(replicas) {
            tracing::info!(replicas, before = self.replicas, "replicas that share the counts");
            self.replicas = Some(replicas);
        }
        if self.durability.as_ref() == Some(&durability) {
            return;
        }
        tracing::info!(synchronous = durability.is_synchronous(), "{}", durability.says());
        for danger in durability.dangers() {
            tracing::warn!("{}: {}", danger.says, danger.advice);
        }
        self.durability = Some(durability);
    }
}
