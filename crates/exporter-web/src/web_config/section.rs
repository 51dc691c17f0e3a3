//! One mapping of the file: checks that its keys are known and unique, and reads their values as the type that they must have.

use std::collections::BTreeMap;

use super::error::Mistake;
use super::yaml::{Node, Value};
use crate::text::{nearest_of, shown, shown_name};

/// The file itself, or one of its sections.
pub(super) struct Section<'n> {
    /// Where its keys are: empty for the file itself, else the section and a dot.
    prefix: String,
    /// On which line it begins.
    pub line: usize,
    entries: &'n [(Node, Node)],
}

impl<'n> Section<'n> {
    /// The section in `node`, in which only the keys in `known` may be. `name` is empty for the file itself.
    pub(super) fn read(name: &str, node: Option<&'n Node>, known: &[&str]) -> Result<Self, Mistake> {
        let section = Self::map(name, node)?;
        for (key, _) in section.entries {
            let key_name = section.key(key)?;
            if known.contains(&key_name) {
                continue;
            }
            let advice = match nearest_of(key_name, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None if section.prefix.is_empty() => format!("the sections are {}", known.join(", ")),
                None => format!("the keys of {name} are {}", known.join(", ")),
            };
            let what = format!("{}{} is not a key; {advice}", section.prefix, shown_name(key_name));
            return Err(Mistake::new(key.line, what));
        }
        Ok(section)
    }

    /// A mapping in which any key may be, but each only once.
    pub(super) fn map(name: &str, node: Option<&'n Node>) -> Result<Self, Mistake> {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        let (line, entries) = match node.map(|node| (node.line, &node.value)) {
            None => (1, &[][..]),
            Some((line, Value::Null)) => (line, &[][..]),
            Some((line, Value::Mapping(entries))) => (line, entries.as_slice()),
            Some((line, _)) if name.is_empty() => {
                return Err(Mistake::new(line, "the file must hold keys and values, such as tls_server_config:"));
            }
            Some((line, _)) => return Err(Mistake::new(line, format!("{name} must hold keys and values, one a line"))),
        };
        let section = Self { prefix, line, entries };
        let mut lines = BTreeMap::new();
        for (key, _) in entries {
            let name = section.key(key)?;
            if let Some(earlier) = lines.insert(name, key.line) {
                let what = format!("{}{} is there twice, first on line {earlier}", section.prefix, shown_name(name));
                return Err(Mistake::new(key.line, what));
            }
        }
        Ok(section)
    }

    /// Keys and values in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        self.entries.iter().filter_map(|(key, value)| Some((scalar(key)?, value)))
    }

    /// The value of a key; none if it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries().find(|(name, node)| *name == key && !matches!(node.value, Value::Null)).map(|(_, node)| node)
    }

    /// On which line the key is, or else the section.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.get(key).map_or(self.line, |node| node.line)
    }

    /// A text; none if it is missing or empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'n str>, Mistake> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match &node.value {
            Value::Scalar(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            _ => Err(self.wrong(key, node, "must be a text")),
        }
    }

    /// A text that is one of `names`.
    pub(super) fn one_of<T: Copy>(&self, key: &str, names: &[(&str, T)]) -> Result<Option<T>, Mistake> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match super::names::find(names, text) {
            Some(meaning) => Ok(Some(meaning)),
            None => Err(self.none_of(key, text, self.line_of(key), names.iter().map(|(name, _)| *name))),
        }
    }

    /// The mistake of a text that is none of `names`.
    pub(super) fn none_of<'a>(
        &self,
        key: &str,
        text: &str,
        line: usize,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Mistake {
        let advice = match nearest_of(text, names.clone()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it must be {}", names.collect::<Vec<_>>().join(", ")),
        };
        Mistake::new(line, format!("{}{key} is {}; {advice}", self.prefix, shown(text)))
    }

    /// A truth value, as YAML 1.1 spells them.
    pub(super) fn truth(&self, key: &str, default: bool) -> Result<bool, Mistake> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(true),
            "false" | "no" | "off" | "n" => Ok(false),
            _ => Err(self.rule(key, text, "must be true or false")),
        }
    }

    /// A list of texts, each with its line.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<(&'n str, usize)>>, Mistake> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::Sequence(items) = &node.value else {
            return Err(self.wrong(key, node, "must be a list, one \"- …\" a line"));
        };
        let text = |item: &'n Node| {
            scalar(item).map(|text| (text, item.line)).ok_or_else(|| self.wrong(key, item, "must be a list of texts"))
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// The mistake of a text that breaks a rule.
    pub(super) fn rule(&self, key: &str, text: &str, rule: &str) -> Mistake {
        Mistake::new(self.line_of(key), format!("{}{key} is {}; it {rule}", self.prefix, shown(text)))
    }

    /// The mistake of a value, not shown, that is of the wrong kind.
    fn wrong(&self, key: &str, node: &Node, rule: &str) -> Mistake {
        Mistake::new(node.line, format!("{}{key} {rule}", self.prefix))
    }

    fn key(&self, key: &'n Node) -> Result<&'n str, Mistake> {
        scalar(key).ok_or_else(|| Mistake::new(key.line, format!("a key of {} must be a text", self.name())))
    }

    fn name(&self) -> &str {
        if self.prefix.is_empty() { "the file" } else { self.prefix.trim_end_matches('.') }
    }
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        _ => None,
    }
}
