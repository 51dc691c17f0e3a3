//! `backfill`: writes the past as files that Prometheus or VictoriaMetrics imports.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::flags::Global;
use super::state::open_database;
use super::terminal::{Failure, environment, print, runtime, say};
use crate::api;
use crate::backfill::{self, BackfillError, BackfillOptions, FileFormat, Progress, Step, parse_time};
use crate::clock::Timestamp;
use crate::ledger::moving::Place;
use crate::lifecycle;
use crate::tasks::Tasks;

/// Flags of `backfill`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::doc_markdown, reason = "the text of --help, which shows no backticks")]
pub struct BackfillArgs {
    /// Begin of the history: a date (midnight, UTC), or a time such as 2026-08-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Timestamp,
    /// End of the history [default: where the counters of the exporter begin].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<Timestamp>,
    /// Directory of the files: a new or an empty one.
    #[arg(long, value_name = "DIRECTORY")]
    pub output: PathBuf,
    /// Prometheus that the history is for. It is asked what it would not keep, and for job and instance.
    #[arg(long = "prometheus.url", value_name = "URL")]
    pub prometheus_url: Option<String>,
    /// Label of every sample; may be repeated. job and instance must be those of the exporter's target.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_label)]
    pub label: Vec<(String, String)>,
    /// Distance of the samples, 3m at most.
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = parse_step)]
    pub step: Step,
    /// Share of the organization's rate limit to use, besides what a running exporter uses (api.budget_share).
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", value_parser = parse_share)]
    pub budget_share: f64,
    /// Go on with a backfill that was broken off, with the same arguments.
    #[arg(long)]
    pub resume: bool,
    /// What the files are for.
    #[arg(long, value_enum, default_value_t = Format::Openmetrics, value_name = "FORMAT")]
    pub format: Format,
}

/// What the files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// promtool, for Prometheus, Thanos and Mimir.
    Openmetrics,
    /// /api/v1/import of VictoriaMetrics.
    Victoriametrics,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_name = name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
        && !name.starts_with("__");
    if !is_name {
        return Err(format!("{name:?} is no name of a label"));
    }
    if value.is_empty() {
        return Err("an empty value is no label for Prometheus".into());
    }
    Ok((name.into(), value.into()))
}

fn parse_step(text: &str) -> Result<Step, String> {
    Step::new(humantime::parse_duration(text).map_err(|error| error.to_string())?)
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "it must be more than 0 and at most 1".into())
}

pub(super) fn run(global: &Global, args: &BackfillArgs) -> Result<(), Failure> {
    let mut loaded =
        api::load(global.config_file.as_deref(), &environment(), &global.overrides()).map_err(Failure::mistake)?;
    if let Some(contacts) = &mut loaded.config.metrics.repeat_contacts {
        contacts.read_key().map_err(Failure::mistake)?;
    }
    let config = &loaded.config;
    let options = options(args)?;
    agntix_api::install_crypto_provider();
    let client = api::client(&config.api, loaded.api_key.as_ref()).map_err(Failure::mistake)?;
    let own_runtime = runtime()?;
    let stop = CancellationToken::new();
    {
        let _entered = own_runtime.enter();
        // Nothing is reloaded here: SIGHUP changes nothing.
        let (reloads, _) = mpsc::channel(1);
        let signals = lifecycle::handle_signals(reloads, stop.clone()).map_err(Failure::running)?;
        let (tasks, _failures) = Tasks::new();
        tasks.spawn_detached("the signal handler", signals);
    }
    let database =
        config.state.url.as_ref().map(|url| open_database(config, &config.state, url, "backfill")).transpose()?;
    let place = database.as_ref().map_or(Place::Directory(&config.state.path), |(state, _)| Place::Database(state));
    let mut shown = Shown::new();
    let done = backfill::run(&options, config, client, place, own_runtime.handle(), &stop, &mut |progress| {
        shown.show(&progress);
    });
    shown.clear();
    own_runtime.shutdown_background();
    match done {
        Ok(summary) => {
            print(summary.to_string())?;
            let target = match options.format {
                FileFormat::OpenMetrics => "DATA_DIRECTORY of Prometheus",
                FileFormat::VictoriaMetrics => "URL of VictoriaMetrics",
            };
            say(format_args!("Next: {}/import.sh {target}", options.output.display()));
            Ok(())
        }
        Err(error @ BackfillError::Refused(_)) => Err(Failure::mistake(error)),
        Err(error @ BackfillError::Running(_)) => Err(Failure::running(format!(
            "{error}; what is collected is kept: go on with the same arguments and --resume"
        ))),
        Err(error) => Err(Failure::running(error)),
    }
}

fn options(args: &BackfillArgs) -> Result<BackfillOptions, Failure> {
    let mut labels = BTreeMap::new();
    for (name, value) in &args.label {
        if labels.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::mistake(format!("--label {name} is given twice")));
        }
    }
    if let Some(to) = args.to.filter(|to| *to <= args.from) {
        return Err(Failure::mistake(format!("--from {} is not before --to {to}", args.from)));
    }
    Ok(BackfillOptions {
        from: args.from,
        to: args.to,
        output: args.output.clone(),
        prometheus: args.prometheus_url.clone(),
        labels,
        step: args.step,
        budget_share: args.budget_share,
        resume: args.resume,
        format: match args.format {
            Format::Openmetrics => FileFormat::OpenMetrics,
            Format::Victoriametrics => FileFormat::VictoriaMetrics,
        },
    })
}

/// Shows how far it is: on a terminal all the time, elsewhere now and then.
struct Shown {
    is_terminal: bool,
    last: Instant,
}

/// As wide as a terminal may be expected to be.
const WIDTH: usize = 79;
const ON_A_TERMINAL: Duration = Duration::from_millis(100);
const ELSEWHERE: Duration = Duration::from_secs(30);

impl Shown {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), last: Instant::now() }
    }

    fn show(&mut self, progress: &Progress) {
        if self.last.elapsed() < if self.is_terminal { ON_A_TERMINAL } else { ELSEWHERE } {
            return;
        }
        self.last = Instant::now();
        if self.is_terminal {
            let line: String = progress.to_string().chars().take(WIDTH).collect();
            let _ = write!(std::io::stderr(), "\r{line:<WIDTH$}");
        } else {
            say(progress);
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r{:<WIDTH$}\r", "");
        }
    }
}
