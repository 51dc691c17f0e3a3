//! How current the numbers are: those of the exporter's own metrics that only the replica that asks Agntix knows, and that all
//! replicas show.

use prometheus::GaugeVec;
use prometheus::core::Collector as _;
use prometheus::proto::{LabelPair, Metric};

use super::ExporterMetrics;

/// Of each of these metrics: its name, and the values of its labels, in their order, with its value.
pub type Freshness = Vec<(String, Vec<(Vec<String>, f64)>)>;

impl ExporterMetrics {
    /// What this process knows, for others to show.
    pub fn freshness(&self) -> Freshness {
        let series = |gauges: &GaugeVec| series(gauges).into_iter().map(|(values, metric)| (values, value(&metric)));
        self.known_by_one().map(|gauges| (name(gauges), series(gauges).collect())).to_vec()
    }

    /// Shows what another one knows, in place of what was shown before. A scrape at the same time may see some of both.
    pub fn show_freshness(&self, freshness: &Freshness) {
        for gauges in self.known_by_one() {
            let name = name(gauges);
            let Some((_, new)) = freshness.iter().find(|(of, _)| *of == name) else { continue };
            for (values, value) in new {
                // Another version may have other labels.
                if let Ok(gauge) = gauges.get_metric_with_label_values(values) {
                    gauge.set(*value);
                }
            }
            for (old, _) in series(gauges) {
                if !new.iter().any(|(values, _)| *values == old) {
                    let _ = gauges.remove_label_values(&old);
                }
            }
        }
    }

    /// Nobody says how current the numbers are, so they are not known to be (promise P11).
    pub fn show_no_freshness(&self) {
        self.up.with_label_values::<&str>(&[]).set(0.0);
        self.catching_up.with_label_values::<&str>(&[]).set(1.0);
    }

    /// None of them has more than one label, so that the order of labels is no question.
    fn known_by_one(&self) -> [&GaugeVec; 5] {
        [&self.up, &self.catching_up, &self.sessions_tracked, &self.oldest_pending, &self.source_last_success]
    }
}

fn name(gauges: &GaugeVec) -> String {
    gauges.desc().first().map_or_else(String::new, |description| description.fq_name.clone())
}

fn series(gauges: &GaugeVec) -> Vec<(Vec<String>, Metric)> {
    let values = |metric: &Metric| metric.get_label().iter().map(LabelPair::value).map(str::to_owned).collect();
    let families = gauges.collect();
    families
        .iter()
        .flat_map(prometheus::proto::MetricFamily::get_metric)
        .map(|metric| (values(metric), metric.clone()))
        .collect()
}

fn value(metric: &Metric) -> f64 {
    metric.get_gauge().get_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(own: &ExporterMetrics) -> String {
        prometheus::TextEncoder::new().encode_to_string(&own.shared.gather()).unwrap()
    }

    #[test]
    fn another_process_shows_what_this_one_knows_and_nothing_older() {
        let (one, other) = (ExporterMetrics::new().unwrap(), ExporterMetrics::new().unwrap());
        other.oldest_pending.with_label_values::<&str>(&[]).set(7.0);
        other.source_last_success.with_label_values(&["stream"]).set(7.0);
        one.up.with_label_values::<&str>(&[]).set(1.0);
        one.catching_up.with_label_values::<&str>(&[]).set(0.0);
        one.sessions_tracked.with_label_values(&["open"]).set(3.0);
        one.source_last_success.with_label_values(&["listing"]).set(1.5);
        other.show_freshness(&one.freshness());
        assert_eq!(page(&other), page(&one));
        // What nobody says is not known to be well; the rest is as it was said last.
        other.show_no_freshness();
        let silent = page(&other);
        for line in
            ["agntix_up 0", "agntix_exporter_catching_up 1", r#"agntix_exporter_sessions_tracked{stage="open"} 3"#]
        {
            assert!(silent.lines().any(|other| other == line), "{line} in {silent}");
        }
    }

    #[test]
    fn what_this_version_does_not_know_is_left_out() {
        let own = ExporterMetrics::new().unwrap();
        let before = page(&own);
        let with_labels = vec![(vec!["a".to_owned(), "b".to_owned()], 1.0)];
        own.show_freshness(&vec![("agntix_new".to_owned(), with_labels)]);
        assert_eq!(page(&own), before);
    }
}
