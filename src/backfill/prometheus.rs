//! Asks the Prometheus that a history is for: how long it keeps samples, since when it has them in memory, and under which
//! labels it scrapes the exporter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agntix_api::Roots;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::rules::Rules;
use crate::clock::Timestamp;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// An answer is not read beyond this.
const MAX_BYTES: usize = 8 << 20;
/// What the exporter has once a target.
const TARGET: &str = "agntix_exporter_build_info";

/// What a Prometheus says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PrometheusSeen {
    /// How long samples are kept; `None` if only their size is bounded, or nothing.
    pub retention: Option<Duration>,
    /// Since when samples are in memory.
    pub head_begins: Option<Timestamp>,
    /// `job` and `instance` of each target that is an exporter.
    pub targets: BTreeSet<(String, String)>,
    /// The rules that it evaluates.
    pub rules: Rules,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo {
    storage_retention: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    min_time: i64,
}

#[derive(Deserialize)]
struct Query {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
}

/// Asks the server at `url`.
///
/// # Errors
/// A sentence.
pub(super) async fn ask(url: &str) -> Result<PrometheusSeen, String> {
    let base = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(base) = base else { return Err("--prometheus.url must be a URL such as http://localhost:9090".into()) };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("agntix-exporter/", env!("CARGO_PKG_VERSION"), " backfill"))
        .timeout(PATIENCE);
    let roots = Roots::find().map_err(|error| error.to_string())?;
    let client =
        roots.trusted_by(builder).build().map_err(|error| format!("the HTTP client cannot be set up: {error}"))?;
    let runtime: Answer<RuntimeInfo> = get(&client, &base, "api/v1/status/runtimeinfo").await?;
    let tsdb: Answer<TsdbStatus> = get(&client, &base, "api/v1/status/tsdb").await?;
    let targets: Answer<Query> = get(&client, &base, &format!("api/v1/query?query={TARGET}")).await?;
    // Of Prometheus 2.42 and newer; an older one ignores the type, and VictoriaMetrics does not know the route.
    let rules = get::<Answer<Rules>>(&client, &base, "api/v1/rules?type=record").await;
    let label = |sample: &Sample, name: &str| sample.metric.get(name).cloned().unwrap_or_default();
    Ok(PrometheusSeen {
        retention: retention(&runtime.data.storage_retention),
        // An empty head begins at the end of all times.
        head_begins: Some(tsdb.data.head_stats.min_time)
            .filter(|ms| (1..i64::MAX).contains(ms))
            .map(Timestamp::from_millis),
        rules: rules.map(|rules| rules.data).unwrap_or_default(),
        targets: targets.data.result.iter().map(|sample| (label(sample, "job"), label(sample, "instance"))).collect(),
    })
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, base: &Url, path: &str) -> Result<T, String> {
    // Without its password, if it has one.
    let host = base.host_str().unwrap_or_default();
    let shown = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let failed = |why: String| {
        let route = path.split('?').next().unwrap_or_default();
        format!("--prometheus.url: {shown} does not answer /{route} as Prometheus does ({why})")
    };
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    let answer = client.get(url).send().await.map_err(|error| failed(error.without_url().to_string()))?;
    if !answer.status().is_success() {
        return Err(failed(answer.status().to_string()));
    }
    let body = answer.bytes().await.map_err(|error| failed(error.without_url().to_string()))?;
    if body.len() > MAX_BYTES {
        return Err(failed("the answer is too long".into()));
    }
    serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
}

/// The time in a retention as the server states it: `15d`, `15d or 10GiB`, `10GiB`.
fn retention(text: &str) -> Option<Duration> {
    text.split(" or ").find_map(duration).filter(|retention| !retention.is_zero())
}

/// A duration as Prometheus writes it: `1w2d`, `15d`, `2h30m`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds = match unit {
            "y" => 365 * 86_400,
            "w" => 7 * 86_400,
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            "ms" => 0,
            _ => return None,
        };
        sum += Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
        rest = after;
    }
    Some(sum)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn retention_is_the_time_in_what_the_server_states() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        for (text, is) in [
            ("15d", days(15)),
            ("1w3d", days(10)),
            ("30d or 10GiB", days(30)),
            ("10GiB", None),
            ("0s", None),
            ("", None),
        ] {
            assert_eq!(retention(text), is, "{text}");
        }
    }
}
