//! From the Markdown of the repository to the inside of a page. Links between files that have a page lead to it; those to
//! other files become the names of the files, since nobody serves them. HTML in the text stays text.

use std::collections::HashSet;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// Where the links of a text lead.
pub trait Pages {
    /// The address of the page that is made of this file of the repository, if there is one.
    fn address(&self, file: &str) -> Option<String>;
}

/// The HTML of a text that stands in `directory` of the repository.
pub fn render(text: &str, directory: &str, pages: &impl Pages) -> String {
    let events: Vec<_> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let events = with_anchors(with_links(events, directory, pages));
    let mut page = String::with_capacity(text.len() * 2);
    html::push_html(&mut page, events.into_iter());
    // Only tags have this: in text it is escaped.
    page.replace("<th>", "<th scope=\"col\">").replace("<th style", "<th scope=\"col\" style")
}

/// Leads every link to where it can be followed.
fn with_links<'a>(events: Vec<Event<'a>>, directory: &str, pages: &impl Pages) -> Vec<Event<'a>> {
    let mut done = Vec::with_capacity(events.len());
    // The file that an open link names and nobody serves, and where its text begins in `done`.
    let mut unserved: Option<(String, usize)> = None;
    // Where the text of the last heading begins in `done`, and that text: it says what a table is.
    let (mut heading, mut begins_heading, mut tables) = (String::new(), 0, 0);
    for event in events {
        match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => match target(&dest_url, directory, pages) {
                Target::Address(address) => {
                    done.push(Event::Start(Tag::Link { link_type, dest_url: address.into(), title, id }));
                }
                Target::File(file) => unserved = Some((file, done.len())),
            },
            Event::End(TagEnd::Link) => match unserved.take() {
                None => done.push(Event::End(TagEnd::Link)),
                Some((file, begins)) => {
                    let shown = plain(done.get(begins..).unwrap_or_default());
                    if file.ends_with(&shown) {
                        done.truncate(begins);
                        done.push(Event::Code(file.into()));
                    } else {
                        done.extend([Event::Text(" (".into()), Event::Code(file.into()), Event::Text(")".into())]);
                    }
                }
            },
            Event::Html(text) | Event::InlineHtml(text) => done.push(Event::Text(text)),
            Event::Start(start @ Tag::Heading { .. }) => {
                done.push(Event::Start(start));
                begins_heading = done.len();
            }
            Event::End(end @ TagEnd::Heading(_)) => {
                heading = plain(done.get(begins_heading..).unwrap_or_default());
                done.push(Event::End(end));
            }
            // Wide tables scroll by themselves, and not the page; so keys must reach them.
            Event::Start(table @ Tag::Table(_)) => {
                tables += 1;
                let region = format!(
                    "<div class=\"table\" role=\"region\" aria-labelledby=\"table.{tables}\" tabindex=\"0\">\n"
                );
                done.push(Event::Html(region.into()));
                done.push(Event::Start(table));
                done.push(Event::Html(format!("<caption class=\"unseen\" id=\"table.{tables}\">").into()));
                done.push(Event::Text(heading.clone().into()));
                done.push(Event::Html("</caption>".into()));
            }
            Event::End(TagEnd::Table) => {
                done.push(Event::End(TagEnd::Table));
                done.push(Event::Html("</div>\n".into()));
            }
            event => done.push(event),
        }
    }
    done
}

enum Target {
    Address(String),
    /// A file of the repository without a page.
    File(String),
}

