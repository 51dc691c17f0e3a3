//! Runs a backfill from its arguments to its files: the shell around all that is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use agntix_api::Client;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::arguments::{Arguments, BackfillOptions, FileFormat};
use super::chronicle::{Chronicle, Day};
use super::collect::Collection;
use super::files::{Output, OutputError, Written};
use super::page::Scope;
use super::plan::{LiveBegin, LiveState, Plan, plan};
use super::progress::{Progress, Stage};
use super::rules::Rules;
use super::samples::MomentKind;
use super::sessions::Counted;
use super::spill::{Number, Spill};
use super::summary::{DaySummary, Junction, Summary};
use super::{import, openmetrics, prometheus, times, victoriametrics};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::ledger::moving::Place;
use crate::ledger::past::{self, Past};
use crate::ledger::policy::PolicyConfig;
use crate::ledger::record::Records;
use crate::ledger::replay::Replay;
use crate::ledger::transfer::UpkeepError;
use crate::observation::ObservationConfig;
use exposition::negotiation::Format;
use exposition::{LabelSet, TimedSamples};

/// The directory of the rules.
const RULES: &str = "rules";
const HOUR_MS: i64 = 3_600_000;

/// Why a backfill has ended without its files.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// It would lose something, or do harm, or the arguments make no sense: nothing was asked of the API.
    #[error("{0}")]
    Refused(String),
    /// It failed on its way. What is collected is kept.
    #[error("{0}")]
    Running(String),
    /// It was told to stop. What is collected is kept.
    #[error("stopped; go on with the same arguments and --resume")]
    Stopped,
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] UpkeepError),
    /// What was collected cannot be kept, or read again.
    #[error("what was collected cannot be kept ({0})")]
    Spill(#[from] rusqlite::Error),
}

impl From<OutputError> for BackfillError {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Refused(why) => Self::Refused(why),
            error @ OutputError::Io { .. } => Self::Running(error.to_string()),
        }
    }
}

