//! Sessions of agents that nothing is known of, whose analysis has only some of its parts: they may be all that it has, or all
//! that is written so far. What stays as it is for a while is taken for whole. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::observation::{Moment, ObservationConfig};
use crate::session::{Facts, Parts};

/// Sessions that are remembered.
const REMEMBERED: usize = 10_000;

/// Which parts such sessions have had, and since when; bounded.
#[derive(Debug, Default)]
pub(super) struct HalfWritten(HashMap<Arc<str>, (Tick, Parts)>);

impl HalfWritten {
    /// `facts` without their outcome, if that is to be left to a later look: until its parts have been the same for
    /// `settled_after`, or the analysis is late at `moment`.
    pub(super) fn once_settled(
        &mut self,
        facts: Facts,
        settled_after: Duration,
        observation: &ObservationConfig,
        now: Tick,
        moment: Moment,
    ) -> Facts {
        let is_half = facts.outcome.as_ref().is_some_and(|outcome| !outcome.timed_out)
            && !facts.parts.contains(observation.counted_parts())
            && observation.agents.of(&facts.channel.agent_id).is_none();
        let is_late = facts.ended.as_ref().is_none_or(|ended| moment.is_past(ended.at, observation.analysis_deadline));
        if !is_half || is_late {
            self.0.remove(&facts.id);
            return facts;
        }
        if self.0.len() > REMEMBERED {
            self.0.clear();
        }
        let seen = self.0.entry(Arc::clone(&facts.id)).or_insert((now, facts.parts));
        if seen.1 != facts.parts {
            *seen = (now, facts.parts);
        }
        let since = seen.0;
        if now.saturating_sub(since) >= settled_after {
            self.0.remove(&facts.id);
            return facts;
        }
        Facts { outcome: None, malformed: Vec::new(), ..facts }
    }
}
