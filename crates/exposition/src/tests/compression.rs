//! Compressed pages decode to exactly the plain page, and are made once a generation.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::bufread::GzDecoder;

use super::*;

fn many(count: u64) -> Exposition {
    filled(exposition(), count)
}

fn filled(exposition: Exposition, count: u64) -> Exposition {
    exposition.publish();
    let states: Vec<_> =
        (0..count).map(|n| counter(Jobs::Failures, &[&format!("queue{}", n * 2_654_435_761), "slow"], n)).collect();
    exposition.apply(&states, Vec::new());
    exposition
}

fn unzip(page: &Page) -> Vec<u8> {
    let bytes = page.to_vec();
    // `GzDecoder` reads one member and leaves the rest.
    let mut decoder = GzDecoder::new(&bytes[..]);
    let mut plain = Vec::new();
    decoder.read_to_end(&mut plain).unwrap();
    assert!(decoder.into_inner().is_empty(), "more than one member");
    plain
}

#[test]
fn a_compressed_page_is_the_plain_page() {
    // None: an empty first part; many: several buffers handed on.
    for count in [0, 1, 20_000] {
        let exposition = many(count);
        for format in Format::ALL {
            let plain = page(&exposition, format, Encoding::Identity).to_vec();
            assert!(unzip(&page(&exposition, format, Encoding::Gzip)) == plain);
            let zstd = page(&exposition, format, Encoding::Zstd).to_vec();
            assert!(zstd::stream::decode_all(&zstd[..]).unwrap() == plain);
        }
    }
}

