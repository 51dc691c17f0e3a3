//! The landing page with ten thousand agents, of a replica, and of a daemon that waits: pages that no simulator leads to, of the
//! exporter's own routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agntix_exporter::catalogue::{ExporterMetrics, Exposition, Family, GaugeFamily, SeriesKey, SeriesState, buckets};
use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::config::{MetricsConfig, WebConfig};
use agntix_exporter::recent::Recent;
use agntix_exporter::status::{
    ApiStatus, CensusStatus, LookBack, ReplicaStatus, RouteLine, Said, Status, StatusSnapshot,
};
use agntix_exporter::web::{self, WebState};
use exporter_web::{Server, WebConfigFile};
use exposition::{BucketSchemaId, LabelSet};
use tokio_util::sync::CancellationToken;

use super::look;
use crate::support::ask;

const AGENTS: u64 = 10_000;
/// As many as a person reads, beside all together and those that the table does not tell apart.
const ROWS: usize = 50 + 2;

fn outcomes(agent: u64, count: u64) -> SeriesState {
    let labels = LabelSet::new(
        Family::Outcomes.descriptor().labels,
        [format!("agnt_{agent:05}").as_str(), "voice", "phone", "inbound", "unresolved", "negative"],
    );
    SeriesState {
        key: SeriesKey { family: Family::Outcomes, labels },
        schema: BucketSchemaId::NONE,
        created_ms: 0,
        counts: Box::new([count]),
        held_counts: None,
    }
}

/// A daemon that waits, and says at length what for.
fn waiting() -> StatusSnapshot {
    StatusSnapshot {
        started_at: SystemClock.now(),
        api: ApiStatus::Up,
        ready: Ok(()),
        look_back: LookBack::Done,
        missing: vec![
            "The listing is answered 404 under every spelling that is known; set api.list_path, or sessions.listing = false if there is none.".into(),
            "The event stream at /v1/chat/events/stream?organization=00000000-0000-0000-0000-000000000000 is answered 403.".into(),
        ],
        ..StatusSnapshot::default()
    }
}

/// A replica whose names and troubles are as long as they come.
fn status() -> StatusSnapshot {
    let now = SystemClock.now();
    let trouble =
        format!("502 Bad Gateway from https://{}.example/, which is no answer of Agntix", "gateway-".repeat(12));
    StatusSnapshot {
        started_at: now,
        api: ApiStatus::Down(format!("{trouble}; ask whoever runs it")),
        ready: Ok(()),
        look_back: LookBack::Done,
        routes: vec![RouteLine {
            gives: "single sessions".into(),
            path: format!("/{}/v1/chat/sessions/{{id}}", "tenant".repeat(10)),
            good_ago: Some(Duration::from_secs(90)),
            trouble: Some(trouble),
        }],
        replica: Some(ReplicaStatus {
            name: "agntix-exporter-7d9f8b6c5d-x2x4v.monitoring/1".into(),
            database: "db-1.postgres.svc.cluster.local:5432,db-2.postgres.svc.cluster.local:5432/agntix".into(),
            schema: "agntix_exporter".into(),
            holder: "agntix-exporter-7d9f8b6c5d-k8s9q.monitoring/1".into(),
            since: Some(now),
            current_at: Some(now),
            sequence: 1_234_567_890,
            census: Some(CensusStatus { replicas: 3, inbox: 12_345, is_synchronous: false }),
            said: Some(Said { at: now, ready: Ok(()) }),
            differing: vec!["metrics.static_labels".into(), "metrics.duration_buckets".into()],
            ..ReplicaStatus::default()
        }),
        ..StatusSnapshot::default()
    }
}

fn state(exposition: Exposition, recent: Recent, status: StatusSnapshot) -> WebState {
    WebState {
        exposition: Arc::new(exposition),
        recent: Arc::new(recent),
        status: Arc::new(Status::new(status)),
        reload: tokio::sync::mpsc::channel(1).0,
        clock: Arc::new(SystemClock),
        security: Arc::new(WebConfigFile::none()),
        replica: None,
    }
}

fn page() -> Exposition {
    let schemas = Arc::new(buckets::schemas(&MetricsConfig::default()));
    ExporterMetrics::new().unwrap().exposition(schemas)
}

/// Ten thousand agents, of whom a hundred have had sessions in every place of the hour's course.
fn many() -> (Exposition, Recent) {
    let exposition = page();
    exposition.publish();
    let recent = Recent::default();
    let began = SystemClock.now().minus(Duration::from_secs(3 * 3_600));
    recent.look(&exposition, began);
    let infos = (0..AGENTS).map(|agent| {
        let values = [&*format!("agnt_{agent:05}"), &*format!("Agent number {agent}"), "en", "true", "true"];
        (LabelSet::new(GaugeFamily::AgentInfo.descriptor().labels, values), 1.0)
    });
    exposition.set_gauges(GaugeFamily::AgentInfo, infos.collect());
    let count = |agents: std::ops::Range<u64>, minute: u64| {
        let states: Vec<_> = agents.map(|agent| outcomes(agent, minute + agent)).collect();
        exposition.apply(&states, Vec::new());
        recent.look(&exposition, began.plus(Duration::from_secs(minute * 60)));
    };
    count(0..AGENTS, 1);
    // Those that are shown.
    (2..180).step_by(2).for_each(|minute| count(900..1_000, minute));
    (exposition, recent)
}

/// Serves these routes until the token is cancelled.
async fn serve(state: WebState, stop: &CancellationToken) -> SocketAddr {
    let listener = exporter_web::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = web::router(state, &WebConfig::default()).unwrap();
    tokio::spawn(Server::new(routes).serve([listener], stop.clone()));
    address
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and axe-core (.ci/tools)"]
async fn ten_thousand_agents_make_a_page_that_a_person_can_read() {
    let stop = CancellationToken::new();
    let (exposition, recent) = many();
    let full = serve(state(exposition, recent, status()), &stop).await;
    let waits = serve(state(page(), Recent::default(), waiting()), &stop).await;
    let (seen, size) = tokio::task::spawn_blocking(move || {
        let seen = look(&[full, waits].map(|address| format!("http://{address}/")), &[]);
        (seen, ask(full, "GET", "/", &[]).unwrap().body.len())
    })
    .await
    .unwrap();
    stop.cancel();
    let [many, waiting] = &*seen else { panic!("{seen:#?}") };
    println!("{size} bytes, {} elements, drawn after {} ms", many.elements, many.milliseconds);
    // The same whether there are a thousand agents or a million: it is bounded by its rows.
    assert!(size < 250_000 && many.elements < ROWS * 40, "{size} bytes, {} elements", many.elements);
    assert!(many.milliseconds < 5_000, "{} ms", many.milliseconds);
    for expected in
        ["All agents", "Further agents", "950 more are in", "Replicas", "12345 deliveries", "gateway-gateway"]
    {
        assert!(many.text.contains(expected), "{expected} in {}", many.text);
    }
    assert_eq!(many.text.matches("Agent number").count(), 50, "{}", many.text);
    assert!(waiting.title.ends_with("Something is missing") && !waiting.text.contains("Agents"), "{waiting:#?}");
}
