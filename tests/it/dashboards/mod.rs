//! The dashboards of `grafana/dashboards`: what can be said of them without a Grafana server.

mod alerts;
mod before;
mod documented;
mod import;
mod layout;
mod links;
mod lint;
mod live;
pub mod promql;
mod schema;
mod source;
mod totals;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One dashboard, as committed.
pub struct Dashboard {
    pub uid: String,
    pub json: Value,
}

/// A panel, whether it stands under a folded row or not. Rows are not panels.
pub struct Panel<'d> {
    pub uid: &'d str,
    pub json: &'d Value,
}

/// A query of a panel.
pub struct Target<'d> {
    pub expr: &'d str,
    pub json: &'d Value,
}

impl Dashboard {
    /// All of them, by name.
    pub fn all() -> Vec<Self> {
        let directory = directory().join("dashboards");
        let mut files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 9, "{files:?}");
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Self {
        let json: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let uid = text(&json["uid"]).to_owned();
        assert_eq!(file.file_stem().unwrap().to_str(), Some(uid.as_str()), "the file is named like the dashboard");
        Self { uid, json }
    }

    /// The panels, in order.
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let all = list(&self.json["panels"]).iter();
        let flat =
            all.flat_map(|panel| if is_row(panel) { list(&panel["panels"]) } else { std::slice::from_ref(panel) });
        flat.map(|json| Panel { uid: &self.uid, json }).collect()
    }

    /// The panel of this title.
    pub fn panel(&self, title: &str) -> Panel<'_> {
        let mut found = self.panels().into_iter().filter(|panel| panel.title() == title);
        let panel = found.next().unwrap_or_else(|| panic!("{} has no panel {title}", self.uid));
        assert!(found.next().is_none(), "{} has several panels {title}", self.uid);
        panel
    }

    pub fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    pub fn annotations(&self) -> &[Value] {
        list(&self.json["annotations"]["list"])
    }
}

impl<'d> Panel<'d> {
    pub fn title(&self) -> &'d str {
        text(&self.json["title"])
    }

    pub fn kind(&self) -> &'d str {
        text(&self.json["type"])
    }

    /// Where a message points to.
    pub fn place(&self) -> String {
        format!("{}, {:?}", self.uid, self.title())
    }

    pub fn targets(&self) -> Vec<Target<'d>> {
        list(&self.json["targets"]).iter().map(|json| Target { expr: text(&json["expr"]), json }).collect()
    }

    /// The query of this letter.
    pub fn target(&self, letter: &str) -> Target<'d> {
        self.targets().into_iter().find(|target| target.json["refId"] == letter).unwrap()
    }
}

fn is_row(panel: &Value) -> bool {
    panel["type"] == "row"
}

/// `grafana/`.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

/// The elements of a list; none if it is absent.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every piece of text anywhere in `value` that `pick` wants.
fn texts<'v>(value: &'v Value, pick: &mut dyn FnMut(&str) -> bool, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) if pick(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, pick, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, pick, found)),
        _ => {}
    }
}

/// All of these must be empty: every complaint of a rule at once, not only the first.
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The exceptions that were made use of must be all that there are: one that is needed no longer must go.
fn all_needed(exceptions: &[(&str, &str, &str)], used: &BTreeSet<(String, String)>) {
    for (uid, title, reason) in exceptions {
        assert!(!reason.is_empty());
        assert!(
            used.contains(&((*uid).to_owned(), (*title).to_owned())),
            "no exception is needed for {uid}, {title:?}"
        );
    }
}
