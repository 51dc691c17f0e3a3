//! Exact pages of the product's metrics: a changed spelling makes new series in every Prometheus that scrapes us.

use std::sync::Arc;
use std::time::Instant;

use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchemaId, LabelSet};

use super::{
    Exemplar, ExporterMetrics, Exposition, Family, GaugeFamily, PROCESS, SHARED, SeriesKey, SeriesState, buckets,
};
use crate::config::{METRIC_LABELS, METRIC_NAMES, MetricsConfig};

/// The formats that can be read as text.
const TEXTS: [Format; 2] = [Format::Text, Format::OpenMetrics];
const CHANNEL: [&str; 4] = ["support", "chat", "web", "inbound"];

fn exposition() -> Exposition {
    let config = MetricsConfig {
        duration_buckets: vec![5.0, 60.0],
        sentiment_score_buckets: vec![-0.8, 0.0, 1.0],
        turn_buckets: vec![1.0, 5.0],
        ..MetricsConfig::default()
    };
    ExporterMetrics::new().unwrap().exposition(Arc::new(buckets::schemas(&config)))
}

fn key(family: Family, values: &[&str]) -> SeriesKey {
    SeriesKey { family, labels: LabelSet::new(family.descriptor().labels, values.iter().copied()) }
}

fn state(key: SeriesKey, schema: BucketSchemaId, counts: &[u64], held_counts: Option<&[u64]>) -> SeriesState {
    SeriesState {
        key,
        schema,
        created_ms: 1_775_624_410_546,
        counts: counts.into(),
        held_counts: held_counts.map(Into::into),
    }
}

fn filled() -> Exposition {
    let exposition = exposition();
    let outcomes = key(Family::Outcomes, &["a\"b\\c\nd", "voice", "phone", "inbound", "resolved", "positive"]);
    let held = key(Family::Outcomes, &["b", "voice", "phone", "inbound", "none", "none"]);
    let intents = key(Family::Intents, &["b", "Où est mon colis ?", "unresolved", ""]);
    let duration = key(Family::Duration, &CHANNEL);
    let handled = key(Family::OutcomeDuration, &["support", "chat", "web", "inbound", "resolved"]);
    let exemplar = |key: &SeriesKey, bucket, value, id: &str| Exemplar {
        key: key.clone(),
        bucket,
        id: id.into(),
        value,
        at_ms: 1_775_624_420_000,
    };
    exposition.apply(
        &[
            state(outcomes.clone(), BucketSchemaId::NONE, &[3], None),
            state(held.clone(), BucketSchemaId::NONE, &[9], Some(&[0])),
            state(intents.clone(), BucketSchemaId::NONE, &[1], None),
            state(duration.clone(), buckets::DURATION, &[1, 2, 1, 9_416], None),
            state(key(Family::SentimentScore, &CHANNEL), buckets::SENTIMENT_SCORE, &[1, 2, 4, 0, 0], None),
            state(key(Family::SentimentPositive, &CHANNEL), BucketSchemaId::NONE, &[1_250_000], None),
            state(handled, BucketSchemaId::NONE, &[61_250], None),
            state(key(Family::Turns, &CHANNEL), buckets::TURNS, &[1, 2, 0, 7], None),
        ],
        vec![
            exemplar(&outcomes, 0, 1.0, "ses_1"),
            exemplar(&duration, 1, 9.416, "ses_2"),
            exemplar(&duration, 2, 99.0, &"x".repeat(119)),
            exemplar(&intents, 0, 1.0, "a family without exemplars"),
            exemplar(&held, 0, 1.0, "held"),
        ],
    );
    exposition.set_gauges(
        GaugeFamily::WatchedSentimentScore,
        vec![(LabelSet::new(&["session_id"], ["s1"]), -0.25), (LabelSet::new(&["session_id"], ["s2"]), 1.0)],
    );
    exposition.publish();
    exposition
}

fn sessions(format: Format) -> String {
    let page = filled().page(format, Encoding::Identity, Instant::now()).unwrap();
    String::from_utf8(page.series.concat()).unwrap()
}

