//! All alerts about sessions that the models give: of agents, and of the organization that they are together.

use super::activity::Activity;
use super::exposed::Exposed;
use super::model::{Excess, Model};
use super::nuisance::Counts;
use super::routing::Alert;
use super::spans::{Spans, firing};
use super::{handle_time, intents, volume};

/// The `for` and `keep_firing_for` of spikes and of rises, in minutes.
const SPIKE: (usize, usize) = (0, 15);
const ELEVATED: (usize, usize) = (5, 720);

/// The alerts about these agents of one organization, from the minute `from` on.
pub fn alerts(model: &Model, agents: &[Exposed], from: usize) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for Exposed { organization, agent, activity } in agents {
        let mut add = |name: &str, critical: bool, rest: String, fires: Spans| {
            let (name, organization, agent) = (name.to_owned(), organization.clone(), agent.clone());
            alerts.push(Alert { name, critical, organization, agent, rest, fires });
        };
        for (signal, bad) in [("Unresolved", &activity.unresolved), ("Negative", &activity.negative)] {
            let (spike, elevated) = shares(model, &activity.started, bad, from);
            add(&format!("Agntix{signal}Spike"), true, signal.into(), spike);
            add(&format!("Agntix{signal}Elevated"), false, signal.into(), elevated);
        }
        let volume = volume::judge(&activity.started, from);
        add("AgntixSessionsSilent", true, String::new(), volume.silent);
        add("AgntixSessionsMissing", false, String::new(), volume.missing);
        add("AgntixSessionsFlood", false, String::new(), volume.flood);
        add("AgntixHandleTimeShift", false, "voice".into(), handle_time::judge(activity, from));
        for (number, fires) in intents::judge(activity, from).into_iter().enumerate() {
            add("AgntixIntentUnresolved", false, format!("intent-{number}"), fires);
        }
    }
    let Some(first) = agents.first() else { return alerts };
    let mut add = |name: &str, critical: bool, rest: &str, fires: Spans| {
        let (name, organization) = (format!("AgntixOrganization{name}"), first.organization.clone());
        alerts.push(Alert { name, critical, organization, agent: String::new(), rest: rest.to_owned(), fires });
    };
    let started = together(agents, |activity| &activity.started);
    for (signal, bad) in [
        ("Unresolved", together(agents, |activity| &activity.unresolved)),
        ("Negative", together(agents, |activity| &activity.negative)),
    ] {
        let (spike, elevated) = shares(model, &started, &bad, from);
        add(&format!("{signal}Spike"), true, signal, spike);
        add(&format!("{signal}Elevated"), false, signal, elevated);
    }
    let volume = volume::judge(&started, from);
    add("SessionsSilent", true, "", volume.silent);
    add("SessionsFlood", false, "", volume.flood);
    alerts.retain(|alert| !alert.fires.is_empty());
    alerts
}

/// When the spike and the rise of a signal fire.
pub fn shares(model: &Model, judged: &[u32], bad: &[u32], from: usize) -> (Spans, Spans) {
    let Excess { mut critical, mut warning, .. } = model.judge(&Counts { judged: judged.to_vec(), bad: bad.to_vec() });
    critical.retain(|minute| *minute >= from);
    warning.retain(|minute| *minute >= from);
    (firing(&critical, SPIKE.0, SPIKE.1), firing(&warning, ELEVATED.0, ELEVATED.1))
}

fn together(agents: &[Exposed], of: impl Fn(&Activity) -> &Vec<u32>) -> Vec<u32> {
    let mut sum = Vec::new();
    for agent in agents {
        let counts = of(&agent.activity);
        sum.resize(counts.len().max(sum.len()), 0);
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sum
}
