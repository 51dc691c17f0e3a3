//! A page of which only parts are rendered again is, after any changes, the page that is rendered from nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::Exemplar;
use crate::compress::Compressor;
use crate::rendered::Rendered;

#[derive(Clone, Debug)]
enum Change {
    /// These series of a family count more, or begin.
    Count(u64, u64),
    Observe(u64, Option<u64>),
    /// A series of a histogram without a sum.
    Weigh(u64),
    Release(u64),
    Exemplar(u64),
    Wait(u64),
    Disable(bool),
    Label(bool),
    CreatedLines(bool),
    /// All of them begin anew, with fewer series.
    Replace,
}

/// Few, so that several changes are of the same one: first and last of a block, and two that begin.
fn which() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(31), Just(32), Just(70), Just(71)]
}

fn change() -> impl Strategy<Value = Change> {
    // A block of counters has 512 of them, one of histograms 32.
    prop_oneof![
        4 => (0..1_500_u64, 1..40_u64).prop_map(|(from, count)| Change::Count(from, count)),
        4 => (which(), proptest::option::of(Just(0_u64))).prop_map(|(n, held)| Change::Observe(n, held)),
        4 => which().prop_map(Change::Release),
        2 => which().prop_map(Change::Exemplar),
        2 => which().prop_map(Change::Weigh),
        2 => (0..3_u64).prop_map(Change::Wait),
        1 => any::<bool>().prop_map(Change::Disable),
        1 => any::<bool>().prop_map(Change::Label),
        1 => any::<bool>().prop_map(Change::CreatedLines),
        1 => Just(Change::Replace),
    ]
}

fn observed(n: u64) -> SeriesKey<Jobs> {
    key(Jobs::Duration, &[&format!("queue{n}"), "slow"])
}

fn make(exposition: &Exposition, change: &Change, time: u64) {
    match change {
        Change::Count(from, count) => {
            let states =
                (*from..from + count).map(|n| counter(Jobs::Finished, &[&n.to_string(), "slow", "done"], time));
            exposition.apply(&states.collect::<Vec<_>>(), Vec::new());
        }
        Change::Observe(n, held) => {
            let held = held.map(|held| [held, 0, 0, held]);
            // Of one of them, nothing but the end of its window changes.
            let count = if *n == 31 { 2_000 } else { time };
            let state = state(observed(*n), DURATION, &[count, count, 1, count], held.as_ref().map(|held| &held[..]));
            exposition.apply(&[state], Vec::new());
        }
        Change::Weigh(n) => {
            let weighed = key(Jobs::Balance, &[&format!("queue{n}"), "slow"]);
            exposition.apply(&[state(weighed, BALANCE, &[time, 1, time, 0, 0], None)], Vec::new());
        }
        Change::Release(n) => exposition.release(&[observed(*n)]),
        Change::Exemplar(n) => {
            let at_ms = i64::try_from(time).unwrap();
            let exemplar = Exemplar { key: observed(*n), bucket: 1, id: "session".into(), value: 7.5, at_ms };
            exposition.apply(&[], vec![exemplar]);
        }
        Change::Wait(count) => {
            let series = (0..*count).map(|n| (LabelSet::new(&["queue"], [&*n.to_string()]), 1.0));
            exposition.set_gauges(Queues::Waiting, series.collect());
        }
        Change::Disable(is_disabled) => {
            let names = is_disabled.then(|| "jobs_failures_total".to_owned());
            exposition.set_disabled(names.into_iter().collect::<BTreeSet<_>>());
        }
        Change::Label(is_there) => {
            let labels = if *is_there { LabelSet::new(&["site"], ["north"]) } else { LabelSet::default() };
            exposition.set_constant_labels(labels);
        }
        Change::CreatedLines(are_shown) => exposition.set_created_lines(*are_shown),
        Change::Replace => {
            exposition.replace(&[counter(Jobs::Failures, &["queue0", "slow"], time)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_page_of_old_and_new_units_is_the_page_rendered_from_nothing(changes in proptest::collection::vec(change(), 1..24)) {
        let exposition = exposition();
        exposition.publish();
        let failures = (0..700).map(|n| counter(Jobs::Failures, &[&n.to_string(), "slow"], n));
        exposition.apply(&failures.collect::<Vec<_>>(), Vec::new());
        let held = |n: u64| (n == 31).then_some(&[0, 0, 0, 0][..]);
        let durations = (0..70).map(|n| state(observed(n), DURATION, &[1, 0, 0, 1], held(n)));
        exposition.apply(&durations.collect::<Vec<_>>(), Vec::new());
        for (change, time) in changes.iter().zip(1_000..) {
            make(&exposition, change, time);
            for format in Format::ALL {
                let page = series_bytes(&page(&exposition, format, Encoding::Identity));
                let mut compressor = Compressor::new(Encoding::Identity).unwrap();
                let whole = exposition.read_memory(|memory| {
                    Rendered::of(memory, Rendered::default(), (format, Encoding::Identity), &mut compressor).unwrap()
                });
                prop_assert!(page == whole.chunks.concat(), "{format:?} after {change:?}");
            }
        }
    }
}
