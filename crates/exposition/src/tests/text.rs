//! Exact pages: a changed spelling makes new series in every Prometheus that scrapes us.

use proptest::prelude::*;

use super::*;
use crate::Exemplar;

const MAIL: [&str; 2] = ["outgoing", "mail"];

pub fn filled() -> Exposition {
    let exposition = exposition();
    let finished = key(Jobs::Finished, &["a\"b\\c\nd", "call", "done"]);
    let held = key(Jobs::Finished, &["b", "call", "none"]);
    let failures = key(Jobs::Failures, &["Où est mon colis ?", ""]);
    let duration = key(Jobs::Duration, &MAIL);
    let exemplar = |key: &SeriesKey<Jobs>, bucket, value, id: &str| Exemplar {
        key: key.clone(),
        bucket,
        id: id.into(),
        value,
        at_ms: 1_775_624_420_000,
    };
    exposition.apply(
        &[
            state(finished.clone(), BucketSchemaId::NONE, &[3], None),
            state(held.clone(), BucketSchemaId::NONE, &[9], Some(&[0])),
            state(failures.clone(), BucketSchemaId::NONE, &[1], None),
            state(duration.clone(), DURATION, &[1, 2, 1, 9_416], None),
            state(key(Jobs::Balance, &MAIL), BALANCE, &[1, 2, 4, 0, 0], None),
            counter(Jobs::Credit, &MAIL, 1_250_000),
        ],
        vec![
            exemplar(&finished, 0, 1.0, "trace_1"),
            exemplar(&duration, 1, 9.416, "trace_2"),
            exemplar(&duration, 2, 99.0, &"x".repeat(121)),
            exemplar(&failures, 0, 1.0, "a family without exemplars"),
            exemplar(&held, 0, 1.0, "held"),
        ],
    );
    exposition.set_gauges(
        Queues::LastBalance,
        vec![(LabelSet::new(&["queue"], ["q1"]), -0.25), (LabelSet::new(&["queue"], ["q2"]), 1.0)],
    );
    exposition.publish();
    exposition
}

#[test]
fn the_text_page_is_exact() {
    assert_eq!(series(&filled(), Format::Text), include_str!("page.txt"));
}

#[test]
fn the_open_metrics_page_is_exact() {
    let exposition = filled();
    exposition.set_created_lines(true);
    assert_eq!(series(&exposition, Format::OpenMetrics), include_str!("page.openmetrics"));
}

