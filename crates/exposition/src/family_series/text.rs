//! A family of series on a page of either text format.

use super::{FamilySeries, Shown, Spelled};
use crate::descriptor::{Descriptor, Kind};
use crate::labels::ConstantLabels;
use crate::negotiation::Format;
use crate::{number, writer};

impl FamilySeries {
    /// Appends a block of the family to a page of text, the first with what stands before the family. The numbers are inlined, since a
    /// call for each line is felt on a large page.
    pub fn write(&self, out: &mut Vec<u8>, block: usize, spelled: &Spelled, format: Format) {
        let Descriptor { name, kind, help, .. } = self.descriptor;
        if block == 0 {
            writer::header(out, name, kind, help, format);
        }
        let base = writer::family_name(name, kind, Format::OpenMetrics);
        let constant = &*spelled.constant;
        for Shown { entry, counts, exemplars, .. } in self.shown_in(block, format == Format::OpenMetrics) {
            let labels = self.labels_of(entry);
            match kind {
                Kind::Histogram { sum } => {
                    let bounds = spelled.bounds.of(entry.schema);
                    self.write_histogram(out, name, (labels, constant), counts, bounds, (sum, format), exemplars);
                }
                Kind::Counter | Kind::Gauge => {
                    writer::sample(out, name, "", labels, constant);
                    number::scaled(out, counts.first().copied().unwrap_or(0), self.scale);
                    self.end_line(out, exemplars, 0);
                }
            }
            if format == Format::OpenMetrics && spelled.created_lines {
                writer::created(out, base, labels, entry.created_ms, constant);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, in the innermost loop of a scrape")]
    fn write_histogram(
        &self,
        out: &mut Vec<u8>,
        name: &str,
        (labels, constant): (&[u8], &ConstantLabels),
        counts: &[u64],
        bounds: &[Box<[u8]>],
        (sum, format): (bool, Format),
        exemplars: Option<u32>,
    ) {
        let mut count = 0_u64;
        for (bucket, (bound, observed)) in (0_u16..).zip(bounds.iter().zip(counts)) {
            count = count.saturating_add(*observed);
            writer::bucket(out, name, labels, bound, constant);
            number::integer(out, count);
            self.end_line(out, exemplars, bucket);
        }
        if sum {
            writer::sample(out, name, "_sum", labels, constant);
            number::scaled(out, counts.last().copied().unwrap_or(0), self.scale);
            out.push(b'\n');
        }
        // OpenMetrics 1.0 has no `_count` without `_sum`; there, the `+Inf` bucket tells it.
        if sum || format == Format::Text {
            writer::sample(out, name, "_count", labels, constant);
            number::integer(out, count);
            out.push(b'\n');
        }
    }

    fn end_line(&self, out: &mut Vec<u8>, exemplars: Option<u32>, bucket: u16) {
        if let Some(exemplar) = exemplars.and_then(|series| self.exemplars.get(&(series, bucket))) {
            out.extend_from_slice(&exemplar.text);
        }
        out.push(b'\n');
    }
}
