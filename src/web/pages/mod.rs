//! The pages made of documentation: the runbooks and the metric reference, for somebody who has been woken up and has nothing but
//! a link. They load and run nothing, and do not depend on how the daemon is.

mod markdown;
mod runbooks;

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::landing::SAFE;
use crate::catalogue;
use runbooks::RUNBOOKS;

const RUNBOOKS_PATH: &str = "/-/runbooks";
const REFERENCE_PATH: &str = "/-/reference";

#[derive(Template)]
#[template(path = "document.html")]
struct Document<'a> {
    title: &'a str,
    prefix: &'a str,
    version: &'static str,
    /// Whether it has tables that need the room.
    wide: bool,
    /// The file that the page is made of.
    source: &'a str,
    body: &'a str,
}

#[derive(Template)]
#[template(path = "unknown_runbook.html")]
struct UnknownRunbook<'a> {
    prefix: &'a str,
    alert: &'a str,
    nearest: Vec<&'static str>,
}

/// A page as it is sent.
#[derive(Debug)]
struct Page {
    html: Bytes,
    tag: HeaderValue,
}

/// All pages, rendered when the first one is asked for.
#[derive(Debug)]
struct Library {
    /// What all links begin with, without a slash at its end.
    prefix: String,
    rendered: OnceLock<Rendered>,
}

#[derive(Debug)]
struct Rendered {
    index: Option<Page>,
    reference: Option<Page>,
    /// In the order of [`RUNBOOKS`].
    runbooks: Vec<Option<Page>>,
}

/// The routes, all behind `prefix`; `link_prefix` is what their links begin with.
pub fn routes(prefix: &str, link_prefix: &str) -> Router {
    let library = Arc::new(Library { prefix: link_prefix.to_owned(), rendered: OnceLock::new() });
    let at = |path: &str| format!("{prefix}{path}");
    Router::new()
        .route(&at(RUNBOOKS_PATH), get(index))
        .route(
            &at("/-/runbooks/"),
            get(|State(library): State<Arc<Library>>| async move { library.moved_to(RUNBOOKS_PATH) }),
        )
        .route(&at("/-/runbooks/{alert}"), get(runbook))
        .route(&at(REFERENCE_PATH), get(reference))
        .with_state(library)
}

async fn index(State(library): State<Arc<Library>>, headers: HeaderMap) -> Response {
    send(library.rendered().index.as_ref(), &headers)
}

async fn reference(State(library): State<Arc<Library>>, headers: HeaderMap) -> Response {
    send(library.rendered().reference.as_ref(), &headers)
}

async fn runbook(State(library): State<Arc<Library>>, Path(alert): Path<String>, headers: HeaderMap) -> Response {
    let name = alert.strip_suffix(".md").unwrap_or(&alert);
    match RUNBOOKS.iter().position(|runbook| runbook.alert == name) {
        // As a link to the file would have it.
        Some(_) if name != alert => library.moved_to(&format!("{RUNBOOKS_PATH}/{name}")),
        Some(place) => send(library.rendered().runbooks.get(place).and_then(Option::as_ref), &headers),
        None => library.unknown(name),
    }
}

fn send(page: Option<&Page>, headers: &HeaderMap) -> Response {
    let Some(page) = page else { return failed() };
    // It may be kept, but only this version of the exporter has it, so that it is asked for again each time.
    let cache = [(CACHE_CONTROL, HeaderValue::from_static("no-cache")), (ETAG, page.tag.clone())];
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|tags| tags.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == page.tag.as_bytes()
    });
    if is_known {
        return (StatusCode::NOT_MODIFIED, SAFE, cache).into_response();
    }
    (SAFE, cache, [(CONTENT_TYPE, "text/html; charset=utf-8")], page.html.clone()).into_response()
}

fn failed() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made; the log says why.\n").into_response()
}

impl Library {
    fn rendered(&self) -> &Rendered {
        self.rendered.get_or_init(|| Rendered {
            index: self.page("Runbooks", "docs/runbooks", &runbooks::index()),
            reference: self.page("Metric reference", "docs/metrics.md", &catalogue::reference()),
            runbooks: RUNBOOKS
                .iter()
                .map(|runbook| self.page(runbook.alert, &format!("docs/runbooks/{}.md", runbook.alert), runbook.text))
                .collect(),
        })
    }

    /// `None` is a defect of the template, and logged.
    fn page(&self, title: &str, source: &str, text: &str) -> Option<Page> {
        let directory =
            source.strip_suffix(".md").map_or(source, |file| file.rsplit_once('/').map_or("", |(to, _)| to));
        let body = markdown::render(text, directory, self);
        let (prefix, version) = (self.prefix.as_str(), env!("CARGO_PKG_VERSION"));
        match (Document { title, prefix, version, wide: text.contains("\n| --- |"), source, body: &body }.render()) {
            Ok(html) => Some(Page { tag: tag(&html), html: html.into() }),
            Err(error) => {
                tracing::error!(%error, page = title, "a page could not be made");
                None
            }
        }
    }

    fn moved_to(&self, path: &str) -> Response {
        (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{}{path}", self.prefix))]).into_response()
    }

    fn unknown(&self, alert: &str) -> Response {
        let page = UnknownRunbook { prefix: &self.prefix, alert, nearest: runbooks::nearest(alert) };
        match page.render() {
            Ok(html) => {
                let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "text/html; charset=utf-8")];
                (StatusCode::NOT_FOUND, SAFE, headers, html).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "the page about an unknown runbook could not be made");
                failed()
            }
        }
    }
}

impl markdown::Pages for Library {
    fn address(&self, file: &str) -> Option<String> {
        let prefix = &self.prefix;
        if file == "docs/metrics.md" {
            return Some(format!("{prefix}{REFERENCE_PATH}"));
        }
        let runbook = runbooks::of(file.strip_prefix("docs/runbooks/")?.strip_suffix(".md")?)?;
        Some(format!("{prefix}{RUNBOOKS_PATH}/{}", runbook.alert))
    }
}

/// A strong validator of exactly this page.
fn tag(html: &str) -> HeaderValue {
    let hash = digest(&SHA256, html.as_bytes());
    let mut quoted = String::from("\"");
    for byte in hash.as_ref().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(quoted, "{byte:02x}");
    }
    quoted.push('"');
    HeaderValue::from_str(&quoted).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}
