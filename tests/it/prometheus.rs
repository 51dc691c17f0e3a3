//! What real Prometheus servers make of our pages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use agntix_exporter::catalogue::{Exposition, Family, GaugeFamily, PROCESS, SHARED};
use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::config::WebConfig;
use agntix_exporter::status::Status;
use agntix_exporter::web::{self, WebState};
use exporter_web::{Server, WebConfigFile};
use exposition::LabelSet;
use exposition::negotiation::{Encoding, Format};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::page::{COUNTED, SESSION_ID, full};
use crate::support::prometheus::{Prometheus, Setup, Version};
use crate::support::promtool;

fn text(exposition: &Exposition, format: Format) -> String {
    String::from_utf8(exposition.page(format, Encoding::Identity, Instant::now()).unwrap().to_vec()).unwrap()
}

/// Serves the page on a free port until the test's runtime ends.
pub async fn serve(exposition: Arc<Exposition>) -> SocketAddr {
    let listener = exporter_web::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reload, _) = mpsc::channel(1);
    let (status, clock) = (Arc::new(Status::default()), Arc::new(SystemClock));
    let security = Arc::new(WebConfigFile::none());
    let state = WebState { exposition, recent: Arc::default(), status, reload, clock, security, replica: None };
    let routes = web::router(state, &WebConfig::default()).unwrap();
    tokio::spawn(Server::new(routes).serve([listener], CancellationToken::new()));
    address
}

async fn reads_the_whole_page(version: Version) {
    let began = SystemClock.now().as_seconds_f64();
    let exposition = Arc::new(full());
    let lines = |format, but: &str| {
        text(&exposition, format).lines().filter(|line| !line.starts_with('#') && !line.starts_with(but)).count()
    };
    let samples = lines(Format::OpenMetrics, "# ");
    // Both servers prefer OpenMetrics, which must not cost more series than the text format. It has no `_count` without a `_sum`.
    assert_eq!(samples, lines(Format::Text, "agntix_session_sentiment_score_count"));
    let setup = Setup::scraping(serve(exposition).await).flag("--enable-feature=exemplar-storage");
    let prometheus = Prometheus::start(version, setup).await;

    // Two scrapes, so that a range has two points and what only a second scrape could break has been broken.
    let scrapes = "count_over_time(scrape_samples_scraped[1h])";
    prometheus.query_until(scrapes, |scrapes| scrapes.first().is_some_and(|scrapes| scrapes.value >= 2.0)).await;
    let targets = prometheus.targets().await;
    assert_eq!(targets.len(), 1);
    assert_eq!((targets[0].health.as_str(), targets[0].last_error.as_str()), ("up", ""));
    let read = prometheus.query("scrape_samples_scraped").await;
    assert_eq!(read[0].value.to_string(), samples.to_string(), "{}", prometheus.log());

    let outcomes = prometheus.query(r#"agntix_session_outcomes_total{agent_id="agent_support"}"#).await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].value.to_string(), COUNTED.to_string());
    assert_eq!(outcomes[0].labels["job"], "agntix");
    let intents = prometheus.series("agntix_session_intents_total").await;
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0]["intent"], "Où est \"mon\" colis ?\n\\o/");

    let now = SystemClock.now().as_seconds_f64();
    let ended = prometheus.query_range("agntix_sessions_ended_total", began, now, 0.5).await;
    assert_eq!(ended.len(), 1);
    assert!(ended[0].points.iter().all(|point| point.1.to_string() == COUNTED.to_string()), "{ended:?}");
    assert_eq!(ended[0].labels["state"], "some");

    for metric in [
        "agntix_session_outcomes_total",
        "agntix_session_duration_seconds_bucket",
        "agntix_session_sentiment_score_bucket",
    ] {
        let exemplars = prometheus.exemplars(metric, began - 60.0, now + 60.0).await;
        assert_eq!(exemplars.len(), 1, "{metric}");
        assert_eq!(exemplars[0].series_labels["__name__"], metric);
        assert_eq!(exemplars[0].exemplars[0].labels["session_id"], SESSION_ID);
        assert!(!exemplars[0].exemplars[0].value.is_empty());
    }
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn prometheus_2_reads_the_whole_page() {
    reads_the_whole_page(Version::V2).await;
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn prometheus_3_reads_the_whole_page() {
    reads_the_whole_page(Version::V3).await;
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn promtool_finds_nothing_to_say_of_any_metric() {
    let page = text(&full(), Format::Text);
    let session = Family::ALL.map(Family::descriptor);
    let present = GaugeFamily::ALL.map(GaugeFamily::descriptor);
    for metric in session.iter().chain(&present).chain(SHARED).chain(PROCESS) {
        assert!(page.contains(&format!("\n# TYPE {} ", metric.name)), "{} is not on the page", metric.name);
    }
    for version in [Version::V2, Version::V3] {
        assert_eq!(promtool::check_metrics(version, page.as_bytes()), "", "{version:?}");
    }
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn promtool_finds_nothing_to_say_of_static_labels() {
    let exposition = full();
    exposition.set_constant_labels(LabelSet::new(&["organization"], ["Acme \"West\" \\ Co"]));
    let page = text(&exposition, Format::Text);
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    assert!(samples.clone().all(|line| line.contains(r#"organization="Acme \"West\" \\ Co""#)), "{page}");
    for name in ["agntix_up{", "process_open_fds{", "agntix_session_duration_seconds_bucket{"] {
        assert!(samples.clone().any(|line| line.starts_with(name)), "{name}");
    }
    for version in [Version::V2, Version::V3] {
        assert_eq!(promtool::check_metrics(version, page.as_bytes()), "", "{version:?}");
    }
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn promtool_is_heard_when_it_has_something_to_say() {
    for version in [Version::V2, Version::V3] {
        let said = promtool::check_metrics(version, b"# HELP x y\n# TYPE x counter\nx 1\n");
        assert!(said.contains("_total"), "{version:?}: {said:?}");
        assert_ne!(promtool::check_metrics(version, b"not a page"), "", "{version:?}");
    }
}
