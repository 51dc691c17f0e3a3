//! False alarms by kind of nuisance, and how soon incidents are found, for the rules about shares and for a sequential test beside them.

use std::fmt::Write as _;
use std::ops::Range;

use fastrand::Rng;

use super::model::{Excess, Model};
use super::nuisance::{Counts, DAY, Incident, Life, Nuisance, WEEK, seeded};
use super::prometheus::{Labels, Series};
use super::rules::{self, Rule};
use super::sequential::Sequential;

/// Names and sessions a day.
pub const AGENTS: [(&str, f64); 3] = [("busy", 20_000.0), ("middling", 500.0), ("quiet", 20.0)];
/// Usual shares.
pub const SHARES: [f64; 3] = [0.15, 0.3, 0.5];
/// Weeks from which the rules learn, and weeks that are scored.
const LEARNED: usize = 4;
const SCORED: usize = 4;

/// How long an alert is fired for: the rule's own `for` and `keep_firing_for`.
struct Alerts<'a> {
    critical: &'a Rule,
    warning: &'a Rule,
}

impl<'a> Alerts<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let named = |name: &str| {
            rules.iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("there is no alert {name}"))
        };
        Self { critical: named("AgntixUnresolvedSpike"), warning: named("AgntixUnresolvedElevated") }
    }

    /// When each begins to fire, in minutes.
    fn begin(&self, excess: &Excess) -> [Vec<usize>; 2] {
        let begin = |rule: &Rule, minutes: &[usize]| {
            let points = minutes.iter().map(|minute| (u64::try_from(minute * 60).unwrap(), 1.0)).collect();
            let firing = rules::firing(rule, &Series { labels: Labels::new(), points });
            // What begins again within the interval of a group is the same notification.
            let mut last = 0;
            let mut begun = Vec::new();
            for (from, to) in firing {
                if begun.is_empty() || from > last + 300 {
                    begun.push(usize::try_from(from / 60).unwrap());
                }
                last = to;
            }
            begun
        };
        [begin(self.critical, &excess.critical), begin(self.warning, &excess.warning)]
    }
}

/// Everything that is measured, over these seeds, as tables.
pub fn measure(rules: &[Rule], seeds: Range<u64>) -> String {
    let (model, alerts) = (Model::new(rules), Alerts::new(rules));
    let mut text = String::new();
    nuisances(&model, &alerts, seeds.clone(), &mut text);
    incidents(&model, &alerts, seeds.clone(), &mut text);
    first_days(&model, &alerts, seeds, &mut text);
    text
}

fn life(nuisance: Nuisance, share: f64, sessions_per_day: f64) -> Life {
    let minutes = (LEARNED + SCORED) * WEEK;
    Life { nuisance, share, sessions_per_day, minutes, calm: LEARNED * WEEK, incident: None }
}

/// So many of each.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub fn per(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

fn nuisances(model: &Model, alerts: &Alerts<'_>, seeds: Range<u64>, text: &mut String) {
    let weeks = usize::try_from(seeds.end - seeds.start).unwrap() * SCORED;
    text.push_str("| critical alerts / warnings a week |");
    for share in SHARES {
        for (name, _) in AGENTS {
            write!(text, " {name} {:.0} % |", share * 100.0).unwrap();
        }
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(SHARES.len() * AGENTS.len()));
    let mut means = vec![[0.0; 2]; SHARES.len() * AGENTS.len()];
    for (kind, nuisance) in Nuisance::ALL.into_iter().enumerate() {
        write!(text, "\n| {} |", nuisance.name()).unwrap();
        let cases =
            SHARES.iter().enumerate().flat_map(|share| AGENTS.iter().enumerate().map(move |agent| (share, agent)));
        for (((number, share), (which, agent)), mean) in cases.zip(&mut means) {
            let mut begun = [0; 2];
            for seed in seeds.clone() {
                let counts = life(nuisance, *share, agent.1).counts(&mut seeded(seed, [kind, number, which]));
                for (begun, began) in begun.iter_mut().zip(alerts.begin(&model.judge(&counts))) {
                    *begun += began.into_iter().filter(|at| *at > LEARNED * WEEK).count();
                }
            }
            let [critical, warning] = begun.map(|begun| per(begun, weeks));
            write!(text, " {critical:.2} / {warning:.2} |").unwrap();
            mean[0] += critical / per(Nuisance::ALL.len(), 1);
            mean[1] += warning / per(Nuisance::ALL.len(), 1);
        }
    }
    text.push_str("\n| **mean** |");
    for [critical, warning] in means {
        write!(text, " **{critical:.2} / {warning:.2}** |").unwrap();
    }
    text.push_str("\n\n");
}

