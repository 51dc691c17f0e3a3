//! What a real Prometheus 3 makes of a protobuf page: the series and values of the text formats, exemplars, the time since when a
//! counter counts, and histograms with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use agntix_exporter::catalogue::{Exposition, Family};
use exposition::{BucketSchemaId, Kind, LabelSet, SeriesKey, SeriesState};
use serde_json::{Value, json};

use crate::prometheus::serve;
use crate::support::page::{COUNTED, SESSION_ID, full};
use crate::support::prometheus::{Labels, Prometheus, Sample, Setup, Version};

/// All that a scrape can be stored as.
const FEATURES: &str = "--enable-feature=exemplar-storage,native-histograms,created-timestamp-zero-ingestion";

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

/// The series of a job without the job, and their values. What differs from scrape to scrape has none.
async fn stored(prometheus: &Prometheus, job: &str) -> BTreeMap<Labels, String> {
    let all = prometheus.query(&format!(r#"{{__name__=~"agntix_.+|process_.+", job="{job}"}}"#)).await;
    let without_job = |sample: Sample| {
        let mut labels = sample.labels;
        labels.remove("job");
        let passing =
            labels["__name__"].starts_with("process_") || labels["__name__"].starts_with("agntix_exporter_web_");
        (labels, if passing { String::new() } else { sample.value.to_string() })
    };
    all.into_iter().map(without_job).collect()
}

fn is_sum_of_scores(labels: &Labels) -> bool {
    labels["__name__"] == "agntix_session_sentiment_score_sum"
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
    let mut protobuf = stored(&prometheus, "protobuf").await;
    assert!(text.len() > 100, "{text:?}");

    // The one difference: a sum that the text format leaves out is not a number here, and so is all that is made of it.
    let sums: Vec<_> = protobuf.extract_if(.., |labels, _| is_sum_of_scores(labels)).collect();
    assert!(sums.len() == 1 && sums[0].1 == "NaN", "{sums:?}");
    let sum = r#"agntix_session_sentiment_score_sum{job="protobuf"}"#;
    for expr in [
        format!("rate({sum}[1m])"),
        format!("increase({sum}[1m])"),
        format!("sum({sum})"),
        format!("{sum} / agntix_session_sentiment_score_count"),
    ] {
        let found = prometheus.query(&expr).await;
        assert!(found.len() == 1 && found[0].value.is_nan(), "{expr}: {found:?}");
    }
    assert_eq!(protobuf, text);

    // OpenMetrics has no count where it has no sum, and else the same.
    let mut open = stored(&prometheus, "open").await;
    open.extend(
        text.iter()
            .filter(|(labels, _)| labels["__name__"] == "agntix_session_sentiment_score_count")
            .map(|(labels, value)| (labels.clone(), value.clone())),
    );
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
    let prometheus = scraping(FEATURES, exposition, &jobs).await;
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
    assert!(old[0].points.iter().all(|(_, value)| *value == COUNTED as f64), "{old:?}");
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
    let prometheus = scraping(FEATURES, full(), &jobs).await;
    let text = stored(&prometheus, "text").await;
    let histograms: Vec<&str> = Family::ALL
        .iter()
        .map(|family| family.descriptor())
        .filter(|descriptor| matches!(descriptor.kind, Kind::Histogram { .. }))
        .map(|descriptor| descriptor.name)
        .collect();
    assert!(histograms.len() > 5);

    // Whatever is no histogram is as it was; a histogram is one series.
    let is_part = |labels: &Labels| {
        let name = labels["__name__"].as_str();
        ["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix))
    };
    let mut nhcb = stored(&prometheus, "nhcb").await;
    nhcb.retain(|labels, _| !is_part(labels));
    let mut plain = text.clone();
    plain.retain(|labels, _| !is_part(labels));
    assert_eq!(nhcb, plain);

    // With the classic series beside it, nothing has to be written anew.
    let mut both = stored(&prometheus, "both").await;
    both.retain(|labels, _| !is_sum_of_scores(labels));
    assert_eq!(both, text);

    for name in histograms {
        let one = async |expr: String| {
            let found = prometheus.query(&expr).await;
            assert_eq!(found.len(), 1, "{expr}: {found:?}");
            found[0].value
        };
        for job in ["nhcb", "both"] {
            let native = format!(r#"{name}{{job="{job}"}}"#);
            let count = one(format!("histogram_count({native})")).await;
            assert_eq!(count, one(format!(r#"{name}_bucket{{job="text",le="+Inf"}}"#)).await, "{name}");
            let quantile = one(format!("histogram_quantile(0.5, {native})")).await;
            let classic = one(format!(r#"histogram_quantile(0.5, {name}_bucket{{job="text"}})"#)).await;
            assert!((quantile - classic).abs() <= 1e-9 * classic.abs(), "{name}: {quantile} for {classic}");
            let sum = one(format!("histogram_sum({native})")).await;
            if name == "agntix_session_sentiment_score" {
                assert!(sum.is_nan(), "{sum}");
            } else {
                assert_eq!(sum, one(format!(r#"{name}_sum{{job="text"}}"#)).await, "{name}");
            }
        }
    }
}
