//! Label sets, escaped once when a series is born and copied as bytes ever after.

use std::fmt::Write as _;

/// The labels of a series as they stand between the braces of both text formats: `agent_id="a",language="en"`,
/// values escaped, in the order of the catalogue. It is also the series' key in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSet(Box<str>);

impl LabelSet {
    /// Joins names and values. An empty value, which Prometheus would take for an absent label, becomes `unknown`.
    ///
    /// Escaping is that of the text format 0.0.4 and of OpenMetrics 1.0, which agree: backslash, quote, line feed.
    pub fn new<'a>(names: &[&str], values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::with_capacity(96);
        for (name, value) in names.iter().zip(values) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            escape_into(&mut text, if value.is_empty() { "unknown" } else { value });
            text.push('"');
        }
        Self(text.into_boxed_str())
    }

    /// Takes text that this type wrote earlier, such as a key read back from the ledger.
    pub fn from_escaped(text: &str) -> Self {
        Self(text.into())
    }

    /// The text between the braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends `value` with backslash, double quote and line feed escaped.
pub fn escape_into(text: &mut String, value: &str) {
    if !value.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        return text.push_str(value);
    }
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => {
                // Writing to a String cannot fail.
                let _ = text.write_char(c);
            }
        }
    }
}