/// An incident, and which alerts may find it.
struct Trial {
    name: &'static str,
    agent: usize,
    times: f64,
    minutes: usize,
    by_day: bool,
    repeats: u64,
}

const TRIALS: [Trial; 10] = [
    Trial { name: "share × 2, 2 h", agent: 0, times: 2.0, minutes: 120, by_day: false, repeats: 10 },
    Trial { name: "share × 3, 2 h", agent: 0, times: 3.0, minutes: 120, by_day: false, repeats: 10 },
    Trial { name: "share × 5, 2 h", agent: 0, times: 5.0, minutes: 120, by_day: false, repeats: 10 },
    Trial { name: "share × 4, 20 min", agent: 0, times: 4.0, minutes: 20, by_day: false, repeats: 10 },
    Trial { name: "share × 2, 6 h", agent: 1, times: 2.0, minutes: 360, by_day: false, repeats: 10 },
    Trial { name: "share × 3, 6 h", agent: 1, times: 3.0, minutes: 360, by_day: false, repeats: 10 },
    Trial { name: "share × 3, 6 h, by day", agent: 1, times: 3.0, minutes: 360, by_day: true, repeats: 10 },
    Trial { name: "share × 2, 2 days", agent: 2, times: 2.0, minutes: 2 * DAY, by_day: false, repeats: 10 },
    Trial { name: "share × 3, 2 days", agent: 2, times: 3.0, minutes: 2 * DAY, by_day: false, repeats: 10 },
    Trial { name: "share × 5, 2 days", agent: 2, times: 5.0, minutes: 2 * DAY, by_day: false, repeats: 10 },
];
/// How long after its end an alert is still about an incident, by agent, in minutes.
const SETTLE: [usize; 3] = [60, 360, DAY];

/// One incident each in the week after what is learned from.
fn trial(trial: &Trial, nuisance: Nuisance, share: f64, mut rng: Rng) -> (Counts, usize) {
    let from = loop {
        let from = LEARNED * WEEK + DAY + rng.usize(0..5 * DAY);
        let (hour, weekday) = (from % DAY / 60, from / DAY % 7);
        if !trial.by_day || weekday < 5 && (8..18).contains(&hour) {
            break from;
        }
    };
    let incident = Incident { from, minutes: trial.minutes, times: trial.times };
    let minutes = from + trial.minutes + SETTLE[trial.agent] + 10;
    let life = Life { minutes, incident: Some(incident), ..life(nuisance, share, AGENTS[trial.agent].1) };
    (life.counts(&mut rng), from)
}

/// How many were found, of how many, and after how many minutes in the middle if all are counted.
fn found(mut after: Vec<Option<usize>>) -> String {
    let found = after.iter().flatten().count();
    after.sort_by_key(|after| after.unwrap_or(usize::MAX));
    let middle = match after.get(after.len() / 2) {
        Some(Some(minutes)) if *minutes >= 600 => format!("{:.1} h", per(*minutes, 60)),
        Some(Some(minutes)) => format!("{minutes} min"),
        _ => "–".into(),
    };
    format!("{middle}, {found} of {}", after.len())
}

