//! The organization's agents, read page by page now and then: their names and settings, as `agntix_agent_info`. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::catalogue::GaugeFamily;
use crate::clock::Tick;
use crate::discovery::paging::{Contradiction, PageClaims, Paging, ServerPages, Step};
use crate::observation::MAX_VALUE;
use agntix_api::value::Scalar;
use agntix_api::{JsonText, wire};
use exposition::LabelSet;

/// Pages that are read at most: 2,000 agents of 20 a page; a list without end is a broken answer.
const MAX_PAGES: u32 = 100;
/// An empty page where there should be more agents is asked for again after this.
const EMPTY_WAIT: Duration = Duration::from_secs(2);

/// A round through the pages of agents.
#[derive(Debug, Default)]
pub struct Agents {
    due: Tick,
    paging: Paging,
    server: ServerPages,
    failures: u32,
    found: BTreeMap<String, LabelSet>,
}

impl Agents {
    /// When the next page is due.
    pub fn due(&self) -> Tick {
        self.due
    }

    /// The page to ask for, from 1.
    pub fn page(&self) -> u32 {
        self.paging.page()
    }

    /// The configuration was reloaded: the next page is due at once.
    pub fn retry(&mut self, now: Tick) {
        if self.due != Tick::MAX {
            self.due = self.due.min(now);
        }
    }

    /// Puts the next page off while one is under way.
    pub fn asked(&mut self) {
        self.due = Tick::MAX;
    }

    /// A page was read. The series of all agents, at most `max_agents`, if it was the last one.
    pub fn read(
        &mut self,
        page: &wire::Page<'_>,
        now: Tick,
        interval: Duration,
        max_agents: usize,
    ) -> Option<Vec<(LabelSet, f64)>> {
        self.failures = 0;
        let entries = page.items();
        let mut whole = DefaultHasher::new();
        for raw in entries {
            raw.get().hash(&mut whole);
            let text = JsonText::new(raw.get().as_bytes());
            let Ok(agent) = text.read::<wire::Agent<'_>>() else { continue };
            let Some(id) = agent.id.text().filter(|id| id.len() <= MAX_VALUE) else { continue };
            if self.found.len() < max_agents || self.found.contains_key(id) {
                self.found.insert(id.to_owned(), labels(id, &agent));
            }
        }
        let claims = PageClaims::of(page, whole.finish());
        match self.paging.read(&claims, &mut self.server, now) {
            Step::More if self.paging.page() <= MAX_PAGES => {
                self.due = now;
                return None;
            }
            Step::Again => {
                self.due = now + EMPTY_WAIT;
                return None;
            }
            Step::More | Step::End | Step::Repeats => {}
        }
        (self.paging, self.due) = (Paging::default(), now + interval);
        Some(std::mem::take(&mut self.found).into_values().map(|labels| (labels, 1.0)).collect())
    }

    /// The first contradiction between what the pages claim and what they hold; once.
    pub fn take_contradiction(&mut self) -> Option<Contradiction> {
        self.server.take_contradiction()
    }

    /// The same page is due at once.
    pub fn again(&mut self, now: Tick) {
        self.due = now;
    }

    /// A page could not be read; it is asked for again `after(failures)` from now.
    pub fn failed(&mut self, now: Tick, after: impl FnOnce(u32) -> Duration) {
        self.failures = self.failures.saturating_add(1);
        self.due = now + after(self.failures);
    }
}

fn labels(id: &str, agent: &wire::Agent<'_>) -> LabelSet {
    let flag = |value: &Scalar<'_>| match value.boolean() {
        Some(true) => "true",
        Some(false) => "false",
        None => "unknown",
    };
    let name = agent.full_name.text().filter(|name| name.len() <= MAX_VALUE).unwrap_or_default();
    let language = agent.language.text().filter(|language| language.len() <= MAX_VALUE).unwrap_or_default();
    let values = [id, name, &language.to_lowercase(), flag(&agent.is_active), flag(&agent.voice_enabled)];
    LabelSet::new(GaugeFamily::AgentInfo.descriptor().labels, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn read(agents: &mut Agents, text: &str, max_agents: usize) -> Option<Vec<String>> {
        let page: wire::Page = serde_json::from_str(text).unwrap();
        let series = agents.read(&page, S, S * 600, max_agents)?;
        Some(series.iter().map(|(labels, _)| labels.as_str().to_owned()).collect())
    }

    #[test]
    fn a_round_ends_with_the_last_page_and_knows_each_agent_once() {
        let mut agents = Agents::default();
        let first = r#"{"data":[{"id":"a","fullName":"Desk","language":"EN","isActive":true,"voiceEnabled":"false"},
            {"id":"b"}, 7, {"fullName":"nameless"}],"pagination":{"totalPages":2}}"#;
        assert_eq!(read(&mut agents, first, 9), None);
        assert_eq!((agents.page(), agents.due()), (2, S));
        agents.asked();
        agents.failed(S, |failures| S * failures);
        assert_eq!((agents.page(), agents.due()), (2, S * 2));
        let second = r#"{"data":[{"id":"b","fullName":"Line"}],"pagination":{"totalPages":2}}"#;
        let unknown = r#"language="unknown",active="unknown",voice_enabled="unknown""#;
        assert_eq!(
            read(&mut agents, second, 9).unwrap(),
            [
                r#"agent_id="a",agent_name="Desk",language="en",active="true",voice_enabled="false""#.to_owned(),
                format!(r#"agent_id="b",agent_name="Line",{unknown}"#),
            ]
        );
        assert_eq!((agents.page(), agents.due()), (1, S * 601));
        assert_eq!(
            read(&mut agents, r#"{"data":[{"id":"a"},{"id":"b"}],"pagination":{"totalPages":1}}"#, 1).unwrap().len(),
            1
        );
    }

    #[test]
    fn page_numbers_that_are_too_low_hide_no_agent() {
        let page = |from: u32, to: u32, pages: u32| {
            let agents: Vec<_> = (from..to).map(|n| format!(r#"{{"id":"{n}"}}"#)).collect();
            format!(r#"{{"data":[{}],"pagination":{{"total":45,"totalPages":{pages}}}}}"#, agents.join(","))
        };
        for pages in [0, 1, 4, 5, 9] {
            let (mut agents, mut known) = (Agents::default(), None);
            for number in 0..5 {
                assert_eq!((known.is_none(), agents.page()), (true, number + 1), "totalPages {pages}");
                known = read(&mut agents, &page(number * 10, (number * 10 + 10).min(45), pages), 99);
            }
            assert_eq!(known.map(|known| known.len()), Some(45), "totalPages {pages}");
        }
    }

    #[test]
    fn a_list_without_page_numbers_ends_with_an_empty_page() {
        let mut agents = Agents::default();
        assert_eq!(read(&mut agents, r#"{"data":[{"id":"a"}]}"#, 9), None);
        assert_eq!(read(&mut agents, r#"{"data":[]}"#, 9).unwrap().len(), 1);
    }
}
