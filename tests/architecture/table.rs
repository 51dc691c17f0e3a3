//! The table of docs/architecture.md that says who may use whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::edges::Edge;

/// Where the table is, for whoever reads a fault.
pub const PLACE: &str = "docs/architecture.md, \"Who may use whom\"";
/// Marks what only tests may use.
const TESTS: &str = " (tests)";

/// By the name in the first column: the names that it may use, and whether only its tests may.
pub struct Table(BTreeMap<String, BTreeSet<(String, bool)>>);

impl Table {
    pub fn read(document: &Path) -> Self {
        let text = std::fs::read_to_string(document).unwrap();
        let (_, section) = text.split_once("\n## Who may use whom\n").unwrap_or_else(|| panic!("there is no {PLACE}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [from, to] = cells[..] else { panic!("{PLACE}: {line:?} has not two columns") };
            (name(from), to.split(", ").filter(|to| *to != "-").map(allowed).collect())
        });
        let mut table = BTreeMap::new();
        for (from, to) in rows {
            assert!(table.insert(from.clone(), to).is_none(), "{PLACE}: `{from}` has two rows");
        }
        Self(table)
    }

    /// The names in the first column.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// What is used without being allowed, and what is allowed and not used, a sentence each.
    pub fn faults(&self, used: &[Edge], is_concerned: impl Fn(&str) -> bool) -> Vec<String> {
        let may = |from: &str, to: &str, in_tests: bool| {
            self.0.get(from).is_some_and(|row| row.contains(&(to.to_owned(), in_tests)))
        };
        let forbidden = used.iter().filter(|edge| !may(&edge.from, &edge.to, edge.in_tests)).map(|edge| {
            let tests = if edge.in_tests { TESTS } else { "" };
            format!("{}: `{}` must not use `{}`{tests}; see {PLACE}", edge.place, edge.from, edge.to)
        });
        let rows = self.0.iter().filter(|(from, _)| is_concerned(from));
        let allowed = rows.flat_map(|(from, row)| row.iter().map(move |(to, in_tests)| (from, to, *in_tests)));
        let is_used = |from: &String, to: &String, in_tests| {
            used.iter().any(|edge| edge.from == *from && edge.to == *to && edge.in_tests == in_tests)
        };
        let unused =
            allowed.filter(|(from, to, in_tests)| !is_used(from, to, *in_tests)).map(|(from, to, in_tests)| {
                let tests = if in_tests { TESTS } else { "" };
                format!("{PLACE}: `{from}` does not use `{to}`{tests}; take it out of the table")
            });
        forbidden.chain(unused).collect()
    }
}

fn name(cell: &str) -> String {
    let name = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
    name.unwrap_or_else(|| panic!("{PLACE}: {cell:?} is not a name in backticks")).to_owned()
}

fn allowed(cell: &str) -> (String, bool) {
    match cell.strip_suffix(TESTS) {
        Some(cell) => (name(cell), true),
        None => (name(cell), false),
    }
}
