//! The pages as a whole, with the families of an exporter that watches queues of jobs.

mod compression;
mod parse;
mod protobuf;
mod shown;
mod text;
mod timed;
mod units;

use std::sync::Arc;
use std::time::Instant;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use crate::negotiation::{Encoding, Format};
use crate::{
    BucketSchema, BucketSchemaId, BucketSchemas, Descriptor, Family, LabelSet, Page, Part, SeriesKey, SeriesState,
};

/// The formats that can be read as text.
const TEXTS: [Format; 2] = [Format::Text, Format::OpenMetrics];

type Exposition = crate::Exposition<Jobs, Queues>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Jobs {
    Finished,
    Failures,
    Duration,
    Balance,
    Credit,
}

const DURATION: BucketSchemaId = BucketSchemaId(1);
const BALANCE: BucketSchemaId = BucketSchemaId(2);

impl Family for Jobs {
    const ALL: &'static [Self] = &[Self::Finished, Self::Failures, Self::Duration, Self::Balance, Self::Credit];

    fn place(self) -> usize {
        self as usize
    }

    fn descriptor(self) -> Descriptor {
        const JOB: &[&str] = &["queue", "kind"];
        match self {
            Self::Finished => {
                Descriptor::counter("jobs_finished_total", &["queue", "kind", "result"], "Jobs that have \"finished\".")
            }
            Self::Failures => Descriptor::counter("jobs_failures_total", &["queue", "reason"], "Failures,\nby reason."),
            Self::Duration => Descriptor::histogram("jobs_duration_seconds", JOB, "How long jobs took."),
            Self::Balance => Descriptor::histogram_without_sum("jobs_balance_ratio", JOB, "What jobs left, -1 to 1."),
            Self::Credit => Descriptor::counter("jobs_credit_total", JOB, "Sum of the positive balances."),
        }
    }

    fn scale(self) -> u64 {
        match self {
            Self::Finished | Self::Failures => 1,
            Self::Duration => 1_000,
            Self::Balance | Self::Credit => 1_000_000,
        }
    }

    fn exemplar_label(self) -> Option<&'static str> {
        matches!(self, Self::Finished | Self::Duration | Self::Balance).then_some("trace_id")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Queues {
    Waiting,
    LastBalance,
}

impl Family for Queues {
    const ALL: &'static [Self] = &[Self::Waiting, Self::LastBalance];

    fn place(self) -> usize {
        self as usize
    }

    fn descriptor(self) -> Descriptor {
        match self {
            Self::Waiting => Descriptor::gauge("jobs_waiting", &["queue"], "Jobs that wait."),
            Self::LastBalance => Descriptor::gauge("jobs_last_balance_ratio", &["queue"], "The last balance, -1 to 1."),
        }
    }
}

fn exposition() -> Exposition {
    with_registry(registry().0)
}

fn with_registry(registry: Registry) -> Exposition {
    let schemas = [BucketSchema::new("duration", &[5.0, 60.0]), BucketSchema::new("balance", &[-0.8, 0.0, 1.0])];
    Exposition::new(Arc::new(BucketSchemas::new(schemas)), registry)
}

/// A registry with a metric of each type, and its gauge.
fn registry() -> (Registry, IntGauge) {
    let registry = Registry::new();
    let up = IntGauge::new("jobs_up", "Whether the queues answer.").unwrap();
    let requests = IntCounterVec::new(Opts::new("jobs_requests_total", "Requests."), &["code"]).unwrap();
    requests.with_label_values(&["200"]);
    let delay = HistogramOpts::new("jobs_delay_seconds", "Delay.").buckets(vec![2.5, 60.0]);
    let delay = HistogramVec::new(delay, &["source"]).unwrap();
    delay.with_label_values(&["poll"]).observe(3.5);
    registry.register(Box::new(up.clone())).unwrap();
    registry.register(Box::new(requests)).unwrap();
    registry.register(Box::new(delay)).unwrap();
    (registry, up)
}

fn key(family: Jobs, values: &[&str]) -> SeriesKey<Jobs> {
    SeriesKey { family, labels: LabelSet::new(family.descriptor().labels, values.iter().copied()) }
}

fn state(
    key: SeriesKey<Jobs>,
    schema: BucketSchemaId,
    counts: &[u64],
    held_counts: Option<&[u64]>,
) -> SeriesState<Jobs> {
    SeriesState {
        key,
        schema,
        created_ms: 1_775_624_410_546,
        counts: counts.into(),
        held_counts: held_counts.map(Into::into),
    }
}

fn counter(family: Jobs, values: &[&str], value: u64) -> SeriesState<Jobs> {
    state(key(family, values), BucketSchemaId::NONE, &[value], None)
}

fn page(exposition: &Exposition, format: Format, encoding: Encoding) -> Page {
    exposition.page(format, encoding, Instant::now()).unwrap()
}

/// The plain page without the metrics of the registry.
fn series(exposition: &Exposition, format: Format) -> String {
    String::from_utf8(series_bytes(&page(exposition, format, Encoding::Identity))).unwrap()
}

fn series_bytes(page: &Page) -> Vec<u8> {
    page.series.concat()
}
