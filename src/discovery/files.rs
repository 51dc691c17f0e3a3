//! Files of session ids (`sessions.files`): a JSON array, or one id a line; watched, and read again when they change.
//!
//! A file that cannot be read keeps its last good list, also over a reload of the configuration, and is tried again at every
//! look.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agntix_api::Stamp;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::Watched;
use crate::session::Source;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// A change is taken when it has rested for so long: a file that is being written may look whole in the middle of it.
const REST: Duration = Duration::from_millis(500);
/// A file that never rests is read all the same after so many looks.
const RESTLESS_LOOKS: u32 = 10;
/// A longer list is a mistake, such as a log file given by accident.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const MAX_ID: usize = 512;

/// Why a file is not a list of ids.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It starts like JSON, but is no array of strings.
    #[error("it starts like JSON, but is not an array of strings ({0})")]
    Json(String),
    /// A line or item is too long to be an id.
    #[error("{0} {1} is longer than {MAX_ID} bytes, and so no session id")]
    Long(&'static str, usize),
    /// A line or item holds what no id holds.
    #[error("{0} {1} holds a control character, and so is no session id (is the file UTF-8 text?)")]
    Control(&'static str, usize),
}

/// Reads a list of ids: a JSON array of strings, or one a line; blank lines and lines that start with `#` are skipped. Lines
/// end with LF, CRLF or CR.
///
/// # Errors
/// If it is neither.
pub fn parse(text: &str) -> Result<Vec<Arc<str>>, ListError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let items;
    let (what, ids): (_, Vec<&str>) = if text.starts_with(['[', '{', '"']) {
        items = serde_json::from_str::<Vec<String>>(text)
            .map_err(|e| ListError::Json(format!("line {}, column {}", e.line(), e.column())))?;
        ("item", items.iter().map(|id| id.trim()).collect())
    } else {
        let lines =
            text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).map(str::trim);
        ("line", lines.map(|line| if line.starts_with('#') { "" } else { line }).collect())
    };
    for (number, id) in (1..).zip(&ids) {
        if id.len() > MAX_ID {
            return Err(ListError::Long(what, number));
        }
        if id.contains(char::is_control) {
            return Err(ListError::Control(what, number));
        }
    }
    Ok(ids.into_iter().filter(|id| !id.is_empty()).map(Arc::from).collect())
}

/// Watches `files` until `shutdown`, and sends the ids of all of them at first and whenever one has changed. `lists` is what
/// earlier watchers have read.
pub async fn watch(
    files: Vec<PathBuf>,
    lists: Arc<Mutex<Lists>>,
    sender: mpsc::Sender<Watched>,
    shutdown: CancellationToken,
) {
    let files: Arc<[PathBuf]> = files.into();
    let (mut seen, mut is_first, mut restless) = (Vec::new(), true, 0);
    loop {
        let looked = tokio::select! {
            () = shutdown.cancelled() => return,
            looked = look(&files, &lists, (seen, is_first || restless >= RESTLESS_LOOKS)) => looked,
        };
        // Only a runtime that is being shut down does not finish a look.
        let Ok(Look { stamps, rests, change }) = looked else { return };
        if let Some(ids) = change.filter(|change| change.is_new || is_first).map(|change| change.ids)
            && sender.send(Watched { source: Source::File, ids }).await.is_err()
        {
            return;
        }
        restless = if rests { 0 } else { restless + 1 };
        (seen, is_first) = (stamps, false);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(if rests { INTERVAL } else { REST }) => {}
        }
    }
}

/// What a look at the files has shown.
struct Look {
    stamps: Vec<Option<Stamp>>,
    /// They are as they were at the look before, or have been read anyway.
    rests: bool,
    /// What they hold, if they were read.
    change: Option<Change>,
}

struct Change {
    is_new: bool,
    ids: Vec<Arc<str>>,
}

/// Looks at the files, and reads those that have changed and rest. Not on this thread: a disk may be slow to answer.
async fn look(
    files: &Arc<[PathBuf]>,
    lists: &Arc<Mutex<Lists>>,
    (seen, at_once): (Vec<Option<Stamp>>, bool),
) -> Result<Look, tokio::task::JoinError> {
    let mut lists = Arc::clone(lists).lock_owned().await;
    let files = Arc::clone(files);
    let looking = tokio::task::spawn_blocking(move || {
        let stamps: Vec<_> = files.iter().map(|file| Stamp::of(file)).collect();
        let rests = at_once || stamps == seen;
        let change = rests.then(|| Change { is_new: lists.refresh(&files), ids: lists.ids(&files) });
        Look { stamps, rests, change }
    });
    match looking.await {
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        looked => looked,
    }
}

