//! The rules: read by Prometheus itself, evaluated over the past in the order in which they need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::prometheus::{Import, Labels, Prometheus, Series};

/// Rules are evaluated half-way between two scrapes.
pub const OFFSET: u64 = 30;
/// Series are recorded at this distance, whatever the interval of the group; the last value is repeated.
const STEP: u64 = 60;
/// A rule that takes longer is worth a line.
const SLOW: Duration = Duration::from_secs(15);
/// Rules evaluated at the same time.
const AT_ONCE: usize = 2;

/// A rule as Prometheus lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub name: String,
    pub query: String,
    #[serde(default)]
    pub labels: Labels,
    /// `for`, in seconds.
    #[serde(default)]
    pub duration: f64,
    #[serde(default)]
    pub keep_firing_for: f64,
    pub r#type: Type,
    #[serde(skip)]
    pub group: usize,
    #[serde(skip)]
    pub interval: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    Recording,
    Alerting,
}

/// All rules of these files, in their order.
pub async fn read(files: &[PathBuf]) -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Groups {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        interval: f64,
        rules: Vec<Rule>,
    }
    let directory = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(directory.path(), &directory.path().join("data"), files).await;
    let groups: Groups = prometheus.ask("rules", &[]).await;
    let mut rules = Vec::new();
    for (number, group) in groups.groups.into_iter().enumerate() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
        let interval = (group.interval as u64).max(STEP);
        rules.extend(group.rules.into_iter().map(|rule| Rule { group: number, interval, ..rule }));
    }
    rules
}

/// The metric names of an expression, and whatever else looks like one.
pub fn words(query: &str) -> BTreeSet<&str> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| !word.is_empty())
        .collect()
}

/// How far back an expression looks, in seconds: its longest range and its longest offset, one after the other.
fn reach(query: &str) -> u64 {
    let durations = |before: &str| {
        let found = query.split(before).skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            seconds(&rest[..end])
        });
        found.max().unwrap_or(0)
    };
    durations("[") + durations("offset ") + 600
}

fn seconds(duration: &str) -> u64 {
    let (mut all, mut number) = (0, 0);
    let mut units = duration.chars().peekable();
    while let Some(c) = units.next() {
        if let Some(digit) = c.to_digit(10) {
            number = number * 10 + u64::from(digit);
            continue;
        }
        let unit = match c {
            'w' => 7 * 86_400,
            'd' => 86_400,
            'h' => 3_600,
            'm' if units.next_if_eq(&'s').is_none() => 60,
            's' => 1,
            _ => 0,
        };
        all += number * unit;
        number = 0;
    }
    all
}

/// For each rule the others that it reads, as indices. A rule of its own group that comes later, or itself, would give it
/// the value of the evaluation before; it is not waited for.
fn dependencies(rules: &[Rule]) -> Vec<Vec<usize>> {
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.r#type == Type::Recording) {
        named.entry(&rule.name).or_default().push(index);
    }
    let of = |(index, rule): (usize, &Rule)| {
        let found = words(&rule.query).into_iter().filter_map(|word| named.get(word)).flatten().copied();
        found.filter(|other| rules[*other].group != rule.group || *other < index).collect()
    };
    rules.iter().enumerate().map(of).collect()
}

/// Which recording rules can be evaluated together, one set after the other, and from when on each is needed if the alerts
/// are from `from` on.
fn plan(rules: &[Rule], from: u64, start: u64) -> (Vec<Vec<usize>>, Vec<u64>) {
    let reads = dependencies(rules);
    let mut levels: Vec<Vec<usize>> = Vec::new();
    let mut done = vec![false; rules.len()];
    loop {
        let can_follow = |index: &usize| !done[*index] && reads[*index].iter().all(|other| done[*other]);
        let level: Vec<usize> = (0..rules.len()).filter(can_follow).collect();
        if level.is_empty() {
            break;
        }
        for index in &level {
            done[*index] = true;
        }
        levels.push(level);
    }
    assert!(done.iter().all(|done| *done), "rules read each other in a circle");
    let mut needed = vec![u64::MAX; rules.len()];
    for index in levels.iter().rev().flatten().copied() {
        if rules[index].r#type == Type::Alerting {
            needed[index] = from;
        }
        for other in &reads[index] {
            needed[*other] = needed[*other].min(needed[index].saturating_sub(reach(&rules[index].query)).max(start));
        }
    }
    for level in &mut levels {
        level.retain(|index| rules[*index].r#type == Type::Recording && needed[*index] < u64::MAX);
    }
    levels.retain(|level| !level.is_empty());
    (levels, needed)
}

