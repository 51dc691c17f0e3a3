//! What Linux alone has is asked for in few files, which say what happens on other systems. Whether all of it compiles for a Mac, `.ci/darwin` tells.

use std::path::{Path, PathBuf};

/// Names and paths that other Unix systems do not have.
const OF_LINUX: [&str; 11] = [
    "\"/proc",
    "\"/sys/",
    "os::linux",
    "Boottime",
    "OFlags::PATH",
    "OFlags::TMPFILE",
    "f_type",
    "memfd",
    "prctl",
    "inotify",
    "eventfd",
];

/// Which file uses one of them, and why other systems are none the worse.
const ALLOWED: [(&str, &str); 3] = [
    ("src/ledger/system.rs", "it is compiled, or asked, on Linux only"),
    ("src/doctor/gather/state.rs", "a directory that is not there holds no process, and the check is left out"),
    ("src/catalogue/process.rs", "the module is compiled on Linux only"),
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn what_linux_alone_has_is_used_where_others_are_thought_of() {
    let root = crate::root();
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        let path = entry.unwrap().path();
        // The servers that tests start.
        if !path.ends_with("test-postgres") {
            sources(&path.join("src"), &mut files);
        }
    }
    let mut users: Vec<String> = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let mut code = product.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code.any(|line| OF_LINUX.iter().any(|word| line.contains(word))) {
            users.push(name);
        }
    }
    users.sort();
    let mut allowed: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    allowed.sort_unstable();
    assert_eq!(users, allowed, "a Mac has no such thing: say in ALLOWED what happens there, and run .ci/darwin");
}
