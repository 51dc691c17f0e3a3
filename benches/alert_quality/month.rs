//! The first month of a company, from the installation on: every notification that its on-call engineers and its team get.
//!
//! Judged by the models within seconds, or by the rule files in a real Prometheus, which takes most of an hour.

use std::fmt::Write as _;
use std::path::Path;

use fastrand::Rng;

use super::activity::{Activity, Fault, Trouble};
use super::exposed::Exposed;
use super::model::Model;
use super::modelled;
use super::nuisance::{DAY, Life, Moment, Nuisance};
use super::replay;
use super::routing::{self, Alert, Notification, Why};
use super::rules::Rule;

const DAYS: usize = 30;
const HOUR: usize = 60;
/// The usual shares of unresolved and of negative sessions.
const UNRESOLVED: f64 = 0.4;
const NEGATIVE: f64 = 0.2;
/// Sessions a day; the two of them that are there around the clock.
const AGENTS: [(&str, f64, bool); 12] = [
    ("hotline", 2_500.0, true),
    ("orders", 1_500.0, false),
    ("delivery", 900.0, false),
    ("returns", 600.0, true),
    ("billing", 400.0, false),
    ("contracts", 250.0, false),
    ("repairs", 160.0, false),
    ("spare-parts", 100.0, false),
    ("claims", 70.0, false),
    ("dealers", 45.0, false),
    ("jobs", 25.0, false),
    ("press", 15.0, false),
];
/// Wednesday of the second week, 14:10.
const FIRST_INCIDENT: usize = 9 * DAY + 14 * HOUR + 10;
/// Thursday of the third week, 10:30.
const SECOND_INCIDENT: usize = 17 * DAY + 10 * HOUR + 30;
const INCIDENT: usize = 2 * HOUR;
/// Friday of the second week, 11:00: a tenth more of the orders stay unresolved, for good.
const DEPLOYMENT: usize = 11 * DAY + 11 * HOUR;
/// Monday to Wednesday of the fourth week: half again as many repairs, a seventh more of them unresolved.
const CAMPAIGN: std::ops::Range<usize> = 21 * DAY..24 * DAY;
/// The last Sunday, 01:00, when the clocks go forward.
const CLOCKS: usize = 27 * DAY + HOUR;

fn faults(agent: &str) -> Vec<Fault> {
    match agent {
        "hotline" => vec![Fault { trouble: Trouble::Unresolved(2.0), from: FIRST_INCIDENT, minutes: INCIDENT }],
        "delivery" => vec![Fault { trouble: Trouble::Volume(0.0), from: SECOND_INCIDENT, minutes: INCIDENT }],
        _ => Vec::new(),
    }
}

/// Whether an alert is about one of the incidents.
fn is_true(alert: &Alert, at: usize) -> bool {
    let within = |from: usize, settle: usize| (from..from + INCIDENT + settle).contains(&at);
    let about = |agent: &str| alert.agent == agent || alert.agent.is_empty();
    let has = |word: &str| alert.name.contains(word);
    (has("Unresolved") || has("Budget")) && about("hotline") && within(FIRST_INCIDENT, 3 * DAY)
        || (has("Silent") || has("Missing")) && about("delivery") && within(SECOND_INCIDENT, DAY)
}

/// What is to be expected of an agent in each minute.
fn moments(agent: &str, sessions_per_day: f64, around_the_clock: bool, rng: &mut Rng) -> Vec<Moment> {
    let life = |nuisance| Life {
        nuisance,
        share: UNRESOLVED,
        sessions_per_day,
        minutes: DAYS * DAY + HOUR,
        calm: 0,
        incident: None,
    };
    let mut moments = life(Nuisance::Wander).moments(rng);
    if !around_the_clock {
        for (moment, hours) in moments.iter_mut().zip(life(Nuisance::OpeningHours).moments(rng)) {
            moment.rate = hours.rate;
        }
    }
    // The generator's wander is 13 % of the share; of this one it is 2 points.
    for moment in &mut moments {
        moment.share = UNRESOLVED + (moment.share - UNRESOLVED) * 0.375;
    }
    // Mornings are a little worse than afternoons, and nights worse than both.
    for (minute, moment) in moments.iter_mut().enumerate() {
        moment.share *= match minute / HOUR % 24 {
            0..7 | 22.. => 1.2,
            7..11 => 1.1,
            _ => 0.95,
        };
    }
    let wall_clock = |minute: usize| if minute >= CLOCKS { minute + HOUR } else { minute };
    let mut lived: Vec<Moment> = (0..DAYS * DAY).map(|minute| moments[wall_clock(minute)]).collect();
    for (minute, moment) in lived.iter_mut().enumerate() {
        if agent == "orders" && minute >= DEPLOYMENT {
            moment.share *= 1.1;
        }
        if agent == "repairs" && CAMPAIGN.contains(&minute) {
            (moment.rate, moment.share) = (moment.rate * 1.5, moment.share * 1.15);
        }
        moment.share = moment.share.min(0.92);
    }
    lived
}

