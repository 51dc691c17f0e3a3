//! What the table says of pages that grow.

use exposition::LabelSet;

use super::*;
use crate::catalogue::{ExporterMetrics, Family, SeriesKey, SeriesState, buckets};
use crate::config::MetricsConfig;
use exposition::BucketSchemaId;

fn page() -> Exposition {
    let exposition = ExporterMetrics::new().unwrap().exposition(Arc::new(buckets::schemas(&MetricsConfig::default())));
    exposition.publish();
    exposition
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + minute * 60_000)
}

fn outcomes(agent: &str, resolution: &str, sentiment: &str, count: u64) -> SeriesState {
    let values = [agent, "voice", "phone", "inbound", resolution, sentiment];
    SeriesState {
        key: SeriesKey {
            family: Family::Outcomes,
            labels: LabelSet::new(Family::Outcomes.descriptor().labels, values),
        },
        schema: BucketSchemaId::NONE,
        created_ms: 0,
        counts: Box::new([count]),
        // What is held back from Prometheus has been counted all the same.
        held_counts: Some(Box::new([0])),
    }
}

fn lasted(agent: &str, seconds: &[f64]) -> SeriesState {
    let schemas = buckets::schemas(&MetricsConfig::default());
    let id = buckets::DURATION;
    let schema = schemas.get(id).unwrap();
    let mut counts = vec![0; schema.width()];
    for seconds in seconds {
        counts[usize::from(schema.bucket(*seconds))] += 1;
    }
    let labels = LabelSet::new(Family::Duration.descriptor().labels, [agent, "voice", "phone", "inbound"]);
    let key = SeriesKey { family: Family::Duration, labels };
    SeriesState { key, schema: id, created_ms: 0, counts: counts.into(), held_counts: None }
}

#[test]
fn table_has_what_was_counted_since_the_first_look() {
    let (recent, page) = (Recent::default(), page());
    page.apply(&[outcomes("a\"1", "unresolved", "negative", 40)], Vec::new());
    assert_eq!(recent.table(&page, at(0), 10).unwrap().agents, []);
    let of_a = [
        outcomes("a\"1", "unresolved", "negative", 43),
        outcomes("a\"1", "resolved", "unknown", 5),
        outcomes("a\"1", "none", "none", 2),
        outcomes("a\"1", "not_applicable", "positive", 4),
        outcomes("b", "partially_resolved", "neutral", 3),
        lasted("a\"1", &[50.0, 70.0, 80.0, 1e9]),
    ];
    page.apply(&of_a, Vec::new());
    let info = LabelSet::new(GaugeFamily::AgentInfo.descriptor().labels, ["a\"1", "Desk\\\n1", "en", "true", "true"]);
    page.set_gauges(GaugeFamily::AgentInfo, vec![(info, 1.0)]);
    let table = recent.table(&page, at(10), 10).unwrap();
    assert_eq!(table.since, Duration::from_secs(600));
    let [a, b] = &*table.agents else { panic!("{table:?}") };
    assert_eq!((a.agent.as_deref(), a.name.as_deref()), (Some("a\"1"), Some("Desk\\\n1")));
    assert_eq!((a.hour.sessions, a.hour.unresolved.whole), (14, Share { of: 8, part: 3 }));
    assert_eq!(a.hour.negative.whole, Share { of: 7, part: 3 });
    assert!(a.hour.median_seconds.is_some_and(|median| (60.0..120.0).contains(&median)), "{a:?}");
    assert_eq!((b.hour.sessions, b.hour.unresolved.whole, b.hour.median_seconds), (3, Share { of: 3, part: 0 }, None));
    assert_eq!((table.all.hour.sessions, table.all.hour.unresolved.whole), (17, Share { of: 11, part: 3 }));
    assert_eq!((a.hour.unresolved.whole, a.hour.median_seconds), (a.day.unresolved.whole, a.day.median_seconds));
    // The last slot is the one in which it was counted.
    assert_eq!(a.hour.unresolved.course, [None, None, None, None, None, Some(0.375)]);
    assert_eq!(a.day.unresolved.course, [Some(0.375)]);
    assert_eq!(a.day.negative.course, [Some(3.0 / 7.0)]);
    assert_eq!((a.hour.unresolved.now, a.hour.negative.now), (Share { of: 8, part: 3 }, Share { of: 7, part: 3 }));
}