/// The last good list of each file.
#[derive(Debug, Default)]
pub struct Lists {
    read: bool,
    files: BTreeMap<PathBuf, List>,
}

#[derive(Debug, Default)]
struct List {
    was_read: bool,
    /// The file as it was when it was last read; `None` where there was none.
    stamp: Option<Stamp>,
    ids: Vec<Arc<str>>,
    /// Why its latest state could not be read.
    fault: Option<String>,
}

impl Lists {
    /// Reads the files that have changed, and those that could not be read. Whether any list has changed.
    pub fn refresh(&mut self, files: &[PathBuf]) -> bool {
        let mut changed = !std::mem::replace(&mut self.read, true);
        let before = self.files.len();
        self.files.retain(|path, _| files.contains(path));
        changed |= self.files.len() != before;
        for path in files {
            changed |= self.files.entry(path.clone()).or_default().refresh(path);
        }
        changed
    }

    /// The ids of `files`, each once, in their order.
    pub fn ids(&self, files: &[PathBuf]) -> Vec<Arc<str>> {
        let mut seen = HashSet::new();
        let lists = files.iter().filter_map(|path| self.files.get(path));
        lists.flat_map(|list| &list.ids).filter(|id| seen.insert(Arc::clone(id))).cloned().collect()
    }
}

