//! The tables of `docs/scaling.md` are those of the plan that `doctor` judges by.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use agntix_exporter::capacity::{Backend, Organization, Plan, Shape, most_sessions_a_day, plan};
use agntix_exporter::config::Config;

const SCRAPE: Duration = Duration::from_secs(30);
/// What it is called, the configuration, and whether listed sessions carry their analysis.
type Sources = (&'static str, fn(&mut Config), bool);

const SOURCES: [Sources; 5] = [
    ("the listing, which carries analyses", |_| {}, true),
    ("the listing, and a request for each analysis", |_| {}, false),
    ("the same, and the webhook", |config| config.webhook.enabled = true, false),
    ("the webhook, `poll.ended_interval = \"2m\"`", patient, false),
    (
        "the same, `poll.listing_interval` and `poll.open_interval` of 10 minutes",
        |config| {
            patient(config);
            config.poll.listing_interval = Duration::from_secs(600);
            config.poll.open_interval = Duration::from_secs(600);
        },
        false,
    ),
];

fn patient(config: &mut Config) {
    config.webhook.enabled = true;
    config.poll.ended_interval = Duration::from_secs(120);
}

fn organization(sessions_a_day: f64, agents: u64, listed_whole: bool) -> Organization {
    Organization {
        sessions_a_day,
        agents,
        shape: Shape { channels: 2, intents: 12, languages: 2 },
        open_for: Duration::from_secs(240),
        analysed_after: Duration::from_secs(60),
        listed_whole,
    }
}

fn configured(change: fn(&mut Config)) -> Config {
    let mut config = Config::default();
    config.metrics.max_agents = 10_000;
    change(&mut config);
    config
}

/// What organizations of three sizes need.
fn sizes() -> String {
    let organizations = [(1_000.0, 3), (100_000.0, 50), (10_000_000.0, 1_000)];
    let whole = |number: f64| grouped_float(number.ceil());
    let mut text = String::from("| sessions a day | 1,000 | 100,000 | 10,000,000 |\n| --- | --- | --- | --- |\n");
    let mut row = |name: &str, cells: [String; 3]| {
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    };
    let plans = |backend, change: fn(&mut Config), listed_whole| {
        organizations.map(|(sessions, agents)| {
            plan(&organization(sessions, agents, listed_whole), &configured(change), backend, SCRAPE)
        })
    };
    let [sqlite, postgres] = [Backend::Sqlite, Backend::Postgres].map(|backend| plans(backend, |_| {}, true));
    row("agents", organizations.map(|(_, agents)| grouped(agents)));
    row("sessions a minute in the busiest hour", sqlite.map(|plan| whole(plan.starts_per_minute)));
    row("of these open, or waiting for their analysis", sqlite.map(|plan| grouped(plan.pending)));
    for (name, change, listed_whole) in SOURCES {
        let requests = plans(Backend::Sqlite, change, listed_whole).map(|plan| whole(plan.requests));
        row(&format!("requests a minute: {name}"), requests);
    }
    row(
        "further requests, if messages are read",
        plans(Backend::Sqlite, |config| config.messages.enabled = true, true).map(|plan| whole(plan.messages)),
    );
    row("series", sqlite.map(|plan| grouped(plan.series)));
    row("state in SQLite after 30 days (`sessions.retention`)", sqlite.map(|plan| bytes(plan.state)));
    row("state in PostgreSQL", postgres.map(|plan| bytes(plan.state)));
    row("memory, with SQLite", sqlite.map(|plan| bytes(plan.memory)));
    row("memory of the replica that counts, with PostgreSQL", postgres.map(|plan| bytes(plan.memory)));
    row(
        "part of one processor in the busiest hour",
        sqlite.map(|plan: Plan| format!("{:.1} %", plan.processor * 100.0)),
    );
    row(
        "Prometheus: samples a second (a scrape every 30 s)",
        sqlite.map(|plan| whole(plan.prometheus.samples_a_second)),
    );
    row("Prometheus: memory", sqlite.map(|plan| bytes(plan.prometheus.memory)));
    row("Prometheus: disk a day", sqlite.map(|plan| bytes(plan.prometheus.disk_a_day)));
    text
}

/// How many sessions a day fit into the limit of the API.
fn limits() -> String {
    let limits = [100_u32, 600, 3_000];
    let mut text = String::from(
        "| most sessions a day | limit of 100 requests a minute | 600 | 3,000 |\n| --- | --- | --- | --- |\n",
    );
    for (name, change, listed_whole) in SOURCES {
        let config = configured(change);
        let most = limits.map(|limit| {
            let allowed = f64::from(limit) * config.api.budget_share;
            grouped_float(round(most_sessions_a_day(&organization(0.0, 50, listed_whole), &config, allowed)))
        });
        writeln!(text, "| {name} | {} |", most.join(" | ")).unwrap();
    }
    text
}

/// To two digits, since no plan is more exact.
fn round(number: f64) -> f64 {
    let unit = 10.0_f64.powf((number.max(1.0).log10().floor() - 1.0).max(0.0));
    (number / unit).floor() * unit
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn grouped_float(number: f64) -> String {
    grouped(number as u64)
}

/// `12,345`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn bytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 1_000.0 { format!("{megabytes:.0} MB") } else { format!("{:.1} GB", megabytes / 1e3) }
}

/// The document with its tables as they are now.
fn with_tables(text: &str) -> String {
    let mut text = text.to_owned();
    for (name, table) in [("sizes", sizes()), ("limits", limits())] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = text.split_once(&begin).expect(&begin);
        let (_, after) = rest.split_once(&end).expect(&end);
        text = format!("{before}{begin}\n{table}\n{end}{after}");
    }
    text
}

#[test]
fn docs_scaling_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scaling.md");
    let written = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, with_tables(&written)).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        with_tables(&written),
        "docs/scaling.md is stale; run UPDATE_DOCS=1 cargo test --test it docs_scaling_is_current"
    );
}
