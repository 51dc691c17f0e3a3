//! Label sets, escaped once when a series is made and copied as bytes ever after.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

thread_local! {
    /// Where labels are joined: a text that grows would be moved about, and every count of a session has some.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

use crate::protobuf;

/// The labels of a series as they stand between the braces of both text formats: `agent_id="a",language="en"`,
/// values escaped, in the order of the family's descriptor. The text identifies a series within its family. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSet(Arc<str>);

impl LabelSet {
    /// Joins names and values. An empty value, which Prometheus would take for an absent label, becomes `unknown`.
    ///
    /// Escaping is that of the text format 0.0.4 and of OpenMetrics 1.0, which agree: backslash, quote, line feed.
    pub fn new<'a>(names: &[&str], values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = SCRATCH.take();
        text.clear();
        spell(&mut text, names.iter().copied().zip(values));
        let labels = Self(text.as_str().into());
        SCRATCH.set(text);
        labels
    }

    /// Takes text that this type wrote earlier, such as a key read back from a file.
    pub fn from_escaped(text: &str) -> Self {
        Self(text.into())
    }

    /// Takes text from outside: it must be a label set with these names as this type writes it, so that a page with it can
    /// be parsed.
    pub fn parse(names: &[&str], text: &str) -> Option<Self> {
        let mut rest = text;
        for (place, name) in names.iter().enumerate() {
            rest = if place > 0 { rest.strip_prefix(',')? } else { rest };
            rest = rest.strip_prefix(name)?.strip_prefix("=\"")?;
            let mut characters = rest.char_indices();
            let end = loop {
                match characters.next()? {
                    (at, '"') => break at,
                    (_, '\\') => matches!(characters.next()?.1, '\\' | '"' | 'n').then_some(())?,
                    (_, '\n') => return None,
                    _ => {}
                }
            };
            rest = rest.get(end + 1..)?;
        }
        rest.is_empty().then(|| Self(text.into()))
    }

    /// The text between the braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The values as they were before they were escaped, in their order.
    pub fn values(&self) -> impl Iterator<Item = Cow<'_, str>> {
        values(&self.0)
    }
}

/// Appends labels to a text that has none, as [`LabelSet::new`] spells them.
pub fn spell<'a, 'b>(text: &mut String, labels: impl Iterator<Item = (&'a str, &'b str)>) {
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        escape_into(text, if value.is_empty() { "unknown" } else { value });
        text.push('"');
    }
}

/// The values of a label set by its [text](LabelSet::as_str), as they were before they were escaped, in their order.
pub fn values(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pairs(text).map(|(_, value)| value)
}

/// The names and [`values`] of a label set by its text.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, quoted) = rest.split_once("=\"")?;
        let mut is_escaped = false;
        let end = quoted.find(|character| {
            let ends = character == '"' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            ends
        })?;
        let (value, after) = quoted.split_at_checked(end)?;
        // The closing quote, and the comma before another label.
        rest = after.get(1..).unwrap_or_default();
        Some((name.trim_start_matches(','), unescape(value)))
    })
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut characters = value.chars();
    let mut text = String::with_capacity(value.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|escaped| if escaped == 'n' { '\n' } else { escaped })),
            _ => text.push(character),
        }
    }
    Cow::Owned(text)
}

/// Labels that every sample of a page carries behind its own, spelled once for all lines of all pages to come.
#[derive(Clone, Debug)]
pub struct ConstantLabels {
    labels: LabelSet,
    /// What ends the labels of a series and stands before its value.
    pub(crate) end: Box<[u8]>,
    /// The same for a series without labels of its own.
    pub(crate) alone: Box<[u8]>,
    /// What leads from the labels of a series to the bound of a bucket.
    pub(crate) to_bound: Box<[u8]>,
    /// The same for a series without labels of its own.
    pub(crate) to_bound_alone: Box<[u8]>,
    /// As a protobuf page has them.
    pub(crate) pairs: Box<[u8]>,
}

impl ConstantLabels {
    /// Spells them; an empty set adds nothing to a page.
    pub fn new(labels: LabelSet) -> Self {
        let text = labels.as_str();
        let (comma, end, alone) = match text {
            "" => ("", "} ".to_owned(), " ".to_owned()),
            text => (",", format!(",{text}}} "), format!("{{{text}}} ")),
        };
        let bytes = |text: String| text.into_bytes().into_boxed_slice();
        let mut pairs = Vec::new();
        protobuf::label_pairs(&mut pairs, labels.as_str());
        Self {
            pairs: pairs.into_boxed_slice(),
            end: bytes(end),
            alone: bytes(alone),
            to_bound: bytes(format!("{comma}{text},le=\"")),
            to_bound_alone: bytes(format!("{text}{comma}le=\"")),
            labels,
        }
    }

    /// What was spelled.
    pub fn labels(&self) -> &LabelSet {
        &self.labels
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 2] = ["queue", "reason"];

    proptest! {
        #[test]
        fn written_labels_are_read_back_and_a_changed_byte_gives_labels_or_nothing(
            values in prop::array::uniform2("[a\\\\\"\n,=é]{0,6}"),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let labels = LabelSet::new(&NAMES, values.iter().map(String::as_str));
            prop_assert_eq!(LabelSet::parse(&NAMES, labels.as_str()), Some(labels.clone()));
            let mut bytes = labels.as_str().as_bytes().to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Some(changed) = String::from_utf8(bytes).ok().and_then(|text| LabelSet::parse(&NAMES, &text)) {
                // The same two labels, each a value that is escaped, and nothing else.
                let text = changed.as_str();
                prop_assert!(text.starts_with("queue=\"") && text.contains("\",reason=\"") && text.ends_with('"'));
                prop_assert!(!text.contains('\n'));
            }
        }
    }

    #[test]
    fn text_that_is_no_label_set_is_rejected() {
        for text in [
            "",
            "queue=\"a\"",
            "queue=\"a\",reason=\"b",
            "queue=\"a\",reason=\"b\\\"",
            "queue=\"a\",reason=\"\\x\"",
            "queue=\"a\",reason=\"b\"c",
            "queue=\"a\"reason=\"b\"",
            "queue=\"a\",reasons=\"b\"",
            "reason=\"b\",queue=\"a\"",
            "queue=\"a\nb\",reason=\"b\"",
        ] {
            assert_eq!(LabelSet::parse(&NAMES, text), None, "{text}");
        }
    }
}
