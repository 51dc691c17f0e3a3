//! How many series Prometheus will get from a configuration: what a state has now, and an estimate for so many agents.

use super::Finding;
use crate::config::{ExtractedKind, MetricsConfig};
use crate::exposition::catalogue::{Family, Kind};

/// What an agent is taken to have where nothing is known: a voice and a chat channel, two languages, twenty intents.
const CHANNELS: u64 = 2;
const LANGUAGES: u64 = 2;
const INTENTS: u64 = 20;
/// Of the 20 pairs of resolution and sentiment, a channel soon has had most, and an intent a few.
const OUTCOMES: u64 = 14;
const OUTCOMES_OF_AN_INTENT: u64 = 5;
const PAIRS: u64 = 20;
const RESOLUTIONS: u64 = 5;
/// What the exporter says of itself, and the process.
const OWN: u64 = 150;
/// Gauges of a session that is exposed by itself.
const WATCHED: u64 = 5;
/// From here on a Prometheus of the usual size feels it.
const MANY: u64 = 200_000;

/// Series of Prometheus that one series of this family is: a histogram has one for each bucket, and a count and a sum.
pub fn lines(family: Family, config: &MetricsConfig) -> u64 {
    let Kind::Histogram { sum } = family.descriptor().kind else { return 1 };
    let bounds = match family {
        Family::Duration => config.duration_buckets.len(),
        Family::SentimentScore => config.sentiment_score_buckets.len(),
        Family::ExtractedValue => config.extracted.iter().map(|field| field.buckets.len()).max().unwrap_or(0),
        _ => config.confidence_buckets.len(),
    };
    // +Inf and the count.
    number(bounds) + 2 + u64::from(sum)
}

/// Series for so many agents if each has `intents` intents, each of them in `outcomes` pairs of resolution and sentiment.
fn of_agents(agents: u64, config: &MetricsConfig, intents: u64, outcomes: u64) -> u64 {
    let lines = |family| lines(family, config);
    // Started, ended (closed, expired), open, the outcomes, the histograms, and the two sums of the scores.
    let channel = 1 + 2 + 1 + OUTCOMES + lines(Family::Duration) + lines(Family::SentimentScore) + 2;
    let extracted: u64 = config
        .extracted
        .iter()
        .map(|field| match field.kind {
            ExtractedKind::Boolean => 2,
            ExtractedKind::Number => number(field.buckets.len()) + 3,
            ExtractedKind::Enum => number(config.max_label_values.min(10)),
        })
        .sum();
    let agent = CHANNELS * channel
        + LANGUAGES
        + intents * outcomes
        + RESOLUTIONS * lines(Family::ResolutionConfidence)
        + lines(Family::IntentConfidence)
        // Its name, what waits for an analysis, and those without one.
        + 3
        + extracted;
    agents * agent
}

/// Judges the number of series. `agents` is how many the organization has, `now` what each family of the state has.
pub fn judge(
    config: &MetricsConfig,
    agents: Option<u64>,
    now: Option<&[(&'static str, u64)]>,
    watched: u64,
) -> Finding {
    const CHECK: &str = "series";
    let beside = OWN + WATCHED * (watched + number(config.watch_recent));
    let present = now.map(|families| {
        let of = |(name, count): &(&str, u64)| {
            let family = Family::ALL.into_iter().find(|family| family.descriptor().name == *name);
            family.map_or(0, |family| lines(family, config)) * count
        };
        beside + families.iter().map(of).sum::<u64>()
    });
    let max_agents = number(config.max_agents);
    if let Some(agents) = agents.filter(|agents| *agents > max_agents) {
        return Finding::warning(
            CHECK,
            format!(
                "the organization has {agents} agents, and metrics.max_agents is {max_agents}: the rest becomes \"other\""
            ),
            "raise metrics.max_agents, and give Prometheus the memory for it",
        );
    }
    let estimate = agents.map(|agents| {
        let usual = beside + of_agents(agents, config, INTENTS, OUTCOMES_OF_AN_INTENT);
        let most = beside + of_agents(agents, config, number(config.max_label_values), PAIRS);
        (agents, usual, most)
    });
    let mut said: Vec<String> = present.map(|count| format!("{count} now")).into_iter().collect();
    said.extend(estimate.map(|(agents, usual, most)| {
        format!(
            "some {usual} for {agents} agents with {INTENTS} intents each, {most} with metrics.max_label_values = {}",
            config.max_label_values
        )
    }));
    if said.is_empty() {
        return Finding::ok(CHECK, "not known, since neither the state nor the agents can be read");
    }
    let found = said.join("; ");
    if present.into_iter().chain(estimate.map(|(_, usual, _)| usual)).any(|count| count > MANY) {
        let advice = "give Prometheus some 4 KiB of memory a series, or lower metrics.max_label_values and the number of buckets";
        return Finding::warning(CHECK, found, advice);
    }
    Finding::ok(CHECK, found)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    #[test]
    fn a_histogram_is_as_many_series_as_it_has_lines() {
        let config = MetricsConfig::default();
        assert_eq!(lines(Family::SessionsStarted, &config), 1);
        // 14 bounds, +Inf, count and sum; scores have no sum.
        assert_eq!(lines(Family::Duration, &config), 17);
        assert_eq!(lines(Family::SentimentScore, &config), 12);
    }

    #[test]
    fn what_is_there_and_what_may_come_are_told_apart() {
        let config = MetricsConfig::default();
        let now = [("agntix_sessions_started_total", 3), ("agntix_session_duration_seconds", 3)];
        let finding = judge(&config, Some(2), Some(&now), 4);
        assert_eq!(finding.standing, Standing::Ok);
        // 150 of its own, 5 for each of 4 watched sessions, 3 counters, and 3 histograms of 17 lines.
        assert!(finding.found.starts_with("224 now; some "), "{finding:?}");
        assert!(finding.found.contains("for 2 agents"), "{finding:?}");
        assert_eq!(judge(&config, Some(1_001), None, 0).standing, Standing::Warning);
        assert_eq!(judge(&config, Some(1_000), None, 0).standing, Standing::Warning);
        assert_eq!(judge(&config, Some(100), None, 0).standing, Standing::Ok);
        assert!(judge(&config, None, None, 0).found.starts_with("not known"));
    }

    #[test]
    fn each_agent_adds_the_same() {
        let config = MetricsConfig::default();
        let of = |agents| of_agents(agents, &config, INTENTS, OUTCOMES_OF_AN_INTENT);
        assert_eq!(of(10), 10 * of(1));
        assert!(of_agents(1, &config, 100, PAIRS) > of(1));
    }
}
