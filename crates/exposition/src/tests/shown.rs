//! What is on the page when: publication, the initial-zero window, its end, and that nothing shown ever decreases.

use super::*;

fn new_series(value: u64) -> SeriesState<Jobs> {
    state(key(Jobs::Failures, &["a", "slow"]), BucketSchemaId::NONE, &[value], Some(&[0]))
}

fn shows(exposition: &Exposition, value: u64) -> bool {
    let line = format!("jobs_failures_total{{queue=\"a\",reason=\"slow\"}} {value}\n");
    let sample = |sample: &parse::Sample| sample.name == "jobs_failures_total" && sample.value == value.to_string();
    TEXTS.iter().all(|f| series(exposition, *f).contains(&line))
        && protobuf::samples(&series_bytes(&page(exposition, Format::Protobuf, Encoding::Identity))).iter().any(sample)
}

#[test]
fn before_publication_the_page_has_only_the_registry() {
    let exposition = exposition();
    exposition.apply(&[counter(Jobs::Failures, &["a", "slow"], 5)], Vec::new());
    exposition.set_gauges(Queues::Waiting, vec![(LabelSet::new(&["queue"], ["a"]), 1.0)]);
    assert!(!exposition.is_published());
    assert!(page(&exposition, Format::Protobuf, Encoding::Identity).series.is_empty());
    for format in TEXTS {
        let all = String::from_utf8(page(&exposition, format, Encoding::Identity).to_vec()).unwrap();
        assert!(!all.contains("jobs_failures") && !all.contains("jobs_waiting"), "{all}");
        assert!(all.contains("\njobs_up 0\n"), "{all}");
    }
    exposition.publish();
    assert!(exposition.is_published() && shows(&exposition, 5));
    assert!(series(&exposition, Format::Text).contains("jobs_waiting{queue=\"a\"} 1\n"));
}

#[test]
fn a_held_series_shows_its_starting_value_until_it_is_released() {
    let exposition = exposition();
    exposition.apply(&[new_series(1)], Vec::new());
    exposition.publish();
    assert!(shows(&exposition, 0));
    exposition.apply(&[new_series(4)], Vec::new());
    assert!(shows(&exposition, 0), "what is counted meanwhile is not shown");
    exposition.release(&[new_series(0).key]);
    assert!(shows(&exposition, 4));
    // So does one whose state says that it is held no more.
    let late = |held: Option<&[u64]>| state(key(Jobs::Failures, &["b", "lost"]), BucketSchemaId::NONE, &[2], held);
    let text = || series(&exposition, Format::Text);
    exposition.apply(&[late(Some(&[0]))], Vec::new());
    assert!(text().contains("reason=\"lost\"} 0\n"), "{}", text());
    exposition.apply(&[late(None)], Vec::new());
    assert!(text().contains("reason=\"lost\"} 2\n"), "{}", text());
}

#[test]
fn a_release_out_of_order_leaves_the_others_held() {
    let exposition = exposition();
    exposition.publish();
    let states: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|a| state(key(Jobs::Failures, &[a, "slow"]), BucketSchemaId::NONE, &[1], Some(&[0])))
        .collect();
    exposition.apply(&states, Vec::new());
    exposition.release(&[states[1].key.clone()]);
    let text = series(&exposition, Format::Text);
    for (queue, value) in [("a", 0), ("b", 1), ("c", 0)] {
        assert!(
            text.contains(&format!("jobs_failures_total{{queue=\"{queue}\",reason=\"slow\"}} {value}\n")),
            "{text}"
        );
    }
}

#[test]
fn nothing_shown_ever_decreases() {
    let exposition = exposition();
    exposition.publish();
    exposition.apply(&[counter(Jobs::Failures, &["a", "slow"], 5)], Vec::new());
    exposition.apply(&[counter(Jobs::Failures, &["a", "slow"], 3)], Vec::new());
    assert!(shows(&exposition, 5));
    // Nor may a window that comes too late hide what has been shown.
    exposition.apply(&[new_series(6)], Vec::new());
    assert!(shows(&exposition, 6));
}

#[test]
fn states_that_replace_all_others_are_shown_even_where_they_are_less() {
    let exposition = exposition();
    exposition.publish();
    let before = [counter(Jobs::Failures, &["a", "slow"], 5), counter(Jobs::Failures, &["b", "slow"], 2)];
    exposition.apply(&before, Vec::new());
    assert_eq!(exposition.replace(&before), []);
    assert_eq!(exposition.replace(&[counter(Jobs::Failures, &["a", "slow"], 4)]), [(Jobs::Failures, 3)]);
    assert!(shows(&exposition, 4));
    assert_eq!(exposition.series(), 1);
}

#[test]
fn a_series_that_does_not_fit_its_buckets_changes_nothing() {
    let exposition = exposition();
    exposition.publish();
    let duration = key(Jobs::Duration, &["a", "mail"]);
    for (schema, counts) in [(DURATION, &[1, 2][..]), (BucketSchemaId::NONE, &[1][..]), (BucketSchemaId(77), &[1][..])]
    {
        exposition.apply(&[state(duration.clone(), schema, counts, None)], Vec::new());
    }
    assert_eq!(exposition.series(), 0);
    assert_eq!(series(&exposition, Format::Text), "");
}

#[test]
fn the_order_of_the_page_is_that_in_which_series_came() {
    let exposition = exposition();
    exposition.publish();
    let lines = |e: &Exposition| -> Vec<String> {
        series(e, Format::Text).lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect()
    };
    for n in 0..300 {
        exposition.apply(&[counter(Jobs::Failures, &[&format!("queue{}", n * 7919 % 300), "slow"], n)], Vec::new());
    }
    let before = lines(&exposition);
    exposition.apply(&[counter(Jobs::Failures, &["queue5", "slow"], 1_000)], Vec::new());
    exposition.apply(&[counter(Jobs::Failures, &["zz", "slow"], 1)], Vec::new());
    let after = lines(&exposition);
    assert_eq!(exposition.series(), 301);
    assert_eq!(after[..before.len()], before[..]);
}