/// Runs a backfill. `place` is where the exporter's state is; `stop` ends it soon, with what it has collected kept.
///
/// # Errors
/// [`BackfillError`]; only after [`BackfillError::Refused`] is nothing there to go on with.
pub fn run(
    options: &BackfillOptions,
    config: &Config,
    client: Client,
    place: Place<'_>,
    runtime: &Handle,
    stop: &CancellationToken,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Summary, BackfillError> {
    let mut options = options.clone();
    let seen = match &options.prometheus {
        Some(url) => Some(runtime.block_on(prometheus::ask(url)).map_err(BackfillError::Refused)?),
        None => None,
    };
    let targets = seen.as_ref().map(|seen| &seen.targets);
    complete_labels(&mut options.labels, config, targets).map_err(BackfillError::Refused)?;
    let described = describe(config);
    let mut arguments = Arguments::of(&options, &described);
    // What would be refused for its arguments alone is refused before the directory is touched.
    let now = SystemClock.now();
    let early =
        plan(&options, LiveState::None, config.sessions.recent_window, config.api.budget_share, seen.as_ref(), now);
    if let (Err(why), true) = (&early, options.to.is_some()) {
        return Err(BackfillError::Refused(why.clone()));
    }
    let policy = PolicyConfig::from(config);
    let (is_new, is_made) = (!options.output.join(".backfill").exists(), !options.output.exists());
    let (output, earlier) = Output::open(&options.output, &arguments, options.resume)?;
    if earlier.is_some_and(|earlier| earlier.is_done) {
        return Err(BackfillError::Refused(format!(
            "--resume: the backfill in {} is complete; import it with {}/{}",
            options.output.display(),
            options.output.display(),
            import::NAME
        )));
    }
    let prepared = prepare(&options, config, &output, place, &policy, seen.as_ref());
    let (past, plan, mut spill) = match prepared {
        Err(error @ (BackfillError::Refused(_) | BackfillError::State(_))) if is_new => {
            // Nothing was begun, so that nothing is left.
            let _ = std::fs::remove_dir_all(output.work());
            if is_made {
                let _ = std::fs::remove_dir(&options.output);
            }
            return Err(error);
        }
        other => other?,
    };
    let mut api = Api::new(client, &config.api, options.budget_share, &past.paths, &spill, stop.clone())?;
    if spill.number(Number::Collected)? != Some(1) {
        let observation = ObservationConfig::from(config);
        observation.agents.restore(past.agents.iter().cloned());
        let mut collection = Collection {
            api: &mut api,
            spill: &mut spill,
            observation: &observation,
            scope: Scope { begin: plan.list_from, end: plan.until },
            messages: config.messages,
            progress,
        };
        runtime.block_on(async {
            collection.list().await?;
            collection.sessions().await?;
            // At the first start itself is before it, too.
            collection.messages(plan.until.plus(Duration::from_millis(1))).await
        })?;
        let look_back = past.first_start.map(|first_start| first_start.minus(config.sessions.recent_window));
        spill.mark_live(|created, ended| {
            // Where the ledger has forgotten its ids, they are those of its look-back.
            let is_forgotten = past.remembered_since.is_some_and(|since| created < since);
            let is_of_look_back = look_back.is_some_and(|look_back| created >= look_back);
            let was_open = past.first_start.is_some_and(|first_start| ended.is_none_or(|ended| ended > first_start));
            is_forgotten.then_some(is_of_look_back || was_open)
        })?;
        spill.collected()?;
    }
    output.remove_parts()?;
    let mut writing = Writing { options: &options, config, policy: &policy, plan, output: &output, spill: &spill };
    let mut summary = writing.write(
        &past,
        stop,
        &mut |days, requests| {
            let done = Progress { stage: Stage::Writing, done: days, of: None, requests };
            progress(done);
        },
        api.requests.unsigned_abs(),
    )?;
    let (_, live, open) = spill.sessions()?;
    (summary.live, summary.missing) = (live, spill.missing()?);
    if open > 0 {
        summary.missing.insert("open".into(), open);
    }
    if let Some(seen) = seen.filter(|_| options.format == FileFormat::OpenMetrics) {
        summary.head_checked = true;
        write_rules(&output, &seen.rules)?;
    }
    output.write(Path::new("summary.json"), false, |to| Ok(serde_json::to_writer_pretty(to, &summary)?))?;
    output.write(Path::new(import::NAME), true, |to| to.write_all(import::script(options.format).as_bytes()))?;
    arguments.is_done = true;
    output.keep(&arguments)?;
    drop(spill);
    output.tidy_up()?;
    Ok(summary)
}

/// Writes the recording rules that read the history, for `import.sh`.
fn write_rules(output: &Output, rules: &Rules) -> Result<(), BackfillError> {
    for (number, file) in (1..).zip(rules.files()) {
        let text =
            file.text().map_err(|error| BackfillError::Running(format!("a rule cannot be written ({error})")))?;
        let name = format!("{RULES}/{number:02}.yml");
        output.write_below(Path::new(&name), |to| to.write_all(text.as_bytes()))?;
    }
    Ok(())
}

/// Keeps what the state says, decides what is written, and opens what was observed.
fn prepare(
    options: &BackfillOptions,
    config: &Config,
    output: &Output,
    place: Place<'_>,
    policy: &PolicyConfig,
    seen: Option<&prometheus::PrometheusSeen>,
) -> Result<(Past, Plan, Spill), BackfillError> {
    let file = output.past();
    if !file.exists() {
        let work = output.work();
        let name = Path::new(".backfill").join(file.file_name().unwrap_or_default());
        let mut failed = None;
        output
            .write(&name, false, |to| {
                past::keep(place, &work, to).map_err(|error| {
                    let said = error.to_string();
                    failed = Some(error);
                    std::io::Error::other(said)
                })
            })
            .map_err(|error| failed.map_or_else(|| BackfillError::from(error), BackfillError::from))?;
    }
    let open = || {
        std::fs::File::open(&file)
            .map(BufReader::new)
            .map_err(|error| BackfillError::Running(format!("{} cannot be read ({error})", file.display())))
    };
    let mut spill = Spill::open(&output.sessions(), Records::new(policy), config.poll.analysis_deadline)?;
    let mut keys = Vec::new();
    let past = Past::read(&mut open()?, &mut |key| {
        keys.push(key);
        Ok::<(), UpkeepError>(())
    })?;
    spill.keep_live(&keys)?;
    let live = match past.first_start {
        _ if !past.is_there => LiveState::None,
        Some(first_start) if past.look_back_done => {
            LiveState::Begun(LiveBegin { first_start, has_starting_values: past.has_starting_values() })
        }
        _ => LiveState::Unfinished,
    };
    let window = config.sessions.recent_window;
    let plan = plan(options, live, window, config.api.budget_share, seen, SystemClock.now())
        .map_err(BackfillError::Refused)?;
    Ok((past, plan, spill))
}

/// All that the files depend on of the configuration.
fn describe(config: &Config) -> String {
    let metrics = serde_json::to_string(&config.metrics).unwrap_or_default();
    let messages = serde_json::to_string(&config.messages).unwrap_or_default();
    format!("{metrics}\n{messages}\n{:?}\n{:?}", config.poll.analysis_deadline, config.sessions.recent_window)
}

/// Takes `job` and `instance` from the target that Prometheus scrapes, where they are not given, and refuses what cannot be a
/// label besides those of the page.
fn complete_labels(
    labels: &mut BTreeMap<String, String>,
    config: &Config,
    targets: Option<&BTreeSet<(String, String)>>,
) -> Result<(), String> {
    if let Some((job, instance)) = targets.filter(|targets| targets.len() == 1).and_then(BTreeSet::first) {
        labels.entry("job".into()).or_insert_with(|| job.clone());
        labels.entry("instance".into()).or_insert_with(|| instance.clone());
    }
    if let Some(missing) = ["job", "instance"].into_iter().find(|name| !labels.contains_key(*name)) {
        return Err(format!(
            "--label {missing}=… is missing: Prometheus gives its targets the labels job and instance, and without the same ones the history would be other series; take them from the page Status, Targets, or name the server by --prometheus.url"
        ));
    }
    let own =
        |name: &str| crate::catalogue::Family::ALL.iter().any(|family| family.descriptor().labels.contains(&name));
    match labels.keys().find(|name| own(name) || config.metrics.static_labels.contains_key(*name) || *name == "le") {
        Some(name) => Err(format!("--label {name}: the metrics have a label of that name already")),
        None => Ok(()),
    }
}

/// What the files are made of.
struct Writing<'w> {
    options: &'w BackfillOptions,
    config: &'w Config,
    policy: &'w PolicyConfig,
    plan: Plan,
    output: &'w Output,
    spill: &'w Spill,
}

