//! The sessions that are exposed one by one: those of the configuration and of watched files, and the latest
//! unresolved or negative ones (`metrics.watch_recent`). Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::catalogue::GaugeFamily;
use crate::clock::Timestamp;
use crate::observation::{MAX_VALUE, NONE, OTHER};
use crate::session::Facts;
use crate::session::Source;
use exposition::LabelSet;

/// Longest id that is watched; the same bound holds in the configuration and in files.
const MAX_ID: usize = 512;

/// What is known of the watched sessions.
#[derive(Debug, Default)]
pub struct WatchedSessions {
    by_source: BTreeMap<Source, Vec<Arc<str>>>,
    ids: BTreeSet<Arc<str>>,
    facts: HashMap<Arc<str>, Arc<Facts>>,
    recent: VecDeque<Arc<Facts>>,
    recent_limit: usize,
    /// How many ids each source has had too many.
    left_out: BTreeMap<Source, u64>,
    changed: bool,
}

impl WatchedSessions {
    /// Replaces the sessions that one source wants watched.
    pub fn set(&mut self, source: Source, ids: Vec<Arc<str>>) {
        self.by_source.insert(source, ids);
        self.ids = self.by_source.values().flatten().cloned().collect();
        let Self { ids, facts, .. } = self;
        facts.retain(|id, _| ids.contains(id));
        self.changed = true;
    }

    /// Leaves out of `ids` what is too long to be an id, and what would make more than `limit` of all sources together. How
    /// many more are left out of this source than before.
    pub fn bound(&mut self, source: Source, ids: &mut Vec<Arc<str>>, limit: usize) -> u64 {
        let others: BTreeSet<&Arc<str>> =
            self.by_source.iter().filter(|(of, _)| **of != source).flat_map(|(_, ids)| ids).collect();
        let before = ids.len();
        let (mut room, mut seen) = (limit.saturating_sub(others.len()), BTreeSet::new());
        ids.retain(|id| {
            if id.is_empty() || id.len() > MAX_ID {
                return false;
            }
            if others.contains(id) || seen.contains(id) {
                return true;
            }
            let fits = room > 0;
            if fits {
                room -= 1;
                seen.insert(Arc::clone(id));
            }
            fits
        });
        let left_out = u64::try_from(before - ids.len()).unwrap_or(u64::MAX);
        left_out.saturating_sub(self.left_out.insert(source, left_out).unwrap_or(0))
    }

    /// All ids.
    pub fn ids(&self) -> &BTreeSet<Arc<str>> {
        &self.ids
    }

    /// How many recent unresolved or negative sessions to show.
    pub fn set_recent_limit(&mut self, limit: usize) {
        self.recent_limit = limit;
        self.recent.truncate(limit);
        self.changed = true;
    }

    /// Whether the session is watched, and nothing is known of it yet.
    pub fn is_unseen(&self, id: &str) -> bool {
        self.ids.contains(id) && !self.facts.contains_key(id)
    }

    /// A session was seen.
    pub fn see(&mut self, facts: &Arc<Facts>) {
        if self.ids.contains(&facts.id) && self.facts.get(&facts.id) != Some(facts) {
            self.facts.insert(Arc::clone(&facts.id), Arc::clone(facts));
            self.changed = true;
        }
    }

    /// A session was counted.
    pub fn counted(&mut self, facts: &Arc<Facts>) {
        let Some(outcome) = &facts.outcome else { return };
        let is_bad =
            outcome.resolution.as_deref() == Some("unresolved") || outcome.sentiment.as_deref() == Some("negative");
        if self.recent_limit > 0 && is_bad {
            self.recent.truncate(self.recent_limit - 1);
            self.recent.push_front(Arc::clone(facts));
            self.changed = true;
        }
    }

    /// The series of all of them, if anything has changed since the last call.
    pub fn gauges(&mut self) -> Option<Gauges> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let recent = self.recent.iter().filter(|facts| !self.ids.contains(&facts.id)).map(|facts| (&facts.id, facts));
        let all: BTreeMap<&Arc<str>, &Arc<Facts>> = self.facts.iter().chain(recent).collect();
        let mut gauges: Gauges = WATCHED.map(|family| (family, Vec::new()));
        for facts in all.values() {
            for (family, series) in &mut gauges {
                if let Some(value) = value(*family, facts) {
                    series.push((labels(*family, facts), value));
                }
            }
        }
        Some(gauges)
    }
}

/// Families, and the series of each.
pub type Gauges = [(GaugeFamily, Vec<(LabelSet, f64)>); 5];

const WATCHED: [GaugeFamily; 5] = [
    GaugeFamily::WatchedInfo,
    GaugeFamily::WatchedDuration,
    GaugeFamily::WatchedSentimentScore,
    GaugeFamily::WatchedResolutionConfidence,
    GaugeFamily::WatchedLastActivity,
];

