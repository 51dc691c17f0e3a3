//! What the alerts were worth: incidents found and how soon, and alarms about nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::organization::{Agent, Scripted, Trouble, is_by_day};
use super::prometheus::Series;
use super::rules::{self, Rule};
use super::spans::merged;

/// Firings of one signal that are less apart are one alarm; so long does Alertmanager wait before it tells of a change.
const GROUP_INTERVAL: u64 = 300;
const WEEK: u64 = 7 * 86_400;
/// The longest window of the rules: so long after an incident a window can still have its sessions in it, and an alert
/// that begins again is a repeat.
const LONGEST_WINDOW: u64 = 3 * 86_400;

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleSet {
    Ours,
    Naive,
    ZScore,
}

/// What an alert is about. Firings of one signal about one agent are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Unresolved,
    Negative,
    Intent,
    Silence,
    Flood,
    HandleTime,
    Objective,
    OpenLong,
}

impl Signal {
    const ALL: [Self; 8] = [
        Self::Unresolved,
        Self::Negative,
        Self::Intent,
        Self::Silence,
        Self::Flood,
        Self::HandleTime,
        Self::Objective,
        Self::OpenLong,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Negative => "negative",
            Self::Intent => "intent",
            Self::Silence => "silence",
            Self::Flood => "flood",
            Self::HandleTime => "handle time",
            Self::Objective => "objective",
            Self::OpenLong => "open long",
        }
    }

    /// Whether an alert of this signal is right while this is wrong.
    fn is_about(self, trouble: Trouble) -> bool {
        match self {
            Self::Unresolved | Self::Intent | Self::Objective => {
                matches!(trouble, Trouble::Unresolved(_) | Trouble::Intent)
            }
            Self::Negative => matches!(trouble, Trouble::Negative(_)),
            Self::Silence => trouble == Trouble::Silence,
            Self::Flood => matches!(trouble, Trouble::Flood(_)),
            Self::HandleTime => matches!(trouble, Trouble::Slow(_)),
            Self::OpenLong => false,
        }
    }

    /// Whether it is this signal that finds the trouble.
    fn finds(self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Unresolved(_) => self == Self::Unresolved,
            Trouble::Intent => matches!(self, Self::Intent | Self::Unresolved),
            _ => self.is_about(trouble),
        }
    }
}

/// What an alert is measured as; `None` for what is not about sessions at all, or about single ones.
pub fn classify(rule: &Rule) -> Option<(RuleSet, Signal)> {
    let name = rule.name.as_str();
    let set = if name.starts_with("Naive") {
        RuleSet::Naive
    } else if name.starts_with("ZScore") {
        RuleSet::ZScore
    } else if rule.labels.get("component").is_some_and(|component| component == "sessions") {
        RuleSet::Ours
    } else {
        return None;
    };
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let signal = if has(&["Intent"]) {
        Signal::Intent
    } else if has(&["Objective", "ErrorBudget", "BurnRate", "Resolution"]) {
        Signal::Objective
    } else if has(&["Unresolved"]) {
        Signal::Unresolved
    } else if has(&["Negative"]) {
        Signal::Negative
    } else if has(&["Silent", "Missing"]) {
        Signal::Silence
    } else if has(&["Flood"]) {
        Signal::Flood
    } else if has(&["HandleTime"]) {
        Signal::HandleTime
    } else if has(&["OpenLong"]) {
        Signal::OpenLong
    } else {
        return None;
    };
    Some((set, signal))
}

/// How long an incident went unnoticed, in seconds and in sessions; `None` if it was never found.
type Found = Option<(u64, u64)>;

/// Alarms and detections, over all seeds.
#[derive(Default)]
pub struct Score {
    /// By rule set, agent and trouble, of each incident.
    found: BTreeMap<(RuleSet, usize, Trouble), Vec<Found>>,
    /// Our rules, by agent, trouble and whether it began by day: of each incident.
    by_day: BTreeMap<(usize, Trouble, bool), Vec<Found>>,
    /// By rule set, agent (or the organization, after the last) and signal: false alarms.
    false_alarms: BTreeMap<(RuleSet, usize, Signal), u32>,
    /// By signal and agent: the time in which an alarm would have been false.
    calm: BTreeMap<(Signal, usize), u64>,
    /// By rule set and agent: alarms that began again within the longest window after an incident.
    repeats: BTreeMap<(RuleSet, usize), u32>,
    /// The time that was evaluated.
    evaluated: u64,
    /// By alert and agent: firings, how many of them were false, and how many were repeats.
    by_alert: BTreeMap<(RuleSet, String), Vec<[u32; 3]>>,
}

type Spans = Vec<(u64, u64)>;

