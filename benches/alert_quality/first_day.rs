//! The first day after a history was imported: whether the rules find a tripled share as soon as after weeks that were lived, and without more false alarms.
//!
//! Three Prometheus servers see the same sessions of five weeks: one has scraped them all, one has scraped the last day and imported what came before
//! (a sample every two minutes, the fall to 0 where the look-back begins, no metric of the exporter itself), and one has only the last day. The recording
//! rules of the import are evaluated one after the other, as its `import.sh` has them.

use std::fmt::Write as _;
use std::path::Path;

use fastrand::Rng;

use super::activity::{Activity, Fault, Trouble};
use super::exposed::{Exposed, Known};
use super::nuisance::{DAY, Life, Nuisance};
use super::replay;
use super::rules::Rule;

const HOUR: usize = 60;
/// The last day begins here; the exporter and Prometheus are installed then, unless they were there all the time.
const BEGIN: usize = 29 * DAY;
/// Tuesday, 10:00.
const INCIDENT: usize = BEGIN + 10 * HOUR;
const LENGTH: usize = 6 * HOUR;
const SHARE: f64 = 0.15;
const TIMES: f64 = 3.0;
/// Names and sessions a day; the incident hits all but the last one.
const AGENTS: [(&str, f64); 4] = [("busy", 20_000.0), ("middling", 2_000.0), ("quiet", 500.0), ("untouched", 2_000.0)];
const ALERTS: [&str; 2] = ["AgntixUnresolvedSpike", "AgntixUnresolvedElevated"];
const KNOWN: [(&str, Known); 3] =
    [("lived for weeks", Known::Lived), ("imported", Known::Imported(BEGIN)), ("nothing before", Known::Since(BEGIN))];

/// Asks a real Prometheus for each of them, and tables the delays.
pub async fn measure(rules: &[Rule], seed: u64, directory: &Path, start: u64) -> String {
    let mut rules = replay::about_sessions(rules);
    rules.retain(|rule| !rule.name.starts_with("Agntix") || ALERTS.contains(&rule.name.as_str()));
    let agent = |(number, (name, sessions_per_day)): (usize, &(&str, f64))| {
        let mut rng = Rng::with_seed(seed * 10_000 + number as u64);
        let (share, minutes) = (SHARE, BEGIN + DAY);
        let life = Life {
            nuisance: Nuisance::Rhythm,
            share,
            sessions_per_day: *sessions_per_day,
            minutes,
            calm: BEGIN,
            incident: None,
        };
        let fault = Fault { trouble: Trouble::Unresolved(TIMES), from: INCIDENT, minutes: LENGTH };
        let faults = if *name == "untouched" { Vec::new() } else { vec![fault] };
        Exposed {
            organization: "acme".into(),
            agent: (*name).to_owned(),
            activity: Activity::draw(&life, 4, &faults, &mut rng),
        }
    };
    let agents: Vec<Exposed> = AGENTS.iter().enumerate().map(agent).collect();
    let mut text = format!(
        "| history | agent | {} | false alarms before it |\n| --- | --- | {}--- |\n",
        ALERTS.map(|alert| format!("`{alert}` fires after")).join(" | "),
        "--- | ".repeat(ALERTS.len())
    );
    for (name, known) in KNOWN {
        let given = replay::ask_knowing(known, &agents, &rules, directory, start, BEGIN + 1).await;
        for (agent, _) in AGENTS {
            let fires = |alert: &str| {
                let of = given.iter().filter(|given| given.alert.agent == agent && given.alert.name == alert);
                of.flat_map(|given| given.alert.fires.iter().copied()).collect::<Vec<_>>()
            };
            let delays = ALERTS.map(|alert| {
                let found = fires(alert).into_iter().filter(|(from, _)| (INCIDENT..INCIDENT + LENGTH).contains(from));
                found.map(|(from, _)| from - INCIDENT).min().map_or("never".to_owned(), |delay| format!("{delay} min"))
            });
            let before: usize =
                ALERTS.iter().map(|alert| fires(alert).iter().filter(|(from, _)| *from < INCIDENT).count()).sum();
            writeln!(text, "| {name} | {agent} | {} | {before} |", delays.join(" | ")).unwrap();
        }
    }
    text
}