impl List {
    fn refresh(&mut self, path: &Path) -> bool {
        // Taken before the file is read: if it changes in between, the next look sees another stamp.
        let stamp = Stamp::of(path);
        let has_changed = !std::mem::replace(&mut self.was_read, true) || self.stamp != stamp;
        if !has_changed && self.fault.is_none() {
            return false;
        }
        self.stamp = stamp;
        match read(path) {
            Ok(ids) => {
                if self.fault.take().is_some() {
                    tracing::info!(file = %path.display(), ids = ids.len(), "the list of session ids can be read again");
                }
                let is_new = self.ids != ids;
                self.ids = ids;
                is_new
            }
            Err(reason) => {
                if has_changed || self.fault.as_ref() != Some(&reason) {
                    tracing::warn!(
                        file = %path.display(), reason, kept = self.ids.len(),
                        "the list of session ids cannot be read; its last good state stays in effect, and it is tried again"
                    );
                }
                self.fault = Some(reason);
                false
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<Arc<str>>, String> {
    let file = open(path).map_err(|e| e.to_string())?;
    // A directory, or a pipe or device that might never end.
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    // The bytes read are counted: a file may grow, and some have no stated length.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than the {MAX_BYTES} bytes that a list may have"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
    parse(&text).map_err(|e| e.to_string())
}

/// Opens without waiting for the writer of a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.read(true).open(path)
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
        assert_eq!(parse(&format!("a\n{}", "x".repeat(600))), Err(ListError::Long("line", 2)));
    }

    #[test]
    fn lines_end_with_lf_crlf_or_cr() {
        for text in ["a\nb\n\n#c\nd", "a\r\nb\r\n\r\n#c\r\nd\r\n", "a\rb\r\r#c\rd\r", "\u{feff}\u{feff}a\rb\n#c\r\nd"] {
            assert_eq!(ids(text), ["a", "b", "d"], "{text:?}");
        }
        assert_eq!(parse(&format!("a\r\rb\r\n{}", "x".repeat(600))), Err(ListError::Long("line", 4)));
    }

    #[test]
    fn other_json_and_other_files_are_rejected() {
        for json in ["{\"ids\": [\"a\"]}", "\"a\"", "[\"a\"", "[null]", "[[\"a\"]]", "[\"a\"] x", "[{\"id\":\"a\"}]"] {
            assert!(matches!(parse(json), Err(ListError::Json(_))), "{json}");
        }
        assert_eq!(parse("a\nb\0c"), Err(ListError::Control("line", 2)));
        assert_eq!(parse("[\"a\\u0007\"]"), Err(ListError::Control("item", 1)));
        assert_eq!(parse(&format!("[\"a\", \"{}\"]", "x".repeat(513))), Err(ListError::Long("item", 2)));
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_list() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ids");
        let files = [file.clone(), directory.path().join("missing")];
        let mut lists = Lists::default();
        std::fs::write(&file, "a\nb\n").unwrap();
        assert!(lists.refresh(&files) && !lists.refresh(&files));
        assert_eq!(lists.ids(&files).len(), 2);
        std::fs::write(&file, "[broken").unwrap();
        assert!(!lists.refresh(&files));
        assert_eq!(lists.ids(&files).len(), 2);
        std::fs::write(&file, "[\"c\"]").unwrap();
        assert!(lists.refresh(&files));
        assert_eq!(lists.ids(&files), ["c".into()]);
    }

    /// As `cp --preserve` and `rsync --times` leave them, and as a `ConfigMap` is replaced.
    #[cfg(unix)]
    #[test]
    fn replaced_file_of_the_same_length_and_time_is_noticed() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(at(name)).unwrap();
            let file = File::create(at(name).join("ids")).unwrap();
            std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        write("..1", "a\n");
        symlink("..1", at("..data")).unwrap();
        symlink("..data/ids", at("ids")).unwrap();
        let (files, mut lists) = ([at("ids")], Lists::default());
        assert!(lists.refresh(&files));
        write("..2", "b\n");
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(lists.refresh(&files));
        assert_eq!(lists.ids(&files), ["b".into()]);
        // Written in place, with its time set back.
        write("..2", "c\n");
        assert!(lists.refresh(&files));
        assert_eq!(lists.ids(&files), ["c".into()]);
    }

    #[cfg(unix)]
    #[test]
    fn path_that_is_no_regular_file_is_a_passing_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ids");
        let (files, mut lists) = ([path.clone()], Lists::default());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let said = |lists: &Lists| lists.files[&path].fault.clone();
        lists.refresh(&files);
        assert_eq!(said(&lists).as_deref(), Some("it is not a regular file"));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        lists.refresh(&files);
        assert_eq!(said(&lists).as_deref(), Some("it is not a regular file"));
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, [0xff, 0xfe, b'a', 0]).unwrap();
        lists.refresh(&files);
        assert_eq!(said(&lists).as_deref(), Some("it is not UTF-8 text"));
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        lists.refresh(&files);
        assert_eq!(said(&lists).as_deref(), Some("it is longer than the 16777216 bytes that a list may have"));
        std::fs::write(&path, "a").unwrap();
        assert!(lists.refresh(&files) && said(&lists).is_none());
    }

    /// Root may read every file, so that this tests the state and not the system.
    #[test]
    fn unreadable_file_is_read_again_even_if_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ids");
        std::fs::write(&path, "a").unwrap();
        let fault = Some("permission denied".to_owned());
        let mut list = List { was_read: true, stamp: Stamp::of(&path), ids: Vec::new(), fault };
        assert!(list.refresh(&path));
        assert_eq!((list.ids, list.fault), (vec!["a".into()], None));
    }

    #[test]
    fn ids_are_taken_once_and_in_the_order_of_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["z", "a"].map(|name| directory.path().join(name));
        std::fs::write(&files[0], "1\n2\n1").unwrap();
        std::fs::write(&files[1], "3\n2").unwrap();
        let mut lists = Lists::default();
        lists.refresh(&files);
        assert_eq!(lists.ids(&files), ["1", "2", "3"].map(Arc::from));
        assert!(lists.refresh(&files[..1]), "one is not configured any more");
        assert_eq!(lists.ids(&files[..1]), ["1", "2"].map(Arc::from));
    }

    #[tokio::test]
    async fn list_is_kept_over_a_reload_and_read_once_the_file_no_longer_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ids");
        let lists = Arc::new(Mutex::new(Lists::default()));
        let (sender, mut inbox) = mpsc::channel(8);
        let start = || {
            let stop = CancellationToken::new();
            tokio::spawn(watch(vec![path.clone()], Arc::clone(&lists), sender.clone(), stop.clone()));
            stop
        };
        std::fs::write(&path, "a\nb").unwrap();
        let first = start();
        assert_eq!(inbox.recv().await.unwrap().ids.len(), 2);
        first.cancel();
        std::fs::remove_file(&path).unwrap();
        let second = start();
        assert_eq!(inbox.recv().await.unwrap().ids.len(), 2, "the last good list outlives the reload");
        std::fs::write(&path, "a\nb\nc").unwrap();
        assert_eq!(inbox.recv().await.unwrap().ids.len(), 3);
        second.cancel();
    }
}
