//! What Alertmanager makes of alerts that fire: one notification for a group of them, none for what is inhibited, one again after a while.
//!
//! It follows `deploy/alertmanager/alertmanager.yml` for alerts about sessions, minute by minute, and sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::Spans;

const GROUP_INTERVAL: usize = 5;
/// `repeat_interval` of critical alerts, and of warnings.
const REPEAT_CRITICAL: usize = 4 * 60;
const REPEAT_WARNING: usize = 24 * 60;

/// An alert with the labels that routes and inhibition look at, and when it fires, in minutes.
#[derive(Clone, Debug)]
pub struct Alert {
    pub name: String,
    pub critical: bool,
    pub organization: String,
    /// Empty if it is about the whole organization.
    pub agent: String,
    /// What else tells it from others of its name: signal, intent, type of session.
    pub rest: String,
    pub fires: Spans,
}

/// Why something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An alert of the group began to fire.
    Fires,
    /// Nothing but the time that went by.
    Repeats,
    /// Some alert of the group, or all of them, no longer fires.
    Resolved,
}

/// What somebody reads.
#[derive(Clone, Debug)]
pub struct Notification {
    /// In minutes.
    pub at: usize,
    pub critical: bool,
    pub why: Why,
    /// The alerts that are firing, as indices; of a `Resolved` one those that are left.
    pub firing: Vec<usize>,
    /// Those of them that the group had not told of before.
    pub new: Vec<usize>,
    pub agent: String,
}

/// A group of alerts as it was last told of.
#[derive(Default)]
struct Group {
    next: usize,
    told: BTreeSet<usize>,
    told_at: usize,
}

/// The notifications of these alerts until the minute `end`.
pub fn notifications(alerts: &[Alert], end: usize) -> Vec<Notification> {
    let mut groups: BTreeMap<(bool, &str, &str), Group> = BTreeMap::new();
    let mut sent = Vec::new();
    // Nothing happens but where a span begins or ends, or a group is due.
    for minute in 0..end {
        let firing: BTreeSet<usize> = (0..alerts.len())
            .filter(|n| alerts[*n].fires.iter().any(|(from, to)| (*from..*to).contains(&minute)))
            .collect();
        if firing.is_empty() && groups.is_empty() {
            continue;
        }
        for number in &firing {
            let alert = &alerts[*number];
            // group_wait is half a minute.
            groups
                .entry((alert.critical, alert.organization.as_str(), alert.agent.as_str()))
                .or_insert_with(|| Group { next: minute + 1, ..Group::default() });
        }
        groups.retain(|(critical, organization, agent), group| {
            if minute < group.next {
                return true;
            }
            group.next = minute + GROUP_INTERVAL;
            let is_mine = |number: &&usize| {
                let alert = &alerts[**number];
                alert.critical == *critical && alert.organization == *organization && alert.agent == *agent
            };
            let all: BTreeSet<usize> = firing.iter().filter(is_mine).copied().collect();
            let heard: BTreeSet<usize> =
                all.iter().filter(|number| !is_inhibited(alerts, **number, &firing)).copied().collect();
            let new: Vec<usize> = heard.difference(&group.told).copied().collect();
            let repeat = if *critical { REPEAT_CRITICAL } else { REPEAT_WARNING };
            // What is inhibited is not resolved.
            let resolved = group.told.iter().any(|number| !all.contains(number));
            let why = if !new.is_empty() {
                Some(Why::Fires)
            } else if resolved {
                Some(Why::Resolved)
            } else if !heard.is_empty() && minute - group.told_at >= repeat {
                Some(Why::Repeats)
            } else {
                None
            };
            if let Some(why) = why {
                let agent = (*agent).to_owned();
                let firing = heard.iter().copied().collect();
                sent.push(Notification { at: minute, critical: *critical, why, firing, new, agent });
                (group.told, group.told_at) = (heard, minute);
            }
            !all.is_empty()
        });
    }
    sent
}

/// The rules of inhibition that are about sessions.
fn is_inhibited(alerts: &[Alert], number: usize, firing: &BTreeSet<usize>) -> bool {
    let target = &alerts[number];
    let is = |alert: &Alert, names: &[&str]| names.contains(&alert.name.strip_prefix("Agntix").unwrap_or(&alert.name));
    firing.iter().filter(|other| **other != number).map(|other| &alerts[*other]).any(|source| {
        if source.organization != target.organization {
            return false;
        }
        let shares = |signal: &str, kinds: &[&str]| {
            kinds.iter().any(|kind| target.name.strip_prefix("Agntix") == Some(&format!("{signal}{kind}")))
        };
        let of_organization = ["Unresolved", "Negative"].iter().any(|signal| {
            is(source, &[&format!("Organization{signal}Spike")])
                && (shares(signal, &["Spike", "Elevated"]) || is(target, &[&format!("Organization{signal}Elevated")]))
                || is(source, &[&format!("Organization{signal}Elevated")]) && shares(signal, &["Elevated"])
        });
        let same_agent = !source.agent.is_empty() && source.agent == target.agent;
        of_organization
            || is(source, &["OrganizationSessionsSilent"]) && is(target, &["SessionsSilent", "SessionsMissing"])
            || is(source, &["OrganizationSessionsFlood"]) && is(target, &["SessionsFlood"])
            || source.critical && !target.critical && same_agent
            || is(source, &["ResolutionBudgetBurnFast"])
                && is(target, &["ResolutionBudgetBurnSlow"])
                && source.agent == target.agent
    })
}