/// Everything that was sent, as a table; `real` asks a Prometheus.
pub async fn measure(rules: &[Rule], seed: u64, real: bool, directory: &Path, start: u64) -> String {
    let agent = |(number, (agent, sessions_per_day, around_the_clock)): (usize, &(&str, f64, bool))| {
        let mut rng = Rng::with_seed(seed * 10_000 + number as u64);
        let moments = moments(agent, *sessions_per_day, *around_the_clock, &mut rng);
        let intents = 3 + number % 6;
        let activity = Activity::of(&moments, UNRESOLVED, NEGATIVE, intents, &faults(agent), &mut rng);
        Exposed { organization: "acme".into(), agent: (*agent).to_owned(), activity }
    };
    let agents: Vec<Exposed> = AGENTS.iter().enumerate().map(agent).collect();
    let alerts: Vec<Alert> = if real {
        let given = replay::ask(&agents, &replay::about_sessions(rules), directory, start, 1).await;
        given.into_iter().map(|given| given.alert).collect()
    } else {
        modelled::alerts(&Model::new(rules), &agents, 1)
    };
    let sent = routing::notifications(&alerts, DAYS * DAY);
    let mut text = String::new();
    table(&agents, &alerts, &sent, &mut text);
    text
}

fn table(agents: &[Exposed], alerts: &[Alert], sent: &[Notification], text: &mut String) {
    let count =
        |critical: bool, why: Why| sent.iter().filter(|sent| sent.critical == critical && sent.why == why).count();
    for (critical, name) in [(true, "critical"), (false, "warning")] {
        let [fires, repeats, resolved] = [Why::Fires, Why::Repeats, Why::Resolved].map(|why| count(critical, why));
        writeln!(text, "{name}: {fires} new, {repeats} repeated, {resolved} resolved.").unwrap();
    }
    text.push_str("\n| when | severity | about | what | right |\n| --- | --- | --- | --- | --- |\n");
    for notification in sent.iter().filter(|sent| sent.why != Why::Resolved) {
        let told = if notification.why == Why::Fires { &notification.new } else { &notification.firing };
        let what: Vec<String> = told.iter().map(|number| said(agents, &alerts[*number], notification.at)).collect();
        let is_true = told.iter().any(|number| is_true(&alerts[*number], notification.at));
        let about = if notification.agent.is_empty() { "the organization" } else { &notification.agent };
        let severity = if notification.critical { "critical" } else { "warning" };
        let again = if notification.why == Why::Repeats { " (again)" } else { "" };
        let (day, minute) = (notification.at / DAY + 1, notification.at % DAY);
        let when = format!("day {day}, {:02}:{:02}", minute / 60, minute % 60);
        let right = if is_true { "yes" } else { "no" };
        writeln!(text, "| {when} | {severity} | {about} | {}{again} | {right} |", what.join("; ")).unwrap();
    }
}

/// The alert, and what its summary would say: sessions and shares of the hour (a rise: of the day) before.
fn said(agents: &[Exposed], alert: &Alert, at: usize) -> String {
    let name = alert.name.trim_start_matches("Agntix");
    let (minutes, window) = match (alert.critical, alert.name.contains("Sessions")) {
        (true, true) => (HOUR / 2, "30m"),
        (true, false) => (HOUR, "1h"),
        (false, _) => (DAY, "1d"),
    };
    let sum = |of: &dyn Fn(&Activity) -> &Vec<u32>| -> u32 {
        let mine = agents.iter().filter(|agent| alert.agent.is_empty() || agent.agent == alert.agent);
        mine.map(|agent| of(&agent.activity)[at.saturating_sub(minutes)..at].iter().sum::<u32>()).sum()
    };
    let started = sum(&|activity| &activity.started);
    let share = |bad: u32| {
        format!(
            "{name}: {:.0} % of {started} in {}",
            100.0 * f64::from(bad) / f64::from(started.max(1)),
            if alert.critical { "1h" } else { "1d" }
        )
    };
    if name.contains("Intent") {
        format!("{name}: {}", alert.rest)
    } else if name.contains("Unresolved") {
        share(sum(&|activity| &activity.unresolved))
    } else if name.contains("Negative") {
        share(sum(&|activity| &activity.negative))
    } else if name.contains("Sessions") {
        format!("{name}: {started} in {window}")
    } else {
        name.to_owned()
    }
}
