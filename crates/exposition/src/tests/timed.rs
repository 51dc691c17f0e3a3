//! A history that is imported must be of the same series as the page that is scraped.

use super::*;
use crate::TimedSamples;

#[test]
fn timed_samples_are_those_of_the_page_with_a_time() {
    let labels = || LabelSet::new(&["job", "zone"], ["a \"job\"", "x"]);
    let schemas = [BucketSchema::new("duration", &[5.0, 60.0]), BucketSchema::new("balance", &[-0.8, 0.0, 1.0])];
    let schemas = BucketSchemas::new(schemas);
    let states = [
        counter(Jobs::Finished, &["a\"b\\c\nd", "call", "done"], 3),
        state(key(Jobs::Duration, &["outgoing", "mail"]), DURATION, &[1, 2, 1, 9_416], None),
        state(key(Jobs::Balance, &["outgoing", "mail"]), BALANCE, &[1, 2, 4, 0, 0], None),
        counter(Jobs::Credit, &["outgoing", "mail"], 1_250_000),
    ];
    let exposition = exposition();
    exposition.set_constant_labels(labels());
    exposition.publish();
    exposition.apply(&states, Vec::new());
    for format in [Format::Text, Format::OpenMetrics] {
        let page = series(&exposition, format);
        let samples = TimedSamples::new(&schemas, labels(), format);
        let mut out = Vec::new();
        for state in &states {
            for sample in samples.of(&state.key, state.schema) {
                sample.line(&mut out, &state.counts, 1_775_624_410_546);
            }
        }
        let timed: Vec<String> =
            page.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line} 1775624410.546")).collect();
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), timed, "{format:?}");
    }
}
