//! The protobuf page is the text page, value for value, and what only OpenMetrics has of it besides. It is read by prost with
//! the published schema, and made into samples as Prometheus makes them.

#![expect(
    clippy::cast_precision_loss,
    reason = "Prometheus rounds counts to the nearest double, and so does a reader of text"
)]

mod schema;

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message as _;

use self::schema::{MetricFamily, MetricType};
use super::parse::{self, Sample};
use super::*;
use crate::Exemplar;

/// The families of a page; panics on bytes that are none.
fn families(mut page: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut page).unwrap());
    }
    families
}

/// The samples of a page in the order of a text page, their values in its spelling.
pub fn samples(page: &[u8]) -> Vec<Sample> {
    families(page)
        .iter()
        .flat_map(|family| family.metric.iter().flat_map(|metric| metric_samples(family, metric)))
        .collect()
}

fn metric_samples(family: &MetricFamily, metric: &schema::Metric) -> Vec<Sample> {
    let name = family.name.as_deref().unwrap();
    let labels = pairs(&metric.label);
    assert_eq!(metric.timestamp_ms, None);
    let sample = |suffix: &str, value: f64, exemplar: Option<&schema::Exemplar>| Sample {
        name: format!("{name}{suffix}"),
        labels: labels.clone(),
        value: value.to_string(),
        exemplar: exemplar.map(|exemplar| parse::Exemplar {
            labels: pairs(&exemplar.label),
            value: exemplar.value.unwrap().to_string(),
            at: (milliseconds(exemplar.timestamp.as_ref()) as f64 / 1_000.0).to_string(),
        }),
    };
    match (family.r#type(), &metric.counter, &metric.gauge, &metric.histogram) {
        (MetricType::Counter, Some(counter), None, None) => {
            vec![sample("", counter.value.unwrap(), counter.exemplar.as_ref())]
        }
        (MetricType::Gauge, None, Some(gauge), None) => vec![sample("", gauge.value.unwrap(), None)],
        (MetricType::Histogram, None, None, Some(histogram)) => {
            assert_eq!((histogram.sample_count_float, histogram.schema), (None, None));
            let count = histogram.sample_count.unwrap() as f64;
            let bucket = |bound: f64, count, exemplar| {
                let mut bucket = sample("_bucket", count, exemplar);
                bucket.labels.push(("le".to_owned(), bound.to_string()));
                bucket
            };
            let mut samples: Vec<_> = histogram
                .bucket
                .iter()
                .map(|b| bucket(b.upper_bound.unwrap(), b.cumulative_count.unwrap() as f64, b.exemplar.as_ref()))
                .collect();
            if histogram.bucket.last().is_none_or(|bucket| bucket.upper_bound != Some(f64::INFINITY)) {
                samples.push(bucket(f64::INFINITY, count, None));
            }
            samples.push(sample("_sum", histogram.sample_sum.unwrap(), None));
            samples.push(sample("_count", count, None));
            samples
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn pairs(labels: &[schema::LabelPair]) -> Vec<(String, String)> {
    labels.iter().map(|label| (label.name.clone().unwrap(), label.value.clone().unwrap())).collect()
}

fn milliseconds(at: Option<&schema::Timestamp>) -> i64 {
    let schema::Timestamp { seconds, nanos } = at.unwrap();
    assert!((0..1_000_000_000).contains(nanos));
    seconds * 1_000 + i64::from(*nanos / 1_000_000)
}

/// Numbers of a text page in the spelling of [`samples`].
fn numbers(samples: Vec<Sample>) -> Vec<Sample> {
    let number = |text: &mut String| *text = text.parse::<f64>().unwrap().to_string();
    let spelled = |mut sample: Sample| {
        number(&mut sample.value);
        sample.labels.iter_mut().filter(|(name, _)| name == "le").for_each(|(_, bound)| number(bound));
        if let Some(exemplar) = &mut sample.exemplar {
            number(&mut exemplar.value);
            number(&mut exemplar.at);
        }
        sample
    };
    samples.into_iter().map(spelled).collect()
}

fn whole(exposition: &Exposition, format: Format) -> Vec<u8> {
    page(exposition, format, Encoding::Identity).to_vec()
}

fn text(exposition: &Exposition, format: Format) -> Vec<Sample> {
    numbers(parse::samples(&String::from_utf8(whole(exposition, format)).unwrap()))
}

/// Compares the three pages of an exposition.
fn compare(exposition: &Exposition) {
    exposition.set_created_lines(true);
    let page = whole(exposition, Format::Protobuf);
    let found = numbers(samples(&page));
    let without_exemplars = |sample: &Sample| Sample { exemplar: None, ..sample.clone() };
    assert_eq!(sorted(found.iter().map(without_exemplars).collect()), sorted(text(exposition, Format::Text)));

    // OpenMetrics has no `_count` where it has no `_sum`, and times of creation as samples.
    let (created, open): (Vec<_>, Vec<_>) =
        text(exposition, Format::OpenMetrics).into_iter().partition(|sample| sample.name.ends_with("_created"));
    let has_count = |sample: &&Sample| sample.name != "jobs_balance_ratio_count";
    assert_eq!(sorted(found.iter().filter(has_count).cloned().collect()), sorted(open));
    let series = families(&series_bytes(&super::page(exposition, Format::Protobuf, Encoding::Identity)));
    let began = series.iter().filter(|family| family.r#type() != MetricType::Gauge).flat_map(|family| {
        let name = family.name.as_deref().unwrap();
        // A histogram without a sum is told in counters, which all began with it.
        let name = name.strip_suffix("_count").unwrap_or(name);
        family.metric.iter().filter(|_| !name.ends_with("_bucket")).map(move |metric| {
            let created = metric.counter.iter().map(|counter| &counter.created_timestamp);
            let created = created.chain(metric.histogram.iter().map(|histogram| &histogram.created_timestamp));
            let at = milliseconds(created.flatten().next()) as f64 / 1_000.0;
            (format!("{}_created", crate::descriptor::base_name(name)), pairs(&metric.label), at.to_string())
        })
    });
    let created: Vec<_> = created.into_iter().map(|sample| (sample.name, sample.labels, sample.value)).collect();
    assert_eq!(began.collect::<Vec<_>>(), created);
    let dated = |metric: &schema::Metric| match (&metric.counter, &metric.histogram) {
        (Some(counter), None) => counter.created_timestamp.is_some(),
        (None, Some(histogram)) => histogram.created_timestamp.is_some(),
        _ => metric.gauge.is_some(),
    };
    assert!(series.iter().flat_map(|family| &family.metric).all(dated));
}

/// The series of a histogram without a sum come in another order, as counters.
fn sorted(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort_by(|one, other| (&one.name, &one.labels).cmp(&(&other.name, &other.labels)));
    samples
}

#[test]
fn the_exact_pages_of_the_text_formats_are_told_in_protobuf() {
    let exposition = text::filled();
    compare(&exposition);
    let families = families(&series_bytes(&page(&exposition, Format::Protobuf, Encoding::Identity)));
    let heads: Vec<_> = families.iter().map(|f| (f.name(), f.help(), f.r#type(), f.unit.as_deref())).collect();
    assert_eq!(
        heads,
        [
            ("jobs_finished_total", "Jobs that have \"finished\".", MetricType::Counter, None),
            ("jobs_failures_total", "Failures,\nby reason.", MetricType::Counter, None),
            ("jobs_duration_seconds", "How long jobs took.", MetricType::Histogram, Some("seconds")),
            ("jobs_balance_ratio_bucket", "What jobs left, -1 to 1.", MetricType::Counter, None),
            ("jobs_balance_ratio_count", "What jobs left, -1 to 1.", MetricType::Counter, None),
            ("jobs_credit_total", "Sum of the positive balances.", MetricType::Counter, None),
            ("jobs_last_balance_ratio", "The last balance, -1 to 1.", MetricType::Gauge, None),
        ]
    );
    // As counters, the buckets have their bounds as text, which has to be that of the text formats.
    let bounds = families[3].metric.iter().map(|metric| pairs(&metric.label).pop().unwrap());
    assert!(bounds.eq(["-0.8", "0.0", "1.0", "+Inf"].map(|bound| ("le".to_owned(), bound.to_owned()))));
}

#[test]
fn no_number_is_what_prometheus_takes_for_the_end_of_a_series() {
    const STALE: u64 = 0x7ff0_0000_0000_0002;
    let exposition = exposition();
    exposition.set_gauges(Queues::Waiting, vec![(LabelSet::new(&["queue"], ["a"]), f64::from_bits(STALE))]);
    exposition.apply(&[state(key(Jobs::Balance, &["a", "b"]), BALANCE, &[1, 2, 4, 0, 0], None)], Vec::new());
    exposition.publish();
    let page = whole(&exposition, Format::Protobuf);
    let gauge = families(&page).into_iter().find(|family| family.name() == "jobs_waiting").unwrap();
    assert_eq!(gauge.metric[0].gauge.as_ref().unwrap().value.unwrap().to_bits(), 0x7ff8_0000_0000_0001);
    compare(&exposition);
}

#[test]
fn the_counters_of_a_registry_began_with_the_process() {
    let (registry, _) = registry();
    let started = prometheus::Gauge::new("process_start_time_seconds", "Start.").unwrap();
    started.set(1_775_624_410.5);
    registry.register(Box::new(started)).unwrap();
    let created = |exposition: &Exposition| {
        let families = families(&whole(exposition, Format::Protobuf));
        let metric = |name| families.iter().find(|family| family.name() == name).unwrap().metric[0].clone();
        let counter = metric("jobs_requests_total").counter.unwrap().created_timestamp;
        let histogram = metric("jobs_delay_seconds").histogram.unwrap().created_timestamp;
        assert_eq!(counter, histogram);
        counter
    };
    let began = created(&with_registry(registry));
    assert_eq!(milliseconds(began.as_ref()), 1_775_624_410_500);
    assert_eq!(created(&exposition()), None, "a system that does not say when a process began");
}

#[test]
fn what_is_prepared_for_protobuf_is_given_back_and_is_that_of_every_series() {
    let exposition = exposition();
    exposition.publish();
    let start = Instant::now();
    let add = |range: std::ops::Range<u64>| {
        let states: Vec<_> = range.map(|n| counter(Jobs::Failures, &[&format!("queue\"{n}"), "é\n"], n + 1)).collect();
        exposition.apply(&states, Vec::new());
    };
    let kept = || exposition.read_memory(crate::memory::SeriesMemory::is_prepared);
    add(0..300);
    whole(&exposition, Format::Text);
    assert!(!kept());
    let mut unprepared = Vec::new();
    exposition.read_memory(|memory| {
        for unit in memory.units(Format::Protobuf) {
            memory.write(&mut unprepared, &unit, Format::Protobuf, &mut |_| {});
        }
    });
    compare(&exposition);
    assert!(kept());
    assert!(series_bytes(&page(&exposition, Format::Protobuf, Encoding::Identity)) == unprepared);
    add(300..900);
    compare(&exposition);
    let all: Vec<_> = (0..50).map(|n| counter(Jobs::Failures, &[&format!("other{n}"), "x"], n)).collect();
    exposition.replace(&all);
    compare(&exposition);
    let older = SeriesState { created_ms: 1_000, ..all[7].clone() };
    exposition.apply(&[older], Vec::new());
    assert!(!kept());
    compare(&exposition);
    assert!(kept());
    for encoding in Encoding::ALL {
        exposition.page(Format::Protobuf, encoding, start).unwrap();
    }
    let later = start + std::time::Duration::from_secs(301);
    exposition.page(Format::Protobuf, Encoding::Gzip, later).unwrap();
    assert!(kept(), "gzip is still asked for");
    exposition.page(Format::Text, Encoding::Gzip, later + std::time::Duration::from_secs(302)).unwrap();
    assert!(!kept());
    add(900..1_000);
    compare(&exposition);
}

#[test]
fn parts_of_a_protobuf_page_are_the_whole() {
    let exposition = text::filled();
    let of = |part| {
        let page = exposition.part(part, Format::Protobuf, Encoding::Identity, Instant::now()).unwrap().to_vec();
        families(&page)
            .into_iter()
            .map(|family| (family.name().to_owned(), family.encode_to_vec()))
            .collect::<BTreeMap<_, _>>()
    };
    let (all, mut series, process) = (of(Part::All), of(Part::Series), of(Part::Process));
    assert!(series.contains_key("jobs_finished_total") && process.contains_key("jobs_up"));
    series.extend(process);
    assert_eq!(all, series);
}

/// A hostile label value now and then.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]",
        4 => "\\PC*",
        4 => "[\\\\\"\n{},=# ]{0,12}",
        4 => ".{0,20}",
        // Lengths of two and three bytes.
        1 => (100_usize..20_000).prop_map(|length| "x".repeat(length)),
    ]
}

fn series() -> impl Strategy<Value = (Jobs, [String; 3], Vec<u64>, Option<Vec<u64>>, i64)> {
    let count = || (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift);
    (
        proptest::sample::select(Jobs::ALL),
        [value(), value(), value()],
        proptest::collection::vec(count(), 5),
        proptest::option::of(proptest::collection::vec(count(), 5)),
        prop_oneof![Just(0), -100_000_i64..100_000, 1_500_000_000_000_i64..2_000_000_000_000],
    )
}

proptest! {
    #[test]
    fn any_page_is_the_text_page_value_for_value(
        all in proptest::collection::vec(series(), 0..12),
        exemplars in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0_u16..4, "\\PC{0,130}|[a-z]{1,9}", proptest::num::f64::ANY, -9_000_i64..2_000_000_000_000),
            0..12,
        ),
        gauges in proptest::collection::vec((value(), proptest::num::f64::ANY), 0..5),
        constant in proptest::option::of(value()),
    ) {
        let exposition = exposition();
        let width = |family| match family { Jobs::Duration => (DURATION, 4), Jobs::Balance => (BALANCE, 5), _ => (BucketSchemaId::NONE, 1) };
        let states: Vec<_> = all.into_iter().map(|(family, values, counts, held, created_ms)| {
            let values: Vec<&str> = values.iter().map(String::as_str).take(family.descriptor().labels.len()).collect();
            let (schema, width) = width(family);
            let held = held.as_ref().map(|held| &held[..width]);
            SeriesState { created_ms, ..state(key(family, &values), schema, &counts[..width], held) }
        }).collect();
        let exemplars = exemplars.into_iter().filter(|_| !states.is_empty()).map(|(series, bucket, id, value, at_ms)| {
            let key = series.get(&states).key.clone();
            let bucket = bucket % u16::try_from(width(key.family).1).unwrap().saturating_sub(1).max(1);
            Exemplar { key, bucket, id: id.into(), value, at_ms }
        }).collect();
        exposition.apply(&states, exemplars);
        let labels = |value: &String| LabelSet::new(&["queue"], [value.as_str()]);
        exposition.set_gauges(Queues::LastBalance, gauges.iter().map(|(value, number)| (labels(value), *number)).collect());
        if let Some(constant) = constant {
            exposition.set_constant_labels(LabelSet::new(&["site"], [constant.as_str()]));
        }
        exposition.publish();
        compare(&exposition);
        exposition.release(&states.into_iter().map(|state| state.key).collect::<Vec<_>>());
        compare(&exposition);
    }
}
