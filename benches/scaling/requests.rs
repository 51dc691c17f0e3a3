//! Requests by source and traffic, and a month in minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use agntix_exporter::capacity::{Backend, Organization, Plan, USUAL, plan};
use agntix_exporter::config::Config;
use simulator::{AgentProfile, Clock as _, Rhythm, SimulatorConfig, SystemClock};

use crate::forward::Forward;
use crate::{resident, support};

/// Half of the vendor's largest limit.
const LARGEST: u32 = 1_500;
const HOUR: Duration = Duration::from_secs(3_600);
const OPEN_FOR: Duration = Duration::from_secs(240);
const ANALYSED_AFTER: Duration = Duration::from_secs(60);

/// What it is called, whether listed sessions carry their analysis, and the configuration.
type Sources = (&'static str, bool, fn(&mut Config));

const SOURCES: [Sources; 5] = [
    ("the listing, with analyses", true, |_| {}),
    ("a request a session", false, |_| {}),
    ("webhook", false, |config| config.webhook.enabled = true),
    ("webhook, ended_interval 2m", false, patient),
    ("webhook, ended_interval 2m, listing and open_interval 10m", false, |config| {
        patient(config);
        config.poll.listing_interval = Duration::from_secs(600);
        config.poll.open_interval = Duration::from_secs(600);
    }),
];

fn patient(config: &mut Config) {
    config.webhook.enabled = true;
    config.poll.ended_interval = Duration::from_secs(120);
}

/// A steady stream of sessions, as many as a day would have if each hour were the busiest one.
fn simulation(sessions_a_day: f64, agents: u32, list_analysis: bool) -> SimulatorConfig {
    let of_an_agent = sessions_a_day / f64::from(agents);
    let agents = (0..agents).map(|number| AgentProfile {
        id: format!("agnt_{number:08x}"),
        name: format!("Agent {number}"),
        sessions_per_day: of_an_agent,
        mean_duration: OPEN_FOR,
        shortest: Duration::from_secs(30),
        longest: Duration::from_secs(900),
        ..AgentProfile::default()
    });
    SimulatorConfig {
        start: SystemClock.now().minus(Duration::from_secs(60 * 86_400)),
        until: None,
        agents: agents.collect(),
        slot: Duration::from_secs(10),
        rhythm: Rhythm::Even,
        analysis_delay: (ANALYSED_AFTER / 2, ANALYSED_AFTER * 3 / 2),
        no_analysis_share: 0.0,
        missing_part_share: 0.0,
        half_written_share: 0.0,
        rate_limit: None,
        list_analysis,
        log_capacity: 1,
        ..SimulatorConfig::default()
    }
}

fn config(requests_per_minute: u32) -> Config {
    let mut config = Config::default();
    config.api.requests_per_minute = requests_per_minute;
    config.metrics.max_agents = 100_000;
    config.metrics.max_series = 10_000_000;
    config.metrics.new_series_hold = Duration::ZERO;
    config
}

/// The plan for a stream that goes on at this pace all the time.
fn planned(sessions_a_day: f64, agents: u64, listed_whole: bool, config: &Config) -> Plan {
    // The plan expects an eighth of the day in its busiest hour; here each hour has as much.
    let sessions_a_day = sessions_a_day / 24.0 * 8.0;
    let organization = Organization {
        sessions_a_day,
        agents,
        shape: USUAL,
        open_for: OPEN_FOR,
        analysed_after: ANALYSED_AFTER,
        listed_whole,
    };
    plan(&organization, config, Backend::Sqlite, Duration::from_secs(30))
}

/// Prints what each source asks for in an hour with so many sessions, beside the plan.
pub fn measure(numbers: &[u64]) {
    let hours = if numbers.is_empty() { &[125, 2_000, 12_500] } else { numbers };
    println!(
        "| sessions | source | pages of lists a minute | looks at ended ones | looks at open ones | all | planned | unfinished | planned | delay p50 | p99 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for &an_hour in hours {
        for (name, list_analysis, change) in SOURCES {
            let sessions_a_day = an_hour as f64 * 24.0;
            let mut config = config(LARGEST);
            change(&mut config);
            let simulated = simulation(sessions_a_day, 20, list_analysis);
            let delivers = config.webhook.enabled;
            let mut run = Forward::start(config.clone(), simulated, delivers);
            // The first half hour fills it.
            run.until(HOUR / 2);
            let before = run.requests.clone();
            run.delays.clear();
            run.until(HOUR / 2 + HOUR);
            let spent = |routes: &[&str]| {
                let of = |requests: &BTreeMap<&str, u64>| -> u64 {
                    routes.iter().map(|route| requests.get(route).copied().unwrap_or_default()).sum()
                };
                (of(&run.requests) - of(&before)) as f64 / 60.0
            };
            let (pages, ended, open) =
                (spent(&["listing", "open sessions", "agents"]), spent(&["ended"]), spent(&["open"]));
            let plan = planned(sessions_a_day, 20, list_analysis, &config);
            let mut delays = std::mem::take(&mut run.delays);
            let p50 = support::median(&mut delays);
            let p99 = delays[delays.len() * 99 / 100];
            println!(
                "| {an_hour} | {name} | {pages:.1} | {ended:.1} | {open:.1} | {:.1} | {:.1} | {} | {} | {p50:.1} s | {p99:.1} s |",
                pages + ended + open,
                plan.requests,
                run.pending(),
                plan.pending,
            );
        }
    }
}

/// Prints how a state and a process are after each of thirty days in which agents come and go.
pub fn month() {
    let sessions_a_day = 20_000.0;
    let mut simulated = simulation(sessions_a_day, 30, true);
    simulated.rhythm = Rhythm::Daily;
    let mut config = config(LARGEST);
    config.sessions.retention = 7 * 24 * HOUR;
    config.sessions.recent_window = HOUR;
    let mut run = Forward::start(config, simulated, false);
    println!("| day | sessions | requests a session | state | resident |");
    println!("| --- | --- | --- | --- | --- |");
    let mut before = (0, 0);
    for day in 1..=30 {
        run.until(24 * HOUR * day);
        let requests: u64 = run.requests.values().sum();
        let (sessions, asked) = (run.counted - before.0, requests - before.1);
        before = (run.counted, requests);
        if day % 3 == 0 || day == 1 {
            println!(
                "| {day} | {sessions} | {:.3} | {:.1} MB | {:.1} MB |",
                asked as f64 / sessions as f64,
                state(&run.directory) as f64 / 1e6,
                resident(None) as f64 / 1e6,
            );
        }
    }
}

/// Bytes of the files of a state.
pub fn state(directory: &std::path::Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}
