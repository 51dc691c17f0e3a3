//! Where an earlier state may lie when a new one was begun: a relative `state.path` read in another working directory, a
//! path with one directory more or less, a container whose files go with it.
//!
//! It only looks, and only when a state was begun; what cannot be read is passed over.

use std::path::{Path, PathBuf};

use super::schema;
use crate::ledger::system;

/// Entries of one directory that are looked at.
const MOST_ENTRIES: usize = 256;
/// Where the package and the unit for systemd keep the state.
const PACKAGED: &str = "/var/lib/agntix-exporter";

/// What is worth saying of the place in which a state was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The directory, whatever the working directory is.
    pub directory: PathBuf,
    /// `state.path` depends on the working directory.
    pub is_relative: bool,
    /// It goes with the container or at the next boot.
    pub is_ephemeral: bool,
    /// Another state nearby.
    pub other: Option<PathBuf>,
}

/// Looks at the place in which a state was begun, `directory` as it is configured.
pub fn look(directory: &Path) -> Place {
    let absolute = super::begin::absolute(directory);
    let working = std::env::current_dir().unwrap_or_default();
    let temporary = std::env::temp_dir();
    // Whoever puts a state there knows that it does not last.
    let is_temporary = absolute.starts_with(&temporary);
    let is_ephemeral = !is_temporary && system::goes_with_its_process(&absolute);
    let candidates =
        candidates(&absolute, directory.is_relative().then_some((directory, &*working)), &temporary, &list);
    let other = candidates.into_iter().find(|candidate| schema::file_in(candidate).is_file());
    let other = other.map(|other| super::begin::absolute(&other));
    Place { directory: absolute, is_relative: directory.is_relative(), is_ephemeral, other }
}

/// The directories in which an earlier state may lie, the likeliest first. `relative`: the configured path and the working
/// directory, if the path depends on it. `list` gives the directories in one.
fn candidates(
    directory: &Path,
    relative: Option<(&Path, &Path)>,
    temporary: &Path,
    list: &dyn Fn(&Path) -> Vec<PathBuf>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some((path, working)) = relative {
        let above = working.parent();
        found.extend(above.map(|above| above.join(path)));
        found.extend(list(working).into_iter().map(|below| below.join(path)));
        found.extend(above.into_iter().flat_map(list).map(|beside| beside.join(path)));
    }
    found.extend(list(directory));
    // What is in the directory for temporary files, or at the root, has nothing to do with each other.
    if let Some(above) = directory.parent().filter(|above| *above != temporary && above.parent().is_some()) {
        found.push(above.to_owned());
        found.extend(list(above));
    }
    found.push(PACKAGED.into());
    found.retain(|candidate| candidate != directory);
    found
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().take(MOST_ENTRIES).map(|entry| entry.path()).collect()
}

impl Place {
    /// What there is to warn of, as a sentence; `None` if all is as it should be.
    pub fn warning(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(other) = &self.other {
            parts.push(format!(
                "there is an earlier state in {}: if that is the one that was meant, stop the exporter and set state.path to it",
                other.display()
            ));
        }
        if self.is_relative {
            parts.push("state.path is relative, so that it is another directory wherever the exporter is started from: set an absolute one".into());
        }
        if self.is_ephemeral {
            parts.push("it lies in the container's own layer or in memory, and all counts are lost with it: mount a volume there".into());
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(place: &Path, directory: &str, relative: Option<(&str, &str)>, states: &[&str]) -> Option<PathBuf> {
        for state in states {
            let state = place.join(state);
            std::fs::create_dir_all(&state).unwrap();
            std::fs::write(schema::file_in(&state), "").unwrap();
        }
        let working = relative.map(|(_, working)| place.join(working));
        let relative = relative.zip(working.as_deref()).map(|((path, _), working)| (Path::new(path), working));
        let candidates = candidates(&place.join(directory), relative, Path::new("/tmp"), &list);
        let other = candidates.into_iter().find(|candidate| schema::file_in(candidate).is_file())?;
        Some(other.strip_prefix(place).unwrap().to_owned())
    }

    #[test]
    fn earlier_state_is_found_where_mistakes_put_the_new_one() {
        for (directory, relative, earlier) in [
            ("var/agntix/data", None, "var/agntix"),
            ("var/agntix", None, "var/agntix/data"),
            ("var/agntix2", None, "var/agntix"),
            ("home/a/data", Some(("data", "home/a")), "home/data"),
            ("home/a/data", Some(("data", "home/a")), "home/b/data"),
            ("home/a/data", Some(("data", "home/a")), "home/a/exporter/data"),
            ("home/a/x/y", Some(("x/y", "home/a")), "home/x/y"),
        ] {
            let place = tempfile::tempdir().unwrap();
            assert_eq!(found(place.path(), directory, relative, &[]), None, "{directory} {earlier}");
            let other = found(place.path(), directory, relative, &[directory, earlier]);
            assert_eq!(other.as_deref(), Some(Path::new(earlier)), "{directory}");
        }
    }

    #[test]
    fn neighbours_in_the_directory_for_temporary_files_are_nobody_s_earlier_state() {
        let place = tempfile::tempdir().unwrap();
        let other = place.path().join("another demo");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(schema::file_in(&other), "").unwrap();
        let candidates = candidates(&place.path().join("demo"), None, place.path(), &list);
        assert!(!candidates.contains(&other), "{candidates:?}");
    }

    #[test]
    fn place_that_is_well_is_no_warning() {
        let place = Place { directory: "/data".into(), ..Place::default() };
        assert_eq!(place.warning(), None);
        let relative = Place { is_relative: true, ..place.clone() };
        assert!(relative.warning().unwrap().contains("set an absolute one"));
        let beside = Place { other: Some("/old".into()), is_ephemeral: true, ..place };
        let warning = beside.warning().unwrap();
        assert!(warning.contains("an earlier state in /old") && warning.contains("mount a volume"), "{warning}");
    }
}