fn target(link: &str, directory: &str, pages: &impl Pages) -> Target {
    if link.starts_with('#') || link.contains("://") {
        return Target::Address(link.to_owned());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let mut parts: Vec<&str> = directory.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    let file = parts.join("/");
    match (pages.address(&file), anchor) {
        (Some(address), Some(anchor)) => Target::Address(format!("{address}#{anchor}")),
        (Some(address), None) => Target::Address(address),
        (None, _) => Target::File(file),
    }
}

/// Gives every heading an anchor, as code hosts name it, and every row of a table that begins with a metric the metric's name.
fn with_anchors(mut events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let mut taken = HashSet::new();
    for at in 0..events.len() {
        let (before, rest) = events.split_at_mut(at + 1);
        match before.last_mut() {
            Some(Event::Start(Tag::Heading { id, .. })) => {
                let text = rest.iter().position(|event| matches!(event, Event::End(TagEnd::Heading(_))));
                let slug = slug(&plain(rest.get(..text.unwrap_or_default()).unwrap_or_default()));
                let mut unique = slug.clone();
                for number in 1.. {
                    if taken.insert(unique.clone()) {
                        break;
                    }
                    unique = format!("{slug}-{number}");
                }
                *id = Some(unique.into());
            }
            Some(Event::Start(Tag::TableCell)) => {
                // Only the first cell of a row: what is before it is the row's beginning.
                let is_first = matches!(before.iter().rev().nth(1), Some(Event::Start(Tag::TableRow)));
                if let (true, Some(Event::Code(name))) = (is_first, rest.first())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                    && taken.insert(name.to_string())
                {
                    let code = format!("<code id=\"{name}\">{name}</code>");
                    if let Some(first) = rest.first_mut() {
                        *first = Event::InlineHtml(code.into());
                    }
                }
            }
            _ => {}
        }
    }
    events
}

/// The text of these events.
fn plain(events: &[Event<'_>]) -> String {
    let text = events.iter().filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(CowStr::as_ref(text)),
        Event::SoftBreak => Some(" "),
        _ => None,
    });
    text.collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Served;

    impl Pages for Served {
        fn address(&self, file: &str) -> Option<String> {
            (file == "docs/runbooks/A.md").then(|| "/-/runbooks/A".to_owned())
        }
    }

    fn rendered(text: &str) -> String {
        render(text, "docs/runbooks", &Served)
    }

    #[test]
    fn links_lead_to_pages_or_name_the_file() {
        for (text, expected) in [
            ("[A](A.md)", "<a href=\"/-/runbooks/A\">A</a>"),
            ("[A](../runbooks/A.md#what-to-do)", "<a href=\"/-/runbooks/A#what-to-do\">A</a>"),
            ("[x](#y)", "<a href=\"#y\">x</a>"),
            ("[x](https://x.example/)", "<a href=\"https://x.example/\">x</a>"),
            ("[operations.md](../operations.md#x)", "<code>docs/operations.md</code>"),
            ("[the *guide*](../operations.md)", "the <em>guide</em> (<code>docs/operations.md</code>)"),
            ("[prometheus.yml](../../deploy/prometheus.yml)", "<code>deploy/prometheus.yml</code>"),
            ("[B](B.md)", "B (<code>docs/runbooks/B.md</code>)"),
        ] {
            assert_eq!(rendered(text), format!("<p>{expected}</p>\n"));
        }
    }

    #[test]
    fn headings_and_rows_of_metrics_have_anchors() {
        let page =
            rendered("# The `x` of it: y\n\n## Same\n\n## Same\n\n| m | n |\n| --- | --- |\n| `agntix_up` | `n` |\n");
        for expected in [
            "<h1 id=\"the-x-of-it-y\">",
            "<h2 id=\"same\">",
            "<h2 id=\"same-1\">",
            "<div class=\"table\" role=\"region\" aria-labelledby=\"table.1\" tabindex=\"0\">\n<table>",
            "<caption class=\"unseen\" id=\"table.1\">Same</caption><thead><tr><th scope=\"col\">m</th>",
            "<td><code id=\"agntix_up\">agntix_up</code></td><td><code>n</code></td>",
            "</table>\n</div>",
        ] {
            assert!(page.contains(expected), "{expected} in {page}");
        }
    }

    #[test]
    fn html_stays_text() {
        assert_eq!(
            rendered("<script>x</script>\n\na <b>c</b>"),
            "&lt;script&gt;x&lt;/script&gt;\n<p>a &lt;b&gt;c&lt;/b&gt;</p>\n"
        );
    }
}