fn incidents(model: &Model, alerts: &Alerts<'_>, seeds: Range<u64>, text: &mut String) {
    let cases = [
        (Nuisance::None, 0.15),
        (Nuisance::None, 0.3),
        (Nuisance::None, 0.5),
        (Nuisance::Rhythm, 0.15),
        (Nuisance::StrongWander, 0.15),
    ];
    text.push_str("| agent, incident |");
    for (nuisance, share) in cases {
        let what = if nuisance == Nuisance::None { String::new() } else { format!(", {}", nuisance.name()) };
        write!(text, " {:.0} %{what} |", share * 100.0).unwrap();
    }
    text.push_str(" sequential test, 15 % |\n| --- |");
    text.push_str(&" --- |".repeat(cases.len() + 1));
    let sequential = AGENTS.map(|(_, sessions_per_day)| {
        let calm = seeds
            .clone()
            .map(|seed| life(Nuisance::None, SHARES[0], sessions_per_day).counts(&mut seeded(seed, [99, 0, 0])));
        Sequential::tuned(&calm.collect::<Vec<_>>(), SHARES[0], LEARNED * WEEK)
    });
    for (number, what) in TRIALS.iter().enumerate() {
        write!(text, "\n| {}, {} |", AGENTS[what.agent].0, what.name).unwrap();
        let mut by_test = Vec::new();
        for (case, (nuisance, share)) in cases.into_iter().enumerate() {
            let mut by_rules = Vec::new();
            for seed in seeds.clone().flat_map(|seed| (0..what.repeats).map(move |repeat| seed * 100 + repeat)) {
                let (counts, from) = trial(what, nuisance, share, seeded(seed, [number, case, 7]));
                let within = from..from + what.minutes + SETTLE[what.agent];
                let begun = alerts.begin(&model.judge(&counts));
                let first = begun.iter().flatten().filter(|at| within.contains(at)).min();
                by_rules.push(first.map(|at| at - from));
                if case == 0 {
                    let first = sequential[what.agent].first(&counts, SHARES[0], from);
                    by_test.push(first.filter(|at| within.contains(at)).map(|at| at - from));
                }
            }
            write!(text, " {} |", found(by_rules)).unwrap();
        }
        write!(text, " {} |", found(by_test)).unwrap();
    }
    text.push_str("\n\n");
}

/// From the installation on, without a history.
fn first_days(model: &Model, alerts: &Alerts<'_>, seeds: Range<u64>, text: &mut String) {
    let of = usize::try_from(seeds.end - seeds.start).unwrap();
    text.push_str("| critical in the first day, critical / warnings in ten days |");
    let kinds = [Nuisance::None, Nuisance::Rhythm, Nuisance::StrongRhythm, Nuisance::Wander, Nuisance::Everything];
    for nuisance in kinds {
        write!(text, " {} |", nuisance.name()).unwrap();
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(kinds.len()));
    for (which, (name, sessions_per_day)) in AGENTS.into_iter().enumerate() {
        for (number, share) in SHARES.into_iter().enumerate() {
            write!(text, "\n| {name}, {:.0} % |", share * 100.0).unwrap();
            for (kind, nuisance) in kinds.into_iter().enumerate() {
                let mut count = [0; 3];
                for seed in seeds.clone() {
                    let life = Life { minutes: 10 * DAY, calm: 0, ..life(nuisance, share, sessions_per_day) };
                    let [critical, warning] =
                        alerts.begin(&model.judge(&life.counts(&mut seeded(seed, [50 + kind, number, which]))));
                    count[0] += critical.iter().filter(|at| **at <= DAY).count();
                    count[1] += critical.len();
                    count[2] += warning.len();
                }
                let [day, critical, warning] = count.map(|count| per(count, of));
                write!(text, " {day:.1}, {critical:.1} / {warning:.1} |").unwrap();
            }
        }
    }
    text.push('\n');
}
