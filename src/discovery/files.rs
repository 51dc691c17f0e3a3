//! Files of session ids (`sessions.files`): a JSON array, or one id a line; watched, and read again when they change.
//!
//! A file that cannot be read keeps its last good list.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Watched;
use crate::ledger::Source;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// A longer list is a mistake, such as a log file given by accident.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const MAX_ID: usize = 512;

/// Why a file is not a list of ids.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It starts like JSON, but is no array of strings.
    #[error("it starts with a bracket, but is not a JSON array of strings ({0})")]
    Json(String),
    /// A line is too long to be an id.
    #[error("line {0} is longer than {MAX_ID} bytes, and so no session id")]
    Line(usize),
}

/// Reads a list of ids: a JSON array of strings, or one a line; blank lines and lines that start with `#` are skipped.
///
/// # Errors
/// If it is neither.
pub fn parse(text: &str) -> Result<Vec<Arc<str>>, ListError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let ids: Vec<Arc<str>> = if text.starts_with('[') {
        serde_json::from_str::<Vec<String>>(text)
            .map_err(|e| ListError::Json(format!("line {}, column {}", e.line(), e.column())))?
            .into_iter()
            .map(|id| id.trim().into())
            .collect()
    } else {
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }.into()).collect()
    };
    if let Some(line) = ids.iter().position(|id| id.len() > MAX_ID) {
        return Err(ListError::Line(line + 1));
    }
    Ok(ids.into_iter().filter(|id| !id.is_empty()).collect())
}

/// Watches `files` until `shutdown`, and sends the ids of all of them whenever one has changed.
pub async fn watch(files: Vec<PathBuf>, sender: mpsc::Sender<Watched>, shutdown: CancellationToken) {
    let mut lists = Lists::default();
    loop {
        if lists.refresh(&files) {
            let watched = Watched { source: Source::File, ids: lists.ids() };
            if sender.send(watched).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// What a file looked like when it was last read.
type Stamp = Option<(u64, SystemTime)>;

/// The last good list of each file.
#[derive(Debug, Default)]
pub struct Lists {
    read: bool,
    files: HashMap<PathBuf, (Stamp, Vec<Arc<str>>)>,
}

impl Lists {
    /// Reads the files that have changed. Whether any list has.
    pub fn refresh(&mut self, files: &[PathBuf]) -> bool {
        let mut changed = !std::mem::replace(&mut self.read, true);
        for path in files {
            let stamp = std::fs::metadata(path).ok().and_then(|m| Some((m.len(), m.modified().ok()?)));
            let known =
                self.files.entry(path.clone()).or_insert_with(|| (Some((u64::MAX, SystemTime::UNIX_EPOCH)), vec![]));
            if known.0 == stamp {
                continue;
            }
            known.0 = stamp;
            match read(path) {
                Ok(ids) => {
                    changed |= known.1 != ids;
                    known.1 = ids;
                }
                Err(reason) => tracing::warn!(
                    file = %path.display(), reason, kept = known.1.len(),
                    "the list of session ids cannot be read; its last good state stays in effect"
                ),
            }
        }
        changed
    }

    /// The ids of all files.
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.files.values().flat_map(|(_, ids)| ids.iter().cloned()).collect()
    }
}

fn read(path: &Path) -> Result<Vec<Arc<str>>, String> {
    let metadata = std::fs::metadata(path).map_err(|e| e.to_string())?;
    // A pipe or a device might never end.
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    let length = metadata.len();
    if length > MAX_BYTES {
        return Err(format!("it has {length} bytes, more than the {MAX_BYTES} that a list may have"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    parse(&text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_forms_of_a_list_are_read() {
        assert_eq!(ids("[\"a\", \" b \", \"\"]"), ["a", "b"]);
        assert_eq!(ids("\u{feff}a\r\n\n# a comment\n  b\n"), ["a", "b"]);
        assert!(ids("").is_empty() && ids("[]").is_empty());
        assert!(matches!(parse("[1, 2]"), Err(ListError::Json(_))));
        assert_eq!(parse(&format!("a\n{}", "x".repeat(600))), Err(ListError::Line(2)));
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_list() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ids");
        let files = [file.clone(), directory.path().join("missing")];
        let mut lists = Lists::default();
        std::fs::write(&file, "a\nb\n").unwrap();
        assert!(lists.refresh(&files) && !lists.refresh(&files));
        assert_eq!(lists.ids().len(), 2);
        std::fs::write(&file, "[broken").unwrap();
        assert!(!lists.refresh(&files));
        assert_eq!(lists.ids().len(), 2);
        std::fs::write(&file, "[\"c\"]").unwrap();
        assert!(lists.refresh(&files));
        assert_eq!(lists.ids(), ["c".into()]);
    }
}
