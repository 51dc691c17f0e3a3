//! Exact pages: a changed spelling makes new series in every Prometheus that scrapes us.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::exposition::catalogue::GaugeFamily;
use crate::exposition::series::Exemplar;

const CHANNEL: [&str; 4] = ["support", "chat", "web", "inbound"];

fn filled() -> Exposition {
    let exposition = exposition();
    let outcomes = key(Family::Outcomes, &["a\"b\\c\nd", "voice", "phone", "inbound", "resolved", "positive"]);
    let duration = key(Family::Duration, &CHANNEL);
    let exemplar = |key: &SeriesKey, bucket, value, id: &str| Exemplar {
        key: key.clone(),
        bucket,
        session_id: id.into(),
        value,
        at: Timestamp::from_millis(1_775_624_420_000),
    };
    exposition.apply(
        &[
            state(outcomes.clone(), BucketSchemaId::NONE, &[3], None),
            state(
                key(Family::Outcomes, &["b", "voice", "phone", "inbound", "none", "none"]),
                BucketSchemaId::NONE,
                &[9],
                Some(&[0]),
            ),
            counter(Family::Intents, &["b", "Où est mon colis ?", "unresolved", ""], 1),
            state(duration.clone(), BucketSchemaId::DURATION, &[1, 2, 1, 9_416], None),
            state(key(Family::SentimentScore, &CHANNEL), BucketSchemaId::SENTIMENT_SCORE, &[1, 2, 4, 0, 0], None),
            counter(Family::SentimentPositive, &CHANNEL, 1_250_000),
        ],
        vec![
            exemplar(&outcomes, 0, 1.0, "ses_1"),
            exemplar(&duration, 1, 9.416, "ses_2"),
            exemplar(&duration, 2, 99.0, &"x".repeat(119)),
            exemplar(&key(Family::Intents, &["b", "Où est mon colis ?", "unresolved", ""]), 0, 1.0, "no family for it"),
            exemplar(&key(Family::Outcomes, &["b", "voice", "phone", "inbound", "none", "none"]), 0, 1.0, "held"),
        ],
    );
    exposition.set_gauges(
        GaugeFamily::WatchedSentimentScore,
        vec![(LabelSet::new(&["session_id"], ["s1"]), -0.25), (LabelSet::new(&["session_id"], ["s2"]), 1.0)],
    );
    exposition.publish(Instant::now());
    exposition
}

#[test]
fn the_text_page_is_exact() {
    assert_eq!(sessions(&filled(), Format::Text), include_str!("page.txt"));
}

#[test]
fn the_open_metrics_page_is_exact() {
    assert_eq!(sessions(&filled(), Format::OpenMetrics), include_str!("page.openmetrics"));
}

#[test]
fn the_own_part_ends_the_page() {
    let exposition = exposition();
    let text = String::from_utf8(page(&exposition, Format::Text, Encoding::Identity).to_vec()).unwrap();
    assert!(text.contains("# TYPE agntix_exporter_state_commits_total counter\n"));
    assert!(text.contains("agntix_exporter_state_commits_total{outcome=\"success\"} 0\n"));
    assert!(text.contains("agntix_exporter_count_delay_seconds_bucket{source=\"webhook\",le=\"2.5\"} 0\n"));
    assert!(text.contains("agntix_exporter_count_delay_seconds_bucket{source=\"webhook\",le=\"+Inf\"} 0\n"));
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    let open = String::from_utf8(page(&exposition, Format::OpenMetrics, Encoding::Identity).to_vec()).unwrap();
    assert!(open.contains("# TYPE agntix_exporter_state_commits counter\n"));
    assert!(open.contains("agntix_exporter_state_commits_total{outcome=\"success\"} 0\n"));
    assert!(open.contains("# UNIT agntix_exporter_count_delay_seconds seconds\n"));
    assert!(open.contains("agntix_exporter_count_delay_seconds_bucket{source=\"webhook\",le=\"60.0\"} 0\n"));
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
}

#[test]
fn no_family_is_told_of_twice_and_its_lines_stand_together() {
    for format in Format::ALL {
        let text = String::from_utf8(page(&filled(), format, Encoding::Identity).to_vec()).unwrap();
        let types: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE ")).collect();
        let distinct: std::collections::BTreeSet<_> = types.iter().collect();
        assert_eq!(types.len(), distinct.len());
        let mut family = "";
        for line in text.lines().filter(|l| *l != "# EOF") {
            if let Some(rest) = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
                family = rest.split(' ').next().unwrap();
            } else {
                assert!(line.trim_start_matches("# UNIT ").starts_with(family), "{line} under {family}");
            }
        }
    }
}

#[test]
fn a_release_shows_the_truth_and_its_exemplar() {
    let exposition = filled();
    let now = Instant::now() + Duration::from_secs(120);
    let due = exposition.due_for_release(now, Duration::from_secs(60));
    exposition.release(&due);
    let open = sessions(&exposition, Format::OpenMetrics);
    assert!(open.contains("sentiment=\"none\"} 9 # {session_id=\"held\"} 1 1775624420\n"), "{open}");
}

#[test]
fn an_exemplar_gives_way_to_a_later_one_only() {
    let exposition = exposition();
    let outcomes = key(Family::Outcomes, &["b", "voice", "phone", "inbound", "resolved", "none"]);
    let count = |value: u64, id: &str, seconds: i64| {
        let exemplar = Exemplar {
            key: outcomes.clone(),
            bucket: 0,
            session_id: id.into(),
            value: 1.0,
            at: Timestamp::from_millis(seconds * 1000),
        };
        exposition.apply(&[state(outcomes.clone(), BucketSchemaId::NONE, &[value], None)], vec![exemplar]);
        sessions(&exposition, Format::OpenMetrics)
    };
    exposition.publish(Instant::now());
    assert!(count(1, "ended_second", 20).contains("} 1 # {session_id=\"ended_second\"} 1 20\n"));
    assert!(count(2, "ended_first", 10).contains("} 2 # {session_id=\"ended_second\"} 1 20\n"));
    assert!(count(3, "ended_third", 30).contains("} 3 # {session_id=\"ended_third\"} 1 30\n"));
}

proptest! {
    #[test]
    fn any_label_value_round_trips_through_both_formats(
        values in proptest::collection::vec("\\PC*|[\\\\\"\n{},=# ]{0,12}|.{0,20}", 2..3)
    ) {
        let exposition = exposition();
        exposition.apply(&[counter(Family::Languages, &[&values[0], &values[1]], 7)], Vec::new());
        exposition.publish(Instant::now());
        for format in Format::ALL {
            let samples = parse::samples(&sessions(&exposition, format));
            let sample = samples.iter().find(|s| s.name == "agntix_session_languages_total").unwrap();
            let expected: Vec<(String, String)> = ["agent_id", "language"]
                .into_iter()
                .zip(&values)
                .map(|(n, v)| (n.to_owned(), if v.is_empty() { "unknown".to_owned() } else { v.clone() }))
                .collect();
            prop_assert_eq!(&sample.labels, &expected);
            prop_assert_eq!(&sample.value, "7");
        }
    }
}
