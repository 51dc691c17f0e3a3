//! What is shown and not counted: the gauges of the replica that counts, the sessions behind its latest counts, and what it says
//! of itself, as it saw them last, for the others to show.

use std::time::Duration;

use exposition::LabelSet;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};

use super::connect::Database;
use super::error::PostgresError;
use crate::catalogue::{Exemplar, Family, Freshness, GaugeFamily, SeriesKey};

/// The gauges of a family.
pub type Gauges = (GaugeFamily, Vec<(LabelSet, f64)>);

/// How long showing them may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What the replica that counts shows to the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The gauges of sessions and agents.
    pub gauges: Vec<Gauges>,
    /// How current the numbers are.
    pub freshness: Freshness,
    /// The sessions behind the latest counts.
    pub exemplars: Vec<Exemplar>,
    /// What it says of itself, for whoever can read it.
    pub report: String,
}

/// Where the replica that counts shows it to the others.
#[derive(Clone, Debug)]
pub struct GaugeBoard {
    pub(super) database: Database,
    /// Of the lease under which it is seen.
    pub(super) epoch: i64,
}

impl GaugeBoard {
    /// Shows this in place of what was shown before, unless another replica counts by now.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn show(&self, shown: &Shown) -> Result<(), PostgresError> {
        let page = encode(shown);
        self.update("version = version + 1, page = $2", &[(&page, Type::BYTEA)]).await
    }

    /// What was shown last is still so.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_unchanged(&self) -> Result<(), PostgresError> {
        self.update("version = version", &[]).await
    }

    async fn update(&self, set: &str, more: &[(&(dyn ToSql + Sync), Type)]) -> Result<(), PostgresError> {
        let schema = self.database.schema();
        let update = format!(
            "UPDATE {schema}.gauges SET at = clock_timestamp(), {set} WHERE (SELECT epoch FROM {schema}.lease) = $1"
        );
        let epoch: (&(dyn ToSql + Sync), Type) = (&self.epoch, Type::INT8);
        let parameters: Vec<_> = std::iter::once(epoch).chain(more.iter().cloned()).collect();
        let connection = self.database.connection().await?;
        connection.ask(LIMIT, |client| client.execute_typed(&update, &parameters)).await.map(drop)
    }
}

/// As JSON, which has no word for infinity: of values the bits.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Page {
    /// Names of families, and of each the labels and the values.
    gauges: Vec<(String, Vec<(String, u64)>)>,
    freshness: Vec<(String, Vec<PageSample>)>,
    exemplars: Vec<PageExemplar>,
    report: String,
}

/// The values of the labels, and the bits of the value.
type PageSample = (Vec<String>, u64);

#[derive(Serialize, Deserialize)]
struct PageExemplar {
    family: String,
    labels: String,
    bucket: u16,
    id: String,
    value: u64,
    at_ms: i64,
}

fn encode(shown: &Shown) -> Vec<u8> {
    let gauges = |(family, series): &Gauges| {
        let series = series.iter().map(|(labels, value)| (labels.as_str().to_owned(), value.to_bits()));
        (family.descriptor().name.to_owned(), series.collect())
    };
    let freshness = |(name, series): &(String, Vec<(Vec<String>, f64)>)| {
        (name.clone(), series.iter().map(|(values, value)| (values.clone(), value.to_bits())).collect())
    };
    let exemplar = |exemplar: &Exemplar| PageExemplar {
        family: exemplar.key.family.descriptor().name.to_owned(),
        labels: exemplar.key.labels.as_str().to_owned(),
        bucket: exemplar.bucket,
        id: exemplar.id.to_string(),
        value: exemplar.value.to_bits(),
        at_ms: exemplar.at_ms,
    };
    let page = Page {
        gauges: shown.gauges.iter().map(gauges).collect(),
        freshness: shown.freshness.iter().map(freshness).collect(),
        exemplars: shown.exemplars.iter().map(exemplar).collect(),
        report: shown.report.clone(),
    };
    serde_json::to_vec(&page).unwrap_or_default()
}

/// Leaves out what this version does not know.
pub(super) fn decode(page: &[u8]) -> Shown {
    let Page { gauges, freshness, exemplars, report } = serde_json::from_slice(page).unwrap_or_default();
    let family = |(name, series): (String, Vec<(String, u64)>)| {
        let family = GaugeFamily::ALL.iter().copied().find(|family| family.descriptor().name == name)?;
        let labels = |labels: &str| LabelSet::parse(family.descriptor().labels, labels);
        let series = series.into_iter().filter_map(|(text, bits)| Some((labels(&text)?, f64::from_bits(bits))));
        Some((family, series.collect()))
    };
    let value = |(name, series): (String, Vec<(Vec<String>, u64)>)| {
        (name, series.into_iter().map(|(values, bits)| (values, f64::from_bits(bits))).collect())
    };
    let exemplar = |exemplar: PageExemplar| {
        let family = Family::ALL.iter().copied().find(|family| family.descriptor().name == exemplar.family)?;
        Some(Exemplar {
            key: SeriesKey { family, labels: LabelSet::parse(family.descriptor().labels, &exemplar.labels)? },
            bucket: exemplar.bucket,
            id: exemplar.id.into(),
            value: f64::from_bits(exemplar.value),
            at_ms: exemplar.at_ms,
        })
    };
    Shown {
        gauges: gauges.into_iter().filter_map(family).collect(),
        freshness: freshness.into_iter().map(value).collect(),
        exemplars: exemplars.into_iter().filter_map(exemplar).collect(),
        report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_as_it_was_written_and_what_is_unknown_left_out() {
        let labels = LabelSet::new(GaugeFamily::AwaitingAnalysis.descriptor().labels, ["a \"b\""]);
        let key = SeriesKey {
            family: Family::Languages,
            labels: LabelSet::new(Family::Languages.descriptor().labels, ["a", "en\\", "resolved", "none"]),
        };
        let shown = Shown {
            gauges: vec![
                (GaugeFamily::AwaitingAnalysis, vec![(labels, f64::INFINITY)]),
                (GaugeFamily::Open, Vec::new()),
            ],
            freshness: vec![("agntix_up".into(), vec![(vec!["x".into()], 1.0)])],
            exemplars: vec![Exemplar { key, bucket: 3, id: "ses".into(), value: -0.5, at_ms: 7 }],
            report: "{\"a\":1}".into(),
        };
        let page = encode(&shown);
        assert_eq!(decode(&page), shown);
        let newer = String::from_utf8(page).unwrap().replace("agntix_sessions_open", "agntix_new");
        let newer = newer.replace("agntix_session_languages_total", "agntix_newer").replace("\"report\"", "\"story\"");
        let expected = Shown { gauges: shown.gauges[..1].to_vec(), freshness: shown.freshness, ..Shown::default() };
        assert_eq!(decode(newer.as_bytes()), expected);
        assert_eq!(decode(b""), Shown::default());
    }
}
