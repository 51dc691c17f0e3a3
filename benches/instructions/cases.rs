//! What is counted. Each case sets up what it needs, does its work once so that buffers and caches are as they are later on, and then hands
//! the work to [`counted`].

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::{JsonText, Secret, SignatureHeaders, WebhookSecretSource, WebhookSecrets, wire};
use agntix_exporter::catalogue::{Exemplar, ExporterMetrics, Exposition, Family, SeriesKey, SeriesState, buckets};
use agntix_exporter::clock::{ManualClock, Tick, Timestamp};
use agntix_exporter::config::{Config, MetricsConfig, WebConfig};
use agntix_exporter::discovery::webhook::{Deliveries, DeliveryStatus};
use agntix_exporter::ledger::{Change, Commit, CommitOutcome, Ledger, Pending};
use agntix_exporter::observation::{ObservationConfig, observe, observe_entry};
use agntix_exporter::session::{Channel, Source, Stage as Known};
use agntix_exporter::status::Status;
use agntix_exporter::tracker::{Class, Progress, Tracker};
use agntix_exporter::web::{self, WebState};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use exporter_web::WebConfigFile;
use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchemaId, LabelSet, Part};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::support::{self, NOW, Stage, session};
use crate::valgrind::counted;

/// Something whose instructions are counted.
pub struct Case {
    /// Its name in the file of the limits.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Sets it up and counts.
    pub run: fn(),
}

/// All of them.
pub const ALL: &[Case] = &[
    Case {
        name: "page_changed_plain",
        what: "a page of which one series has changed",
        run: || changed(1, Format::Text, Encoding::Identity),
    },
    Case { name: "page_changed_gzip", what: "the same in gzip", run: || changed(1, Format::Text, Encoding::Gzip) },
    Case {
        name: "page_changed_protobuf",
        what: "a page of protobuf of which one series has changed",
        run: || changed(1, Format::Protobuf, Encoding::Identity),
    },
    Case {
        name: "page_all_changed_plain",
        what: "a page of which all counters have changed",
        run: || changed(COUNTERS, Format::Text, Encoding::Identity),
    },
    Case {
        name: "page_all_changed_gzip",
        what: "the same in gzip",
        run: || changed(COUNTERS, Format::Text, Encoding::Gzip),
    },
    Case {
        name: "page_all_changed_openmetrics",
        what: "the same in OpenMetrics",
        run: || changed(COUNTERS, Format::OpenMetrics, Encoding::Identity),
    },
    Case {
        name: "page_all_changed_protobuf",
        what: "the same in protobuf",
        run: || changed(COUNTERS, Format::Protobuf, Encoding::Identity),
    },
    Case {
        name: "page_unchanged_plain",
        what: "a page of which nothing has changed",
        run: || unchanged(Part::All, Encoding::Identity),
    },
    Case { name: "page_unchanged_gzip", what: "the same in gzip", run: || unchanged(Part::All, Encoding::Gzip) },
    Case {
        name: "page_own_metrics",
        what: "the exporter's own metrics alone",
        run: || unchanged(Part::Process, Encoding::Identity),
    },
    Case { name: "scrape_unchanged_gzip", what: "an unchanged page by way of its route", run: scrape },
    Case { name: "series_after_a_commit", what: "64 sessions' series put on the page", run: series_after_a_commit },
    Case { name: "observe_session", what: "a session's text read and observed", run: observe_one },
    Case { name: "observe_listed_100", what: "a page of the listing read and observed", run: observe_listed },
    Case { name: "deliver", what: "a delivery checked, read, handed to the ledger", run: deliver },
    Case {
        name: "commit_1",
        what: "a session counted in a commit of its own",
        run: || commit(1, Stage::Analysed, MANY_TIMES),
    },
    Case { name: "commit_64", what: "64 sessions counted in a commit", run: || commit(64, Stage::Analysed, TIMES) },
    Case {
        name: "commit_64_open",
        what: "64 open sessions remembered in a commit",
        run: || commit(64, Stage::Open, TIMES),
    },
    Case { name: "commit_64_known", what: "64 sessions found to be counted before", run: commit_known },
    Case { name: "tracker_summary", what: "1,000 tracked sessions summed up", run: tracker_summary },
    Case { name: "tracker_turn", what: "a tracked session taken when it is due, and settled", run: tracker_turn },
];

/// Often enough for a middle count.
const TIMES: u64 = 3;
/// What depends on where in a tree it finds its place takes another number of instructions each time.
const MANY_TIMES: u64 = 25;

const COUNTERS: u64 = 1_000;
const SESSION: &str = include_str!("../../tests/fixtures/session-closed.json");

