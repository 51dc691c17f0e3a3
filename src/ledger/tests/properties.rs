//! Promise P1 as properties: whatever the order, the repetition, the batching and the crashes, each session is counted once,
//! and every backend counts as the policy alone does.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::memory::Memory;
use super::{Backend, Postgres, Sqlite, at, facts, session, totals};
use crate::config::Config;
use crate::ledger::{Change, Lease};
use crate::session::{Ended, Facts, Source};

/// How many sessions there are.
const SESSIONS: u8 = 8;
const HOUR: i64 = 3_600_000;

/// What may be heard of a session before all of it is known. The last two sessions stay open for long, and are given up and
/// heard of again meanwhile.
fn heard(id: u8, stage: u8) -> Change {
    let name = id.to_string();
    let is_long = id >= SESSIONS - 2;
    match stage {
        3 => Change::Heard { id: name.into(), source: Source::Configured, now: at(HOUR) },
        2 if is_long => Change::GiveUp { id: name.into(), now: at(HOUR) },
        1 if is_long => session(&facts(&name, None, None)),
        stage => {
            let ended = i64::from(id) * 7_000;
            session(&facts(&name, (stage > 0).then_some(ended), (stage > 1).then(|| intent(id))))
        }
    }
}

fn whole(id: u8) -> Change {
    session(&facts(&id.to_string(), Some(i64::from(id) * 7_000), Some(intent(id))))
}

fn intent(id: u8) -> &'static str {
    if id.is_multiple_of(2) { "Refund" } else { "Order" }
}

/// What happens after a batch.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    Restart,
    /// The batch is lost, and comes again.
    Crash,
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![3 => Just(After::Nothing), 1 => Just(After::Restart), 1 => Just(After::Crash)]
}

/// The totals after the given news in batches, and then all of each session.
fn totals_of<B: Backend>(
    news: &[(u8, u8)],
    cuts: &[(usize, After)],
    looked_back: bool,
    crash: fn(&mut B, &[Change]),
) -> std::collections::BTreeMap<String, Vec<u64>> {
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![Change::FirstStart(at(20_000))]);
    if looked_back {
        ledger.commit(vec![Change::LookBackDone]);
    }
    let mut rest = news;
    for (cut, after) in cuts {
        let (batch, later) = rest.split_at((*cut).min(rest.len()));
        rest = later;
        let batch: Vec<Change> = batch.iter().map(|(id, stage)| heard(*id, *stage)).collect();
        if matches!(after, After::Crash) {
            crash(&mut ledger, &batch);
        }
        ledger.commit(batch);
        if matches!(after, After::Restart) {
            ledger.reopen();
        }
    }
    ledger.commit(rest.iter().map(|(id, stage)| heard(*id, *stage)).collect());
    ledger.commit((0..SESSIONS).map(whole).collect());
    totals(&ledger.reopen().series)
}

/// Anything that a batch can hold.
pub(super) fn change() -> impl Strategy<Value = Change> {
    let created = prop_oneof![4 => 0..3_i64, 1 => -40..3_i64].prop_map(|day| at(day * 24 * HOUR));
    let ended = prop::option::weighted(0.7, 0..48_i64);
    let analysis = prop::option::of((0..12_u8, 0..3_u8));
    let session = (0..12_u8, created, ended, analysis, 0..3_u8, 0..5_i64).prop_map(
        |(id, created, ended, analysis, agent, now)| {
            let intent = analysis.map(|(intent, _)| format!("intent {intent}"));
            let mut facts = Facts::clone(&facts(&format!("s{id}"), Some(0), Some(intent.as_deref().unwrap_or(""))));
            facts.created = created;
            facts.channel.agent_id = format!("agent {agent}");
            facts.ended = ended.map(|hours| {
                let took = Duration::from_secs(3600) * u32::try_from(hours).unwrap();
                Ended { at: created.plus(took), duration_ms: u64::try_from(took.as_millis()).ok() }
            });
            facts.updated = analysis.map(|(_, version)| created.plus(Duration::from_secs(60) * u32::from(version)));
            match &mut facts.outcome {
                Some(outcome) if analysis.is_some() => outcome.timed_out = false,
                outcome => *outcome = None,
            }
            Change::Session { facts: Arc::new(facts), source: Source::Webhook, now: at(now * 24 * HOUR) }
        },
    );
    let id = || (0..12_u8).prop_map(|id| Arc::<str>::from(format!("s{id}")));
    prop_oneof![
        20 => session,
        3 => id().prop_map(|id| Change::Heard { id, source: Source::File, now: at(HOUR) }),
        3 => id().prop_map(|id| Change::GiveUp { id, now: at(HOUR) }),
        1 => (0..40_i64).prop_map(|hours| Change::FirstStart(at(hours * HOUR))),
        1 => (0..40_i64).prop_map(|hours| Change::Watermark(at(hours * HOUR))),
        1 => Just(Change::LookBackDone),
        // No two are as far apart as leases are kept, nor nearly so: a database gives their times back inexactly.
        1 => (0..8_i64, 1..9_u32).prop_map(|(step, count)| {
            Change::Lease(Lease { granted: at(step * 35_000), count, per_window: 100 })
        }),
        1 => (0..9_u32).prop_map(Change::LeaseUnused),
    ]
}

