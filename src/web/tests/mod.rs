//! The routes without a network, and the listener on the loopback interface.

mod listener;
mod pages;
mod routes;
mod webhook;

use std::sync::Arc;

use exporter_web::WebConfigFile;
use tokio::sync::mpsc;

use super::WebState;
use crate::catalogue::ExporterMetrics;
use crate::catalogue::{Family, SeriesKey, SeriesState, buckets};
use crate::clock::ManualClock;
use crate::config::MetricsConfig;
use crate::lifecycle::ReloadRequest;
use crate::status::Status;
use exposition::{BucketSchemaId, LabelSet};

fn web_state(series: u64) -> (WebState, mpsc::Receiver<ReloadRequest>) {
    let schemas = Arc::new(buckets::schemas(&MetricsConfig::default()));
    let exposition = ExporterMetrics::new().unwrap().exposition(schemas);
    let states: Vec<_> = (0..series)
        .map(|n| SeriesState {
            key: SeriesKey {
                family: Family::Languages,
                labels: LabelSet::new(Family::Languages.descriptor().labels, [format!("agent{n}").as_str(), "en"]),
            },
            schema: BucketSchemaId::NONE,
            created_ms: 0,
            counts: Box::new([n]),
            held_counts: None,
        })
        .collect();
    exposition.apply(&states, Vec::new());
    exposition.publish();
    let (reload, requests) = mpsc::channel(1);
    let state = WebState {
        exposition: Arc::new(exposition),
        recent: Arc::default(),
        status: Arc::new(Status::default()),
        reload,
        clock: Arc::new(ManualClock::default()),
        security: Arc::new(WebConfigFile::none()),
        replica: None,
    };
    (state, requests)
}
