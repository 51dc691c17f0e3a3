//! A day as JSON lines for `/api/v1/import` of VictoriaMetrics, one series a line. Pure but for the file it writes to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use super::chronicle::Day;
use super::files::Written;
use crate::catalogue::{Family, SeriesKey};
use exposition::{TimedSample, TimedSamples};

/// Writes a day. `constant` are the labels that every sample has besides its own; families named in `is_disabled` are left out.
///
/// # Errors
/// If `to` takes no more.
pub(super) fn write(
    day: &Day<'_>,
    samples: &TimedSamples,
    constant: &BTreeMap<String, String>,
    is_disabled: &dyn Fn(Family) -> bool,
    to: &mut dyn Write,
) -> std::io::Result<Written> {
    let mut written = Written::default();
    for (key, series) in day.history.iter().filter(|(key, _)| !is_disabled(key.family)) {
        for name in samples.of(key, series.schema) {
            let (mut values, mut times, mut count) = (Vec::new(), Vec::new(), 0_u64);
            series.at_each(day.times, |at, counts| {
                if count > 0 {
                    values.push(b',');
                    times.push(b',');
                }
                name.value(&mut values, counts);
                times.extend_from_slice(at.as_millis().to_string().as_bytes());
                count += 1;
            });
            if count == 0 {
                continue;
            }
            let metric = serde_json::to_vec(&metric(key, &name, constant))?;
            let line =
                [&b"{\"metric\":"[..], &metric, b",\"values\":[", &values, b"],\"timestamps\":[", &times, b"]}\n"]
                    .concat();
            to.write_all(&line)?;
            written.bytes += line.len() as u64;
            written.samples += count;
            written.series += 1;
        }
    }
    Ok(written)
}

fn metric<'m>(
    key: &SeriesKey,
    name: &TimedSample,
    constant: &'m BTreeMap<String, String>,
) -> BTreeMap<&'m str, String> {
    let descriptor = key.family.descriptor();
    let own = descriptor.labels.iter().copied().zip(key.labels.values().map(Cow::into_owned));
    let mut labels: BTreeMap<&str, String> = own.collect();
    labels.extend(constant.iter().map(|(name, value)| (name.as_str(), value.clone())));
    labels.extend(name.le.as_ref().map(|le| ("le", le.to_string())));
    labels.insert("__name__", format!("{}{}", descriptor.name, name.suffix));
    labels
}