/// 1,000 counters with six labels, and histograms of 100 channels with exemplars. The metrics of the process are left out: what the system says of a
/// process is different each time, and the library that asks it looks for a part of the kernel that valgrind hides.
fn pages() -> Exposition {
    let schemas = Arc::new(buckets::schemas(&MetricsConfig::default()));
    let exposition = ExporterMetrics::without_process().unwrap().exposition(schemas);
    let counters = (0..COUNTERS).map(|n| counter(n, n * 37));
    let histograms: Vec<SeriesState> = (0..100).map(histogram).collect();
    let exemplar = |state: &SeriesState| Exemplar {
        key: state.key.clone(),
        bucket: 2,
        id: "4981804c-2658-4893-84ff-9c2fa90fb3c2".into(),
        value: 9.416,
        at_ms: NOW.as_millis(),
    };
    let exemplars = histograms.iter().map(exemplar).collect();
    exposition.apply(&counters.chain(histograms.iter().cloned()).collect::<Vec<_>>(), exemplars);
    exposition.publish();
    exposition
}

fn state(family: Family, labels: &[String], schema: BucketSchemaId, counts: Box<[u64]>) -> SeriesState {
    let labels = LabelSet::new(family.descriptor().labels, labels.iter().map(String::as_str));
    SeriesState { key: SeriesKey { family, labels }, schema, created_ms: 1_775_624_410_546, counts, held_counts: None }
}

fn channel(n: u64) -> [String; 4] {
    let of = |choices: [&str; 3], by: u64| choices[usize::try_from(n / by % 3).unwrap()].to_owned();
    [
        format!("40235145-aa3d-443e-9d0c-{:012x}", n / 9),
        of(["voice", "chat", "email"], 1),
        of(["phone", "web", "whatsapp"], 3),
        "inbound".into(),
    ]
}

fn counter(n: u64, value: u64) -> SeriesState {
    let resolution = ["resolved", "unresolved", "partially_resolved"][usize::try_from(n / 100 % 3).unwrap()];
    let sentiment = ["positive", "neutral", "negative", "none"][usize::try_from(n / 300).unwrap()];
    let labels = [&channel(n % 100)[..], &[resolution.into(), sentiment.into()]].concat();
    state(Family::Outcomes, &labels, BucketSchemaId::NONE, Box::new([value]))
}

fn histogram(n: u64) -> SeriesState {
    let width = buckets::schemas(&MetricsConfig::default()).width(buckets::DURATION);
    let counts = (0..width as u64).map(|bucket| n * bucket).collect();
    state(Family::Duration, &channel(n), buckets::DURATION, counts)
}

/// So many of the counters have changed since the page before.
fn changed(counters: u64, format: Format, encoding: Encoding) {
    let exposition = pages();
    for time in 0..=TIMES {
        let states: Vec<_> = (0..counters).map(|n| counter(n, 100_000 + time)).collect();
        exposition.apply(&states, Vec::new());
        let page = || drop(black_box(exposition.page(format, encoding, Instant::now()).unwrap()));
        if time == 0 { page() } else { counted(page) }
    }
}

fn unchanged(part: Part, encoding: Encoding) {
    let exposition = pages();
    for time in 0..=TIMES {
        let page = || drop(black_box(exposition.part(part, Format::Text, encoding, Instant::now()).unwrap()));
        if time == 0 { page() } else { counted(page) }
    }
}

fn scrape() {
    let (reload, _) = mpsc::channel(1);
    let state = WebState {
        exposition: Arc::new(pages()),
        recent: Arc::default(),
        status: Arc::new(Status::default()),
        reload,
        clock: Arc::new(ManualClock::new(NOW)),
        security: Arc::new(WebConfigFile::none()),
        replica: None,
    };
    let (routes, runtime) = (web::router(state, &WebConfig::default()).unwrap(), support::runtime());
    for time in 0..=TIMES {
        let request = Request::get("/metrics")
            .header("accept-encoding", "gzip")
            .header("accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
        let request = request.body(Body::empty()).unwrap();
        let scrape = || {
            let answer = runtime.block_on(async { routes.clone().oneshot(request).await.unwrap() });
            assert!(answer.status().is_success());
            drop(black_box(answer));
        };
        if time == 0 { scrape() } else { counted(scrape) }
    }
}

/// The states that a commit of 64 sessions leaves, all of them there before.
fn series_after_a_commit() {
    let exposition = pages();
    for time in 1..=TIMES {
        let states: Vec<_> = (0..64 * 10).map(|n| counter(n, 100_000 * time)).collect();
        counted(|| exposition.apply(&states, Vec::new()));
    }
}

fn observation() -> (ObservationConfig, Timestamp) {
    (ObservationConfig::from(&Config::default()), Timestamp::parse_rfc3339("2026-04-08T05:01:00Z").unwrap())
}

fn observe_one() {
    let (config, now) = observation();
    for time in 0..=TIMES {
        let read = || {
            let text = JsonText::new(SESSION.as_bytes());
            let session = text.read::<wire::Session<'_>>().unwrap();
            drop(black_box(observe(&session, &config, now).unwrap()));
        };
        if time == 0 { read() } else { counted(read) }
    }
}

/// As the poller reads a page of the listing: each entry apart, so that a bad one costs only itself.
fn observe_listed() {
    let (config, now) = observation();
    let page = format!("{{\"data\":[{}],\"pagination\":{{\"totalPages\":1}}}}", [SESSION; 100].join(","));
    for time in 0..=TIMES {
        let read = || {
            let text = JsonText::new(page.as_bytes());
            for raw in text.read_list::<wire::Page<'_>>().unwrap().data.unwrap() {
                let item = JsonText::new(raw.get().as_bytes());
                let entry = item.read::<wire::Session<'_>>().unwrap();
                drop(black_box(observe_entry(&entry, &config, now).unwrap()));
            }
        };
        if time == 0 { read() } else { counted(read) }
    }
}

