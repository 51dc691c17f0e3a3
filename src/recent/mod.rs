//! What was counted lately, by agent: what the landing page shows to whoever has no dashboard at hand. It begins with the process,
//! is held in memory alone, and is bounded. Pure: it is given the totals of the page and the time.
//!
//! Nothing is decided by these numbers; alerts and dashboards have their own, from Prometheus.

mod lately;
mod totals;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use lately::Slots;
pub use lately::{Lately, Share, Trend};
use totals::Totals;

use crate::catalogue::{Exposition, GaugeFamily};
use crate::clock::{Clock, Timestamp};

/// How often the totals are looked at.
const EVERY: Duration = Duration::from_secs(60);
/// Looks that are closer together than this are one.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Agents that are told apart; those that come later are counted together. Some 8 KB an agent, if it counts in every slot.
const MOST_AGENTS: usize = 1_000;

/// What was counted lately, kept for the landing page.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Course>);

/// What the totals were, and how they grew.
#[derive(Debug, Default)]
struct Course {
    /// Of the last look; `None` before the first.
    last: Option<HashMap<Agent, Totals>>,
    looked_at: Timestamp,
    began: Timestamp,
    hour: Slots,
    day: Slots,
}

/// Which agent: `None` are those beyond [`MOST_AGENTS`].
type Agent = Option<Arc<str>>;

/// What was counted of an agent lately, for a row of a table.
#[derive(Debug, PartialEq)]
pub struct AgentRow {
    /// Its id, as on the page; `None` stands for all agents that are not told apart.
    pub agent: Option<Arc<str>>,
    /// Its name, if the API has told it.
    pub name: Option<String>,
    /// In the last hour.
    pub hour: Lately,
    /// In the last day.
    pub day: Lately,
}

/// What was counted lately.
#[derive(Debug, PartialEq)]
pub struct Table {
    /// How long it has been looked at.
    pub since: Duration,
    /// All agents together.
    pub all: AgentRow,
    /// Those with the most sessions, first; agents without a session are left out. What is not told apart comes last.
    pub agents: Vec<AgentRow>,
    /// How many agents with sessions there was no room for.
    pub left_out: usize,
}

impl Recent {
    /// Looks at the totals of the page. What was there at the first look, or before the page was published, is not recent.
    pub fn look(&self, exposition: &Exposition, now: Timestamp) {
        let mut course = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not stop the looks.
        let is_soon = now >= course.looked_at && now.since(course.looked_at) < AGAIN_AFTER;
        if !exposition.is_published() || (course.last.is_some() && is_soon) {
            return;
        }
        let known = course.last.take();
        let totals = totals::of(exposition, known.as_ref(), MOST_AGENTS);
        course.take(known, totals, now);
    }

    /// The agents with the most sessions of the last day, at most `most` of them, and all that are not told apart as one more;
    /// `None` before the first look.
    pub fn table(&self, exposition: &Exposition, now: Timestamp, most: usize) -> Option<Table> {
        self.look(exposition, now);
        let course = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        course.last.as_ref()?;
        let bounds = totals::bounds(exposition);
        let mut agents = course.day.agents();
        let order = |(agent, sessions): &(Agent, u64)| (agent.is_none(), Reverse(*sessions));
        agents.sort_unstable_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.0.cmp(&b.0)));
        let not_told_apart = agents.pop_if(|(agent, _)| agent.is_none());
        let left_out = agents.len().saturating_sub(most);
        agents.truncate(most);
        agents.extend(not_told_apart);
        let names = names(exposition);
        let row = |of: Option<&Agent>| AgentRow {
            agent: of.cloned().flatten(),
            name: of.and_then(|agent| names.get(agent.as_deref()?).cloned()),
            hour: course.hour.sum(of, &bounds),
            day: course.day.sum(of, &bounds),
        };
        Some(Table {
            since: now.since(course.began),
            all: row(None),
            agents: agents.iter().map(|(agent, _)| row(Some(agent))).collect(),
            left_out,
        })
    }
}

impl Course {
    fn take(&mut self, known: Option<HashMap<Agent, Totals>>, totals: HashMap<Agent, Totals>, now: Timestamp) {
        self.looked_at = now;
        self.hour.advance(now, Slots::OF_AN_HOUR);
        self.day.advance(now, Slots::OF_A_DAY);
        match known {
            None => self.began = now,
            Some(known) => {
                let none = Totals::default();
                for (agent, total) in &totals {
                    let grown = total.since(known.get(agent).unwrap_or(&none));
                    if grown.has_any() {
                        self.hour.add(agent, &grown);
                        self.day.add(agent, &grown);
                    }
                }
            }
        }
        self.last = Some(totals);
    }
}

/// The names of the agents, by their ids.
fn names(exposition: &Exposition) -> HashMap<String, String> {
    let gauges = exposition.gauges();
    let infos = gauges.iter().filter(|(family, _)| *family == GaugeFamily::AgentInfo).flat_map(|(_, series)| series);
    infos
        .filter_map(|(labels, _)| {
            let mut values = labels.values();
            Some((values.next()?.into_owned(), values.next()?.into_owned()))
        })
        // So the label is where the API has not told it, or tells one that is longer than a label may be.
        .filter(|(_, name)| name != "unknown" && !name.trim().is_empty())
        .collect()
}

/// Looks at the totals from time to time, so that the course is there when somebody asks for it.
pub async fn keep(
    recent: Arc<Recent>,
    exposition: Arc<Exposition>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    loop {
        recent.look(&exposition, clock.now());
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests;
