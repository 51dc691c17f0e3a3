//! Which label values have series of their own (promise P8): bounded per label and agent, and stored, so that a restart
//! admits the same ones. Pure.

use std::collections::{HashMap, HashSet};

use super::room::Room;
use super::rows::Admitted;
use crate::catalogue::SeriesKey;
use crate::config::MetricsConfig;
use crate::observation::{Admit, MAX_VALUE};
use crate::session::Channel;
use exposition::BucketSchemaId;

/// Values of an enumeration beyond the documented ones, of one agent: new ones appear once in a while, a flood of them
/// is an accident.
const UNKNOWN_ENUM_VALUES: usize = 8;
/// Combinations of type, platform and direction of one agent; each makes some forty series.
const CHANNELS: usize = 32;

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    label_values: usize,
    agents: usize,
    series: u64,
}

impl From<&MetricsConfig> for Bounds {
    fn from(config: &MetricsConfig) -> Self {
        Self { label_values: config.max_label_values, agents: config.max_agents, series: config.max_series }
    }
}

impl Bounds {
    fn of(&self, label: &str) -> usize {
        match label {
            "agent_id" => self.agents,
            "channel" => CHANNELS.min(self.label_values),
            "resolution" | "sentiment" | "state" | "role" => UNKNOWN_ENUM_VALUES.min(self.label_values),
            _ => self.label_values,
        }
    }
}

/// The values of a label, by agent.
type ByAgent = HashMap<Box<str>, HashSet<Box<str>>>;

/// The admitted values, and those that the batch has added.
#[derive(Debug)]
pub(super) struct Admission {
    bounds: Bounds,
    /// By label. Every session asks for half a dozen values, so that asking copies no text.
    admitted: HashMap<Box<str>, ByAgent>,
    added: Vec<Admitted>,
    overflow: Vec<Box<str>>,
}

impl Admission {
    /// Goes on from what was admitted before.
    pub(super) fn new(bounds: Bounds, known: Vec<Admitted>) -> Self {
        let mut admitted: HashMap<_, ByAgent> = HashMap::new();
        for Admitted { label, agent, value } in known {
            admitted.entry(label).or_default().entry(agent).or_default().insert(value);
        }
        Self { bounds, admitted, added: Vec::new(), overflow: Vec::new() }
    }

    /// What was admitted since the last call.
    pub(super) fn take_added(&mut self) -> Vec<Admitted> {
        std::mem::take(&mut self.added)
    }

    /// The labels for which a value was folded since the last call.
    pub(super) fn take_overflow(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.overflow)
    }

    /// How many values have been folded since the last [`take_overflow`](Self::take_overflow).
    pub(super) fn folded(&self) -> usize {
        self.overflow.len()
    }

    /// Forgets all folded values but the first `folded`: they were reported before.
    pub(super) fn keep_folded(&mut self, folded: usize) {
        self.overflow.truncate(folded);
    }

    /// `metrics.max_series`
    pub(super) fn max_series(&self) -> u64 {
        self.bounds.series
    }

    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }
}

/// The admitted values, and the room that there is for further ones in this batch.
pub(super) struct Gate<'g> {
    pub(super) admission: &'g mut Admission,
    /// `None`: enough for all.
    pub(super) room: Option<Room<'g>>,
}

impl Admit for Gate<'_> {
    fn admit(&mut self, label: &str, agent: &str, value: &str) -> bool {
        // A channel's room was asked for, and taken, as a whole.
        let is_channel = matches!(label, "agent_id" | "channel");
        if !is_channel
            && !self.admission.has(label, agent, value)
            && let Some(room) = &mut self.room
            && !room.has_any()
        {
            self.admission.fold(label);
            return false;
        }
        self.admission.admit(label, agent, value)
    }

    fn would_admit(&mut self, label: &str, agent: &str, value: &str) -> bool {
        self.admission.has_place_for(label, agent, value)
    }

    fn has_room_for_channel(&mut self, channel: &Channel) -> bool {
        self.room.as_mut().is_none_or(|room| room.take_channel(&channel.values()))
    }

    fn knows_agent(&mut self, agent: &str) -> bool {
        self.room.as_mut().is_none_or(|room| room.knows_agent(agent))
    }

    fn has_room_for(&mut self, key: &SeriesKey, schema: BucketSchemaId) -> bool {
        self.room.as_mut().is_none_or(|room| room.take_series(key, schema))
    }

    fn folded(&mut self, label: &str) {
        self.admission.fold(label);
    }
}

impl Admission {
    fn values(&self, label: &str, agent: &str) -> Option<&HashSet<Box<str>>> {
        self.admitted.get(label)?.get(agent)
    }

    fn has(&self, label: &str, agent: &str, value: &str) -> bool {
        self.values(label, agent).is_some_and(|values| values.contains(value))
    }

    fn has_place_for(&self, label: &str, agent: &str, value: &str) -> bool {
        let values = self.values(label, agent);
        values.is_some_and(|values| values.contains(value))
            || (values.map_or(0, HashSet::len) < self.bounds.of(label) && value.len() <= MAX_VALUE)
    }

    fn fold(&mut self, label: &str) {
        // `value/<field>` is bounded by field; on the page it is the label `value`.
        let shown = label.split('/').next().unwrap_or(label);
        self.overflow.push(shown.into());
    }
}

impl Admit for Admission {
    fn admit(&mut self, label: &str, agent: &str, value: &str) -> bool {
        if self.has(label, agent, value) {
            return true;
        }
        let known = self.values(label, agent).map_or(0, HashSet::len);
        if known >= self.bounds.of(label) || value.len() > MAX_VALUE {
            self.fold(label);
            return false;
        }
        self.admitted.entry(label.into()).or_default().entry(agent.into()).or_default().insert(value.into());
        self.added.push(Admitted { label: label.into(), agent: agent.into(), value: value.into() });
        true
    }
}