/// A ledger that has everything durable at once: what a real one does is counted by itself.
struct Durable;

impl Ledger for Durable {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        let outcomes = changes.iter().map(|_| CommitOutcome::Counted { historic: false, new: true });
        Box::pin(std::future::ready(Ok(outcomes.collect())))
    }
}

fn deliver() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let source = WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &Secret::new(SECRET).unwrap()).unwrap();
    let (sender, mut news) = mpsc::channel(1);
    let (config, now) = observation();
    let deliveries =
        Deliveries::new(source, Arc::new(Durable), sender, config, Arc::new(ManualClock::new(now)), Arc::default());
    let body = SESSION.replacen('{', "{\"eventType\": \"session.ended\", ", 1);
    let seconds = now.as_millis() / 1000;
    let signature = WebhookSecrets::parse(SECRET).unwrap().sign("msg_1", seconds, body.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("svix-id", HeaderValue::from_static("msg_1"));
    headers.insert("svix-timestamp", HeaderValue::from(seconds));
    headers.insert("svix-signature", signature.parse().unwrap());
    // It gives up waiting for the ledger after a while, which needs a timer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for time in 0..=TIMES {
        let mut status = None;
        let mut take =
            || status = Some(runtime.block_on(deliveries.take(&SignatureHeaders::of(&headers), body.as_bytes())).1);
        if time == 0 {
            take();
        } else {
            counted(take);
        }
        assert_eq!(status, Some(DeliveryStatus::Counted));
        news.try_recv().unwrap();
    }
}

/// Counts all threads, so also that which writes.
fn commit(batch: u64, stage: Stage, times: u64) {
    let directory = support::directory(&format!("instructions-{batch}-{}", stage == Stage::Open));
    let (ledger, _) = support::open(&directory);
    let runtime = support::runtime();
    for time in 0..times + 2 {
        let changes: Vec<Change> = (time * batch..(time + 1) * batch).map(|n| session(n, stage, 0)).collect();
        let commit = || drop(black_box(support::commit(&runtime, &ledger, changes)));
        // The first two find trees that are empty, or nearly.
        if time < 2 { commit() } else { counted(commit) }
    }
    drop(ledger);
    std::fs::remove_dir_all(directory).unwrap();
}

fn commit_known() {
    let directory = support::directory("instructions-known");
    let (ledger, _) = support::open(&directory);
    let runtime = support::runtime();
    let changes = || -> Vec<Change> { (0..64).map(|n| session(n, Stage::Analysed, 0)).collect() };
    for time in 0..=MANY_TIMES {
        let changes = changes();
        let commit = || drop(black_box(support::commit(&runtime, &ledger, changes)));
        if time == 0 { commit() } else { counted(commit) }
    }
    drop(ledger);
    std::fs::remove_dir_all(directory).unwrap();
}

const TRACKED: u64 = 1_000;

/// Open and ended sessions of 20 channels, each due at a time of its own.
fn tracker() -> Tracker {
    let mut tracker = Tracker::default();
    let channels: Vec<Arc<Channel>> = (0..20).map(|n| Arc::new(channel_of(n))).collect();
    for n in 0..TRACKED {
        let id: Arc<str> = format!("{n:08x}-2658-4893-84ff-{n:012x}").into();
        let is_open = n % 2 == 0;
        let pending = Pending {
            id,
            created: Some(NOW),
            stage: if is_open { Known::Open } else { Known::Ended },
            ended: (!is_open).then_some(NOW),
            channel: channels.get(usize::try_from(n % 20).unwrap()).cloned(),
            heard: NOW,
            source: Source::Listing,
        };
        tracker.restore(pending, Tick::ZERO);
    }
    tracker
}

fn channel_of(n: u64) -> Channel {
    let [agent_id, session_type, platform, direction] = channel(n);
    Channel { agent_id, session_type, platform, direction }
}

fn tracker_summary() {
    let tracker = tracker();
    for _ in 0..TIMES {
        counted(|| drop(black_box(tracker.summary(Some(NOW), Tick::ZERO))));
    }
}

fn tracker_turn() {
    let mut tracker = tracker();
    for _ in 0..MANY_TIMES {
        counted(|| {
            let id = tracker.due_in(Class::Open, Tick::ZERO).unwrap();
            tracker.take(&id);
            tracker.settle(&id, Progress::Pending(Known::Open), Tick::ZERO, |_| Duration::from_secs(60));
        });
    }
}
