//! An exposition in which every metric of the catalogue has a series.

use std::sync::Arc;

use agntix_exporter::catalogue::{
    Exemplar, ExporterMetrics, Exposition, Family, GaugeFamily, SeriesKey, SeriesState, buckets,
};
use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::config::{ExtractedField, ExtractedKind, MetricsConfig};
use exposition::{BucketSchemaId, BucketSchemas, LabelSet};

/// The session that the exemplars name.
pub const SESSION_ID: &str = "ses_01k0exemplar";
/// What every counter of the session metrics stands at, in units of its scale.
pub const COUNTED: u64 = 7_000_000;

/// One series in every durable family and every gauge, exemplars where the design wants them, and all of the
/// exporter's own metrics; published.
pub fn full() -> Exposition {
    let config = MetricsConfig {
        extracted: vec![ExtractedField {
            field: "order_total".into(),
            kind: ExtractedKind::Number,
            buckets: vec![10.0, 100.0],
        }],
        ..MetricsConfig::default()
    };
    let schemas = Arc::new(buckets::schemas(&config));
    let now = SystemClock.now().as_millis();
    let states: Vec<_> = Family::ALL.into_iter().map(|family| state(family, &schemas, now)).collect();
    let exemplars = [Family::Outcomes, Family::Duration, Family::SentimentScore]
        .map(|family| Exemplar {
            key: key(family),
            bucket: 0,
            id: SESSION_ID.into(),
            value: if family == Family::SentimentScore { -0.9 } else { 1.0 },
            at_ms: now,
        })
        .to_vec();
    let exposition = own().exposition(schemas);
    exposition.apply(&states, exemplars);
    for family in GaugeFamily::ALL {
        exposition.set_gauges(family, vec![(labels(family.descriptor().labels), 1.0)]);
    }
    exposition.publish();
    exposition
}

fn state(family: Family, schemas: &BucketSchemas, created_ms: i64) -> SeriesState {
    let schema = match family {
        Family::Duration => buckets::DURATION,
        Family::SentimentScore => buckets::SENTIMENT_SCORE,
        Family::ResolutionConfidence | Family::IntentConfidence => buckets::CONFIDENCE,
        Family::Turns => buckets::TURNS,
        Family::FirstResponse | Family::Response => buckets::RESPONSE,
        Family::ExtractedValue => buckets::extracted(0),
        _ => BucketSchemaId::NONE,
    };
    SeriesState {
        key: key(family),
        schema,
        created_ms,
        counts: vec![COUNTED; schemas.width(schema)].into(),
        held_counts: None,
    }
}

fn key(family: Family) -> SeriesKey {
    SeriesKey { family, labels: labels(family.descriptor().labels) }
}

/// Labels with values that a text format has to escape, among others.
fn labels(names: &[&str]) -> LabelSet {
    let value = |name: &&str| match *name {
        "intent" => "Où est \"mon\" colis ?\n\\o/",
        "agent_id" => "agent_support",
        _ => "some",
    };
    LabelSet::new(names, names.iter().map(value))
}

fn own() -> ExporterMetrics {
    let own = ExporterMetrics::new().unwrap();
    own.up.with_label_values::<&str>(&[]).set(1.0);
    own.api_requests.with_label_values(&["session", "200"]).inc();
    own.api_request_duration.with_label_values(&["session"]).observe(0.02);
    for gauge in [&own.api_rate_limit, &own.api_rate_limit_remaining, &own.api_rate_limit_reset] {
        gauge.with_label_values::<&str>(&[]).set(100);
    }
    own.sessions_discovered.with_label_values(&["listing"]).inc();
    own.oldest_pending.with_label_values::<&str>(&[]).set(1.5);
    own.source_last_success.with_label_values(&["listing"]).set(1.5);
    own.web_info.with_label_values(&["https://monitoring.example/agntix/"]).set(1);
    own.web_config_last_reload_successful.with_label_values(&["metrics"]).set(1);
    own.web_certificate_not_after.with_label_values(&["metrics"]).set(1.5);
    own.malformed_sessions.with_label_values(&["state"]).inc();
    own.label_overflow.with_label_values(&["intent"]).inc();
    own.messages_skipped.with_label_values(&["budget"]).inc();
    own.repeat_contacts_skipped.with_label_values(&["shared"]).inc();
    for gauge in [&own.active, &own.replicas, &own.inbox_deliveries, &own.ledger_synchronous] {
        gauge.with_label_values::<&str>(&[]).set(1);
    }
    own.ledger_read.with_label_values::<&str>(&[]).observe(0.002);
    for counter in [&own.ledger_regressions, &own.ledger_lost_sessions, &own.ledger_replayed_commits] {
        counter.with_label_values::<&str>(&[]).inc();
    }
    own
}
