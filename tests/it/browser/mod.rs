//! The pages that the exporter serves, in a real browser: Debian's Chromium without a window, through `look.mjs`, which looks at each
//! page wide and narrow, light and dark, goes through it with the keyboard, and asks axe-core.
//!
//! To look at pages yourself, with pictures: `node tests/it/browser/look.mjs --help`.

mod bad_page;
mod documentation;
mod landing;
mod many_agents;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::support::tool;

/// What the browser saw of a page.
#[derive(Debug, Deserialize)]
struct Seen {
    url: String,
    status: u16,
    title: String,
    /// From the request to the page as it is drawn.
    milliseconds: u64,
    /// How many elements it is made of.
    elements: usize,
    /// What is wrong with it, a sentence each.
    wrong: Vec<String>,
    /// What a reader sees.
    text: String,
}

fn chromium() -> PathBuf {
    let program = PathBuf::from(std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into()));
    let install = "install the Debian package chromium, or set CHROMIUM to the program";
    assert!(program.is_file(), "{} is not there; {install}", program.display());
    program
}

/// Looks at these pages: what was seen of each, and whether all are good.
fn see(urls: &[String], flags: &[&str]) -> (Vec<Seen>, bool) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/browser/look.mjs");
    let mut command = Command::new("node");
    command.arg(script).args(flags).arg("--chromium").arg(chromium());
    command.arg("--axe").arg(tool::locate("AXE", "axe-node/node_modules/axe-core/axe.min.js"));
    if let Some(pictures) = std::env::var_os("BROWSER_PICTURES") {
        command.arg("--pictures").arg(pictures);
    }
    let output = command.args(urls).stdin(Stdio::null()).output().expect("node, which drives the browser");
    let seen: Vec<Seen> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(seen.iter().map(|page| &page.url).collect::<Vec<_>>(), urls.iter().collect::<Vec<_>>());
    (seen, output.status.success())
}

/// Looks at these pages, and makes sure that nothing is wrong with them.
fn look(urls: &[String], flags: &[&str]) -> Vec<Seen> {
    let (seen, is_good) = see(urls, flags);
    let wrong = seen.iter().flat_map(|page| page.wrong.iter().map(|what| format!("{}: {what}", page.url)));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty() && is_good, "{}", wrong.join("\n"));
    seen
}