fn value(family: GaugeFamily, facts: &Facts) -> Option<f64> {
    let outcome = facts.outcome.as_ref();
    match family {
        GaugeFamily::WatchedInfo => Some(1.0),
        #[expect(clippy::cast_precision_loss, reason = "a year of milliseconds is far below 2^53")]
        GaugeFamily::WatchedDuration => facts.ended.as_ref()?.duration_ms.map(|ms| ms as f64 / 1e3),
        GaugeFamily::WatchedSentimentScore => outcome?.sentiment_score.map(|score| f64::from(score) / 1e6),
        GaugeFamily::WatchedResolutionConfidence => outcome?.resolution_confidence.map(|c| f64::from(c) / 1e6),
        GaugeFamily::WatchedLastActivity => facts.last_activity.map(Timestamp::as_seconds_f64),
        GaugeFamily::Open | GaugeFamily::AwaitingAnalysis | GaugeFamily::AgentInfo => None,
    }
}

fn labels(family: GaugeFamily, facts: &Facts) -> LabelSet {
    let [agent, session_type, platform, direction] = facts.channel.values();
    let outcome = facts.outcome.as_ref();
    let values = [
        &facts.id,
        agent,
        session_type,
        platform,
        direction,
        &facts.state,
        outcome.and_then(|o| o.intent.as_deref()).unwrap_or(NONE),
        outcome.and_then(|o| o.resolution.as_deref()).unwrap_or(NONE),
        outcome.and_then(|o| o.sentiment.as_deref()).unwrap_or(NONE),
        outcome.and_then(|o| o.language.as_deref()).unwrap_or("unknown"),
    ];
    // A longer value is text, not a label. All families but the first have the session's id alone.
    let bounded = values.map(|value| if value.len() <= MAX_VALUE { value } else { OTHER });
    LabelSet::new(family.descriptor().labels, bounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Channel, Ended, Outcome};

    fn facts(id: &str, resolution: &str) -> Arc<Facts> {
        Arc::new(Facts {
            id: id.into(),
            created: Timestamp::from_millis(0),
            channel: Channel {
                agent_id: "A".into(),
                session_type: "voice".into(),
                platform: "phone".into(),
                direction: "inbound".into(),
            },
            state: "closed".into(),
            last_activity: Some(Timestamp::from_millis(1_500)),
            updated: None,
            ended: Some(Ended { at: Timestamp::from_millis(2_000), duration_ms: Some(2_000) }),
            outcome: Some(Outcome {
                resolution: Some(resolution.into()),
                sentiment_score: Some(-500_000),
                ..Outcome::default()
            }),
            contact: None,
            parts: crate::session::Parts::counted(false),
            malformed: Vec::new(),
        })
    }

    fn shown(watched: &mut WatchedSessions) -> Vec<String> {
        let gauges = watched.gauges().unwrap();
        gauges.iter().flat_map(|(f, s)| s.iter().map(move |(l, v)| format!("{f:?} {} {v}", l.as_str()))).collect()
    }

    #[test]
    fn a_watched_session_is_shown_with_what_is_known_of_it() {
        let mut watched = WatchedSessions::default();
        watched.set(Source::Configured, vec!["s".into()]);
        watched.see(&facts("s", "resolved"));
        watched.see(&facts("other", "resolved"));
        assert_eq!(
            shown(&mut watched),
            [
                r#"WatchedInfo session_id="s",agent_id="A",session_type="voice",platform="phone",direction="inbound",state="closed",intent="none",resolution="resolved",sentiment="none",language="unknown" 1"#,
                r#"WatchedDuration session_id="s" 2"#,
                r#"WatchedSentimentScore session_id="s" -0.5"#,
                r#"WatchedLastActivity session_id="s" 1.5"#,
            ]
        );
        watched.see(&facts("s", "resolved"));
        assert!(watched.gauges().is_none(), "nothing has changed");
        watched.set(Source::Configured, vec![]);
        assert!(shown(&mut watched).is_empty());
    }

    #[test]
    fn watched_ids_are_bounded_in_number_and_length_and_counted_when_they_are_not() {
        let mut watched = WatchedSessions::default();
        let ids = |range: std::ops::Range<u32>| range.map(|n| Arc::from(n.to_string())).collect::<Vec<Arc<str>>>();
        let mut set = |source, mut ids: Vec<Arc<str>>| {
            let left_out = watched.bound(source, &mut ids, 10);
            watched.set(source, ids);
            (left_out, watched.ids().len())
        };
        assert_eq!(set(Source::Configured, ids(0..4)), (0, 4));
        assert_eq!(set(Source::File, ids(2..12)), (2, 10), "those that both name count once");
        assert_eq!(set(Source::File, ids(2..12)), (0, 10), "they have been counted");
        assert_eq!(set(Source::File, ids(2..15)), (3, 10));
        assert_eq!(set(Source::File, ids(0..3)), (0, 4));
        assert_eq!(set(Source::File, vec!["x".repeat(513).into(), "".into(), "a".into()]), (2, 5));
    }

    #[test]
    fn the_latest_bad_sessions_are_shown_up_to_their_limit() {
        let mut watched = WatchedSessions::default();
        watched.counted(&facts("before", "unresolved"));
        watched.set_recent_limit(2);
        for (id, resolution) in [("a", "unresolved"), ("b", "resolved"), ("c", "unresolved"), ("d", "unresolved")] {
            watched.counted(&facts(id, resolution));
        }
        let text = shown(&mut watched).join("\n");
        assert!(text.contains(r#""c""#) && text.contains(r#""d""#), "{text}");
        assert!(!text.contains(r#""a""#) && !text.contains(r#""b""#) && !text.contains("before"), "{text}");
    }
}
