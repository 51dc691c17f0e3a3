//! Reads YAML into a tree in which every value knows its line. Scalars stay text: their type follows from the key that
//! holds them, not from what they look like, as in Go's decoder.
//!
//! The parser bounds nesting and directives; the tree bounds what aliases may multiply. No message holds text of the file,
//! which may contain a private key.

use std::collections::BTreeMap;

use granit_parser::{Event, Options, Parser, ScalarStyle};

/// Values in a tree, aliases resolved. A file with a thousand users has two thousand.
const MAX_NODES: usize = 50_000;
/// Sections, keys, lists: the format needs three levels.
const MAX_DEPTH: usize = 16;

/// A value, and the line on which it begins, counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// Why a text cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    pub line: usize,
    pub reason: String,
}

/// The one document in `text`; `None` if there is nothing in it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Fault> {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut tree = Tree::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) =
            event.map_err(|error| Fault { line: error.marker().line(), reason: error.kind().to_string() })?;
        tree.take(event, span.start.line())?;
    }
    Ok(tree.root)
}

#[derive(Default)]
struct Tree {
    root: Option<Node>,
    documents: usize,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

/// A collection that is still being read.
struct Open {
    line: usize,
    anchor: usize,
    is_mapping: bool,
    items: Vec<Node>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        let fault = |reason: &str| Err(Fault { line, reason: reason.to_owned() });
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return fault("there must be one document only");
                }
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, _, Some(tag))
            | Event::MappingStart(_, _, Some(tag))
                if !tag.is_yaml_core_schema() =>
            {
                return fault("tags have no meaning here");
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null { Value::Null } else { Value::Scalar(text.into_owned()) };
                return self.put(Node { line, value }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { line, anchor, is_mapping: false, items: Vec::new() });
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open { line, anchor, is_mapping: true, items: Vec::new() });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { line, anchor, is_mapping, items }) = self.open.pop() else { return Ok(()) };
                let value = if is_mapping { Value::Mapping(pairs(items)) } else { Value::Sequence(items) };
                return self.put(Node { line, value }, anchor);
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return fault("an alias stands inside of what it stands for");
                };
                // Its content counts again: aliases of aliases would otherwise grow without bound.
                self.nodes += size(&node);
                return self.put(Node { line, value: node.value }, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault { line: node.line, reason: format!("there are more than {MAX_NODES} values") });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

fn pairs(items: Vec<Node>) -> Vec<(Node, Node)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        fn one(node: &Node) -> String {
            match &node.value {
                Value::Null => "null".into(),
                Value::Scalar(text) => format!("{text:?}"),
                Value::Sequence(items) => format!("[{}]", items.iter().map(one).collect::<Vec<_>>().join(" ")),
                Value::Mapping(pairs) => {
                    let pairs = pairs.iter().map(|(k, v)| format!("{}={}@{}", one(k), one(v), v.line));
                    format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
                }
            }
        }
        match parse(text) {
            Ok(root) => root.as_ref().map_or_else(|| "nothing".into(), one),
            Err(fault) => format!("line {}: {}", fault.line, fault.reason),
        }
    }

    #[test]
    fn scalars_are_text_and_know_their_lines() {
        assert_eq!(shown(""), "nothing");
        assert_eq!(shown("# only a comment\n"), "nothing");
        assert_eq!(shown("a: 1\nb:\n- yes\n- \"~\"\n- ~\n"), r#"{"a"="1"@1 "b"=["yes" "~" null]@3}"#);
        assert_eq!(shown("key: |\n  one\n  two\n"), r#"{"key"="one\ntwo\n"@2}"#);
        assert_eq!(shown("a: &x {b: 1}\nc: *x"), r#"{"a"={"b"="1"@1}@1 "c"={"b"="1"@1}@2}"#);
    }

    #[test]
    fn what_is_no_single_plain_document_is_refused() {
        assert_eq!(shown("a: 1\n---\nb: 2\n"), "line 2: there must be one document only");
        assert_eq!(shown("a: !exec ls"), "line 1: tags have no meaning here");
        assert_eq!(shown("a: !!str 1"), r#"{"a"="1"@1}"#);
        assert!(shown("a: [1").starts_with("line "), "{}", shown("a: [1"));
        assert!(shown(&"[".repeat(10_000)).starts_with("line 1: "));
    }

    #[test]
    fn aliases_cannot_multiply_without_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            let previous = format!("*a{}", n - 1);
            text += &[&format!("a{n}: &a{n} ["), &*vec![previous; 9].join(", "), "]\n"].concat();
        }
        assert!(shown(&text).ends_with("there are more than 50000 values"), "{}", shown(&text));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[\\[\\]{}:,&*!|>'\"\n #-])*") {
            let _ = parse(&text);
        }
    }
}
