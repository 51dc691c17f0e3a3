//! The keys that exist, what each holds, and which one a misspelt one was probably meant to be.
//!
//! Nothing is listed by hand: the keys are those of a serialized [`Config`], so that they cannot drift from the structs.

use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{Config, ExtractedField, ExtractedKind, RepeatContacts};

/// Environment variables with this prefix set keys. One underscore less, and it is not ours: Kubernetes injects
/// `AGNTIX_EXPORTER_PORT=tcp://…` for a Service of that name.
pub(super) const VARIABLE_PREFIX: &str = "AGNTIX_EXPORTER__";

/// Every key, in the order of the structs.
static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| read_keys(&specimen()));

/// A key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// With its section: `api.timeout`.
    pub name: String,
    pub section: String,
    pub leaf: String,
    pub shape: Shape,
    /// The default, as an example in error messages; absent for lists and for keys without a default.
    pub example: Option<String>,
}

/// What a key holds, as far as text has to be turned into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    Integer,
    Number,
    /// Anything written as text: paths, durations, names.
    Text,
    Texts,
    Numbers,
    /// A list of tables with these keys; only a file can hold it.
    Tables(Vec<String>),
    /// A table with these keys, each with what it holds.
    Table(Vec<(String, Shape)>),
    /// A table of texts under names that the operator chooses.
    TextTable,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}__{}", self.section, self.leaf).to_uppercase()
    }
}

/// A field of a table, and what it takes.
type Field = (String, Shape);

/// The table and the field of it that a variable sets, which is named like the table's with `__FIELD` behind it; and the name of the
/// field, which need not be one.
pub(super) fn of_table(variable: &str) -> Option<(&'static Key, Option<&'static Field>, String)> {
    all().iter().find_map(|key| {
        let Shape::Table(fields) = &key.shape else { return None };
        let name = variable.strip_prefix(&key.variable())?.strip_prefix("__")?;
        Some((key, fields.iter().find(|(field, _)| field.to_uppercase() == name), name.to_lowercase()))
    })
}

/// Every key, in the order of the structs.
pub(super) fn all() -> &'static [Key] {
    &KEYS
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    all().iter().find(|key| key.name == name)
}

/// The keys of a section; none if there is no such section.
pub(super) fn of_section(section: &str) -> impl Iterator<Item = &'static Key> {
    all().iter().filter(move |key| key.section == section)
}

/// The sections, in order.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = all().iter().map(|key| key.section.as_str()).collect();
    sections.dedup();
    sections
}

/// The key that `wrong` was probably meant to be: it differs by few characters from the whole name, or from the part after
/// the section.
pub(super) fn nearest(wrong: &str) -> Option<&'static Key> {
    let leaf = wrong.rsplit('.').next().unwrap_or(wrong);
    let nearest = |wrong: &str, name: fn(&Key) -> &str| {
        let (distance, key) =
            all().iter().map(|key| (distance(wrong, name(key)), key)).min_by_key(|(distance, _)| *distance)?;
        (distance <= slips(wrong)).then_some(key)
    };
    nearest(wrong, |key| &key.name).or_else(|| nearest(leaf, |key| &key.leaf))
}

/// The one of `names` that `wrong` was probably meant to be.
pub(super) fn nearest_of<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(wrong, name), name)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= slips(wrong)).map(|(_, name)| name)
}

fn distance(wrong: &str, name: &str) -> usize {
    // The effort grows with the product of the lengths, and a file may contain a name of any length.
    if wrong.len() > 2 * name.len() { usize::MAX } else { strsim::damerau_levenshtein(wrong, name) }
}

/// How many typing errors are likely in a word.
fn slips(word: &str) -> usize {
    (word.len() / 5).clamp(1, 3)
}

/// A configuration that shows the shape of what the default leaves empty.
fn specimen() -> Config {
    let mut config = Config::default();
    config.metrics.extracted.push(ExtractedField {
        field: String::new(),
        kind: ExtractedKind::Boolean,
        buckets: Vec::new(),
    });
    config.metrics.repeat_contacts = Some(RepeatContacts {
        field: String::new(),
        windows: Vec::new(),
        key_file: std::path::PathBuf::new(),
        key: None,
    });
    config
}