/// Evaluates the recording rules that the alerts need, makes blocks of what they give, and then the alerts: which series
/// each of them gives from `from` on.
pub async fn evaluate(
    directory: &Path,
    data: &Path,
    rules: &[Rule],
    start: u64,
    from: u64,
    to: u64,
) -> Vec<Vec<Series>> {
    let (levels, needed) = plan(rules, from, start);
    for (number, level) in levels.iter().enumerate() {
        let prometheus = std::sync::Arc::new(Prometheus::start(directory, data, &[]).await);
        let file = directory.join("recorded.om");
        let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&file).unwrap());
        for some in level.chunks(AT_ONCE) {
            let mut tasks = tokio::task::JoinSet::new();
            for index in some {
                let (prometheus, rule, since) = (prometheus.clone(), rules[*index].clone(), needed[*index]);
                tasks.spawn(async move {
                    let (asked, begin) = (Instant::now(), since.next_multiple_of(rule.interval) + OFFSET);
                    let found = prometheus.query_range(&rule.query, begin, to, rule.interval).await;
                    if asked.elapsed() > SLOW {
                        eprint!(" ({} {:?}: {:.0?})", rule.name, rule.labels, asked.elapsed());
                    }
                    (rule, found)
                });
            }
            while let Some(done) = tasks.join_next().await {
                let (rule, found) = done.unwrap();
                for series in labelled(found, &rule.labels) {
                    record(&rule, &series, to, &mut out);
                }
            }
        }
        writeln!(out, "# EOF").unwrap();
        out.flush().unwrap();
        drop(prometheus);
        Import::begin(file, data).end();
        eprint!(" {}/{}", number + 1, levels.len());
    }
    eprintln!();
    let prometheus = Prometheus::start(directory, data, &[]).await;
    let mut found = Vec::new();
    for rule in rules.iter().filter(|rule| rule.r#type == Type::Alerting) {
        let given = prometheus.query_range(&rule.query, from + OFFSET, to, rule.interval).await;
        found.push(labelled(given, &Labels::new()));
    }
    found
}

/// The same series without their names and with these labels. What differed only by its name is one series then, as it is
/// for a rule: one side of an `or` has the name of a metric and the other may have another.
fn labelled(found: Vec<Series>, more: &Labels) -> Vec<Series> {
    let mut merged: BTreeMap<Labels, Vec<(u64, f64)>> = BTreeMap::new();
    for Series { mut labels, points } in found {
        labels.remove("__name__");
        labels.extend(more.clone());
        labels.retain(|_, value| !value.is_empty());
        merged.entry(labels).or_default().extend(points);
    }
    for points in merged.values_mut() {
        points.sort_unstable_by_key(|(at, _)| *at);
    }
    merged.into_iter().map(|(labels, points)| Series { labels, points }).collect()
}

fn record(rule: &Rule, series: &Series, to: u64, out: &mut impl std::io::Write) {
    let mut line = format!("{}{{", rule.name);
    for (number, (name, value)) in series.labels.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        write!(line, "{comma}{name}=\"{value}\"").unwrap();
    }
    line.push_str("} ");
    for (at, value) in &series.points {
        // Between two evaluations of a slow group its last value is what the others see.
        for repeated in (*at..(at + rule.interval).min(to)).step_by(usize::try_from(STEP).unwrap()) {
            writeln!(out, "{line}{value} {repeated}").unwrap();
        }
    }
}

/// When an alert with these results fires, as spans of Unix seconds.
pub fn firing(rule: &Rule, series: &Series) -> Vec<(u64, u64)> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
    let (wait, keep) = (rule.duration as u64, rule.keep_firing_for as u64);
    let mut spans: Vec<(u64, u64)> = Vec::new();
    let mut active: Option<(u64, u64)> = None;
    let mut close = |active: (u64, u64)| {
        // It is no longer firing at the evaluation after the last result, or when it has been kept firing for long enough.
        let end = active.1 + rule.interval + keep;
        match spans.last_mut() {
            Some(last) if active.0 <= last.1 && keep > 0 => last.1 = end,
            _ if active.1 - active.0 >= wait => spans.push((active.0 + wait, end)),
            _ => {}
        }
    };
    for (at, _) in &series.points {
        active = match active {
            Some((since, last)) if at - last <= rule.interval => Some((since, *at)),
            Some(over) => {
                close(over);
                Some((*at, *at))
            }
            None => Some((*at, *at)),
        };
    }
    if let Some(active) = active {
        close(active);
    }
    spans
}
