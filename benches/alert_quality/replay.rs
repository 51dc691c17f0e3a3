//! Sessions where life is not constant, judged by the rule files in a real Prometheus: what they say of every signal, and whether the models say the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use fastrand::Rng;

use super::activity::{Activity, Fault, Trouble};
use super::exposed::{self, Exposed, Known};
use super::judging::per;
use super::model::Model;
use super::nuisance::{Counts, DAY, Life, Nuisance, WEEK};
use super::prometheus::Labels;
use super::routing::Alert;
use super::rules::{self, Rule, Type};
use super::spans::{self, Spans};
use super::{handle_time, intents, volume};

/// Names, sessions a day and intents.
pub const AGENTS: [(&str, f64, usize); 3] = [("busy", 20_000.0, 8), ("middling", 500.0, 5), ("quiet", 20.0, 3)];
/// What is replayed of them: the real rules take minutes for each.
const REPLAYED: [usize; 1] = [1];

/// What an alert gave for one of its series.
pub struct Given {
    pub alert: Alert,
    /// The minutes in which its expression had a value, and the value.
    pub values: Vec<(usize, f64)>,
}

/// Asks a real Prometheus what the alerts about sessions give from the minute `from` on. `start` is the first minute in Unix seconds.
pub async fn ask(agents: &[Exposed], rules: &[Rule], directory: &Path, start: u64, from: usize) -> Vec<Given> {
    ask_knowing(Known::Lived, agents, rules, directory, start, from).await
}

/// The same of a Prometheus that knows so much of the sessions.
pub async fn ask_knowing(
    known: Known,
    agents: &[Exposed],
    rules: &[Rule],
    directory: &Path,
    start: u64,
    from: usize,
) -> Vec<Given> {
    let data = directory.join("data");
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(&data).unwrap();
    exposed::make_blocks(known, agents, start, directory, &data);
    let minutes = agents.iter().map(|agent| agent.activity.started.len()).max().unwrap_or(0);
    let seconds = |minute: usize| start + u64::try_from(minute * 60).unwrap();
    let found = rules::evaluate(directory, &data, rules, start, seconds(from), seconds(minutes)).await;
    std::fs::remove_dir_all(directory).unwrap();
    let minute = |at: u64| usize::try_from((at - start) / 60).unwrap();
    let mut given = Vec::new();
    for (rule, found) in rules.iter().filter(|rule| rule.r#type == Type::Alerting).zip(found) {
        for series in found {
            let label = |name: &str| series.labels.get(name).cloned().unwrap_or_default();
            let rest = ["signal", "intent", "session_type"].map(label).concat();
            let fires = rules::firing(rule, &series).into_iter().map(|(from, to)| (minute(from), minute(to))).collect();
            let alert = Alert {
                name: rule.name.clone(),
                critical: rule.labels.get("severity").is_some_and(|severity| severity == "critical"),
                organization: label("organization"),
                agent: label("agent_id"),
                rest,
                fires,
            };
            let values = series.points.iter().map(|(at, value)| (minute(*at), *value)).collect();
            given.push(Given { alert, values });
        }
    }
    given
}

/// The rules for alerts about an agent's or an organization's sessions.
pub fn about_sessions(rules: &[Rule]) -> Vec<Rule> {
    let scopes = ["agent", "organization", "intent", "objective"];
    let is = |rule: &&Rule| {
        rule.r#type == Type::Recording || rule.labels.get("scope").is_some_and(|scope| scopes.contains(&scope.as_str()))
    };
    rules.iter().filter(is).filter(|rule| rule.name != "AgntixSessionsOpenLong").cloned().collect()
}

/// With this objective for each organization.
pub fn with_objective(mut rules: Vec<Rule>, organization: &str, objective: f64) -> Vec<Rule> {
    let name = "agntix:threshold:resolution_objective";
    let place = rules.iter().position(|rule| rule.name == name).expect("there is an objective");
    let labels = Labels::from([("organization".to_owned(), organization.to_owned())]);
    let rule = Rule { query: format!("vector({objective})"), labels, ..rules[place].clone() };
    rules.insert(place, rule);
    rules
}

/// An organization for each kind of nuisance, a week of which is scored after four to learn from.
const KINDS: [Nuisance; 2] = [Nuisance::None, Nuisance::Everything];
const SHARE: f64 = 0.3;
const LEARNED: usize = 4;
const SCORED: usize = 1;

/// What is wrong in the organization without a nuisance, for six hours each on Monday to Thursday from 10:00 on.
fn faults(nuisance: Nuisance) -> Vec<Fault> {
    let troubles = [Trouble::Slow(2.0), Trouble::Intent(0, 0.85), Trouble::Volume(0.0), Trouble::Volume(6.0)];
    let on = |(day, trouble): (usize, Trouble)| Fault { trouble, from: LEARNED * WEEK + day * DAY + 600, minutes: 360 };
    if nuisance == Nuisance::None { troubles.into_iter().enumerate().map(on).collect() } else { Vec::new() }
}

