//! How a metric is spelled on a page, in both text formats: headers, samples, exemplars. `protobuf` writes the third.
//!
//! The series in memory and the metrics of a registry are both written by it, so that the two cannot differ.

use crate::descriptor::{Kind, base_name, unit};
use crate::labels::{ConstantLabels, escape_into};
use crate::negotiation::Format;
use crate::number;

/// OpenMetrics 1.0: names and values of an exemplar's labels together are at most this many characters.
const EXEMPLAR_CHARACTERS: usize = 128;

/// The name of the family in a format: OpenMetrics' counters do without `_total` there.
pub fn family_name(name: &str, kind: Kind, format: Format) -> &str {
    match (kind, format) {
        (Kind::Counter, Format::OpenMetrics) => base_name(name),
        _ => name,
    }
}

/// Appends `# HELP`, `# TYPE` and, in OpenMetrics, `# UNIT`.
pub fn header(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str, format: Format) {
    let family = family_name(name, kind, format);
    put(out, &["# HELP ", family, " "]);
    // None of these bytes is part of another character.
    for stretch in help.as_bytes().split_inclusive(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        let Some((last, before)) = stretch.split_last() else { continue };
        out.extend_from_slice(before);
        match last {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            // Only OpenMetrics escapes quotes in help texts; text 0.0.4 would keep the backslash.
            b'"' if format == Format::OpenMetrics => out.extend_from_slice(b"\\\""),
            last => out.push(*last),
        }
    }
    let kind_name = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram { .. } => "histogram",
    };
    put(out, &["\n# TYPE ", family, " ", kind_name, "\n"]);
    if format == Format::OpenMetrics
        && let Some(unit) = unit(family)
    {
        put(out, &["# UNIT ", family, " ", unit, "\n"]);
    }
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends `name{labels}`, the constant labels among them, and a space.
#[inline]
pub fn sample(out: &mut Vec<u8>, name: &str, suffix: &str, labels: &[u8], constant: &ConstantLabels) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    if labels.is_empty() {
        out.extend_from_slice(&constant.alone);
    } else {
        out.push(b'{');
        out.extend_from_slice(labels);
        out.extend_from_slice(&constant.end);
    }
}

/// Appends `name_bucket{labels,le="bound"}`, the constant labels among them, and a space; `bound` is canonical.
#[inline]
pub fn bucket(out: &mut Vec<u8>, name: &str, labels: &[u8], bound: &[u8], constant: &ConstantLabels) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"_bucket{");
    out.extend_from_slice(labels);
    out.extend_from_slice(if labels.is_empty() { &constant.to_bound_alone } else { &constant.to_bound });
    out.extend_from_slice(bound);
    out.extend_from_slice(b"\"} ");
}

/// Appends the line that says when a series began to count; OpenMetrics only.
#[inline]
pub fn created(out: &mut Vec<u8>, family: &str, labels: &[u8], at_ms: i64, constant: &ConstantLabels) {
    sample(out, family, "_created", labels, constant);
    number::timestamp(out, at_ms);
    out.push(b'\n');
}

/// An exemplar as it stands on the page, ready to be copied; `None` for an id that OpenMetrics has no room for.
pub fn exemplar(label: &str, id: &str, value: f64, at_ms: i64) -> Option<Box<[u8]>> {
    if label.chars().count() + id.chars().count() > EXEMPLAR_CHARACTERS {
        return None;
    }
    let mut escaped = String::with_capacity(id.len());
    escape_into(&mut escaped, id);
    let mut out = Vec::with_capacity(96);
    put(&mut out, &[" # {", label, "=\"", &escaped, "\"} "]);
    number::float(&mut out, value);
    out.push(b' ');
    number::timestamp(&mut out, at_ms);
    Some(out.into_boxed_slice())
}
