//! The pages made of documentation: every link of every one leads somewhere, and they are what a browser needs.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::http::{Method, StatusCode};

use super::routes::{ask, header};
use super::web_state;
use crate::config::WebConfig;
use crate::web::router;

fn behind(external_url: Option<&str>, route_prefix: Option<&str>) -> Router {
    let config = WebConfig {
        external_url: external_url.map(Into::into),
        route_prefix: route_prefix.map(Into::into),
        ..WebConfig::default()
    };
    router(web_state(3).0, &config).unwrap()
}

async fn html(router: &Router, path: &str) -> String {
    let (answer, body) = ask(router, Method::GET, path, &[]).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{path}");
    String::from_utf8(body).unwrap()
}

/// What stands in quotes behind every `name=`.
fn values<'h>(html: &'h str, name: &str) -> Vec<&'h str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Follows the links of all pages, beginning with the landing page. `taken`: what a proxy takes from a path.
async fn crawl(router: &Router, home: &str, taken: &str) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut left = vec![home.to_owned()];
    let mut anchors = BTreeSet::new();
    while let Some(path) = left.pop() {
        if pages.contains_key(&path) {
            continue;
        }
        let asked = path.strip_prefix(taken).unwrap();
        if ["/metrics", "/-/ready", "/-/healthy"].iter().any(|end| path.ends_with(end)) {
            assert_ne!(ask(router, Method::GET, asked, &[]).await.0.status(), StatusCode::NOT_FOUND, "{path}");
            continue;
        }
        let page = html(router, asked).await;
        for link in values(&page, "href") {
            assert!(!link.contains("://"), "{link} of {path} leads out, and nobody has checked it");
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if to.is_empty() { path.as_str() } else { to };
            assert!(to.starts_with('/'), "{link} of {path} depends on where it is read");
            left.push(to.to_owned());
            if !anchor.is_empty() {
                anchors.insert((path.clone(), to.to_owned(), anchor.to_owned()));
            }
        }
        pages.insert(path, page);
    }
    for (from, to, anchor) in anchors {
        assert!(values(&pages[&to], "id").contains(&anchor.as_str()), "{from} links {to}#{anchor}, which is not there");
    }
    pages
}

#[tokio::test]
async fn every_link_of_every_page_works() {
    let pages = crawl(&behind(None, None), "/", "").await;
    let rules = [
        include_str!("../../../deploy/prometheus/rules/agntix-sessions.yml"),
        include_str!("../../../deploy/prometheus/rules/agntix-exporter.yml"),
    ];
    // Two rules may share a name and a page.
    let mut alerts = BTreeSet::new();
    for alert in rules.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("      - alert: ")) {
        let page = &pages[&format!("/-/runbooks/{alert}")];
        assert!(page.contains(&format!("<title>{alert} · agntix-exporter</title>")), "{alert}");
        assert!(page.contains(&format!("<h1 id=\"{}\">{alert}</h1>", alert.to_lowercase())), "{alert}");
        assert!(page.contains("<h2 id=\"check-in-a-minute\">"), "{alert}");
        alerts.insert(alert);
    }
    assert_eq!(pages.len(), alerts.len() + 3, "and the landing page, the index and the reference: {:?}", pages.keys());
    let reference = &pages["/-/reference"];
    assert!(values(reference, "id").contains(&"agntix_session_outcomes_total"), "{reference}");
}

#[tokio::test]
async fn links_work_behind_a_proxy() {
    let kept = crawl(&behind(Some("https://monitoring.example/agntix/"), None), "/agntix/", "").await;
    let taken = crawl(&behind(Some("https://monitoring.example/agntix/"), Some("/")), "/agntix/", "/agntix").await;
    assert!(kept.len() > 30 && kept == taken);
}

#[tokio::test]
async fn pages_load_and_run_nothing_and_are_asked_for_again() {
    let router = behind(None, None);
    for path in ["/-/runbooks", "/-/runbooks/AgntixApiDown", "/-/reference"] {
        let (answer, body) = ask(&router, Method::GET, path, &[]).await;
        let page = String::from_utf8(body).unwrap();
        for loaded in ["<script", "<img", "<link", "src=", "@import", "url(", "{{", "{%"] {
            assert!(!page.contains(loaded), "{loaded} in {path}");
        }
        assert!(header(&answer, "content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-cache", "{path}");
        let tag = header(&answer, "etag").to_owned();
        assert!(tag.len() == 34 && tag.starts_with('"'), "{tag}");
        let (head, nothing) = ask(&router, Method::HEAD, path, &[]).await;
        assert_eq!((head.status(), nothing.len()), (StatusCode::OK, 0));
        assert_eq!((header(&head, "etag"), header(&head, "content-length")), (tag.as_str(), &*page.len().to_string()));
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let (same, nothing) = ask(&router, Method::GET, path, &[("if-none-match", &known)]).await;
            assert_eq!((same.status(), nothing.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!(header(&same, "etag"), tag);
        }
        let (other, _) = ask(&router, Method::GET, path, &[("if-none-match", "\"x\"")]).await;
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(ask(&router, Method::POST, path, &[]).await.0.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn name_of_a_file_leads_to_its_page() {
    let router = behind(Some("https://monitoring.example/agntix/"), None);
    for (path, to) in [
        ("/agntix/-/runbooks/AgntixApiDown.md", "/agntix/-/runbooks/AgntixApiDown"),
        ("/agntix/-/runbooks/", "/agntix/-/runbooks"),
    ] {
        let (answer, _) = ask(&router, Method::GET, path, &[]).await;
        assert_eq!((answer.status(), header(&answer, "location")), (StatusCode::PERMANENT_REDIRECT, to));
    }
}

#[tokio::test]
async fn unknown_alert_is_answered_with_similar_ones() {
    let router = behind(None, None);
    for path in ["/-/runbooks/AgntixUnresolvedSpikes", "/-/runbooks/AgntixUnresolvedSpikes.md"] {
        let (answer, body) = ask(&router, Method::GET, path, &[]).await;
        let page = String::from_utf8(body).unwrap();
        assert_eq!((answer.status(), header(&answer, "cache-control")), (StatusCode::NOT_FOUND, "no-store"));
        assert!(header(&answer, "content-security-policy").starts_with("default-src 'none'"));
        assert!(page.contains("no alert <code>AgntixUnresolvedSpikes</code>"), "{page}");
        let first = values(&page, "href").into_iter().find(|link| link.contains("/-/runbooks/"));
        assert_eq!(first, Some("/-/runbooks/AgntixUnresolvedSpike"));
    }
    let (answer, body) = ask(&router, Method::GET, "/-/runbooks/%3Cscript%3Ealert(1)%3C%2Fscript%3E", &[]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!String::from_utf8(body).unwrap().contains("<script"));
}