#[test]
fn now_is_the_end_of_the_course() {
    let (recent, page) = (Recent::default(), page());
    recent.look(&page, at(0));
    let now = |minute, resolution: &str, count| {
        page.apply(&[outcomes("a", resolution, "neutral", count)], Vec::new());
        let table = recent.table(&page, at(minute), 10).unwrap();
        (table.all.hour.unresolved.whole, table.all.hour.unresolved.now)
    };
    assert_eq!(now(1, "resolved", 80), (Share { of: 80, part: 0 }, Share { of: 80, part: 0 }));
    // An incident does not wait for the hour to pass.
    assert_eq!(now(6, "unresolved", 20), (Share { of: 100, part: 20 }, Share { of: 20, part: 20 }));
    assert_eq!(now(9, "unresolved", 20).1, Share { of: 20, part: 20 });
    assert_eq!(now(10, "unresolved", 20).1, Share::default());
}

#[test]
fn agent_without_a_name_is_called_by_its_id() {
    let (recent, page) = (Recent::default(), page());
    recent.look(&page, at(0));
    page.apply(&[outcomes("a", "resolved", "neutral", 1)], Vec::new());
    // As the series is of an agent whose name is longer than a label may be.
    for name in ["", " "] {
        let info = LabelSet::new(GaugeFamily::AgentInfo.descriptor().labels, ["a", name, "en", "true", "true"]);
        page.set_gauges(GaugeFamily::AgentInfo, vec![(info, 1.0)]);
        assert_eq!(recent.table(&page, at(1), 10).unwrap().agents[0].name, None);
    }
}

#[test]
fn what_is_over_an_hour_old_is_of_the_day_only_and_what_is_over_a_day_old_of_neither() {
    let (recent, page) = (Recent::default(), page());
    recent.look(&page, at(0));
    page.apply(&[outcomes("a", "unresolved", "neutral", 7)], Vec::new());
    recent.look(&page, at(1));
    let of = |minute| {
        let table = recent.table(&page, at(minute), 10).unwrap();
        (table.all.hour.sessions, table.all.day.sessions, table.agents.len())
    };
    assert_eq!(of(58), (7, 7, 1));
    assert_eq!(of(61), (0, 7, 1));
    assert_eq!(of(23 * 60 + 59), (0, 7, 1));
    assert_eq!(of(24 * 60 + 1), (0, 0, 0));
    // A clock that was set back takes nothing away, and neither does a database that has lost counts.
    page.replace(&[outcomes("a", "unresolved", "neutral", 3)]);
    assert_eq!(of(24 * 60 - 30), (0, 0, 0));
    page.apply(&[outcomes("a", "unresolved", "neutral", 5)], Vec::new());
    assert_eq!(of(24 * 60 + 2), (2, 2, 1));
}

#[test]
fn look_back_is_not_recent() {
    let recent = Recent::default();
    let page = ExporterMetrics::new().unwrap().exposition(Arc::new(buckets::schemas(&MetricsConfig::default())));
    recent.look(&page, at(0));
    page.apply(&[outcomes("a", "resolved", "neutral", 500)], Vec::new());
    assert_eq!(recent.table(&page, at(5), 10), None);
    page.publish();
    assert_eq!(recent.table(&page, at(6), 10).unwrap().all.day.sessions, 0);
}

#[test]
fn agents_beyond_the_bound_are_counted_together() {
    let (recent, page) = (Recent::default(), page());
    recent.look(&page, at(0));
    let states: Vec<_> =
        (0..MOST_AGENTS + 200).map(|n| outcomes(&format!("{n}"), "unresolved", "neutral", n as u64 + 1)).collect();
    page.apply(&states[..MOST_AGENTS], Vec::new());
    recent.look(&page, at(1));
    page.apply(&states[MOST_AGENTS..], Vec::new());
    let table = recent.table(&page, at(2), usize::MAX).unwrap();
    let others = table.agents.iter().find(|row| row.agent.is_none()).unwrap();
    assert_eq!(others.day.sessions, (MOST_AGENTS as u64 + 1..=MOST_AGENTS as u64 + 200).sum::<u64>());
    assert_eq!((table.agents.len(), table.left_out), (MOST_AGENTS + 1, 0));
    assert_eq!(table.all.day.sessions, states.iter().map(|state| state.counts[0]).sum::<u64>());
    // They are more than any single agent, and come last all the same; whoever is left out is counted.
    let short = recent.table(&page, at(2), 50).unwrap();
    assert_eq!((short.agents.len(), short.left_out), (51, MOST_AGENTS - 50));
    assert!(short.agents[..50].is_sorted_by_key(|row| std::cmp::Reverse(row.day.sessions)));
    assert_eq!((&short.agents[50], &short.all), (others, &table.all));
}
