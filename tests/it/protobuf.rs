//! What a real Prometheus 3 makes of a protobuf page: the series and values of the text formats, exemplars, the time since when a
//! counter counts, and histograms with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use agntix_exporter::catalogue::{Exposition, Family, PROCESS};
use exposition::{BucketSchemaId, Kind, LabelSet, SeriesKey, SeriesState};
use serde_json::{Value, json};

use crate::prometheus::serve;
use crate::support::number;
use crate::support::page::{COUNTED, SESSION_ID, full};
use crate::support::prometheus::{Labels, Prometheus, Sample, Setup, Version};

/// Start times are ingested; it also makes protobuf what is asked for first.
const START_TIMES: &str = "--enable-feature=created-timestamp-zero-ingestion";
/// Prometheus 3.5 refuses to make custom buckets and to ingest start times at once (prometheus#15137).
const NATIVE: &str = "--enable-feature=native-histograms";

/// A server with a job for each of these, all of which scrape the same page, once each has scraped it twice.
async fn scraping(flag: &str, exposition: Exposition, jobs: &[(&str, Value)]) -> Prometheus {
    let target = serve(Arc::new(exposition)).await.to_string();
    let configs = jobs.iter().map(|(job, settings)| {
        let mut config = json!({ "job_name": job, "static_configs": [{ "targets": [target] }] });
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        config
    });
    let mut setup = Setup::default().flag(flag);
    setup.top.insert("scrape_configs".into(), configs.collect());
    let prometheus = Prometheus::start(Version::V3, setup).await;
    let twice = |found: &[Sample]| found.len() == jobs.len() && found.iter().all(|scrapes| scrapes.value >= 2.0);
    prometheus.query_until("count_over_time(scrape_samples_scraped[1h])", twice).await;
    for target in prometheus.targets().await {
        assert_eq!((target.health.as_str(), target.last_error.as_str()), ("up", ""), "{}", prometheus.log());
    }
    prometheus
}

fn protocol(name: &str) -> Value {
    json!({ "scrape_protocols": [name] })
}

/// A histogram without a sum.
const SCORE: &str = "agntix_session_sentiment_score";

/// The names of all histograms. As a series only a native one has the name itself.
fn histograms() -> Vec<&'static str> {
    let families = Family::ALL.map(Family::descriptor);
    let all = families.iter().chain(PROCESS);
    all.filter(|metric| matches!(metric.kind, Kind::Histogram { .. })).map(|metric| metric.name).collect()
}

