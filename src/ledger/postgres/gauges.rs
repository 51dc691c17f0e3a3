//! What is shown and not counted: the gauges of the replica that counts, as it saw them last, for the others to show.

use std::time::Duration;

use exposition::LabelSet;
use tokio_postgres::types::{ToSql, Type};

use super::connect::{Connection, Database};
use super::error::PostgresError;
use crate::catalogue::GaugeFamily;

/// The gauges of a family.
pub type Gauges = (GaugeFamily, Vec<(LabelSet, f64)>);

/// How long showing them may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Shows gauges to the other replicas.
#[derive(Clone, Debug)]
pub struct GaugeBoard {
    pub(super) database: Database,
    /// Of the lease under which they are seen.
    pub(super) epoch: i64,
}

impl GaugeBoard {
    /// Shows these in place of those before, unless another replica counts by now.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn show(&self, gauges: &[Gauges]) -> Result<(), PostgresError> {
        let (schema, page) = (self.database.schema(), encode(gauges));
        let update = format!(
            "UPDATE {schema}.gauges SET version = version + 1, at = now(), page = $1 \
             WHERE page <> $1 AND (SELECT epoch FROM {schema}.lease) = $2"
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&page, Type::BYTEA), (&self.epoch, Type::INT8)];
        let connection = self.database.connection().await?;
        connection.ask(LIMIT, |client| client.execute_typed(&update, &parameters)).await.map(drop)
    }
}

/// The gauges that are shown, and the number of their version.
pub(super) async fn read(connection: &Connection) -> Result<(i64, Vec<Gauges>), PostgresError> {
    let query = format!("SELECT version, page FROM {}.gauges", connection.database().schema());
    let row = connection.ask(LIMIT, |client| client.query_typed_one(&query, &[])).await?;
    Ok((row.get(0), decode(row.get(1))))
}

/// Names of families, and of each the labels and the bits of the values: as JSON, which has no word for infinity.
type Encoded = Vec<(String, Vec<(String, u64)>)>;

fn encode(gauges: &[Gauges]) -> Vec<u8> {
    let family = |(family, series): &Gauges| {
        let series = series.iter().map(|(labels, value)| (labels.as_str().to_owned(), value.to_bits()));
        (family.descriptor().name.to_owned(), series.collect::<Vec<_>>())
    };
    serde_json::to_vec(&gauges.iter().map(family).collect::<Encoded>()).unwrap_or_default()
}

/// Leaves out what this version does not know.
fn decode(page: &[u8]) -> Vec<Gauges> {
    let read: Encoded = serde_json::from_slice(page).unwrap_or_default();
    let family = |(name, series): (String, Vec<(String, u64)>)| {
        let family = GaugeFamily::ALL.iter().copied().find(|family| family.descriptor().name == name)?;
        let labels = |labels: &str| LabelSet::parse(family.descriptor().labels, labels);
        let series = series.into_iter().filter_map(|(text, bits)| Some((labels(&text)?, f64::from_bits(bits))));
        Some((family, series.collect()))
    };
    read.into_iter().filter_map(family).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_read_as_they_were_written_and_unknown_ones_left_out() {
        let labels = LabelSet::new(GaugeFamily::AwaitingAnalysis.descriptor().labels, ["a \"b\""]);
        let gauges =
            vec![(GaugeFamily::AwaitingAnalysis, vec![(labels, f64::INFINITY)]), (GaugeFamily::Open, Vec::new())];
        let page = encode(&gauges);
        assert_eq!(decode(&page), gauges);
        let newer = String::from_utf8(page).unwrap().replace("agntix_sessions_open", "agntix_new");
        assert_eq!(decode(newer.as_bytes()), gauges[..1]);
        assert!(decode(b"").is_empty());
    }
}