#[test]
fn times_of_creation_are_left_out_unless_they_are_asked_for() {
    let exposition = filled();
    let without: String = include_str!("page.openmetrics")
        .lines()
        .filter(|line| !line.contains("_created"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(series(&exposition, Format::OpenMetrics), without);
    exposition.set_created_lines(true);
    assert_ne!(series(&exposition, Format::OpenMetrics), without, "the change is on the next page");
    exposition.set_created_lines(false);
    assert_eq!(series(&exposition, Format::OpenMetrics), without);
}

#[test]
fn the_registry_ends_the_page() {
    let exposition = exposition();
    let text = String::from_utf8(page(&exposition, Format::Text, Encoding::Identity).to_vec()).unwrap();
    assert!(text.contains("# TYPE jobs_requests_total counter\n"));
    assert!(text.contains("jobs_requests_total{code=\"200\"} 0\n"));
    assert!(text.contains("jobs_delay_seconds_bucket{source=\"poll\",le=\"2.5\"} 0\n"));
    assert!(text.contains("jobs_delay_seconds_bucket{source=\"poll\",le=\"+Inf\"} 1\n"));
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    let open = String::from_utf8(page(&exposition, Format::OpenMetrics, Encoding::Identity).to_vec()).unwrap();
    assert!(open.contains("# TYPE jobs_requests counter\n"));
    assert!(open.contains("jobs_requests_total{code=\"200\"} 0\n"));
    assert!(open.contains("# UNIT jobs_delay_seconds seconds\n"));
    assert!(open.contains("jobs_delay_seconds_bucket{source=\"poll\",le=\"60.0\"} 1\n"));
    assert!(open.contains("jobs_delay_seconds_sum{source=\"poll\"} 3.5\n"));
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
}

#[test]
fn constant_labels_are_on_every_sample_and_nowhere_else() {
    let constant = [("site".to_owned(), "a\"b\\c\nd".to_owned()), ("zone".to_owned(), "é".to_owned())];
    let labels = || LabelSet::new(&["site", "zone"], constant.iter().map(|(_, value)| value.as_str()));
    for format in TEXTS {
        let exposition = filled();
        let whole = || String::from_utf8(page(&exposition, format, Encoding::Identity).to_vec()).unwrap();
        let without = whole();
        exposition.set_constant_labels(labels());
        let with = whole();
        let (bare, labelled) = (parse::samples(&without), parse::samples(&with));
        assert!(bare.len() > 20 && bare.iter().any(|sample| sample.labels.is_empty()));
        assert_eq!(bare.len(), labelled.len());
        for (bare, labelled) in bare.iter().zip(&labelled) {
            let mut own = labelled.labels.clone();
            own.retain(|label| !constant.contains(label));
            assert_eq!(own.len() + constant.len(), labelled.labels.len(), "{labelled:?}");
            assert_eq!((&bare.name, &bare.labels, &bare.value), (&labelled.name, &own, &labelled.value));
        }
        assert_eq!(with.matches("# {trace_id=").count(), without.matches("# {trace_id=").count());
        assert_eq!(with.replace(&format!(",{}", labels().as_str()), "").matches("site=").count(), 1, "{with}");
        let ready = exposition.ready_page(format, Encoding::Identity, Instant::now()).unwrap().to_vec();
        assert_eq!(String::from_utf8(ready).unwrap(), with);
        exposition.set_constant_labels(LabelSet::default());
        assert_eq!(whole(), without);
    }
}

#[test]
fn every_family_is_on_the_page_once_with_its_lines_together() {
    for format in TEXTS {
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
fn a_release_shows_the_true_value_and_its_exemplar() {
    let exposition = filled();
    exposition.release(&[key(Jobs::Finished, &["b", "call", "none"])]);
    let open = series(&exposition, Format::OpenMetrics);
    assert!(open.contains("result=\"none\"} 9 # {trace_id=\"held\"} 1 1775624420\n"), "{open}");
}

#[test]
fn an_exemplar_is_replaced_by_a_later_one_only() {
    let exposition = exposition();
    let finished = key(Jobs::Finished, &["b", "call", "done"]);
    let count = |value: u64, id: &str, seconds: i64| {
        let exemplar = Exemplar { key: finished.clone(), bucket: 0, id: id.into(), value: 1.0, at_ms: seconds * 1000 };
        exposition.apply(&[state(finished.clone(), BucketSchemaId::NONE, &[value], None)], vec![exemplar]);
        series(&exposition, Format::OpenMetrics)
    };
    exposition.publish();
    assert!(count(1, "ended_second", 20).contains("} 1 # {trace_id=\"ended_second\"} 1 20\n"));
    assert!(count(2, "ended_first", 10).contains("} 2 # {trace_id=\"ended_second\"} 1 20\n"));
    assert!(count(3, "ended_third", 30).contains("} 3 # {trace_id=\"ended_third\"} 1 30\n"));
}

proptest! {
    #[test]
    fn any_label_value_round_trips_through_both_formats(
        values in proptest::collection::vec("\\PC*|[\\\\\"\n{},=# ]{0,12}|.{0,20}", 2..3)
    ) {
        let exposition = exposition();
        exposition.apply(&[counter(Jobs::Failures, &[&values[0], &values[1]], 7)], Vec::new());
        exposition.publish();
        for format in TEXTS {
            let samples = parse::samples(&series(&exposition, format));
            let sample = samples.iter().find(|s| s.name == "jobs_failures_total").unwrap();
            let expected: Vec<(String, String)> = ["queue", "reason"]
                .into_iter()
                .zip(&values)
                .map(|(n, v)| (n.to_owned(), if v.is_empty() { "unknown".to_owned() } else { v.clone() }))
                .collect();
            prop_assert_eq!(&sample.labels, &expected);
            prop_assert_eq!(&sample.value, "7");
        }
    }
}
