//! What two states must have in common to be the same, in whatever order each gives its lines. Pure.

use super::error::UpkeepError;
use super::lines::Line;

/// How many lines there were of each kind, and the sum of their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Tally {
    /// Single numbers.
    pub(in crate::ledger) numbers: u64,
    /// Bucket bounds, and label values that were admitted.
    pub(in crate::ledger) settings: u64,
    /// Series.
    pub(in crate::ledger) series: u64,
    /// Sessions that are not yet wholly counted.
    pub(in crate::ledger) pending: u64,
    /// Grants of requests.
    pub(in crate::ledger) leases: u64,
    /// Counted sessions.
    pub(in crate::ledger) counted: u64,
    /// Customers.
    pub(in crate::ledger) contacts: u64,
    sum: u128,
}

impl Tally {
    /// Takes a line in.
    ///
    /// # Errors
    /// If it cannot be written as a line, as no line that was read can.
    pub(in crate::ledger) fn add(&mut self, line: &Line) -> Result<(), UpkeepError> {
        let count = match line {
            Line::AgntixExporterState { .. } | Line::End { .. } => return Ok(()),
            Line::Meta(..) => &mut self.numbers,
            Line::Layout(..) | Line::Admitted(..) | Line::ContactPlace(..) => &mut self.settings,
            Line::Contact(..) => &mut self.contacts,
            Line::Series(_) => &mut self.series,
            Line::Pending(_) => &mut self.pending,
            Line::Lease(..) => &mut self.leases,
            Line::Counted { .. } => &mut self.counted,
        };
        *count += 1;
        let text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &text);
        let half = digest.as_ref().first_chunk().copied().unwrap_or_default();
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(half));
        Ok(())
    }

    /// Lines in all.
    pub(in crate::ledger) fn lines(&self) -> u64 {
        let Self { numbers, settings, series, pending, leases, counted, contacts, .. } = self;
        numbers + settings + series + pending + leases + counted + contacts
    }
}

/// As an error and a report say it: what a state has.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { series, pending, counted, .. } = self;
        write!(f, "{series} series, {counted} counted and {pending} pending sessions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_every_value_does() {
        let counted = |id: &str, parts| Line::Counted { day: Some(1), id: id.into(), parts };
        let tally = |lines: &[Line]| {
            let mut tally = Tally::default();
            for line in lines {
                tally.add(line).unwrap();
            }
            tally
        };
        let (one, two) = (tally(&[counted("a", 1), counted("b", 2)]), tally(&[counted("b", 2), counted("a", 1)]));
        assert_eq!((&one, one.lines()), (&two, 2));
        assert_ne!(one, tally(&[counted("a", 2), counted("b", 1)]));
    }
}