/// The series of a job without the job, and their values. What differs from scrape to scrape has none, and native histograms are
/// left out.
async fn stored(prometheus: &Prometheus, job: &str) -> BTreeMap<Labels, String> {
    let native = histograms().join("|");
    let all = format!(r#"{{__name__=~"agntix_.+|process_.+", __name__!~"{native}", job="{job}"}}"#);
    let all = prometheus.query(&all).await;
    let without_job = |sample: Sample| {
        let mut labels = sample.labels;
        labels.remove("job");
        let passing =
            labels["__name__"].starts_with("process_") || labels["__name__"].starts_with("agntix_exporter_web_");
        (labels, if passing { String::new() } else { sample.value.to_string() })
    };
    all.into_iter().map(without_job).collect()
}

/// Not there in OpenMetrics.
fn is_count_of_scores(labels: &Labels) -> bool {
    labels["__name__"] == "agntix_session_sentiment_score_count"
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn protobuf_is_stored_as_the_series_of_the_text_format_with_exemplars() {
    let jobs = [
        ("text", protocol("PrometheusText0.0.4")),
        ("open", protocol("OpenMetricsText1.0.0")),
        ("protobuf", protocol("PrometheusProto")),
    ];
    let prometheus = scraping("--enable-feature=exemplar-storage", full(), &jobs).await;
    let text = stored(&prometheus, "text").await;
    let protobuf = stored(&prometheus, "protobuf").await;
    assert!(text.len() > 100, "{text:?}");

    assert_eq!(protobuf, text);

    // OpenMetrics has no count where it has no sum, and else the same.
    let mut open = stored(&prometheus, "open").await;
    let count = text.iter().find(|(labels, _)| is_count_of_scores(labels)).unwrap();
    open.insert(count.0.clone(), count.1.clone());
    assert_eq!(open, text);

    for metric in [
        "agntix_session_outcomes_total",
        "agntix_session_duration_seconds_bucket",
        "agntix_session_sentiment_score_bucket",
    ] {
        let of = |job: &str| format!(r#"{metric}{{job="{job}"}}"#);
        let now = prometheus.query("time()").await[0].value;
        let found = prometheus.exemplars(&of("protobuf"), now - 60.0, now + 60.0).await;
        assert_eq!(found.len(), 1, "{metric}");
        assert_eq!(found[0].exemplars[0].labels["session_id"], SESSION_ID);
        let open = prometheus.exemplars(&of("open"), now - 60.0, now + 60.0).await;
        assert_eq!(found[0].exemplars[0].value, open[0].exemplars[0].value);
    }
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn a_start_time_makes_the_first_value_of_a_series_a_rise_since_then() {
    let jobs = [("text", protocol("PrometheusText0.0.4")), ("protobuf", protocol("PrometheusProto"))];
    let exposition = full();
    // One that has counted for longer than a server takes samples from the past, as on the first day of a new server.
    let old = LabelSet::new(Family::Languages.descriptor().labels, ["agent_old", "en", "resolved", "positive"]);
    let old = SeriesState {
        key: SeriesKey { family: Family::Languages, labels: old },
        schema: BucketSchemaId::NONE,
        created_ms: 1_600_000_000_000,
        counts: [COUNTED].into(),
        held_counts: None,
    };
    exposition.apply(&[old], Vec::new());
    let prometheus = scraping(START_TIMES, exposition, &jobs).await;
    for selector in [
        r#"agntix_session_outcomes_total{agent_id="agent_support""#,
        "agntix_session_duration_seconds_count{",
        r#"agntix_session_duration_seconds_bucket{le="+Inf""#,
        // Of the process, since it runs.
        r#"agntix_exporter_api_requests_total{code="200""#,
    ] {
        let values = async |job: &str| {
            let series = prometheus.raw(&format!(r#"{selector},job="{job}"}}[1h]"#).replace("{,", "{")).await;
            assert_eq!(series.len(), 1, "{selector}");
            series[0].points.iter().map(|(_, value)| *value).collect::<Vec<_>>()
        };
        let (text, protobuf) = (values("text").await, values("protobuf").await);
        assert!(text.iter().all(|value| *value == text[0]) && text[0] > 0.0, "{selector}: {text:?}");
        assert_eq!(protobuf[0], 0.0, "{selector}: {protobuf:?}");
        assert!(protobuf.len() > 2 && protobuf[1..].iter().all(|value| *value == text[0]), "{selector}: {protobuf:?}");
    }
    let old = prometheus.raw(r#"agntix_session_languages_total{job="protobuf",agent_id="agent_old"}[1h]"#).await;
    assert!(old[0].points.iter().all(|(_, value)| *value == number(usize::try_from(COUNTED).unwrap())), "{old:?}");
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn classic_histograms_can_be_stored_as_native_ones_with_custom_buckets() {
    let nhcb = |keep| {
        json!({
            "scrape_protocols": ["PrometheusProto"],
            "convert_classic_histograms_to_nhcb": true,
            "always_scrape_classic_histograms": keep,
        })
    };
    let jobs = [("text", protocol("PrometheusText0.0.4")), ("nhcb", nhcb(false)), ("both", nhcb(true))];
    let prometheus = scraping(NATIVE, full(), &jobs).await;
    let text = stored(&prometheus, "text").await;
    // A histogram is one series; the one without a sum stays as it is, as all else.
    let is_part = |labels: &Labels| {
        let name = labels["__name__"].as_str();
        !name.starts_with(SCORE) && ["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix))
    };
    let nhcb = stored(&prometheus, "nhcb").await;
    assert!(!nhcb.keys().any(is_part));
    let mut plain = text.clone();
    plain.retain(|labels, _| !is_part(labels));
    assert_eq!(nhcb, plain);

    // With the classic series beside it, nothing has to be written anew.
    assert_eq!(stored(&prometheus, "both").await, text);

    let histograms = histograms();
    assert!(histograms.len() > 8, "{histograms:?}");
    for name in histograms.into_iter().filter(|name| *name != SCORE) {
        let one = async |expr: String| {
            let found = prometheus.query(&expr).await;
            assert_eq!(found.len(), 1, "{expr}: {found:?}");
            found[0].value
        };
        for job in ["nhcb", "both"] {
            let native = format!(r#"sum({name}{{job="{job}"}})"#);
            let text = |suffix: &str| format!(r#"sum by (le) ({name}{suffix}{{job="text"}})"#);
            let count = one(format!("histogram_count({native})")).await;
            assert_eq!(count, one(text("_count")).await, "{name}");
            assert_eq!(one(format!("histogram_sum({native})")).await, one(text("_sum")).await, "{name}");
            let quantile = one(format!("histogram_quantile(0.5, {native})")).await;
            let classic = one(format!("histogram_quantile(0.5, {})", text("_bucket"))).await;
            let near = (quantile - classic).abs() <= 1e-9 * classic.abs() || count == 0.0 && quantile.is_nan();
            assert!(near, "{name}: {quantile} for {classic}");
        }
    }
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn prometheus_2_with_native_histograms_asks_for_protobuf_first() {
    let target = serve(Arc::new(full())).await;
    let mut found = Vec::new();
    for flag in ["--enable-feature=exemplar-storage", NATIVE] {
        let prometheus = Prometheus::start(Version::V2, Setup::scraping(target).flag(flag)).await;
        let twice = |found: &[Sample]| found.first().is_some_and(|scrapes| scrapes.value >= 2.0);
        prometheus.query_until("count_over_time(scrape_samples_scraped[1h])", twice).await;
        found.push(stored(&prometheus, "agntix").await);
    }
    let (protobuf, mut open) = (found.remove(1), found.remove(0));
    let (count, counted) = protobuf.iter().find(|(labels, _)| is_count_of_scores(labels)).unwrap();
    assert_eq!(open.insert(count.clone(), counted.clone()), None);
    assert_eq!(protobuf, open);
}
