//! What holds of every history: the order of the listing changes nothing, and the rises come to what was counted.

#![expect(clippy::float_cmp, reason = "the samples are whole numbers")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::chronicle::{Chronicle, Day};
use super::page::PastPage;
use super::samples::{MomentKind, SampleTimes};
use super::spill::Spill;
use super::step::Step;
use super::{openmetrics, sessions};
use crate::catalogue::{Family, SeriesKey};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::past::{Past, StartingValue, key_of};
use crate::ledger::policy::PolicyConfig;
use crate::ledger::record::Records;
use crate::ledger::replay::Replay;
use crate::session::{Channel, Ended, Facts, Outcome, Parts};
use exposition::negotiation::Format;
use exposition::{BucketSchemaId, LabelSet, TimedSamples};

/// Midnight of 2026-04-08, less four hours: the histories of these tests go over midnight.
const BEGIN: i64 = 1_775_606_400_000 - 4 * HOUR;
const HOUR: i64 = 3_600_000;
const DEADLINE: Duration = Duration::from_secs(900);

#[derive(Clone, Debug)]
struct Drawn {
    created: i64,
    lasts: i64,
    analysed_after: Option<i64>,
    agent: u8,
    is_live: bool,
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let one = (0..6 * HOUR, 0..HOUR, prop::option::of(0..900_000_i64), 0_u8..3, any::<bool>()).prop_map(
        |(created, lasts, analysed_after, agent, is_live)| Drawn { created, lasts, analysed_after, agent, is_live },
    );
    prop::collection::vec(one, 0..40)
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(BEGIN + ms)
}

fn facts(number: usize, drawn: &Drawn) -> Arc<Facts> {
    let ended = drawn.created + drawn.lasts;
    let word = String::from;
    Arc::new(Facts {
        id: format!("s{number}").into(),
        created: at(drawn.created),
        channel: Channel {
            agent_id: format!("a{}", drawn.agent),
            session_type: word("voice"),
            platform: word("phone"),
            direction: word("inbound"),
        },
        state: word("closed"),
        last_activity: None,
        updated: drawn.analysed_after.map(|after| at(ended + after)),
        ended: Some(Ended { at: at(ended), duration_ms: u64::try_from(drawn.lasts).ok() }),
        outcome: Some(Outcome {
            timed_out: drawn.analysed_after.is_none(),
            resolution: drawn.analysed_after.map(|after| word(if after % 2 == 0 { "resolved" } else { "unresolved" })),
            intent: drawn.analysed_after.map(|after| format!("intent {}", after % 5)),
            sentiment_score: drawn.analysed_after.map(|after| i32::try_from(after % 900).unwrap() - 450),
            ..Outcome::default()
        }),
        contact: None,
        parts: Parts::NONE,
        malformed: Vec::new(),
    })
}

/// The files of a history of these sessions, in the order in which `order` lists them.
fn written(
    drawn: &[Drawn],
    order: &[usize],
    times: SampleTimes,
    starting: &BTreeMap<SeriesKey, StartingValue>,
) -> BTreeMap<i64, String> {
    let config = Config::default();
    let policy = PolicyConfig::from(&config);
    let directory = tempfile::tempdir().unwrap();
    let mut spill = Spill::open(&directory.path().join("s"), Records::new(&policy), DEADLINE).unwrap();
    for (place, number) in order.iter().enumerate() {
        let whole = facts(*number, &drawn[*number]);
        // The listing may have shown it before it was analysed, and may show it again.
        let in_part = Arc::new(Facts { outcome: None, updated: None, ..Facts::clone(&whole) });
        let sessions = if place % 3 == 0 { vec![whole, in_part] } else { vec![in_part, Arc::clone(&whole), whole] };
        let next = u32::try_from(place).unwrap();
        spill.keep_page(&PastPage { sessions, ..PastPage::default() }, next, 0).unwrap();
    }
    let live = (0..drawn.len()).filter(|number| drawn[*number].is_live).map(|number| key_of(&format!("s{number}")));
    let live: Vec<[u8; 16]> = live.collect();
    spill.keep_live(&live).unwrap();
    spill.mark_live(|_, _| None).unwrap();
    spill.collected().unwrap();
    let replay = Replay::new(policy.clone(), &Past::default());
    let mut chronicle = Chronicle::new(policy.clone(), replay, starting.clone());
    let labels = LabelSet::new(&["job"], ["x"]);
    let samples = TimedSamples::new(&policy.bucket_schemas, labels, Format::OpenMetrics);
    let mut days = BTreeMap::new();
    let mut of_day = |day: Day<'_>| -> Result<(), ()> {
        let mut bytes = Vec::new();
        openmetrics::write(&day, &samples, &|_| false, &mut bytes).unwrap();
        assert!(days.insert(day.number, String::from_utf8(bytes).unwrap()).is_none(), "a day is written once");
        Ok(())
    };
    for moment in times.moments() {
        let counted = match moment.kind {
            MomentKind::Past if moment.since.is_none() => Vec::new(),
            MomentKind::Past => spill.steps(false, moment.since, moment.until).unwrap(),
            MomentKind::Fall => Vec::new(),
            MomentKind::LookBack | MomentKind::Junction => spill.steps(true, moment.since, moment.until).unwrap(),
        };
        chronicle.sample(moment, &counted, &mut of_day).unwrap();
    }
    chronicle.end(&mut of_day).unwrap();
    days
}

