//! How good the alert rules are: the simulator's incidents, the real rules, a real Prometheus; incidents found and how soon,
//! and false alarms, beside the rules that people usually write.
//!
//! `cargo bench --bench alert_quality -- --seeds 5`. Options: `--seeds N` (1), `--first-seed N` (1), `--weeks N` (8), `--warm-up N` (4, the weeks
//! before the first incident, from which the rules learn what is usual), `--by-day` (incidents begin on working days), `--rules DIRECTORY` (`deploy/prometheus/rules`),
//! `--keep` (leave samples and answers on disk, and use them again where neither the script nor the rules have changed). It needs Prometheus 3 from `.ci/tools`, some
//! gigabytes below `target/`, and minutes a seed.
//!
//! Other measurements, about life that is not constant, take `--seeds` and `--first-seed` too. In models of the rules, of processor time a seed: `nuisance` (shares, 9 s), `signals` (volume,
//! handle time and intents, 9 s), `pager` (fifty agents, 3 s), `month` (the first month of a company, 1 s). With the rule files in a real Prometheus, on one seed: `replay` (whether the models say the
//! same, three minutes on two cores), `month-replayed` (longer), `first-day` (the day after a history was imported, beside weeks that were lived).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]
#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot be set up should stop")]

mod activity;
mod exposed;
mod first_day;
mod handle_time;
mod intents;
mod judging;
mod model;
mod modelled;
mod month;
mod nuisance;
mod organization;
mod pager;
mod prometheus;
mod replay;
mod routing;
mod rules;
mod score;
mod sequential;
mod series;
mod signals;
mod spans;
mod volume;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agntix_exporter::catalogue::Family;
use organization::{Agent, Scripted, timestamp};
use prometheus::{Import, Series};
use rules::{Rule, Type};
use score::Score;
use serde::{Deserialize, Serialize};
use series::Exporter;
use simulator::Simulator;

/// Monday, 5 January 2026, 00:00 UTC.
const START: u64 = 1_767_571_200;
const WEEK: u64 = 7 * 86_400;
/// Samples are made into blocks in parts of this length, so that their text never fills a disk.
const PART: u64 = 162 * 3600;

#[derive(Debug)]
struct Options {
    first_seed: u64,
    seeds: u64,
    weeks: u64,
    warm_up: u64,
    by_day: bool,
    rules: PathBuf,
    keep: bool,
    /// A measurement other than the one with the simulator's incidents.
    task: Option<String>,
}