impl Score {
    /// Adds one seed: what each alert gave (as the rules are ordered), and what was wrong with which agent from `from` to
    /// `to`. `sessions` counts an agent's sessions in a span.
    pub fn add(
        &mut self,
        agents: &[Agent],
        scripts: &[Vec<Scripted>],
        alerts: &[(&Rule, Vec<Series>)],
        (from, to): (u64, u64),
        sessions: impl Fn(usize, u64, u64) -> u64,
    ) {
        let organization = agents.len();
        self.evaluated += to - from;
        // What is wrong with `agent` that `signal` is about, and for how long an alert of it may still begin.
        let about = |signal: Signal, agent: usize, longest: u64| -> Spans {
            let of = |(number, script): (usize, &Vec<Scripted>)| {
                let settle = agents[number].settle.max(longest);
                let about = script.iter().filter(move |incident| signal.is_about(incident.trouble));
                about.map(move |incident| (incident.from, incident.to + settle)).collect::<Spans>()
            };
            let all = scripts.iter().enumerate().filter(|(number, _)| agent == organization || *number == agent);
            merged(all.flat_map(of).collect(), 0)
        };
        let judge = |signal: Signal, agent: usize, spans: &Spans| {
            let outside = began_outside(spans, &about(signal, agent, 0));
            let wrong = began_outside(spans, &about(signal, agent, LONGEST_WINDOW));
            [u32::try_from(spans.len()).unwrap(), wrong, outside - wrong]
        };
        let mut alarms: BTreeMap<(RuleSet, Signal, usize), Spans> = BTreeMap::new();
        for (rule, given) in alerts {
            let Some((set, signal)) = classify(rule) else { continue };
            let mut by_agent: BTreeMap<usize, Spans> = BTreeMap::new();
            for series in given {
                let agent = match series.labels.get("agent_id") {
                    Some(id) => agents.iter().position(|agent| agent.id() == id).unwrap(),
                    None => organization,
                };
                by_agent.entry(agent).or_default().extend(rules::firing(rule, series));
            }
            let counts =
                self.by_alert.entry((set, rule.name.clone())).or_insert_with(|| vec![[0; 3]; organization + 1]);
            for (agent, spans) in by_agent {
                let spans = merged(spans, GROUP_INTERVAL);
                for (count, more) in counts[agent].iter_mut().zip(judge(signal, agent, &spans)) {
                    *count += more;
                }
                alarms.entry((set, signal, agent)).or_default().extend(spans);
            }
        }
        for signal in Signal::ALL {
            for agent in 0..=organization {
                let wrong = about(signal, agent, LONGEST_WINDOW);
                let busy: u64 = wrong.iter().map(|(a, b)| b.min(&to).saturating_sub(*a)).sum();
                *self.calm.entry((signal, agent)).or_default() += (to - from) - busy;
            }
        }
        for ((set, signal, agent), spans) in &mut alarms {
            *spans = merged(std::mem::take(spans), GROUP_INTERVAL);
            let [_, wrong, repeats] = judge(*signal, *agent, spans);
            *self.false_alarms.entry((*set, *agent, *signal)).or_default() += wrong;
            *self.repeats.entry((*set, *agent)).or_default() += repeats;
        }
        for set in [RuleSet::Ours, RuleSet::Naive, RuleSet::ZScore] {
            for (agent, script) in scripts.iter().enumerate() {
                for incident in script {
                    let about = alarms.iter().filter(|((of, signal, whose), _)| {
                        *of == set && *whose == agent && signal.finds(incident.trouble)
                    });
                    let within = incident.from..=incident.to + agents[agent].settle;
                    let first =
                        about.flat_map(|(_, spans)| spans).map(|span| span.0).filter(|at| within.contains(at)).min();
                    let found = first.map(|at| (at - incident.from, sessions(agent, incident.from, at)));
                    self.found.entry((set, agent, incident.trouble)).or_default().push(found);
                    if set == RuleSet::Ours {
                        let when = (agent, incident.trouble, is_by_day(incident.from));
                        self.by_day.entry(when).or_default().push(found);
                    }
                }
            }
        }
    }

    /// All tables.
    pub fn markdown(&self, agents: &[Agent]) -> String {
        let mut text = String::new();
        self.incidents(agents, &mut text);
        self.hours(agents, &mut text);
        self.alarms(agents, &mut text);
        self.alerts(agents, &mut text);
        text
    }

