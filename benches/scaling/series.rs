//! Pages of ever more series and agents.

use std::path::{Path, PathBuf};
use std::time::Instant;

use agntix_exporter::capacity::{Backend, memory};
use agntix_exporter::clock::Timestamp;
use agntix_exporter::config::Config;
use agntix_exporter::ledger::sqlite::{LedgerConfig, SqliteLedger};
use agntix_exporter::ledger::{Change, Ledger as _};
use agntix_exporter::session::Source;

use crate::exporter::{Api, Exporter, Kind};
use crate::requests::state;
use crate::support::{self, Stage};

/// Sessions of each agent: enough for each of its channels and outcomes.
const SESSIONS: u64 = 24;
/// Scrapes, of which the middle one is shown.
const SCRAPES: usize = 9;

/// Prints what an exporter needs with so many agents, beside the plan.
pub fn measure() {
    println!("| agents | series | state | first page | a scrape, plain | in gzip | resident | planned |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for agents in [1, 100, 1_000, 10_000] {
        let directory = filled(agents);
        let exporter = start(&directory);
        let first = exporter.until("/metrics").as_secs_f64() * 1e3;
        let scrape = |gzip: bool| {
            let mut times: Vec<f64> = (0..SCRAPES)
                .map(|_| {
                    let began = Instant::now();
                    exporter.get("/metrics", gzip).unwrap();
                    began.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            support::median(&mut times)
        };
        let (gzip, resident) = (scrape(true), exporter.memory().0 * f64::from(1 << 20));
        let (page, plain) = (exporter.get("/metrics", false).unwrap().1, scrape(false));
        let series = series(&page);
        println!(
            "| {agents} | {series} | {:.1} MB | {first:.0} ms | {plain:.1} ms | {gzip:.1} ms | {:.0} MB | {:.0} MB |",
            state(&directory) as f64 / 1e6,
            resident / 1e6,
            memory(Backend::Sqlite, series, 0) as f64 / 1e6,
        );
        exporter.end(false);
        std::fs::remove_dir_all(directory).unwrap();
    }
}

/// An exporter of that state, without any sessions to come.
pub fn start(directory: &Path) -> Exporter {
    let more = [("METRICS__MAX_AGENTS", "100000"), ("METRICS__MAX_LABEL_VALUES", "1000")];
    Exporter::start(&Kind::Sqlite(directory.into()), Some(&Api::empty()), &more)
}

/// Samples of a page, which are series to Prometheus.
fn series(page: &[u8]) -> u64 {
    page.split(|byte| *byte == b'\n').filter(|line| line.first().is_some_and(u8::is_ascii_lowercase)).count() as u64
}

/// A state in which each of so many agents has had sessions of each channel and outcome.
pub fn filled(agents: u64) -> PathBuf {
    let directory = support::directory("scaling-series");
    let mut config = Config::default();
    config.state.path.clone_from(&directory);
    config.metrics.max_agents = 100_000;
    config.metrics.max_series = 10_000_000;
    config.metrics.new_series_hold = std::time::Duration::ZERO;
    let (ledger, _) = SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| ())).unwrap();
    let runtime = support::runtime();
    let now = Timestamp::from_millis(support::NOW.as_millis());
    runtime
        .block_on(ledger.commit(vec![Change::FirstStart(now.minus(std::time::Duration::from_secs(90 * 86_400)))]))
        .unwrap();
    for agent in 0..agents {
        let sessions = (0..SESSIONS).map(|n| {
            let Change::Session { facts, now, .. } = support::session(agent * SESSIONS + n * 1_001, Stage::Analysed, 0)
            else {
                unreachable!("a session")
            };
            let mut facts = std::sync::Arc::unwrap_or_clone(facts);
            facts.id = format!("{agent:08x}-0000-4000-8000-{n:012x}").into();
            facts.channel.agent_id = format!("40235145-aa3d-443e-9d0c-{agent:012x}");
            Change::Session { facts: facts.into(), source: Source::Listing, now }
        });
        runtime.block_on(ledger.commit(sessions.collect())).unwrap();
    }
    runtime.block_on(ledger.commit(vec![Change::LookBackDone, Change::OpenListed])).unwrap();
    drop(ledger);
    directory
}
