//! A day as OpenMetrics with timestamps, for `promtool tsdb create-blocks-from openmetrics`. Pure but for the file it writes to.

use std::io::Write;

use super::chronicle::Day;
use super::files::Written;
use crate::catalogue::Family;
use exposition::TimedSamples;

/// Writes a day. Families named in `is_disabled` are left out.
///
/// # Errors
/// If `to` takes no more.
pub(super) fn write(
    day: &Day<'_>,
    samples: &TimedSamples,
    is_disabled: &dyn Fn(Family) -> bool,
    to: &mut dyn Write,
) -> std::io::Result<Written> {
    let (mut out, mut written) = (Vec::with_capacity(1 << 16), Written::default());
    let mut family = None;
    for (key, series) in day.history.iter().filter(|(key, _)| !is_disabled(key.family)) {
        if family.replace(key.family) != Some(key.family) {
            TimedSamples::header(&mut out, key.family);
        }
        let names = samples.of(key, series.schema);
        let mut failed = None;
        series.at_each(day.times, |at, counts| {
            for name in &names {
                name.line(&mut out, counts, at.as_millis());
            }
            written.samples += names.len() as u64;
            if out.len() >= 1 << 16 {
                failed = failed.take().or(to.write_all(&out).err());
                written.bytes += out.len() as u64;
                out.clear();
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        written.series += names.len() as u64;
    }
    out.extend_from_slice(b"# EOF\n");
    written.bytes += out.len() as u64;
    to.write_all(&out)?;
    Ok(written)
}