pub(super) fn narrow(max_series: u64, retention_days: u32) -> Config {
    let mut config = Config::default();
    config.metrics.max_series = max_series;
    config.metrics.max_label_values = 5;
    config.metrics.max_agents = 2;
    config.sessions.retention = Duration::from_secs(86_400) * retention_days;
    config
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_order_repetition_batching_and_crash_gives_the_same_totals_on_the_policy_alone(
        news in prop::collection::vec((0..SESSIONS, 0..4_u8), 1..40),
        cuts in prop::collection::vec((1..6_usize, after()), 40),
        looked_back in any::<bool>(),
    ) {
        let plain = totals_of::<Memory>(&[], &[], looked_back, |_, _| ());
        prop_assert_eq!(totals_of::<Memory>(&news, &cuts, looked_back, Memory::crash), plain);
    }

    /// A batch sees its own writes.
    #[test]
    fn changes_come_to_the_same_in_one_batch_or_one_by_one(
        before in prop::collection::vec(change(), 0..20),
        changes in prop::collection::vec(change(), 1..20),
    ) {
        // So long that nothing is forgotten, which happens once a batch.
        let config = narrow(250_000, 400);
        let (mut batched, mut single) = (Memory::begin(config.clone()), Memory::begin(config));
        prop_assert_eq!(batched.commit(before.clone()), single.commit(before));
        let one_by_one = changes.iter().flat_map(|change| single.commit(vec![change.clone()])).collect::<Vec<_>>();
        prop_assert_eq!(batched.commit(changes), one_by_one);
        let (batched, single) = (batched.reopen(), single.reopen());
        prop_assert_eq!(totals(&batched.series), totals(&single.series));
        prop_assert_eq!(batched.pending, single.pending);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_repetition_and_batching_gives_the_same_totals_on_sqlite(
        news in prop::collection::vec((0..SESSIONS, 0..4_u8), 1..40),
        cuts in prop::collection::vec((1..6_usize, after()), 40),
        looked_back in any::<bool>(),
    ) {
        let restart = |ledger: &mut Sqlite, _: &[Change]| drop(ledger.reopen());
        let plain = totals_of::<Memory>(&[], &[], looked_back, |_, _| ());
        prop_assert_eq!(totals_of::<Sqlite>(&news, &cuts, looked_back, restart), plain);
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn any_order_repetition_and_batching_gives_the_same_totals_on_postgres(
        news in prop::collection::vec((0..SESSIONS, 0..4_u8), 1..40),
        cuts in prop::collection::vec((1..6_usize, after()), 40),
        looked_back in any::<bool>(),
    ) {
        let restart = |ledger: &mut Postgres, _: &[Change]| drop(ledger.reopen());
        let plain = totals_of::<Memory>(&[], &[], looked_back, |_, _| ());
        prop_assert_eq!(totals_of::<Postgres>(&news, &cuts, looked_back, restart), plain);
    }

    #[test]
    fn sqlite_counts_as_the_policy_alone_does(history in history()) {
        counts_as_the_policy_alone_does::<Sqlite>(history)?;
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn postgres_counts_as_the_policy_alone_does(history in history()) {
        counts_as_the_policy_alone_does::<Postgres>(history)?;
    }
}

/// Batches, each with whether the ledger is opened again after it and whether some windows end then; under which bounds.
#[derive(Clone, Debug)]
struct History {
    batches: Vec<(Vec<Change>, bool, bool)>,
    max_series: u64,
    retention_days: u32,
}

fn history() -> impl Strategy<Value = History> {
    let batches = prop::collection::vec((prop::collection::vec(change(), 1..20), any::<bool>(), any::<bool>()), 1..10);
    (batches, 1_000..4_000_u64, 2..40_u32).prop_map(|(batches, max_series, retention_days)| History {
        batches,
        max_series,
        retention_days,
    })
}

fn counts_as_the_policy_alone_does<B: Backend>(history: History) -> Result<(), TestCaseError> {
    let History { batches, max_series, retention_days } = history;
    let config = narrow(max_series, retention_days);
    let (mut memory, mut backend) = (Memory::begin(config.clone()), B::begin(config));
    for (batch, release, restart) in batches {
        prop_assert_eq!(memory.commit(batch.clone()), backend.commit(batch));
        if restart {
            let (alone, stored) = (memory.reopen(), backend.reopen());
            prop_assert_eq!(&alone.series, &stored.series);
            if release {
                let keys: Arc<[_]> = alone.series.iter().step_by(2).map(|series| series.key.clone()).collect();
                memory.commit(vec![Change::Release(keys.clone())]);
                backend.commit(vec![Change::Release(keys)]);
            }
        }
    }
    prop_assert_eq!(memory.take_overflow(), backend.take_overflow());
    let (alone, stored) = (memory.reopen(), backend.reopen());
    prop_assert_eq!(alone.series, stored.series);
    prop_assert_eq!(alone.pending, stored.pending);
    same_leases(&alone.leases, &stored.leases)?;
    prop_assert_eq!(alone.watermark, stored.watermark);
    prop_assert_eq!((alone.first_start, alone.look_back_done), (stored.first_start, stored.look_back_done));
    for agent in 0..3 {
        let agent = format!("agent {agent}");
        prop_assert_eq!(alone.agents.of(&agent), stored.agents.of(&agent));
    }
    Ok(())
}

/// A database keeps leases by its own clock, and how far that is from this machine's is measured anew each time.
pub(super) const LEASES_MEASURED_TO_MS: i64 = 5_000;

pub(super) fn same_leases(one: &[Lease], other: &[Lease]) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        prop_assert_eq!((one.count, one.per_window), (other.count, other.per_window));
        let apart = (one.granted.as_millis() - other.granted.as_millis()).abs();
        prop_assert!(apart <= LEASES_MEASURED_TO_MS, "{one:?} and {other:?}");
    }
    Ok(())
}