fn read_keys(config: &Config) -> Vec<Key> {
    type Sections = Fields<Fields<Value>>;
    let json = serde_json::to_string(config).unwrap_or_default();
    let sections: Sections = serde_json::from_str(&json).unwrap_or_default();
    let keys = sections.0.into_iter().flat_map(|(section, keys)| {
        keys.0.into_iter().map(move |(leaf, value)| {
            let (name, section) = (format!("{section}.{leaf}"), section.clone());
            Key { name, section, leaf, shape: shape(&value), example: example(&value) }
        })
    });
    keys.collect()
}

/// The kind of the default value. A key without a default is a path today, and an empty list is one of texts.
fn shape(default: &Value) -> Shape {
    match default {
        Value::Bool(_) => Shape::Boolean,
        Value::Number(number) if number.is_f64() => Shape::Number,
        Value::Number(_) => Shape::Integer,
        Value::Array(items) => match items.first() {
            Some(Value::Number(_)) => Shape::Numbers,
            Some(Value::Object(fields)) => Shape::Tables(fields.keys().cloned().collect()),
            _ => Shape::Texts,
        },
        // Of a table of texts the names are the operator's, and none is there by default.
        Value::Object(fields) if fields.is_empty() => Shape::TextTable,
        Value::Object(fields) => {
            Shape::Table(fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
        Value::Null | Value::String(_) => Shape::Text,
    }
}

fn example(default: &Value) -> Option<String> {
    match default {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        value => Some(value.to_string()),
    }
}

/// A table in the order in which it was written; the maps of `serde_json` and `toml` sort.
struct Fields<T>(Vec<(String, T)>);

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Fields<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_structs_in_their_order() {
        let names: Vec<_> = all().iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names[..3], ["api.base_url", "api.key_file", "api.bearer_token_file"]);
        assert_eq!(names.last(), Some(&"log.format"));
        assert_eq!(
            sections(),
            ["api", "sessions", "poll", "webhook", "stream", "web", "state", "ha", "messages", "metrics", "log"]
        );
    }

    #[test]
    fn the_shape_of_a_key_is_that_of_its_default() {
        let shape = |name| find(name).unwrap().shape.clone();
        assert_eq!(shape("api.key_file"), Shape::Text);
        assert_eq!(shape("api.max_concurrency"), Shape::Integer);
        assert_eq!(shape("api.budget_share"), Shape::Number);
        assert_eq!(shape("sessions.files"), Shape::Texts);
        assert_eq!(shape("sessions.listing"), Shape::Boolean);
        assert_eq!(shape("metrics.duration_buckets"), Shape::Numbers);
        assert_eq!(shape("metrics.static_labels"), Shape::TextTable);
        let Shape::Tables(mut fields) = shape("metrics.extracted") else { panic!("not a list of tables") };
        fields.sort();
        assert_eq!(fields, ["buckets", "field", "kind"]);
        let Shape::Table(fields) = shape("metrics.repeat_contacts") else { panic!("not a table") };
        let expected = [("field", Shape::Text), ("key_file", Shape::Text), ("windows", Shape::Texts)];
        assert_eq!(fields, expected.map(|(name, shape)| (name.to_owned(), shape)));
    }

    #[test]
    fn misspelt_key_suggests_the_right_one() {
        let nearest = |wrong| nearest(wrong).map(|key| key.name.as_str());
        assert_eq!(nearest("sessions.listng"), Some("sessions.listing"));
        assert_eq!(nearest("polls.open_interval"), Some("poll.open_interval"));
        assert_eq!(nearest("api.retention"), Some("sessions.retention"));
        assert_eq!(nearest("listing"), Some("sessions.listing"));
        assert_eq!(nearest("webhooks.secrets_file"), Some("webhook.secret_file"));
        assert_eq!(nearest("webhook.max_body"), None);
        assert_eq!(nearest("tracker.capacity"), None);
        assert_eq!(nearest(&"x".repeat(1_000_000)), None);
        assert_eq!(nearest_of("metrcs", sections()), Some("metrics"));
        assert_eq!(nearest_of("tracker", sections()), None);
    }

    #[test]
    fn a_key_has_one_variable() {
        assert_eq!(find("poll.open_interval").unwrap().variable(), "AGNTIX_EXPORTER__POLL__OPEN_INTERVAL");
    }
}
