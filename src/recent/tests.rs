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
    assert_eq!((a.hour.sessions, a.hour.unresolved), (14, Share { of: 8, part: 3 }));
    assert_eq!(a.hour.negative, Share { of: 7, part: 3 });
    assert!(a.hour.median_seconds.is_some_and(|median| (60.0..120.0).contains(&median)), "{a:?}");
    assert_eq!((b.hour.sessions, b.hour.unresolved, b.hour.median_seconds), (3, Share { of: 3, part: 0 }, None));
    assert_eq!((table.all.hour.sessions, table.all.hour.unresolved), (17, Share { of: 11, part: 3 }));
    assert_eq!(a.hour, Lately { course: a.hour.course.clone(), ..a.day.clone() });
    // The last slot is the one in which it was counted.
    assert_eq!(a.hour.course, [None, None, None, None, None, Some(0.375)]);
    assert_eq!(a.day.course, [Some(0.375)]);
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
    assert_eq!(table.agents.len(), MOST_AGENTS + 1);
    assert_eq!(table.all.day.sessions, states.iter().map(|state| state.counts[0]).sum::<u64>());
}
