//! What dashboards show as totals, and what the simulator says of each.

use std::collections::BTreeMap;

use super::live::Choice;
use crate::support::label;
use crate::support::prometheus::Labels;

/// A total on a dashboard, and what it must be: the growth of a metric, summed by labels, of the samples that match.
pub struct Total {
    pub uid: &'static str,
    pub title: &'static str,
    pub letter: &'static str,
    pub metric: &'static str,
    pub by: &'static [&'static str],
    /// Label, and the values that count.
    pub only: &'static [(&'static str, &'static [&'static str])],
}

pub const ASSESSED: (&str, &[&str]) = ("resolution", &["resolved", "partially_resolved", "unresolved"]);
pub const UNRESOLVED: (&str, &[&str]) = ("resolution", &["unresolved"]);
pub const TONED: (&str, &[&str]) = ("sentiment", &["positive", "neutral", "negative"]);

pub const fn sum(uid: &'static str, title: &'static str, letter: &'static str, metric: &'static str) -> Total {
    Total { uid, title, letter, metric, by: &[], only: &[] }
}

/// The number that the first column of `SPANS` shows, too.
pub const VOLUME: Total = sum("agntix-operations", "Volume", "A", "agntix_sessions_ended_total");
/// The table that shows it in several spans, the label of these, and for each how many days later it is about the run: the last is the mean of the
/// one week that is known then.
pub const SPANS: (&str, &str, [(&str, u32); 4]) =
    ("How was it, beside before?", "span", [("0", 0), ("1", 1), ("2", 7), ("3", 7)]);

pub const TOTALS: &[Total] = &[
    sum("agntix-overview", "Sessions ended", "A", "agntix_sessions_ended_total"),
    Total { only: &[ASSESSED], ..sum("agntix-agent", "Unresolved", "B", "agntix_session_outcomes_total") },
    Total { only: &[TONED], ..sum("agntix-agent", "Negative", "B", "agntix_session_outcomes_total") },
    Total { by: &["agent_id"], ..sum("agntix-overview", "Which agent?", "A", "agntix_sessions_ended_total") },
    Total {
        by: &["agent_id"],
        only: &[UNRESOLVED],
        ..sum("agntix-overview", "Which agent?", "B", "agntix_session_outcomes_total")
    },
    Total {
        by: &["intent"],
        only: &[UNRESOLVED],
        ..sum("agntix-overview", "Which intents stay unresolved?", "A", "agntix_session_intents_total")
    },
    Total {
        by: &["session_type", "platform", "direction"],
        ..sum("agntix-overview", "Which channel?", "A", "agntix_sessions_ended_total")
    },
    sum("agntix-quality", "Without an analysis", "B", "agntix_session_outcomes_total"),
    Total {
        by: &["agent_id"],
        ..sum("agntix-quality", "Which agent does well?", "A", "agntix_session_outcomes_total")
    },
    Total {
        by: &["agent_id", "language"],
        ..sum("agntix-quality", "Which agent speaks what?", "A", "agntix_session_languages_total")
    },
    sum("agntix-intents", "Sessions with an intent", "A", "agntix_session_intents_total"),
    Total {
        by: &["intent", "resolution", "sentiment"],
        ..sum("agntix-intents", "What becomes of each intent?", "A", "agntix_session_intents_total")
    },
    sum("agntix-duration", "Sessions ended", "A", "agntix_session_duration_seconds_count"),
    sum("agntix-duration", "Total time", "A", "agntix_session_duration_seconds_sum"),
    sum("agntix-agent", "Started", "A", "agntix_sessions_started_total"),
    sum("agntix-agent", "Ended", "A", "agntix_sessions_ended_total"),
    Total {
        by: &["agent_id", "field", "value"],
        ..sum("agntix-agent", "Which values were extracted?", "A", "agntix_session_extracted_values_total")
    },
    VOLUME,
    Total {
        by: &["language"],
        ..sum("agntix-operations", "Which language does well?", "A", "agntix_session_languages_total")
    },
    Total {
        by: &["variable", "value"],
        ..sum(
            "agntix-operations",
            "Which value of a session variable does well?",
            "A",
            "agntix_session_variables_total",
        )
    },
    sum("agntix-conversation", "Messages read of", "A", "agntix_session_turns_count"),
    Total {
        by: &["agent_id"],
        ..sum("agntix-conversation", "Which agent answers slowly?", "A", "agntix_session_turns_count")
    },
];

/// What the simulation added while it went on.
pub struct Growth {
    pub before: BTreeMap<String, f64>,
    pub after: BTreeMap<String, f64>,
}

impl Growth {
    pub fn of(&self, total: &Total, choice: &Choice) -> BTreeMap<Vec<String>, f64> {
        let chosen = |sample: &str| {
            let variables = [
                ("agent_id", "agent"),
                ("session_type", "session_type"),
                ("platform", "channel"),
                ("language", "language"),
            ];
            variables.iter().all(|(name, variable)| {
                let value = choice.values.iter().find(|(known, _)| known == variable).map(|(_, value)| value.as_str());
                label(sample, name).is_none_or(|found| value.is_none_or(|value| value == ".*" || value == found))
            })
        };
        let matching = self.after.iter().filter(|(sample, _)| {
            sample.split('{').next() == Some(total.metric)
                && chosen(sample)
                && total.only.iter().all(|(name, values)| values.contains(&label(sample, name).unwrap()))
        });
        grouped(matching.map(|(sample, after)| {
            let key = total.by.iter().map(|name| label(sample, name).unwrap().to_owned()).collect();
            (key, after - self.before.get(sample).copied().unwrap_or_default())
        }))
    }
}

pub fn key(labels: &Labels, by: &[&str]) -> Vec<String> {
    by.iter().map(|name| labels.get(*name).cloned().unwrap_or_default()).collect()
}

pub fn grouped(values: impl Iterator<Item = (Vec<String>, f64)>) -> BTreeMap<Vec<String>, f64> {
    let mut sums = BTreeMap::new();
    for (key, value) in values {
        *sums.entry(key).or_insert(0.0) += value;
    }
    sums
}
