//! P8 over all: however many agents, channels, intents and languages come, and however often the process restarts, there are
//! no more series than `metrics.max_series`, and no total loses anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{commit, configuration, open};
use crate::catalogue::SeriesState;
use crate::catalogue::{Family, buckets};
use crate::ledger::Change;
use crate::ledger::policy::room::lines;
use crate::ledger::tests::{at, facts, session};
use crate::observation::{OTHER, zero_initialized};
use crate::session::{Channel, Facts};
use exposition::BucketSchemas;

/// A session with values picked by number.
fn varied(id: usize, [agent, platform, intent, language, resolution]: [u8; 5]) -> Change {
    let mut facts = Facts::clone(&facts(&id.to_string(), Some(5_000), Some("x")));
    facts.channel.agent_id = format!("agent {agent}");
    facts.channel.platform = format!("platform {platform}");
    if let Some(outcome) = &mut facts.outcome {
        outcome.intent = Some(format!("intent {intent}"));
        outcome.intent_confidence = Some(500_000);
        outcome.language = Some(format!("l{language}"));
        outcome.resolution = Some(match resolution {
            0 => "resolved".into(),
            1 => "unresolved".into(),
            other => format!("resolution {other}"),
        });
        outcome.resolution_confidence = Some(500_000);
    }
    session(&Arc::new(facts))
}

fn total(series: &[SeriesState], family: Family) -> u64 {
    series.iter().filter(|series| series.key.family == family).filter_map(|series| series.counts.first()).sum()
}

/// Samples that Prometheus stores, and the channels of which not every zero-initialized series is there.
fn shown(series: &[SeriesState], bucket_schemas: &BucketSchemas) -> (u64, BTreeSet<String>) {
    let keys: BTreeSet<_> = series.iter().map(|series| series.key.clone()).collect();
    let samples = series.iter().map(|series| lines(series.key.family, series.schema, bucket_schemas)).sum();
    let of_channels = series.iter().filter(|series| series.key.family == Family::SessionsStarted);
    let half = of_channels.filter(|started| {
        let values: Vec<String> = started
            .key
            .labels
            .as_str()
            .split("\",")
            .map(|pair| pair.split_once("=\"").unwrap().1.trim_end_matches('"').to_owned())
            .collect();
        let agent = values[0].clone();
        let [session_type, platform, direction] = [1, 2, 3].map(|place: usize| values[place].clone());
        let channel = Channel { agent_id: agent, session_type, platform, direction };
        zero_initialized(&channel, at(0)).iter().any(|series| !keys.contains(&series.key))
    });
    let half = half.map(|series| series.key.labels.as_str().to_owned()).collect();
    (samples, half)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn series_never_exceed_their_bound_and_totals_lose_nothing(
        sessions in prop::collection::vec((0..6_u8, 0..4_u8, 0..40_u8, 0..10_u8, 0..6_u8), 50..250),
        max in 1_000..4_000_u64,
        batch in 1..60_usize,
        restart_every in 1..6_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = configuration(directory.path());
        config.metrics.max_series = max;
        let bucket_schemas = buckets::schemas(&config.metrics);
        let mut ledger = open(&config).unwrap().0;
        commit(&ledger, vec![Change::LookBackDone]);
        let all: Vec<Change> =
            sessions.iter().enumerate().map(|(id, s)| varied(id, [s.0, s.1, s.2, s.3, s.4])).collect();
        let mut before = BTreeMap::new();
        for (number, batch) in all.chunks(batch).enumerate() {
            commit(&ledger, batch.to_vec());
            if number % restart_every == 0 {
                drop(ledger);
                let opened;
                (ledger, opened) = open(&config).unwrap();
                let (samples, half) = shown(&opened.series, &bucket_schemas);
                prop_assert!(samples <= max, "{samples} of {max}");
                prop_assert!(half.is_empty(), "{half:?}");
                let now: BTreeMap<_, _> = opened.series.into_iter().map(|s| (s.key, s.counts)).collect();
                prop_assert!(before.keys().all(|key| now.contains_key(key)));
                before = now;
            }
        }
        drop(ledger);
        let series = open(&config).unwrap().1.series;
        let count = all.len() as u64;
        for family in [Family::SessionsStarted, Family::SessionsEnded, Family::Outcomes, Family::Intents, Family::Languages] {
            prop_assert_eq!(total(&series, family), count, "{:?}", family);
        }
        let (samples, half) = shown(&series, &bucket_schemas);
        prop_assert!(samples <= max && half.is_empty(), "{samples} of {max}, {half:?}");
    }
}

#[test]
fn lowered_bound_removes_nothing_and_admits_nothing_new() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![Change::LookBackDone]);
    commit(&ledger, (0..60).map(|n| varied(n.into(), [n % 6, 0, n, 0, 0])).collect());
    drop(ledger);
    config.metrics.max_series = 1_000;
    let (ledger, opened) = open(&config).unwrap();
    let keys = |series: &[SeriesState]| series.iter().map(|series| series.key.clone()).collect::<BTreeSet<_>>();
    let before = keys(&opened.series);
    // What was admitted counts on; what is new is folded.
    commit(&ledger, vec![varied(100, [1, 0, 1, 0, 0]), varied(101, [1, 0, 99, 1, 0]), varied(102, [9, 0, 0, 0, 0])]);
    drop(ledger);
    let series = open(&config).unwrap().1.series;
    let new: Vec<_> = keys(&series).difference(&before).map(|key| key.labels.as_str().to_owned()).collect();
    assert!(!new.is_empty() && new.iter().all(|labels| labels.contains(&format!("\"{OTHER}\""))), "{new:?}");
    assert_eq!(total(&series, Family::Intents), 63);
    let folded = series.iter().filter(|series| series.key.labels.as_str().contains(r#"intent="other""#));
    assert_eq!(folded.map(|series| series.counts[0]).sum::<u64>(), 2);
}
