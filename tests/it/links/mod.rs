//! The links of the documentation lead somewhere: in the repository, as a forge shows it, and on the site that mdBook makes of it.

mod repository;
mod site;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a directory with this ending, by their paths from the directory, sorted. What is built or hidden is passed over.
fn files(directory: &Path, ending: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(place) = left.pop() {
        for entry in std::fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir()
                && !path.is_symlink()
                && !name.starts_with('.')
                && !["target", "node_modules"].contains(&name)
            {
                left.push(path);
            } else if name.ends_with(ending) {
                found.insert(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    found
}

/// A path without `.` and `..`; `None` if it leads out of where it begins.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut made = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => made.push(name),
            Component::ParentDir if made.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(made)
}

/// Whether a link leads to another place on the web.
fn is_elsewhere(link: &str) -> bool {
    link.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|letter| letter.is_ascii_lowercase()))
}
