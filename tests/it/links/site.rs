//! The site that mdBook makes of docs/: whether it is made, and whether its links lead to its own pages or to files of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{files, is_elsewhere, normal, root};
use crate::support::tool;

/// The values of an attribute in a page.
fn values<'p>(page: &'p str, attribute: &str) -> impl Iterator<Item = String> + use<'p> {
    let begin = format!(" {attribute}=\"");
    let mut left = page;
    std::iter::from_fn(move || {
        let (_, rest) = left.split_once(&begin)?;
        let (value, rest) = rest.split_once('"')?;
        left = rest;
        Some(value.replace("&amp;", "&"))
    })
}

/// The first part of the addresses of the repository's files, up to the name of its branch.
fn repository() -> String {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("repository = \"")?.strip_suffix('"')).unwrap().to_owned()
}

/// What is wrong with a link of a page.
fn fault(
    site: &Path,
    anchors: &BTreeMap<PathBuf, BTreeSet<String>>,
    repository: &str,
    from: &Path,
    link: &str,
) -> Option<String> {
    let (path, anchor) = link.split_once('#').map_or((link, ""), |(path, anchor)| (path, anchor));
    let said = |what: &str| Some(format!("{}: {link} {what}", from.display()));
    if let Some(file) = path.strip_prefix(repository).and_then(|path| path.split_once("/main/")).map(|(_, file)| file) {
        return if root().join(file).exists() { None } else { said("is no file of the repository") };
    }
    if is_elsewhere(link) {
        return None;
    }
    let to = if path.is_empty() { Some(from.to_owned()) } else { normal(&from.parent().unwrap().join(path)) };
    let Some(to) = to else { return said("leads out of the site") };
    if !site.join(&to).is_file() {
        return said("is not on the site");
    }
    let is_there = anchor.is_empty() || anchors.get(&to).is_some_and(|anchors| anchors.contains(anchor));
    if is_there { None } else { said("names no place on that page") }
}

#[test]
#[ignore = "needs mdBook from .ci/tools"]
fn every_link_of_the_site_leads_somewhere() {
    let place = tempfile::tempdir().unwrap();
    let site = place.path().join("site");
    let mut build = Command::new(tool::locate("MDBOOK", "mdbook/bin/mdbook"));
    let output = build.arg("build").arg(root().join("deploy/site")).arg("--dest-dir").arg(&site).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("WARN"), "{said}");

    // It links by absolute paths, since nobody knows where it is shown.
    let pages: BTreeMap<PathBuf, String> = files(&site, ".html")
        .into_iter()
        .filter(|page| page != Path::new("404.html"))
        .map(|page| (page.clone(), std::fs::read_to_string(site.join(page)).unwrap()))
        .collect();
    for page in files(&root().join("docs"), ".md").into_iter().filter(|page| page != Path::new("SUMMARY.md")) {
        let shown = if page == Path::new("README.md") { "index.html".into() } else { page.with_extension("html") };
        assert!(pages.contains_key(&shown), "{} is not on the site", page.display());
    }
    let anchors: BTreeMap<PathBuf, BTreeSet<String>> =
        pages.iter().map(|(page, text)| (page.clone(), values(text, "id").collect())).collect();
    let repository = repository();
    let mut to_files = BTreeSet::new();
    let mut faults = Vec::new();
    for (page, text) in &pages {
        for link in values(text, "href").chain(values(text, "src")) {
            if link.starts_with(&repository) && link.contains("/main/") && !link.contains("/main/docs/") {
                to_files.insert(link.clone());
            }
            faults.extend(fault(&site, &anchors, &repository, page, &link));
        }
        assert!(
            !values(text, "src").any(|link| is_elsewhere(&link)),
            "{} loads something from elsewhere",
            page.display()
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(to_files.len() > 10, "links out of docs/ lead to the repository: {to_files:?}");
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("a.html"), "").unwrap();
    let anchors = BTreeMap::from([(PathBuf::from("a.html"), BTreeSet::from(["x".to_owned()]))]);
    let find = |from: &str, link: &str| fault(place.path(), &anchors, "https://forge.example/r", Path::new(from), link);
    for link in [
        "a.html",
        "a.html#x",
        "#x",
        "https://elsewhere.example/",
        "https://forge.example/r/blob/main/config.toml",
        "./a.html",
    ] {
        assert_eq!(find("a.html", link), None);
    }
    assert_eq!(find("runbooks/b.html", "../a.html#x"), None);
    let mistakes = [
        ("b.html", "is not on the site"),
        ("../config.toml", "leads out of the site"),
        ("a.html#y", "names no place on that page"),
        ("https://forge.example/r/blob/main/nowhere", "is no file of the repository"),
    ];
    for (link, words) in mistakes {
        assert!(find("a.html", link).unwrap().contains(words), "{link}");
    }
    let text = r#"<a class="b" href="c&amp;d">"#;
    assert_eq!(values(text, "href").collect::<Vec<_>>(), ["c&d"]);
}