/// By how much each series rises over all days, and its last value.
fn rises(days: &BTreeMap<i64, String>) -> BTreeMap<String, (f64, f64)> {
    let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in days.values().flat_map(|day| day.lines()).filter(|line| !line.starts_with('#')) {
        let mut parts = line.rsplitn(3, ' ');
        let (_, value, name) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
        series.entry(name.to_owned()).or_default().push(value.parse().unwrap());
    }
    let of = |(name, values): (String, Vec<f64>)| {
        assert_eq!(values[0], 0.0, "{name} begins with 0");
        let rises = values.windows(2).map(|pair| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] }).sum();
        (name, (rises, *values.last().unwrap()))
    };
    series.into_iter().map(of).collect()
}

fn sum(rises: &BTreeMap<String, (f64, f64)>, family: Family) -> f64 {
    let name = format!("{}{{", family.descriptor().name);
    rises.iter().filter(|(series, _)| series.starts_with(&name)).map(|(_, (rise, _))| rise).sum()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn rises_are_what_was_counted_in_any_order_of_the_listing(
        (drawn, order) in drawn().prop_flat_map(|drawn| {
            let order = Just((0..drawn.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(drawn), order)
        }),
        seconds in prop::sample::select(vec![120_u64, 180]),
    ) {
        let drawn: Vec<Drawn> = drawn.into_iter().map(|one| Drawn { is_live: false, ..one }).collect();
        let step = Step::new(Duration::from_secs(seconds)).unwrap();
        let times = SampleTimes::new(at(0), step, at(8 * HOUR), None);
        let in_order: Vec<usize> = (0..drawn.len()).collect();
        let files = written(&drawn, &in_order, times, &BTreeMap::new());
        prop_assert_eq!(&files, &written(&drawn, &order, times, &BTreeMap::new()));
        let rises = rises(&files);
        for family in [Family::SessionsStarted, Family::SessionsEnded, Family::Outcomes] {
            prop_assert_eq!(sum(&rises, family), count(drawn.len()), "{:?}", family);
        }
        prop_assert_eq!(sum(&rises, Family::AnalysisTimeouts), count(drawn.iter().filter(|d| d.analysed_after.is_none()).count()));
        prop_assert!(rises.values().all(|(_, last)| *last == 0.0), "without a junction it ends at 0");
    }

    #[test]
    fn history_reaches_any_starting_values_and_counts_the_rest_before(
        drawn in drawn(),
        starting in prop::collection::btree_map(0_u8..4, 0_u64..30, 0..4),
        fall in 1..6_i64,
    ) {
        let family = Family::SessionsStarted;
        let key = |agent: u8| {
            let agent = format!("a{agent}");
            let labels = LabelSet::new(family.descriptor().labels, [agent.as_str(), "voice", "phone", "inbound"]);
            SeriesKey { family, labels }
        };
        let values: BTreeMap<_, _> = starting
            .iter()
            .map(|(agent, count)| (key(*agent), StartingValue { schema: BucketSchemaId::NONE, counts: [*count].into() }))
            .collect();
        let step = Step::new(Duration::from_secs(120)).unwrap();
        let end = at(fall * HOUR + HOUR + 12_345);
        let times = SampleTimes::new(at(0), step, at(fall * HOUR), Some(end));
        let order: Vec<usize> = (0..drawn.len()).collect();
        let rises = rises(&written(&drawn, &order, times, &values));
        for agent in 0..4_u8 {
            let before = count(drawn.iter().filter(|one| one.agent == agent && !one.is_live).count());
            let starts = starting.get(&agent).copied().unwrap_or(0);
            let name = format!("agntix_sessions_started_total{{{},job=\"x\"}}", key(agent).labels.as_str());
            let (rise, last) = rises.get(&name).copied().unwrap_or_default();
            let starts = count(usize::try_from(starts).unwrap());
            prop_assert_eq!((rise, last), (before + starts, starts), "{}", name);
        }
    }
}

#[test]
fn steps_of_a_session_are_counted_in_their_order_even_at_one_time() {
    let one = facts(1, &Drawn { created: 5, lasts: 0, analysed_after: Some(0), agent: 0, is_live: false });
    let times = sessions::times(&one, DEADLINE);
    assert_eq!((times.ended, times.outcome), (Some(times.started), Some(times.started)));
}
