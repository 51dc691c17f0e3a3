//! promtool: where it is, and `promtool check`, Prometheus' own linter of pages and of web configuration files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::prometheus::Version;
use super::tool;

/// The promtool of this Prometheus.
pub fn locate(version: Version) -> PathBuf {
    match version {
        Version::V2 => tool::locate("PROMTOOL", "prometheus2/usr/bin/promtool"),
        Version::V3 => tool::locate("PROMTOOL_3", "prometheus3/usr/bin/promtool"),
    }
}

/// What promtool said of a page in the text format 0.0.4 (it reads no other); empty if it found nothing.
pub fn check_metrics(version: Version, page: &[u8]) -> String {
    let mut child = Command::new(locate(version))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    // It reads the page to its end before it says anything, so that neither side can block the other.
    child.stdin.take().unwrap().write_all(page).expect("promtool reads the page");
    let output = child.wait_with_output().expect("promtool ends");
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && said.is_empty() {
        said = format!("promtool ended with {}", output.status);
    }
    said
}

/// Whether promtool takes a web configuration file, and what it said.
pub fn check_web_config(version: Version, file: &Path) -> (bool, String) {
    let output = Command::new(locate(version)).args(["check", "web-config"]).arg(file).output().expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
