//! What a page costs those who scrape it, in each format, beside `client_golang`'s page of the same series: a table for
//! docs/performance.md. It decides nothing, and takes minutes.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_exporter::catalogue::{Exemplar, ExporterMetrics, Exposition, Family, SeriesKey, SeriesState, buckets};
use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::config::MetricsConfig;
use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchemaId, BucketSchemas, LabelSet};
use serde_json::{Value, json};

use crate::prometheus::serve;
use crate::support::ask;
use crate::support::prometheus::{Prometheus, Sample, Setup, Version};

const AGENTS: u64 = 120;
/// How often it is scraped, and for how long its server is watched after the first scrapes, in which it makes the series.
const INTERVAL: &str = "2s";
const WATCHED: Duration = Duration::from_secs(20);

/// The series of a hundred agents in four channels, without those that need an option. Each outcome has an exemplar, and one
/// bucket of each histogram that can.
fn exposition() -> Exposition {
    let schemas = Arc::new(buckets::schemas(&MetricsConfig::default()));
    let exposition = ExporterMetrics::new().unwrap().exposition(Arc::clone(&schemas));
    let now = SystemClock.now().as_millis();
    let (mut states, mut exemplars) = (Vec::new(), Vec::new());
    for family in Family::ALL {
        let Some(schema) = schema(family) else { continue };
        for key in keys(family) {
            let n = u64::try_from(states.len()).unwrap();
            if [Family::Outcomes, Family::Duration, Family::SentimentScore].contains(&family) {
                let id = format!("ses_{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into();
                exemplars.push(Exemplar { key: key.clone(), bucket: 0, id, value: 1.0, at_ms: now });
            }
            states.push(state(key, schema, &schemas, n, now));
        }
    }
    exposition.apply(&states, exemplars);
    exposition.publish();
    exposition
}

fn schema(family: Family) -> Option<BucketSchemaId> {
    Some(match family {
        Family::Duration => buckets::DURATION,
        Family::SentimentScore => buckets::SENTIMENT_SCORE,
        Family::ResolutionConfidence | Family::IntentConfidence => buckets::CONFIDENCE,
        // Only with an option.
        Family::Turns | Family::FirstResponse | Family::Response | Family::ExtractedValue => return None,
        _ => BucketSchemaId::NONE,
    })
}

/// Every combination of the values of the labels.
fn keys(family: Family) -> Vec<SeriesKey> {
    let names = family.descriptor().labels;
    let mut all = vec![Vec::<String>::new()];
    for name in names {
        let values: Vec<String> = match *name {
            "agent_id" => (0..AGENTS).map(|n| format!("{:08x}-51d4-4c53-8f0a-6f6a6f3f1e11", n * 2_654_435)).collect(),
            "session_type" => ["voice", "chat"].map(str::to_owned).into(),
            "platform" => ["phone", "web"].map(str::to_owned).into(),
            "direction" => vec!["inbound".to_owned()],
            "resolution" => ["resolved", "partially_resolved", "unresolved"].map(str::to_owned).into(),
            "sentiment" => ["positive", "neutral", "negative"].map(str::to_owned).into(),
            "state" => ["closed", "expired"].map(str::to_owned).into(),
            other => vec![format!("a {other}")],
        };
        all = all
            .iter()
            .flat_map(|before| values.iter().map(|value| [&before[..], std::slice::from_ref(value)].concat()))
            .collect();
    }
    let key =
        |values: Vec<String>| SeriesKey { family, labels: LabelSet::new(names, values.iter().map(String::as_str)) };
    all.into_iter().map(key).collect()
}

fn state(key: SeriesKey, schema: BucketSchemaId, schemas: &BucketSchemas, n: u64, now: i64) -> SeriesState {
    let counts: Vec<u64> =
        (0..schemas.width(schema) as u64).map(|place| n.wrapping_mul(7_919 + place) % 5_000).collect();
    let created_ms = now - i64::try_from(n % 1_000_000).unwrap() * 1_000;
    SeriesState { key, schema, created_ms, counts: counts.into(), held_counts: None }
}

/// `client_golang`, where it can be built; ended with this.
struct Peer(Child, SocketAddr);

impl Peer {
    fn start(directory: &Path, page: &[u8]) -> Option<Self> {
        let (program, file) = (directory.join("promhttp"), directory.join("page.txt"));
        std::fs::write(&file, page).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/promhttp.go");
        let mut go = Command::new("go");
        // Where Debian's packages of Go's libraries are.
        go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOCACHE", directory.join("cache"));
        let built = go.arg("build").arg("-o").arg(&program).arg(source).status().ok()?;
        if !built.success() {
            return None;
        }
        let mut child = Command::new(program).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        Some(Self(child, address))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A way to be scraped.
struct Way<'a> {
    name: &'a str,
    target: SocketAddr,
    protocol: &'a str,
    nhcb: bool,
}

impl Way<'_> {
    fn length(&self, encoding: &str) -> usize {
        let accept = match self.protocol {
            "PrometheusProto" => Format::Protobuf.content_type(),
            "OpenMetricsText1.0.0" => Format::OpenMetrics.content_type(),
            "OpenMetricsText0.0.1" => "application/openmetrics-text; version=0.0.1",
            _ => Format::Text.content_type(),
        };
        let headers = [("accept", accept), ("accept-encoding", encoding)];
        let reply = ask(self.target, "GET", "/metrics", &headers).unwrap();
        let kind = accept.split(';').next().unwrap();
        assert!(reply.status == 200 && reply.header("content-type").unwrap().starts_with(kind), "{:?}", reply.headers);
        reply.body.len()
    }

    /// Milliseconds of processor time a scrape, and the series that are stored.
    async fn scraped(&self) -> (f64, f64) {
        let mut setup = Setup::scraping(self.target);
        setup.global.insert("scrape_interval".into(), json!(INTERVAL));
        setup.job.insert("scrape_protocols".into(), json!([self.protocol]));
        if self.nhcb {
            setup = setup.flag("--enable-feature=native-histograms");
            setup.job.insert("convert_classic_histograms_to_nhcb".into(), Value::Bool(true));
        }
        let prometheus = Prometheus::start(Version::V3, setup).await;
        let scrapes = "count_over_time(scrape_samples_scraped[1h])";
        let warm = |found: &[Sample]| found.first().is_some_and(|scrapes| scrapes.value >= 3.0);
        let before = prometheus.query_until(scrapes, warm).await[0].value;
        let used = prometheus.processor_time();
        // Nothing is asked of it meanwhile, since answers cost as much as scrapes.
        tokio::time::sleep(WATCHED).await;
        let used = prometheus.processor_time() - used;
        let scrapes = prometheus.query(scrapes).await[0].value - before;
        let target = &prometheus.targets().await[0];
        assert_eq!((target.health.as_str(), target.last_error.as_str()), ("up", ""), "{}", self.name);
        let series = prometheus.query(r#"count({__name__=~"(agntix|process)_.+"})"#).await[0].value;
        (used * 1_000.0 / scrapes, series)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and measures"]
async fn what_a_page_costs_prometheus() {
    let exposition = Arc::new(exposition());
    let page = exposition.page(Format::Text, Encoding::Identity, Instant::now()).unwrap().to_vec();
    let ours = serve(Arc::clone(&exposition)).await;
    let dated = self::exposition();
    dated.set_created_lines(true);
    let dated = serve(Arc::new(dated)).await;
    let directory = tempfile::tempdir().unwrap();
    let peer = Peer::start(directory.path(), &page);
    let empty = serve(Arc::new(ExporterMetrics::new().unwrap().exposition(Arc::new(BucketSchemas::new([]))))).await;

    let way = |name, target, protocol, nhcb| Way { name, target, protocol, nhcb };
    let (text, open, protobuf) = ("PrometheusText0.0.4", "OpenMetricsText1.0.0", "PrometheusProto");
    let mut ways = vec![
        way("nothing but the exporter's own metrics", empty, open, false),
        way("text", ours, text, false),
        way("OpenMetrics", ours, open, false),
        way("OpenMetrics with `_created` lines", dated, open, false),
        way("protobuf", ours, protobuf, false),
        way("protobuf, stored with custom buckets", ours, protobuf, true),
    ];
    match &peer {
        Some(Peer(_, address)) => ways.extend([
            way("client_golang, text", *address, text, false),
            // Debian's version has no newer one.
            way("client_golang, OpenMetrics", *address, "OpenMetricsText0.0.1", false),
            way("client_golang, protobuf", *address, protobuf, false),
            way("client_golang, protobuf, stored with custom buckets", *address, protobuf, true),
        ]),
        None => println!(
            "Go or its library client_golang is not here (Debian: golang-go, golang-github-prometheus-client-golang-dev): left out"
        ),
    }
    println!("| page | bytes | in gzip | series stored | processor time of Prometheus a scrape |");
    println!("| --- | --- | --- | --- | --- |");
    for way in ways {
        let (plain, gzip) = (way.length("identity"), way.length("gzip"));
        let (time, series) = way.scraped().await;
        println!("| {} | {plain} | {gzip} | {series} | {time:.0} ms |", way.name);
    }
}
