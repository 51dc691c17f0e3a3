//! From merged values to the structs, and from serde's errors to sentences for an operator.

use std::collections::HashSet;

use ::config::{Value, ValueKind};
use serde_path_to_error::{Path, Segment};

use super::Config;
use super::error::{ConfigError, shown};
use super::keys::{self, Key};
use super::origin::{ConfigOrigin, tag_of};

/// Reads the structs. Unlike the `config` crate itself, this converts no types: `"true"` is not a boolean.
pub(super) fn read(values: &Value) -> Result<Config, ConfigError> {
    let plain = plain(values).ok_or_else(|| ConfigError::Internal("there are no values".into()))?;
    serde_path_to_error::deserialize(plain).map_err(|error| {
        let (value, origin) = follow(values, error.path());
        let name = error.path().to_string();
        let known = keys::find(name.split('[').next().unwrap_or(&name));
        ConfigError::Value { origin, key: name, value: shown_value(value), rule: rule(error.inner().message(), known) }
    })
}

/// A table of texts on its way through the layers: a list of pairs, since the `config` crate would mix the entries of tables
/// from several layers and forget where they came from.
pub(super) fn text_table(entries: &[(&str, &str)]) -> Result<ValueKind, String> {
    let mut names = HashSet::new();
    if !entries.iter().all(|(name, _)| names.insert(*name)) {
        return Err("must name each label once".into());
    }
    let pair = |(name, text): &(&str, &str)| Value::from(vec![*name, *text]);
    Ok(ValueKind::Array(entries.iter().map(pair).collect()))
}

/// What the key must hold, given what serde expected there.
pub(super) fn must_be(expected: &str, key: &Key) -> String {
    let what = match expected {
        "a boolean" => "true or false",
        "u32" => "a whole number from 0 to 4294967295",
        "usize" | "u64" => "a whole number, 0 or more",
        "f64" => "a number",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list in square brackets",
        other => return format!("must be {other}"),
    };
    match &key.example {
        Some(example) if expected != "a boolean" => format!("must be {what}, such as {example}"),
        _ => format!("must be {what}"),
    }
}

fn rule(message: &str, key: Option<&Key>) -> String {
    if let (Some((_, expected)), Some(key)) = (message.rsplit_once(", expected "), key) {
        return must_be(expected, key);
    }
    match message.strip_prefix("missing field ") {
        Some(field) => format!("must have {field}"),
        None => format!("must be something else ({message})"),
    }
}

/// The value as plain TOML, without where it came from.
fn plain(value: &Value) -> Option<toml::Value> {
    Some(match &value.kind {
        ValueKind::Nil => return None,
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::I128(number) => i64::try_from(*number).ok()?.into(),
        ValueKind::U64(number) => i64::try_from(*number).ok()?.into(),
        ValueKind::U128(number) => i64::try_from(*number).ok()?.into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::String(text) => text.clone().into(),
        ValueKind::Array(items) => toml::Value::Array(items.iter().filter_map(plain).collect()),
        ValueKind::Table(fields) => {
            let fields = fields.iter().filter_map(|(name, field)| Some((name.clone(), plain(field)?)));
            toml::Value::Table(fields.collect())
        }
    })
}

/// The value at the path, and the nearest origin on the way to it.
fn follow<'v>(mut value: &'v Value, path: &Path) -> (&'v Value, ConfigOrigin) {
    let mut tag = tag_of(value);
    for segment in path {
        let next = match (&value.kind, segment) {
            (ValueKind::Table(fields), Segment::Map { key }) => fields.get(key),
            (ValueKind::Array(items), Segment::Seq { index }) => items.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
        tag = tag_of(value).or(tag);
    }
    (value, ConfigOrigin::from_tag(tag))
}

fn shown_value(value: &Value) -> String {
    match &value.kind {
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::String(text) => shown(text),
        _ => value.to_string(),
    }
}
