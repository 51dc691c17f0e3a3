//! What is on the page when: publication, the initial-zero window, its end, and that nothing shown ever decreases.

use std::time::{Duration, Instant};

use super::*;

const HOLD: Duration = Duration::from_secs(60);

fn new_series(value: u64) -> SeriesState<Jobs> {
    state(key(Jobs::Failures, &["a", "slow"]), BucketSchemaId::NONE, &[value], Some(&[0]))
}

fn shows(exposition: &Exposition, value: u64) -> bool {
    let line = format!("jobs_failures_total{{queue=\"a\",reason=\"slow\"}} {value}\n");
    Format::ALL.iter().all(|f| series(exposition, *f).contains(&line))
}

#[test]
fn before_publication_the_page_has_only_the_registry() {
    let exposition = exposition();
    exposition.apply(&[counter(Jobs::Failures, &["a", "slow"], 5)], Vec::new());
    exposition.set_gauges(Queues::Waiting, vec![(LabelSet::new(&["queue"], ["a"]), 1.0)]);
    assert!(!exposition.is_published());
    for format in Format::ALL {
        let all = String::from_utf8(page(&exposition, format, Encoding::Identity).to_vec()).unwrap();
        assert!(!all.contains("jobs_failures") && !all.contains("jobs_waiting"), "{all}");
        assert!(all.contains("\njobs_up 0\n"), "{all}");
    }
    exposition.publish(Instant::now());
    assert!(exposition.is_published() && shows(&exposition, 5));
    assert!(series(&exposition, Format::Text).contains("jobs_waiting{queue=\"a\"} 1\n"));
}

#[test]
fn a_window_begins_with_publication_or_with_the_first_call_after_a_new_series() {
    let exposition = exposition();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    exposition.apply(&[new_series(1)], Vec::new());
    assert!(exposition.due_for_release(after(500), HOLD).is_empty());
    exposition.publish(after(1000));
    assert!(shows(&exposition, 0));
    exposition.apply(&[new_series(4)], Vec::new());
    assert!(shows(&exposition, 0), "what is counted meanwhile is not shown");
    assert!(exposition.due_for_release(after(1059), HOLD).is_empty());
    let due = exposition.due_for_release(after(1060), HOLD);
    assert_eq!(due, [new_series(0).key]);
    assert_eq!(exposition.due_for_release(after(1061), HOLD), due, "due until it is released");
    exposition.release(&due);
    assert!(shows(&exposition, 4));
    assert!(exposition.due_for_release(after(9999), HOLD).is_empty());

    let late = state(key(Jobs::Failures, &["b", "lost"]), BucketSchemaId::NONE, &[2], Some(&[0]));
    exposition.apply(std::slice::from_ref(&late), Vec::new());
    assert!(exposition.due_for_release(after(10_000), HOLD).is_empty());
    assert!(exposition.due_for_release(after(10_059), HOLD).is_empty());
    assert_eq!(exposition.due_for_release(after(10_060), HOLD), [late.key]);
}

#[test]
fn a_release_out_of_order_leaves_the_others_in_their_windows() {
    let exposition = exposition();
    let start = Instant::now();
    exposition.publish(start);
    let states: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|a| state(key(Jobs::Failures, &[a, "slow"]), BucketSchemaId::NONE, &[1], Some(&[0])))
        .collect();
    exposition.apply(&states, Vec::new());
    assert!(exposition.due_for_release(start, HOLD).is_empty());
    exposition.release(&[states[1].key.clone()]);
    assert_eq!(exposition.due_for_release(start + HOLD, HOLD), [states[0].key.clone(), states[2].key.clone()]);
}

#[test]
fn nothing_shown_ever_decreases() {
    let exposition = exposition();
    exposition.publish(Instant::now());
    exposition.apply(&[counter(Jobs::Failures, &["a", "slow"], 5)], Vec::new());
    exposition.apply(&[counter(Jobs::Failures, &["a", "slow"], 3)], Vec::new());
    assert!(shows(&exposition, 5));
    // Nor may a window that comes too late hide what has been shown.
    exposition.apply(&[new_series(6)], Vec::new());
    assert!(shows(&exposition, 6));
}

#[test]
fn a_series_that_does_not_fit_its_buckets_changes_nothing() {
    let exposition = exposition();
    exposition.publish(Instant::now());
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
    exposition.publish(Instant::now());
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
