//! Which sessions there are in a range of creation times: counted without making them, paged, filtered.

use crate::generate::{Generator, Outline};
use crate::session::State;
use crate::time::Timestamp;

/// What a listing asks for.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Created then or later.
    pub(crate) from: Timestamp,
    /// Created then or earlier.
    pub(crate) to: Timestamp,
    pub(crate) agent: Option<u16>,
    pub(crate) platform: Option<String>,
    /// The state, and the moment it is asked at.
    pub(crate) state: Option<(State, Timestamp)>,
    pub(crate) ascending: bool,
    /// Only what the API lists.
    pub(crate) listed: bool,
}

impl Filter {
    /// All sessions created from `from` to `to`, both included, oldest first.
    pub(crate) fn created(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, agent: None, platform: None, state: None, ascending: true, listed: false }
    }

    fn matches(&self, generator: &Generator, outline: &Outline) -> bool {
        (self.from..=self.to).contains(&outline.created)
            && self.agent.is_none_or(|agent| agent == outline.place.agent)
            && (!self.listed || generator.is_listed(outline.place))
            && self.state.is_none_or(|(state, at)| outline.state(at) == state)
            && self.platform.as_ref().is_none_or(|wanted| {
                let agent = generator.config().agents.get(usize::from(outline.place.agent));
                agent
                    .and_then(|agent| agent.channels.get(usize::from(outline.channel)))
                    .is_some_and(|(channel, _)| channel.platform.eq_ignore_ascii_case(wanted))
            })
    }

    fn of_slot<'g>(&'g self, generator: &'g Generator, slot: u64) -> Vec<Outline> {
        let outlines = generator.outlines(slot);
        let mut matching: Vec<Outline> =
            outlines.iter().filter(|outline| self.matches(generator, outline)).copied().collect();
        if !self.ascending {
            matching.reverse();
        }
        matching
    }
}

/// Every session that matches, in order; made slot by slot.
pub(crate) fn all<'g>(generator: &'g Generator, filter: &'g Filter) -> impl Iterator<Item = Outline> + 'g {
    slots(generator, filter).flat_map(move |slot| filter.of_slot(generator, slot))
}

fn slots(generator: &Generator, filter: &Filter) -> Box<dyn Iterator<Item = u64> + Send> {
    match generator.slots(filter.from, filter.to) {
        None => Box::new(std::iter::empty()),
        Some(range) if filter.ascending => Box::new(range),
        Some(range) => Box::new(range.rev()),
    }
}

/// The sessions numbered `skip..skip + limit` among those that match, and how many match in all.
pub(crate) fn page(generator: &Generator, filter: &Filter, skip: u64, limit: u64) -> (Vec<Outline>, u64) {
    let countable = filter.platform.is_none() && filter.state.is_none() && (!filter.listed || generator.lists_all());
    let end = skip.saturating_add(limit);
    let (mut taken, mut total) = (Vec::new(), 0_u64);
    for slot in slots(generator, filter) {
        let counted = (countable && generator.is_whole(slot, filter.from, filter.to))
            .then(|| generator.count_all(slot, filter.agent));
        if let Some(counted) = counted
            && (total.saturating_add(counted) <= skip || total >= end)
        {
            total += counted;
            continue;
        }
        for outline in filter.of_slot(generator, slot) {
            if (skip..end).contains(&total) {
                taken.push(outline);
            }
            total += 1;
        }
    }
    (taken, total)
}
