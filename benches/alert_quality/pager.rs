//! What an organization with fifty agents gets in a week, after Alertmanager has grouped and inhibited it: in the models, a minute a seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use fastrand::Rng;

use super::activity::Activity;
use super::exposed::Exposed;
use super::model::Model;
use super::modelled;
use super::nuisance::{Life, Nuisance, WEEK};
use super::routing::{self, Why};

const AGENTS: usize = 50;
const LEARNED: usize = 4;
const SCORED: usize = 4;
const SHARES: [f64; 3] = [0.15, 0.3, 0.5];

/// Agents of all kinds of nuisance and usual shares in turn, from 3,000 sessions a day down to 15.
fn agents(seed: u64) -> Vec<Exposed> {
    let agent = |number: usize| {
        let mut rng = Rng::with_seed(seed * 10_000 + number as u64);
        let life = Life {
            nuisance: Nuisance::ALL[number % Nuisance::ALL.len()],
            share: SHARES[number % SHARES.len()],
            sessions_per_day: sessions_per_day(number),
            minutes: (LEARNED + SCORED) * WEEK,
            calm: LEARNED * WEEK,
            incident: None,
        };
        let activity = Activity::draw(&life, 3 + number % 6, &[], &mut rng);
        Exposed { organization: "acme".into(), agent: format!("agent-{number}"), activity }
    };
    (0..AGENTS).map(agent).collect()
}

/// Each has nine tenths of the sessions of the one before it.
fn sessions_per_day(number: usize) -> f64 {
    3_000.0 * 0.9_f64.powi(i32::try_from(number).unwrap())
}

/// Notifications a week for the whole pager, and what they were about. None of it is an incident.
pub fn measure(model: &Model, seeds: Range<u64>) -> String {
    let weeks = f64::from(u32::try_from(seeds.end - seeds.start).unwrap()) * f64::from(u32::try_from(SCORED).unwrap());
    let (mut alarms, mut sent) = (BTreeMap::<String, u32>::new(), BTreeMap::<(bool, &str), u32>::new());
    for seed in seeds {
        let agents = agents(seed);
        let alerts = modelled::alerts(model, &agents, LEARNED * WEEK);
        for alert in &alerts {
            *alarms.entry(alert.name.clone()).or_default() += u32::try_from(alert.fires.len()).unwrap();
        }
        for notification in routing::notifications(&alerts, (LEARNED + SCORED) * WEEK) {
            let why = match notification.why {
                Why::Fires => "new",
                Why::Repeats => "again",
                Why::Resolved => "resolved",
            };
            *sent.entry((notification.critical, why)).or_default() += 1;
        }
    }
    let mut text = String::from("| notifications a week | new | again | resolved |\n| --- | --- | --- | --- |\n");
    for (critical, name) in [(true, "critical"), (false, "warnings")] {
        write!(text, "| {name} |").unwrap();
        for why in ["new", "again", "resolved"] {
            write!(text, " {:.1} |", f64::from(sent.get(&(critical, why)).copied().unwrap_or(0)) / weeks).unwrap();
        }
        text.push('\n');
    }
    text.push_str("\n| alarms a week before grouping | |\n| --- | --- |\n");
    for (name, count) in alarms {
        writeln!(text, "| `{name}` | {:.2} |", f64::from(count) / weeks).unwrap();
    }
    text
}
