//! Which parts of an analysis the sessions of an agent carry.
//!
//! Each part can be switched off for an agent, and is then absent from all of its sessions; a part that is only absent
//! still, because the analysis is being written, looks the same. What an agent's earlier sessions carried tells the two
//! apart.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::session::Parts;

/// So many sessions in a row that lack a part, each waited for until the deadline, mean that it was switched off.
const MISSED_IN_A_ROW: u8 = 3;

/// What the sessions of one agent carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    parts: Parts,
    /// By how many sessions in a row each of them was missed; fewer than [`MISSED_IN_A_ROW`].
    missed: [u8; 4],
}

impl Carried {
    /// After a session whose analysis has `there` of the `counted` parts.
    #[must_use]
    fn after(mut self, there: Parts, counted: Parts) -> Self {
        for (part, missed) in Parts::EACH.into_iter().zip(&mut self.missed) {
            if there.contains(part) {
                (self.parts, *missed) = (self.parts.or(part), 0);
            } else if counted.contains(part) && self.parts.contains(part) {
                *missed += 1;
                if *missed >= MISSED_IN_A_ROW {
                    (self.parts, *missed) = (self.parts.without(part), 0);
                }
            }
        }
        self
    }

    /// As one number, to be stored.
    fn encode(self) -> i64 {
        self.missed.iter().rev().fold(0, |code, missed| (code << 4) | i64::from(*missed)) << 4
            | i64::from(self.parts.bits())
    }

    fn decode(code: i64) -> Self {
        let nibble = |place: u32| u8::try_from((code >> (4 * place)) & 0xF).unwrap_or_default();
        let missed = [1, 2, 3, 4].map(|place| nibble(place).min(MISSED_IN_A_ROW - 1));
        Self { parts: Parts::from_bits(nibble(0)), missed }
    }
}

/// The agents whose sessions are remembered; of further ones nothing is learned.
const MOST_AGENTS: usize = 1_000;
const MAX_AGENT_ID: usize = 512;

/// What the sessions of each agent carry. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct AgentParts(Arc<RwLock<HashMap<Box<str>, Carried>>>);

impl AgentParts {
    /// What the sessions of an agent carry; `None` while none of them was counted.
    pub fn of(&self, agent: &str) -> Option<Parts> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(agent).map(|carried| carried.parts)
    }

    /// A session of `agent` is counted whose analysis has `there` of the `counted` parts. What is to be stored, if that has
    /// changed.
    pub fn learn(&self, agent: &str, there: Parts, counted: Parts) -> Option<i64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(agent).copied();
        let carried = known.unwrap_or_default().after(there, counted);
        if known == Some(carried) || agent.len() > MAX_AGENT_ID {
            return None;
        }
        let mut agents = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() && agents.len() >= MOST_AGENTS {
            return None;
        }
        agents.insert(agent.into(), carried);
        Some(carried.encode())
    }

    /// Takes up what was stored, and forgets everything else.
    pub fn restore(&self, stored: impl IntoIterator<Item = (Box<str>, i64)>) {
        let stored = stored.into_iter().map(|(agent, code)| (agent, Carried::decode(code))).take(MOST_AGENTS);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = stored.collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Parts = Parts::counted(true);

    #[test]
    fn a_part_is_learned_at_once_and_unlearned_after_three_sessions_without_it() {
        let agents = AgentParts::default();
        assert_eq!(agents.of("a"), None);
        let without = ALL.without(Parts::SENTIMENT);
        agents.learn("a", without, ALL);
        assert_eq!(agents.of("a"), Some(without));
        agents.learn("a", ALL, ALL);
        // One that carries it again ends the row.
        for there in [without, without, ALL, without, without] {
            agents.learn("a", there, ALL);
            assert_eq!(agents.of("a"), Some(ALL));
        }
        agents.learn("a", without, ALL);
        assert_eq!((agents.of("a"), agents.of("b")), (Some(without), None));
        agents.learn("a", ALL, ALL);
        assert_eq!(agents.of("a"), Some(ALL));
    }

    #[test]
    fn what_is_not_counted_is_not_missed() {
        let agents = AgentParts::default();
        agents.learn("a", ALL, ALL);
        for _ in 0..9 {
            agents.learn("a", Parts::counted(false), Parts::counted(false));
        }
        assert_eq!(agents.of("a"), Some(ALL));
    }

    #[test]
    fn what_does_not_change_is_not_stored_and_agents_are_bounded() {
        let agents = AgentParts::default();
        for agent in 0..2 * MOST_AGENTS {
            assert_eq!(agents.learn(&agent.to_string(), ALL, ALL).is_some(), agent < MOST_AGENTS);
        }
        assert_eq!(agents.learn("1", ALL, ALL), None);
        assert_eq!((agents.of("1"), agents.of("1500")), (Some(ALL), None));
        let short = AgentParts::default();
        assert_eq!(short.learn(&"a".repeat(MAX_AGENT_ID + 1), ALL, ALL), None);
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_is_known(seen in proptest::collection::vec(0_u8..16, 1..20)) {
            let (kept, mut stored) = (AgentParts::default(), 0);
            for there in seen {
                stored = kept.learn("a", Parts::from_bits(there), ALL).unwrap_or(stored);
                let restored = AgentParts::default();
                restored.restore([("a".into(), stored)]);
                prop_assert_eq!(restored.of("a"), kept.of("a"));
                prop_assert_eq!(restored.learn("a", Parts::NONE, ALL), AgentParts(Arc::new(RwLock::new(
                    kept.0.read().unwrap().clone()
                ))).learn("a", Parts::NONE, ALL));
            }
        }

        #[test]
        fn whatever_was_stored_can_be_taken_up(code in any::<i64>()) {
            let agents = AgentParts::default();
            agents.restore([("a".into(), code)]);
            for _ in 0..4 {
                agents.learn("a", Parts::NONE, ALL);
            }
            prop_assert_eq!(agents.of("a"), Some(Parts::NONE));
        }
    }
}
