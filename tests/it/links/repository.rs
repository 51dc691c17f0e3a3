//! Links between the Markdown files, and from them to other files, as a forge that shows them follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{files, is_elsewhere, normal, root};

/// What a page links, in its order, and the places on it that a link may name.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => page.add(&anchor(&heading.take().unwrap())),
                _ => {}
            }
        }
        page
    }

    /// A heading that is there twice has a number the second time.
    fn add(&mut self, anchor: &str) {
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.to_owned()).chain(numbered).find(|name| !self.anchors.contains(name));
        self.anchors.extend(free);
    }
}

/// What a heading is called in links: its letters, digits, hyphens and underscores, and hyphens for spaces.
fn anchor(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    let kept = lower.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn pages() -> BTreeMap<PathBuf, Page> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        (path, Page::read(&text))
    };
    files(root(), ".md").into_iter().map(read).collect()
}

/// What is wrong with a link of a page.
fn fault(pages: &BTreeMap<PathBuf, Page>, from: &Path, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let beside = from.parent().unwrap().join(path);
    let to = if path.is_empty() { from.to_owned() } else { normal(&beside)? };
    if !root().join(&to).exists() {
        return Some(format!("{}: there is no {} ({link})", from.display(), to.display()));
    }
    let anchor = anchor?;
    match pages.get(&to) {
        Some(page) if page.anchors.contains(anchor) => None,
        Some(page) => Some(format!("{}: {link} is none of {:?}", from.display(), page.anchors)),
        None => Some(format!("{}: {link} names a place in a file that is no page", from.display())),
    }
}

#[test]
fn every_link_leads_to_a_file_of_the_repository_and_a_heading_in_it() {
    let pages = pages();
    assert!(pages.len() > 60, "{} pages", pages.len());
    let links = pages.iter().flat_map(|(from, page)| page.links.iter().map(move |link| (from, link)));
    let relative: Vec<_> = links.filter(|(_, link)| !is_elsewhere(link)).collect();
    assert!(relative.len() > 200, "{} links", relative.len());
    let faults: Vec<String> = relative.into_iter().filter_map(|(from, link)| fault(&pages, from, link)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_index_and_the_sites_order_have_every_page_in_the_same_order() {
    let read = |name: &str| Page::read(&std::fs::read_to_string(root().join("docs").join(name)).unwrap()).links;
    let is_page = |link: &String| {
        Path::new(link).extension().is_some_and(|ending| ending == "md")
            && !link.starts_with("..")
            && !link.starts_with("runbooks/")
    };
    let index: Vec<String> = read("README.md").into_iter().filter(is_page).collect();
    let order: Vec<String> = read("SUMMARY.md");
    let of_order: Vec<String> =
        order.iter().filter(|link| *link != "README.md").filter(|link| is_page(link)).cloned().collect();
    assert_eq!(index, of_order, "docs/README.md and docs/SUMMARY.md differ");
    let there: BTreeSet<PathBuf> =
        files(&root().join("docs"), ".md").into_iter().filter(|page| page != Path::new("SUMMARY.md")).collect();
    assert_eq!(order.iter().map(PathBuf::from).collect::<BTreeSet<_>>(), there, "docs/SUMMARY.md has not all pages");
    assert_eq!(order.len(), there.len(), "a page is there twice");
}

#[test]
fn headings_are_named_as_a_forge_names_them() {
    for (heading, name) in [
        ("With `web.yml`: TLS & users", "with-webyml-tls--users"),
        ("A 5-minute test", "a-5-minute-test"),
        ("Ü_x", "ü_x"),
    ] {
        assert_eq!(anchor(heading), name);
    }
    let page = Page::read("# A\n\n## A\n\n[a](#a-1) ![b](c.png) `[d](e)`\n");
    assert_eq!(page.links, ["#a-1", "c.png"]);
    let pages = BTreeMap::from([(PathBuf::from("README.md"), page)]);
    assert_eq!(fault(&pages, Path::new("README.md"), "#a-1"), None);
    assert!(fault(&pages, Path::new("README.md"), "#b").unwrap().contains("none of"));
    assert!(fault(&pages, Path::new("docs/x.md"), "../nowhere.md").unwrap().contains("there is no nowhere.md"));
}
