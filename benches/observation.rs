//! What it costs to read a session: from the bytes of an answer to what can be counted of it.
//!
//! `cargo bench --bench observation`. The session is the vendor's sample answer, about 2 KB; a page holds 100 of them.
//! The peer is the same document read into a tree of `serde_json::Value`, which looks at nothing.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use agntix_api::{JsonText, wire};
use agntix_exporter::clock::Timestamp;
use agntix_exporter::config::Config;
use agntix_exporter::observation::{ObservationConfig, observe, observe_entry};
use agntix_exporter::session::Facts;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

const SESSION: &str = include_str!("../tests/fixtures/session-closed.json");
const PAGE: usize = 100;

fn main() {
    divan::main();
}

fn page() -> String {
    format!("{{\"data\":[{}],\"pagination\":{{\"totalPages\":1}}}}", [SESSION; PAGE].join(","))
}

fn config() -> ObservationConfig {
    ObservationConfig::from(&Config::default())
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-04-08T05:01:00Z").unwrap()
}

#[divan::bench]
fn session(bencher: Bencher<'_, '_>) {
    let (config, now) = (config(), now());
    bencher.counter(BytesCount::of_str(SESSION)).bench(|| {
        let text = JsonText::new(SESSION.as_bytes());
        let session = text.read::<wire::Session<'_>>().unwrap();
        observe(&session, &config, now).unwrap()
    });
}

/// The same with one value that is no JSON, so that the text is written anew.
#[divan::bench]
fn session_with_nan(bencher: Bencher<'_, '_>) {
    let (config, now) = (config(), now());
    let body = SESSION.replacen("0.4", "NaN", 1);
    bencher.counter(BytesCount::of_str(&body)).bench(|| {
        let text = JsonText::new(body.as_bytes());
        let session = text.read::<wire::Session<'_>>().unwrap();
        observe(&session, &config, now).unwrap()
    });
}

/// Only the observation, of a session that has been parsed.
#[divan::bench]
fn session_without_parsing(bencher: Bencher<'_, '_>) {
    let (config, now) = (config(), now());
    let session = serde_json::from_str::<wire::Session<'_>>(SESSION).unwrap();
    bencher.bench(|| observe(&session, &config, now).unwrap());
}

#[divan::bench]
fn session_as_value_tree(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_str(SESSION))
        .bench(|| serde_json::from_slice::<serde_json::Value>(SESSION.as_bytes()).unwrap());
}

/// As the poller reads a page of the listing: each entry apart, so that a bad one costs only itself.
#[divan::bench]
fn page_of_100(bencher: Bencher<'_, '_>) {
    let (page, config, now) = (page(), config(), now());
    bencher.counter(ItemsCount::new(PAGE)).bench(|| -> Vec<Facts> {
        let text = JsonText::new(page.as_bytes());
        let page = text.read_list::<wire::Page<'_>>().unwrap();
        let entries = page.data.unwrap().into_iter().map(|raw| {
            let item = JsonText::new(raw.get().as_bytes());
            let entry = item.read::<wire::Session<'_>>().unwrap();
            observe_entry(&entry, &config, now).unwrap()
        });
        entries.collect()
    });
}

#[divan::bench]
fn page_of_100_as_value_tree(bencher: Bencher<'_, '_>) {
    let page = page();
    bencher
        .counter(ItemsCount::new(PAGE))
        .bench(|| serde_json::from_slice::<serde_json::Value>(page.as_bytes()).unwrap());
}
