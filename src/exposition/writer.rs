//! How a metric is spelled on a page, in both text formats: headers, samples, exemplars.
//!
//! What is shared by the session series and the exporter's own metrics is here and nowhere else, so that the two
//! cannot differ.

use super::catalogue::Kind;
use super::labels::escape_into;
use super::negotiation::Format;
use super::number;
use super::series::Exemplar;
use crate::clock::Timestamp;

/// OpenMetrics 1.0: names and values of an exemplar's labels together are at most this many characters.
const EXEMPLAR_CHARACTERS: usize = 128;
const EXEMPLAR_LABEL: &str = "session_id";

/// The name of the family in a format: OpenMetrics' counters do without `_total` there.
pub fn family_name(name: &str, kind: Kind, format: Format) -> &str {
    match (kind, format) {
        (Kind::Counter, Format::OpenMetrics) => base_name(name),
        _ => name,
    }
}

fn base_name(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// The unit that a name ends in, which OpenMetrics wants told.
pub fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"].into_iter().find(|unit| base_name(name).ends_with(&format!("_{unit}")))
}

/// Appends `# HELP`, `# TYPE` and, in OpenMetrics, `# UNIT`.
pub fn header(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str, format: Format) {
    let family = family_name(name, kind, format);
    put(out, &["# HELP ", family, " "]);
    for c in help.chars() {
        match c {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            // Only OpenMetrics escapes quotes in help texts; text 0.0.4 would keep the backslash.
            '"' if format == Format::OpenMetrics => out.extend_from_slice(b"\\\""),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
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

/// Appends `name{labels}` and a space.
#[inline]
pub fn sample(out: &mut Vec<u8>, name: &str, suffix: &str, labels: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    if !labels.is_empty() {
        out.push(b'{');
        out.extend_from_slice(labels);
        out.push(b'}');
    }
    out.push(b' ');
}

/// Appends `name_bucket{labels,le="bound"}` and a space; `bound` is canonical.
#[inline]
pub fn bucket(out: &mut Vec<u8>, name: &str, labels: &[u8], bound: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"_bucket{");
    if !labels.is_empty() {
        out.extend_from_slice(labels);
        out.push(b',');
    }
    out.extend_from_slice(b"le=\"");
    out.extend_from_slice(bound);
    out.extend_from_slice(b"\"} ");
}

/// Appends the line that says when a series began to count; OpenMetrics only.
pub fn created(out: &mut Vec<u8>, family: &str, labels: &[u8], at: Timestamp) {
    sample(out, family, "_created", labels);
    number::timestamp(out, at);
    out.push(b'\n');
}

/// An exemplar as it stands on the page, ready to be copied; `None` for a session id that OpenMetrics has no room for.
pub fn exemplar_text(exemplar: &Exemplar) -> Option<Box<[u8]>> {
    if EXEMPLAR_LABEL.len() + exemplar.session_id.chars().count() > EXEMPLAR_CHARACTERS {
        return None;
    }
    let mut id = String::with_capacity(exemplar.session_id.len());
    escape_into(&mut id, &exemplar.session_id);
    let mut out = Vec::with_capacity(96);
    put(&mut out, &[" # {", EXEMPLAR_LABEL, "=\"", &id, "\"} "]);
    number::float(&mut out, exemplar.value);
    out.push(b' ');
    number::timestamp(&mut out, exemplar.at);
    Some(out.into_boxed_slice())
}