impl Options {
    fn read() -> Self {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
        let mut options =
            Self { first_seed: 1, seeds: 1, weeks: 8, warm_up: 4, by_day: false, rules, keep: false, task: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
            match argument.as_str() {
                "--seeds" => options.seeds = value().parse().unwrap(),
                "--first-seed" => options.first_seed = value().parse().unwrap(),
                "--weeks" => options.weeks = value().parse().unwrap(),
                "--warm-up" => options.warm_up = value().parse().unwrap(),
                "--rules" => options.rules = value().into(),
                "--by-day" => options.by_day = true,
                "--keep" => options.keep = true,
                "nuisance" | "signals" | "month" | "month-replayed" | "pager" | "replay" | "first-day" => {
                    options.task = Some(argument);
                }
                "--bench" => {}
                _ => panic!("{argument} is not an option"),
            }
        }
        assert!(options.warm_up < options.weeks, "nothing is left to evaluate after the warm-up");
        options
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.rules).unwrap_or_else(|e| panic!("{}: {e}", self.rules.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
        files.sort();
        files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/alert_quality/peers.yml"));
        files
    }
}

fn main() {
    let options = Options::read();
    let top = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alert-quality");
    std::fs::create_dir_all(&top).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut rules = runtime.block_on(rules::read(&options.files()));
    let seeds = options.first_seed..options.first_seed + options.seeds;
    if let Some(task) = &options.task {
        let directory = top.join(task);
        let measured = match task.as_str() {
            "nuisance" => judging::measure(&rules, seeds.clone()),
            "signals" => signals::measure(seeds.clone()),
            "pager" => pager::measure(&model::Model::new(&rules), seeds.clone()),
            "first-day" => runtime.block_on(first_day::measure(&rules, seeds.start, &directory, START)),
            "replay" => runtime.block_on(replay::measure(&rules, seeds.start, &directory, START)),
            task => runtime.block_on(month::measure(&rules, seeds.start, task == "month-replayed", &directory, START)),
        };
        println!("Seeds {} to {}.\n\n{measured}", seeds.start, seeds.end - 1);
        return;
    }
    rules.retain(|rule| rule.r#type == Type::Recording || score::classify(rule).is_some());
    let agents = organization::agents();
    let mut score = Score::default();
    for seed in seeds.clone() {
        runtime.block_on(measure(seed, &options, &top.join(format!("seed-{seed}")), &rules, &agents, &mut score));
        // What is known so far, so that a run that is broken off was not for nothing.
        eprintln!("{}", score.markdown(&agents));
    }
    let hours = agents.each_ref().map(|agent| format!("{} {} h", agent.name, agent.incident_hours())).join(", ");
    println!(
        "Seeds {} to {}, {} weeks each, of which the first {} without incidents; incidents {}last: {hours}.\n",
        seeds.start,
        seeds.end - 1,
        options.weeks,
        options.warm_up,
        if options.by_day { "begin by day, and " } else { "" }
    );
    println!("{}", score.markdown(&agents));
}

/// What the alerts gave, and the rules that were asked.
#[derive(Deserialize, Serialize)]
struct Answers {
    rules: String,
    given: Vec<Vec<Series>>,
}

/// Measures one seed.
async fn measure(seed: u64, options: &Options, directory: &Path, rules: &[Rule], agents: &[Agent], score: &mut Score) {
    let began = Instant::now();
    let (from, end) = (START + options.warm_up * WEEK, START + options.weeks * WEEK);
    let number = |agent: usize| seed * 100 + u64::try_from(agent).unwrap();
    let numbered = || agents.iter().enumerate();
    let scripts: Vec<Vec<Scripted>> =
        numbered().map(|(n, agent)| agent.script(number(n), from, end, options.by_day)).collect();
    let configs = || numbered().map(|(n, agent)| agent.simulation(number(n), START, end, &scripts[n]));

    let base = directory.join("base");
    let complete = directory.join("complete");
    let families = families(rules);
    let settings = format!("{scripts:?} {families:?} {:?}", configs().collect::<Vec<_>>());
    if std::fs::read_to_string(&complete).ok().as_ref() != Some(&settings) {
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(&base).unwrap();
        let mut exporters: Vec<Exporter> = configs().map(Exporter::new).collect();
        make_blocks(&mut exporters, &families.iter().copied().collect(), end, directory, &base);
        // The busy agent's truth takes long, and is no other.
        exporters.drain(1..).for_each(Exporter::check);
        std::fs::write(&complete, settings).unwrap();
    }
    eprint!("seed {seed}: samples after {:.0?}, recording rules", began.elapsed());

    let answers = directory.join("answers.json");
    let asked = format!("{rules:?}");
    let kept = std::fs::read(&answers).ok().and_then(|kept| serde_json::from_slice::<Answers>(&kept).ok());
    let given = if let Some(kept) = kept.filter(|kept| kept.rules == asked) {
        kept.given
    } else {
        let data = directory.join("data");
        let _ = std::fs::remove_dir_all(&data);
        link(&base, &data);
        let given = rules::evaluate(directory, &data, rules, START, from, end).await;
        std::fs::remove_dir_all(&data).unwrap();
        let kept = Answers { rules: asked, given };
        std::fs::write(&answers, serde_json::to_vec(&kept).unwrap()).unwrap();
        kept.given
    };
    let alerts: Vec<_> = rules.iter().filter(|rule| rule.r#type == Type::Alerting).zip(given).collect();

    let simulators: Vec<_> = configs().map(Simulator::new).collect();
    let sessions = |agent: usize, from, to| {
        simulators[agent].count(timestamp(from), timestamp(to).minus(Duration::from_millis(1)))
    };
    score.add(agents, &scripts, &alerts, (from, end), sessions);
    eprintln!("seed {seed}: {:.0?}", began.elapsed());
    if !options.keep {
        std::fs::remove_dir_all(directory).unwrap();
    }
}

/// The families that the rules read.
fn families(rules: &[Rule]) -> Vec<Family> {
    let words: HashSet<&str> = rules.iter().flat_map(|rule| rules::words(&rule.query)).collect();
    let is_read = |family: &Family| words.iter().any(|word| word.starts_with(family.descriptor().name));
    Family::ALL.into_iter().filter(is_read).collect()
}

/// Scrapes and makes blocks, each at the same time as the other.
fn make_blocks(exporters: &mut [Exporter], families: &HashSet<Family>, end: u64, directory: &Path, base: &Path) {
    let mut at = START;
    let mut under_way: Option<Import> = None;
    while at < end {
        let next = ((at / PART + 1) * PART).min(end);
        let file = directory.join(format!("{at}.om"));
        series::write(exporters, families, at, next, &file);
        if let Some(import) = under_way.replace(Import::begin(file, base)) {
            import.end();
        }
        at = next;
    }
    if let Some(import) = under_way {
        import.end();
    }
}

/// The same files under another directory; blocks are never written to.
fn link(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link(&entry.path(), &target);
        } else {
            std::fs::hard_link(entry.path(), target).unwrap();
        }
    }
}