impl Writing<'_> {
    fn write(
        &mut self,
        past: &Past,
        stop: &CancellationToken,
        progress: &mut dyn FnMut(u64, u64),
        requests: u64,
    ) -> Result<Summary, BackfillError> {
        let starting = past.starting_values(&self.policy.bucket_schemas);
        let mut chronicle = Chronicle::new(self.policy.clone(), Replay::new(self.policy.clone(), past), starting);
        let mut constant: BTreeMap<String, String> = self.config.metrics.static_labels.clone().into_iter().collect();
        constant.extend(self.options.labels.clone());
        let names: Vec<&str> = constant.keys().map(String::as_str).collect();
        let labels = LabelSet::new(&names, constant.values().map(String::as_str));
        let format = match self.options.format {
            FileFormat::OpenMetrics => Format::OpenMetrics,
            FileFormat::VictoriaMetrics => Format::Text,
        };
        let samples = TimedSamples::new(&self.policy.bucket_schemas, labels, format);
        let disabled: BTreeSet<&str> = self.config.metrics.disabled.iter().map(String::as_str).collect();
        let is_disabled = |family: crate::catalogue::Family| disabled.contains(family.descriptor().name);
        let (mut days, mut series) = (Vec::new(), 0);
        let (output, of_format) = (self.output, self.options.format);
        let mut of_day = |day: Day<'_>| -> Result<(), BackfillError> {
            let date = times::date(day.number);
            // Before the first session there are no samples.
            if day.history.is_empty() {
                return Ok(());
            }
            let file = format!("{date}.{}", of_format.ending());
            let written: Written = output.write(Path::new(&file), false, |to| match of_format {
                FileFormat::OpenMetrics => openmetrics::write(&day, &samples, &is_disabled, to),
                FileFormat::VictoriaMetrics => victoriametrics::write(&day, &samples, &constant, &is_disabled, to),
            })?;
            let Day { sessions, agents, .. } = day;
            series = written.series;
            let Written { samples, bytes, .. } = written;
            days.push(DaySummary { date, file, sessions, agents, samples, bytes });
            progress(days.len() as u64, requests);
            if stop.is_cancelled() { Err(BackfillError::Stopped) } else { Ok(()) }
        };
        self.before(&mut chronicle)?;
        let mut last = self.plan.times.begin;
        for moment in self.plan.times.moments() {
            last = moment.at;
            let counted = match moment.kind {
                // What came before the first sample is in none.
                MomentKind::Past if moment.since.is_none() => Vec::new(),
                MomentKind::Past => self.spill.steps(false, moment.since, moment.until)?,
                MomentKind::Fall => Vec::new(),
                MomentKind::LookBack | MomentKind::Junction => self.spill.steps(true, moment.since, moment.until)?,
            };
            chronicle.sample(moment, &counted, &mut of_day)?;
            let is_last_of_past = moment.kind == MomentKind::Past && moment.until.is_none();
            if let Some(end) = self.plan.junction.filter(|_| is_last_of_past && chronicle.reads_messages()) {
                let ended = |counted: &Counted| counted.facts.ended.as_ref().is_some_and(|ended| ended.at <= end);
                let mut of_look_back = self.spill.steps(true, None, None)?;
                of_look_back.retain(ended);
                chronicle.messages_of_look_back(&of_look_back, moment.at);
            }
        }
        let (agents, replay) = chronicle.end(&mut of_day)?;
        let folded = replay.folded().iter().map(|(label, times)| (label.to_string(), *times)).collect();
        let junction = past.first_start.filter(|_| self.options.to.is_none()).map(|first_start| Junction {
            look_back_begin: self.plan.times.fall.to_string(),
            first_start: first_start.to_string(),
            starting_values: self.plan.junction.is_some(),
        });
        Ok(Summary {
            version: 1,
            from: self.plan.times.begin.to_string(),
            to: last.to_string(),
            step_seconds: self.options.step.seconds(),
            format: self.options.format.as_str(),
            labels: self.options.labels.clone(),
            junction,
            sessions: days.iter().map(|day| day.sessions).sum(),
            agents,
            series,
            samples: days.iter().map(|day| day.samples).sum(),
            folded,
            days,
            ..Summary::default()
        })
    }

    /// Counts, in no sample, what came before the first one of sessions that end later.
    fn before(&self, chronicle: &mut Chronicle) -> Result<(), BackfillError> {
        let (mut since, begin) = (self.plan.list_from, self.plan.times.begin);
        while since < begin {
            let until = Timestamp::from_millis(since.as_millis() + HOUR_MS).min(begin);
            let counted = self.spill.steps(false, Some(since), Some(until))?;
            chronicle.before(&counted);
            since = until;
        }
        Ok(())
    }
}