#[test]
fn the_text_page_is_exact() {
    assert_eq!(sessions(Format::Text), include_str!("page.txt"));
}

#[test]
fn the_open_metrics_page_is_exact() {
    assert_eq!(sessions(Format::OpenMetrics), include_str!("page.openmetrics"));
}

#[test]
fn the_exporters_own_metrics_end_the_page() {
    let whole = |format| {
        let page = exposition().page(format, Encoding::Identity, Instant::now()).unwrap();
        String::from_utf8(page.to_vec()).unwrap()
    };
    let text = whole(Format::Text);
    assert!(text.contains("# TYPE agntix_exporter_state_commits_total counter\n"));
    assert!(text.contains("agntix_exporter_state_commits_total{outcome=\"success\"} 0\n"));
    assert!(text.contains("agntix_exporter_count_delay_seconds_bucket{source=\"webhook\",le=\"2.5\"} 0\n"));
    assert!(text.contains("agntix_exporter_count_delay_seconds_bucket{source=\"webhook\",le=\"+Inf\"} 0\n"));
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    let open = whole(Format::OpenMetrics);
    assert!(open.contains("# TYPE agntix_exporter_state_commits counter\n"));
    assert!(open.contains("agntix_exporter_state_commits_total{outcome=\"success\"} 0\n"));
    assert!(open.contains("# UNIT agntix_exporter_count_delay_seconds seconds\n"));
    assert!(open.contains("agntix_exporter_count_delay_seconds_bucket{source=\"webhook\",le=\"60.0\"} 0\n"));
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
}

/// `config` may not use the catalogue, and so has a list of its own.
#[test]
fn the_names_that_static_labels_cannot_have_are_those_of_the_metrics() {
    let families = Family::ALL.map(Family::descriptor);
    let gauges = GaugeFamily::ALL.map(GaugeFamily::descriptor);
    let all = families.iter().chain(&gauges).chain(SHARED).chain(PROCESS);
    let names: std::collections::BTreeSet<&str> = all.flat_map(|descriptor| descriptor.labels).copied().collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), METRIC_LABELS);
}

/// `config` may not use the catalogue, and so has a list of its own.
#[test]
fn the_metrics_that_can_be_disabled_are_those_of_the_reference() {
    let reference = super::reference();
    let names: std::collections::BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), METRIC_NAMES);
}

#[test]
fn disabled_metrics_are_on_no_page_and_are_counted_all_the_same() {
    let names =
        ["agntix_session_outcomes_total", "agntix_watched_session_sentiment_score", "agntix_up", "process_open_fds"];
    for format in TEXTS {
        let exposition = filled();
        let page = || {
            let page = exposition.page(format, Encoding::Identity, Instant::now()).unwrap();
            String::from_utf8(page.to_vec()).unwrap()
        };
        let whole = page();
        exposition.set_disabled(names.map(str::to_owned).into());
        let left = page();
        for name in names {
            let stem = name.trim_end_matches("_total");
            assert!(
                whole.contains(stem) && !left.contains(&format!("{stem} ")) && !left.contains(&format!("{name}{{")),
                "{name}"
            );
        }
        exposition.apply(
            &[state(
                key(Family::Outcomes, &["a\"b\\c\nd", "voice", "phone", "inbound", "resolved", "positive"]),
                BucketSchemaId::NONE,
                &[4],
                None,
            )],
            Vec::new(),
        );
        exposition.set_disabled(std::collections::BTreeSet::new());
        assert!(page().contains(r#"resolution="resolved",sentiment="positive"} 4"#));
    }
}

#[test]
fn every_family_is_on_the_page_once_with_its_lines_together() {
    for format in TEXTS {
        let page = filled().page(format, Encoding::Identity, Instant::now()).unwrap();
        let text = String::from_utf8(page.to_vec()).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut family = "";
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(seen.insert(rest), "{rest} comes twice");
            }
            if let Some(rest) = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
                family = rest.split(' ').next().unwrap();
            } else {
                assert!(line.trim_start_matches("# UNIT ").starts_with(family), "{line} under {family}");
            }
        }
    }
}
