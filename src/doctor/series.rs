//! An estimate of how many series Prometheus will store: from the state if there is one, else from what the API shows and
//! from usual numbers.
//!
//! A series is what Prometheus calls one: each bucket of a histogram counts.

use super::Finding;
use super::finding::{grouped, many};
use super::state::size;
use crate::capacity::{Backend, OWN, SERIES_OF_A_SESSION, Shape, USUAL, memory, of_agent};
use crate::catalogue;
use crate::config::Config;

const CHECK: &str = "series";
/// A usual Prometheus stores a few million series in all, so one target with this many matters.
const MANY: u64 = 100_000;
/// What there is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Series of the session metrics.
    pub series: u64,
    /// Agents that have any.
    pub agents: u64,
    /// Who knows it: "the state", "the running exporter".
    pub by: &'static str,
}

/// What the estimate is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    /// What there is already.
    pub known: Option<Known>,
    /// Agents of the organization, if the API has said.
    pub agents: Option<u64>,
    /// What an agent of the listed sessions brings on average, if there are any.
    pub listed: Option<Shape>,
    /// Sessions that are open or wait for their analysis.
    pub pending: u64,
}

/// What is expected in time, and from what, as the end of a sentence.
fn expected(inputs: &Inputs, config: &Config) -> (u64, String) {
    let metrics = &config.metrics;
    let watched = (config.sessions.ids.len() + metrics.watch_recent) as u64;
    let rest = OWN + watched * SERIES_OF_A_SESSION;
    let most = metrics.max_agents as u64;
    let known = inputs.known.filter(|known| known.agents > 0);
    let agents = inputs.agents.or(known.map(|known| known.agents)).unwrap_or(1).min(most);
    if let Some(Known { series, agents: counted, by }) = known {
        // Those that have not been heard of yet will be as the others on average.
        let in_time = (series / counted).saturating_mul(agents.max(counted.min(most))).max(series);
        let text = format!("{} of {} are known to {by} now", grouped(series), many(counted, "agent"));
        return (in_time.saturating_add(rest), text);
    }
    let shape = inputs.listed.map_or(USUAL, |listed| Shape {
        channels: listed.channels.max(1),
        intents: listed.intents.max(USUAL.intents),
        languages: listed.languages.max(1),
    });
    let how = if inputs.listed.is_some() { "from the newest sessions and what is usual" } else { "as is usual" };
    let unsure = if inputs.agents.is_some() { "" } else { ", though how many there are is not known" };
    let text = format!(
        "reckoned from {} with {}, {} and {} each, {how}{unsure}",
        many(agents, "agent"),
        many(shape.channels, "channel"),
        many(shape.intents, "intent"),
        many(shape.languages, "language")
    );
    (of_agent(shape, config).saturating_mul(agents).saturating_add(rest), text)
}

/// Judges how many series there will be.
pub(super) fn judge(inputs: &Inputs, config: &Config) -> Vec<Finding> {
    let metrics = &config.metrics;
    let (series, from) = expected(inputs, config);
    let limits = format!(
        "metrics.max_agents = {} and metrics.max_label_values = {} per label and agent bound them",
        metrics.max_agents, metrics.max_label_values
    );
    let says = format!("about {} series are to be expected ({from}); {limits}", grouped(series));
    let mut findings = vec![if series > MANY {
        let advice = "take fewer buckets (metrics.duration_buckets, …), name fewer metrics.extracted, lower the bounds, or see that Prometheus has room and its sample_limit lets them pass";
        Finding::warning(CHECK, says, advice)
    } else {
        Finding::ok(CHECK, says)
    }];
    let backend = if config.state.url.is_some() { Backend::Postgres } else { Backend::Sqlite };
    let says = format!(
        "the exporter needs about {} for {} series and {} that are not counted yet; it may need more while it reads a long history",
        size(memory(backend, series, inputs.pending)),
        grouped(series),
        many(inputs.pending, "session")
    );
    findings.push(Finding::ok("memory", says));
    let labels = catalogue::static_labels(metrics);
    if !labels.as_str().is_empty() {
        let says = format!("every series carries {{{}}} (metrics.static_labels)", labels.as_str());
        findings.push(Finding::ok("static-labels", says));
    }
    if let Some(agents) = inputs.agents.filter(|agents| *agents > metrics.max_agents as u64) {
        let says = format!(
            "the organization has {}, but metrics.max_agents is {}: further ones are counted together as agent_id=\"other\"",
            many(agents, "agent"),
            metrics.max_agents
        );
        findings.push(Finding::warning(
            "agent-limit",
            says,
            "raise metrics.max_agents if each is to be seen by itself",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn known_series_are_extrapolated_to_unseen_agents() {
        let known = Some(Known { series: 1_000, agents: 4, by: "the state" });
        let judged = |agents| judge(&Inputs { known, agents, ..Inputs::default() }, &Config::default()).remove(0).says;
        assert!(
            judged(None)
                .starts_with("about 1,500 series are to be expected (1,000 of 4 agents are known to the state now)")
        );
        assert!(judged(Some(10)).starts_with("about 3,000 series"), "{}", judged(Some(10)));
        assert!(judged(Some(2)).starts_with("about 1,500 series"), "what is there stays");
    }

    #[test]
    fn memory_is_what_series_and_unfinished_sessions_need() {
        let said = |pending| {
            judge(&Inputs { agents: Some(1), pending, ..Inputs::default() }, &Config::default()).remove(1).says
        };
        assert!(said(0).starts_with("the exporter needs about 24 MiB for"), "{}", said(0));
        assert!(said(0).contains("and 0 sessions that are not counted yet"));
        assert!(said(100_000).starts_with("the exporter needs about 49 MiB for"), "{}", said(100_000));
    }

    #[test]
    fn static_labels_are_shown() {
        let mut config = Config::default();
        assert_eq!(judge(&Inputs::default(), &config).len(), 2);
        config.metrics.static_labels.insert("organization".into(), "acme".into());
        let finding = judge(&Inputs::default(), &config).remove(2);
        assert_eq!((finding.check, finding.status), ("static-labels", Status::Ok));
        assert_eq!(finding.says, "every series carries {organization=\"acme\"} (metrics.static_labels)");
    }

    #[test]
    fn too_many_series_are_a_warning_that_names_the_limits() {
        let inputs = Inputs { agents: Some(5_000), ..Inputs::default() };
        let findings = judge(&inputs, &Config::default());
        let statuses: Vec<_> = findings.iter().map(|finding| (finding.check, finding.status)).collect();
        assert_eq!(statuses, [("series", Status::Warning), ("memory", Status::Ok), ("agent-limit", Status::Warning)]);
        assert!(findings[0].says.contains("metrics.max_agents = 1000 and metrics.max_label_values = 100"));
        let few = Inputs { agents: Some(5), ..Inputs::default() };
        assert_eq!(judge(&few, &Config::default())[0].status, Status::Ok);
    }
}
