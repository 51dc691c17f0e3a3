//! Which stretches of a family have changed: a page of text is rendered block by block, and again only where something is new.

use super::FamilySeries;
use crate::descriptor::Kind;

/// About so many lines are rendered together, and again when one of them has changed: enough that they compress as well as a whole page does.
pub const BLOCK_LINES: usize = 512;
/// About so many lines a histogram has.
const HISTOGRAM_LINES: usize = 16;

impl FamilySeries {
    /// How many series are in a block of text, which is rendered again as a whole when one of them has changed.
    pub(super) const fn block_series(&self) -> usize {
        match self.descriptor.kind {
            Kind::Counter | Kind::Gauge => BLOCK_LINES,
            Kind::Histogram { .. } => BLOCK_LINES / HISTOGRAM_LINES,
        }
    }

    /// Remembers that a series has changed.
    pub(super) fn mark(&mut self, series: u32, generation: u64) {
        let block = series as usize / self.block_series();
        if self.changed.len() <= block {
            self.changed.resize(block + 1, generation);
        }
        if let Some(changed) = self.changed.get_mut(block) {
            *changed = generation;
        }
    }

    /// For each block of the family, about how many lines it has, and the generation in which it changed last.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, u64)> {
        let (series, a_block) = (self.entries.len(), self.block_series());
        self.changed.iter().enumerate().map(move |(block, changed)| {
            let series = series.saturating_sub(block * a_block).min(a_block);
            (series * (BLOCK_LINES / a_block), *changed)
        })
    }
}