#[test]
fn a_page_that_is_still_being_read_is_left_alone() {
    let exposition = many(1_000);
    let change = |value| exposition.apply(&[counter(Jobs::Failures, &["queue0", "slow"], value)], Vec::new());
    let plain = || page(&exposition, Format::Text, Encoding::Identity).series;
    let first = plain();
    let copy = first.concat();
    change(1);
    let second = plain();
    assert!(first.concat() == copy && first != second);
    drop(second);
    change(2);
    assert!(series(&exposition, Format::Text).contains(r#"{queue="queue0",reason="slow"} 2"#));
}

#[test]
fn only_a_page_of_the_present_generation_is_ready() {
    let (registry, up) = registry();
    let exposition = filled(with_registry(registry), 50);
    let ready = || exposition.ready_page(Format::Text, Encoding::Gzip, Instant::now());
    assert!(ready().is_none());
    let made = page(&exposition, Format::Text, Encoding::Gzip);
    up.set(1);
    let unchanged = ready().unwrap();
    assert_eq!(unchanged.series, made.series);
    assert!(String::from_utf8(unzip(&unchanged)).unwrap().contains("\njobs_up 1\n"), "the rest is made each time");
    exposition.apply(&[counter(Jobs::Failures, &["queue0", "slow"], 9)], Vec::new());
    assert!(ready().is_none());
}

#[test]
fn an_unchanged_page_is_not_made_again() {
    let (registry, up) = registry();
    let exposition = filled(with_registry(registry), 50);
    for format in Format::ALL {
        for encoding in Encoding::ALL {
            let first = page(&exposition, format, encoding);
            let second = page(&exposition, format, encoding);
            assert!(Arc::ptr_eq(&first.series, &second.series), "{format:?} {encoding:?}");
        }
    }
    let before = page(&exposition, Format::Text, Encoding::Gzip);
    up.set(1);
    let registry_changed = page(&exposition, Format::Text, Encoding::Gzip);
    assert!(Arc::ptr_eq(&before.series, &registry_changed.series));
    assert!(String::from_utf8(unzip(&registry_changed)).unwrap().contains("\njobs_up 1\n"));
    exposition.apply(&[counter(Jobs::Failures, &["new", "slow"], 1)], Vec::new());
    let changed = page(&exposition, Format::Text, Encoding::Gzip);
    assert!(String::from_utf8(unzip(&changed)).unwrap().contains("queue=\"new\""));
}

#[test]
fn a_page_that_nobody_asks_for_gives_its_memory_back() {
    let exposition = many(50);
    let start = Instant::now();
    let kept = exposition.page(Format::Text, Encoding::Identity, start).unwrap().series;
    let is_unique = || Arc::strong_count(&kept) == 1 && kept.iter().all(Bytes::is_unique);
    assert!(!is_unique(), "the cache has it too");
    let soon = start + Duration::from_secs(299);
    exposition.page(Format::OpenMetrics, Encoding::Gzip, soon).unwrap();
    assert!(!is_unique());
    exposition.page(Format::OpenMetrics, Encoding::Gzip, soon + Duration::from_secs(2)).unwrap();
    assert!(is_unique(), "the cache has dropped it");
}

#[test]
fn concurrent_scrapes_of_a_new_generation_share_one_page() {
    let exposition = Arc::new(many(5_000));
    let scrapes: Vec<_> = (0..8)
        .map(|_| {
            let exposition = Arc::clone(&exposition);
            std::thread::spawn(move || page(&exposition, Format::Text, Encoding::Gzip).series)
        })
        .collect();
    let pages: Vec<_> = scrapes.into_iter().map(|s| s.join().unwrap()).collect();
    assert!(pages.iter().all(|page| Arc::ptr_eq(page, &pages[0])));
}

#[test]
fn parts_have_what_belongs_to_them_and_together_the_whole() {
    let (registry, up) = registry();
    up.set(1);
    let beside = Registry::new();
    let late = IntGauge::new("jobs_late", "Whether the counts lag behind.").unwrap();
    beside.register(Box::new(late)).unwrap();
    let exposition = filled(with_registry(registry).with_metrics_beside_series(beside), 50);
    for format in TEXTS {
        for encoding in Encoding::ALL {
            let text = |part| {
                let page = exposition.part(part, format, encoding, Instant::now()).unwrap();
                let ready = exposition.ready_part(part, format, encoding, Instant::now()).unwrap();
                assert_eq!(page.to_vec(), ready.to_vec());
                let bytes = match encoding {
                    Encoding::Identity => page.to_vec(),
                    Encoding::Gzip => unzip(&page),
                    Encoding::Zstd => zstd::decode_all(&page.to_vec()[..]).unwrap(),
                };
                String::from_utf8(bytes).unwrap()
            };
            let (all, series, process) = (text(Part::All), text(Part::Series), text(Part::Process));
            assert!(series.contains("jobs_failures_total{") && series.contains("\njobs_late 0\n"), "{series}");
            assert!(!series.contains("jobs_up") && !series.contains("jobs_requests"), "{series}");
            assert!(process.contains("jobs_up 1\n") && !process.contains("jobs_late"), "{process}");
            let lines =
                |page: &str| page.lines().filter(|line| *line != "# EOF").map(str::to_owned).collect::<Vec<_>>();
            let (mut parts, mut whole) = ([lines(&series), lines(&process)].concat(), lines(&all));
            parts.sort();
            whole.sort();
            assert_eq!(parts, whole);
            assert!(format == Format::Text || [&series, &process].iter().all(|page| page.ends_with("# EOF\n")));
        }
    }
}

/// Where a chunk is in memory.
fn places(page: &Page) -> Vec<*const u8> {
    page.series.iter().map(|chunk| chunk.as_ptr()).collect()
}

#[test]
fn only_what_has_changed_is_rendered_again() {
    // The first is written over once nobody reads it, and so the pages before are kept here.
    for format in TEXTS {
        for encoding in Encoding::ALL {
            let exposition = many(5_000);
            let before = page(&exposition, format, encoding);
            let name = format!("queue{}", 3_000_u64 * 2_654_435_761);
            exposition.apply(&[counter(Jobs::Failures, &[&name, "slow"], 1_000_000)], Vec::new());
            let after = page(&exposition, format, encoding);
            let (old, new) = (places(&before), places(&after));
            let changed = old.iter().zip(&new).filter(|(old, new)| old != new).count();
            assert!(old.len() == new.len() && old.len() >= 10, "{format:?} {encoding:?}: {} chunks", old.len());
            assert_eq!(changed, 1, "{format:?} {encoding:?}");
        }
    }
}

#[test]
fn a_state_that_changes_nothing_renders_nothing_again() {
    let exposition = many(5_000);
    let before = page(&exposition, Format::OpenMetrics, Encoding::Gzip);
    let name = format!("queue{}", 3_000_u64 * 2_654_435_761);
    exposition.apply(&[counter(Jobs::Failures, &[&name, "slow"], 3_000)], Vec::new());
    assert_eq!(places(&before), places(&page(&exposition, Format::OpenMetrics, Encoding::Gzip)));
}