    fn incidents(&self, agents: &[Agent], text: &mut String) {
        text.push_str("| agent | incident | ours: found | median | worst | sessions until found, median | ");
        text.push_str("naive: found | median | worst | z-score: found | median | worst |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
        for (agent, who) in agents.iter().enumerate() {
            for trouble in Trouble::ALL {
                let Some(ours) = self.found.get(&(RuleSet::Ours, agent, trouble)) else { continue };
                write!(text, "| {} | {}", who.name, trouble.name()).unwrap();
                for set in [RuleSet::Ours, RuleSet::Naive, RuleSet::ZScore] {
                    let has_rule = set == RuleSet::Ours
                        || matches!(trouble, Trouble::Unresolved(_) | Trouble::Negative(_) | Trouble::Intent);
                    let results = self.found.get(&(set, agent, trouble)).unwrap_or(ours);
                    let mut found: Vec<u64> = results.iter().flatten().map(|found| found.0).collect();
                    let mut sessions: Vec<u64> = results.iter().flatten().map(|found| found.1).collect();
                    found.sort_unstable();
                    sessions.sort_unstable();
                    if !has_rule {
                        text.push_str(" | no rule | |");
                        continue;
                    }
                    write!(text, " | {} of {}", found.len(), results.len()).unwrap();
                    let middle = found.get(found.len() / 2).map_or("–".into(), |seconds| time(*seconds));
                    let worst = found.last().map_or("–".into(), |seconds| time(*seconds));
                    write!(text, " | {middle} | {worst}").unwrap();
                    if set == RuleSet::Ours {
                        let middle = sessions.get(sessions.len() / 2).map_or("–".into(), ToString::to_string);
                        write!(text, " | {middle}").unwrap();
                    }
                }
                text.push_str(" |\n");
            }
        }
        text.push('\n');
    }

    fn hours(&self, agents: &[Agent], text: &mut String) {
        text.push_str("| agent | incident | began by day: found after | at night or on a weekend: found after |\n");
        text.push_str("| --- | --- | --- | --- |\n");
        for (agent, who) in agents.iter().enumerate() {
            for trouble in [Trouble::Unresolved(3), Trouble::Negative(3)] {
                let found = |by_day| {
                    let found = self.by_day.get(&(agent, trouble, by_day)).map_or(&[][..], Vec::as_slice);
                    // What was not found comes last.
                    let mut found: Vec<u64> =
                        found.iter().map(|found| found.map_or(u64::MAX, |found| found.0)).collect();
                    found.sort_unstable();
                    let each =
                        found.into_iter().map(|seconds| if seconds == u64::MAX { "not".into() } else { time(seconds) });
                    each.collect::<Vec<_>>().join(", ")
                };
                writeln!(text, "| {} | {} | {} | {} |", who.name, trouble.name(), found(true), found(false)).unwrap();
            }
        }
        text.push('\n');
    }

    fn rate(&self, set: RuleSet, agent: usize, signal: Signal) -> f64 {
        let alarms = self.false_alarms.get(&(set, agent, signal)).copied().unwrap_or(0);
        let calm = self.calm.get(&(signal, agent)).copied().unwrap_or(0);
        f64::from(alarms) / weeks(calm)
    }

    fn alarms(&self, agents: &[Agent], text: &mut String) {
        text.push_str("| false alarms a week |");
        for signal in Signal::ALL {
            write!(text, " {} |", signal.name()).unwrap();
        }
        text.push_str(" ours, all | naive | z-score | repeats a week, ours |\n| --- |");
        text.push_str(&" --- |".repeat(Signal::ALL.len() + 4));
        text.push('\n');
        let names = agents.iter().map(|agent| agent.name).chain(["the organization"]);
        for (agent, name) in names.enumerate() {
            write!(text, "| {name} |").unwrap();
            for signal in Signal::ALL {
                write!(text, " {:.2} |", self.rate(RuleSet::Ours, agent, signal)).unwrap();
            }
            for set in [RuleSet::Ours, RuleSet::Naive, RuleSet::ZScore] {
                let all: f64 = Signal::ALL.into_iter().map(|signal| self.rate(set, agent, signal)).sum();
                if set == RuleSet::Ours || agent < agents.len() {
                    write!(text, " {all:.2} |").unwrap();
                } else {
                    text.push_str(" |");
                }
            }
            let repeats = self.repeats.get(&(RuleSet::Ours, agent)).copied().unwrap_or(0);
            writeln!(text, " {:.2} |", f64::from(repeats) / weeks(self.evaluated)).unwrap();
        }
        text.push('\n');
    }

    fn alerts(&self, agents: &[Agent], text: &mut String) {
        text.push_str("| firings: false, repeats |");
        for name in agents.iter().map(|agent| agent.name).chain(["the organization"]) {
            write!(text, " {name} |").unwrap();
        }
        text.push_str("\n| --- |");
        text.push_str(&" --- |".repeat(agents.len() + 1));
        text.push('\n');
        for ((_, alert), counts) in &self.by_alert {
            write!(text, "| `{alert}` |").unwrap();
            for [all, wrong, repeats] in counts {
                write!(text, " {all}: {wrong}, {repeats} |").unwrap();
            }
            text.push('\n');
        }
    }
}

/// How many of the alarms began outside these spans.
fn began_outside(alarms: &Spans, spans: &Spans) -> u32 {
    let is_outside = |alarm: &&(u64, u64)| !spans.iter().any(|span| (span.0..=span.1).contains(&alarm.0));
    u32::try_from(alarms.iter().filter(is_outside).count()).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "seconds of some weeks")]
fn weeks(seconds: u64) -> f64 {
    seconds as f64 / WEEK as f64
}

fn time(seconds: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "seconds of some weeks")]
    let hours = seconds as f64 / 3600.0;
    if seconds < 5400 { format!("{} min", seconds.div_ceil(60)) } else { format!("{hours:.1} h") }
}
