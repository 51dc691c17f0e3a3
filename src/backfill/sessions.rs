//! When each step of a session is counted in the history. Pure.
//!
//! The rule is when a live exporter would have counted it: the start at `createdAt`, the end at `endedAt`, the outcome when the
//! analysis had arrived. When that was the API does not say; `updatedAt` is taken for it where it lies between the end and the
//! deadline of the analysis, else the end. Without an analysis it is the end of the deadline.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ledger::Change;
use crate::session::{Facts, MessageTally, Outcome, Source};

/// The times at which a session is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepTimes {
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub outcome: Option<Timestamp>,
}

/// When the steps of a session are counted; `deadline` is `poll.analysis_deadline`.
pub(super) fn times(facts: &Facts, deadline: Duration) -> StepTimes {
    let ended = facts.ended.as_ref().map(|ended| ended.at.max(facts.created));
    let outcome = ended.map(|ended| {
        let due = ended.plus(deadline);
        match &facts.outcome {
            None | Some(Outcome { timed_out: true, .. }) => due,
            Some(_) => facts.updated.filter(|updated| (ended..=due).contains(updated)).unwrap_or(ended),
        }
    });
    StepTimes { started: facts.created, ended, outcome }
}

/// A step of a session, in the order in which they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SessionStep {
    Started,
    Ended,
    Outcome,
}

impl SessionStep {
    pub(super) const ALL: [Self; 3] = [Self::Started, Self::Ended, Self::Outcome];
}

/// A step of a session that is to be counted.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub at: Timestamp,
    pub step: SessionStep,
    pub facts: Arc<Facts>,
    /// What its messages come to, with the outcome.
    pub messages: Option<Arc<MessageTally>>,
}

impl Counted {
    /// Before which others it is counted, whatever the order of the listing was.
    pub(super) fn order(&self) -> (Timestamp, SessionStep, &str) {
        (self.at, self.step, &self.facts.id)
    }

    /// What the ledger is told.
    pub(super) fn changes(&self, has_messages: bool) -> Vec<Change> {
        let Self { at, step, facts, messages } = self;
        let session = |facts: Facts| Change::Session { facts: facts.into(), source: Source::Listing, now: *at };
        let id = Arc::clone(&facts.id);
        let facts = Facts::clone(facts);
        match step {
            SessionStep::Started => {
                vec![session(Facts { state: "open".into(), ended: None, outcome: None, ..facts })]
            }
            SessionStep::Ended => vec![session(Facts { outcome: None, ..facts })],
            SessionStep::Outcome => {
                let given_up = || Outcome { timed_out: true, ..Outcome::default() };
                let outcome = Some(facts.outcome.clone().unwrap_or_else(given_up));
                let counted = session(Facts { outcome, ..facts });
                let tally = has_messages.then(|| Change::Messages { id, tally: messages.clone() });
                [Some(counted), tally].into_iter().flatten().collect()
            }
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::session::{Channel, Ended, Parts};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn facts(ended: Option<i64>, updated: Option<i64>, outcome: Option<Outcome>) -> Facts {
        let text = || String::from("x");
        Facts {
            id: "s".into(),
            created: at(100),
            channel: Channel { agent_id: text(), session_type: text(), platform: text(), direction: text() },
            state: "closed".into(),
            last_activity: None,
            updated: updated.map(at),
            ended: ended.map(|ended| Ended { at: at(ended), duration_ms: Some(1) }),
            outcome,
            contact: None,
            parts: Parts::NONE,
            malformed: Vec::new(),
        }
    }

    #[test]
    fn outcome_is_counted_when_the_analysis_had_arrived() {
        let analysed = || Some(Outcome::default());
        let given_up = Some(Outcome { timed_out: true, ..Outcome::default() });
        let outcome = |facts: Facts| times(&facts, Duration::from_secs(900)).outcome;
        assert_eq!(outcome(facts(Some(200), Some(260), analysed())), Some(at(260)));
        assert_eq!(outcome(facts(Some(200), Some(90_000), analysed())), Some(at(200)), "it was changed later");
        assert_eq!(outcome(facts(Some(200), None, analysed())), Some(at(200)));
        assert_eq!(outcome(facts(Some(200), Some(260), None)), Some(at(1_100)));
        assert_eq!(outcome(facts(Some(200), Some(260), given_up)), Some(at(1_100)));
        assert_eq!(outcome(facts(None, Some(260), None)), None);
    }
}