/// What the rules say, and how far the models agree.
pub async fn measure(rules: &[Rule], seed: u64, directory: &Path, start: u64) -> String {
    let (from, minutes) = (LEARNED * WEEK, (LEARNED + SCORED) * WEEK);
    let mut asked = about_sessions(rules);
    let mut agents = Vec::new();
    for nuisance in KINDS {
        let organization = format!("{nuisance:?}");
        asked = with_objective(asked, &organization, 1.0 - SHARE - 0.05);
        for number in REPLAYED {
            let (name, sessions_per_day, intents) = AGENTS[number];
            let mut rng = Rng::with_seed(seed * 10_000 + nuisance as u64 * 100 + number as u64);
            let life = Life { nuisance, share: SHARE, sessions_per_day, minutes, calm: from, incident: None };
            let activity = Activity::draw(&life, intents, &faults(nuisance), &mut rng);
            agents.push(Exposed { organization: organization.clone(), agent: name.to_owned(), activity });
        }
    }
    let given = ask(&agents, &asked, directory, start, from).await;
    let mut text = String::new();
    false_alarms(&given, &mut text);
    agreement(rules, &agents, &given, from, &mut text);
    text
}

/// Alarms a week by kind, agent and alert: what fires again within the interval of a group is one.
fn false_alarms(given: &[Given], text: &mut String) {
    let mut names: Vec<&str> = given.iter().map(|given| given.alert.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    text.push_str("| alarms a week |");
    for name in &names {
        write!(text, " `{name}` |").unwrap();
    }
    write!(text, "\n| --- |{}\n", " --- |".repeat(names.len())).unwrap();
    for nuisance in KINDS {
        for agent in REPLAYED.iter().map(|number| AGENTS[*number].0).chain([""]) {
            write!(text, "| {}, {} |", nuisance.name(), if agent.is_empty() { "the organization" } else { agent })
                .unwrap();
            for name in &names {
                let of = given.iter().map(|given| &given.alert).filter(|alert| {
                    alert.name == **name && alert.agent == agent && alert.organization == format!("{nuisance:?}")
                });
                let fires: Spans = of.flat_map(|alert| alert.fires.iter().copied()).collect();
                write!(text, " {:.2} |", per(spans::merged(fires, 5).len(), SCORED)).unwrap();
            }
            text.push('\n');
        }
    }
    text.push('\n');
}

/// How many minutes the models and the rules have in common, and how many only one of them has.
fn agreement(rules: &[Rule], agents: &[Exposed], given: &[Given], from: usize, text: &mut String) {
    let model = Model::new(rules);
    let mut sums: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let minutes = |spans: &Spans| spans.iter().flat_map(|(from, to)| *from..*to).collect::<Vec<usize>>();
    for Exposed { organization, agent, activity } in agents {
        let of = |name: &'static str| {
            given.iter().filter(move |given| {
                given.alert.name == name && given.alert.agent == *agent && given.alert.organization == *organization
            })
        };
        let mut compare = |name: &'static str, modelled: Vec<usize>, real: Vec<usize>| {
            let modelled: std::collections::BTreeSet<usize> =
                modelled.into_iter().filter(|minute| *minute >= from).collect();
            let real: std::collections::BTreeSet<usize> = real.into_iter().collect();
            let both = modelled.intersection(&real).count();
            let [common, only_model, only_rules] = sums.entry(name).or_default();
            (*common, *only_model, *only_rules) =
                (*common + both, *only_model + modelled.len() - both, *only_rules + real.len() - both);
        };
        let valued = |name: &'static str| {
            of(name).flat_map(|given| given.values.iter().map(|value| value.0)).collect::<Vec<usize>>()
        };
        let fired = |name: &'static str| of(name).flat_map(|given| minutes(&given.alert.fires)).collect::<Vec<usize>>();
        for (bad, spike, elevated) in [
            (&activity.unresolved, "AgntixUnresolvedSpike", "AgntixUnresolvedElevated"),
            (&activity.negative, "AgntixNegativeSpike", "AgntixNegativeElevated"),
        ] {
            let excess = model.judge(&Counts { judged: activity.started.clone(), bad: bad.clone() });
            compare(spike, excess.critical, valued(spike));
            compare(elevated, excess.warning, valued(elevated));
        }
        let volume = volume::judge(&activity.started, from);
        compare("AgntixSessionsSilent", minutes(&volume.silent), fired("AgntixSessionsSilent"));
        compare("AgntixSessionsMissing", minutes(&volume.missing), fired("AgntixSessionsMissing"));
        compare("AgntixSessionsFlood", minutes(&volume.flood), fired("AgntixSessionsFlood"));
        compare("AgntixHandleTimeShift", minutes(&handle_time::judge(activity, from)), fired("AgntixHandleTimeShift"));
        let intents = intents::judge(activity, from).iter().flat_map(minutes).collect();
        compare("AgntixIntentUnresolved", intents, fired("AgntixIntentUnresolved"));
    }
    text.push_str("| minutes | model and rules | model only | rules only |\n| --- | --- | --- | --- |\n");
    for (name, [common, only_model, only_rules]) in sums {
        writeln!(text, "| `{name}` | {common} | {only_model} | {only_rules} |").unwrap();
    }
}
