//! A history that was written, as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// By sample name as it stands on the page: the times in milliseconds, and the values.
#[derive(Default)]
pub struct History(pub BTreeMap<String, Vec<(i64, f64)>>);

/// All files but those that only the run needs, with their bytes.
pub fn files(output: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(output).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

impl History {
    /// Reads the files of OpenMetrics, and checks what must hold of each.
    pub fn read(output: &Path) -> Self {
        let mut history = Self::default();
        for (name, bytes) in
            files(output).iter().filter(|(name, _)| Path::new(name).extension().is_some_and(|ending| ending == "om"))
        {
            let text = std::str::from_utf8(bytes).unwrap();
            let text = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("{name} is cut off"));
            let mut families = BTreeSet::new();
            for line in text.lines() {
                if let Some(family) = line.strip_prefix("# TYPE ") {
                    assert!(families.insert(family), "{name}: {family} is there twice");
                    continue;
                }
                if line.starts_with('#') {
                    continue;
                }
                let (rest, time) = line.rsplit_once(' ').unwrap();
                let (sample, value) = rest.rsplit_once(' ').unwrap();
                let sample = sample.replacen(",instance=\"one\",job=\"agntix\"", "", 1);
                assert!(!sample.contains("instance="), "{sample}");
                let (time, value): (f64, f64) = (time.parse().unwrap(), value.parse().unwrap());
                #[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
                let ms = (time * 1000.0).round() as i64;
                let date = simulator::Timestamp::from_millis(ms).to_string();
                assert_eq!(date.split('T').next(), name.split('.').next(), "{name} has a sample of {date}");
                let samples = history.0.entry(sample).or_default();
                assert!(samples.last().is_none_or(|(last, _)| *last < ms), "{line} is out of order");
                samples.push((ms, value));
            }
        }
        history
    }

    /// By how much each sample name rises, as `increase()` counts it; `after` follows the history.
    pub fn increases(&self, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
        let of = |(name, samples): (&String, &Vec<(i64, f64)>)| {
            assert_eq!(samples.first().map(|(_, value)| *value), Some(0.0), "{name} does not begin with 0");
            let values = samples.iter().map(|(_, value)| *value).chain(after.get(name).copied());
            let (_, sum) = values.fold((0.0, 0.0), |(before, sum), value| {
                (value, if value >= before { sum + value - before } else { sum + value })
            });
            (name.clone(), sum)
        };
        let mut increases: BTreeMap<String, f64> = self.0.iter().map(of).collect();
        // A series that begins only now begins at 0.
        for (name, value) in after {
            increases.entry(name.clone()).or_insert(*value);
        }
        increases
    }
}

/// What differs by more than a rounding error.
pub fn assert_same(found: &BTreeMap<String, f64>, truth: &BTreeMap<String, f64>) {
    let of = |map: &BTreeMap<String, f64>, name: &str| map.get(name).copied().unwrap_or(0.0);
    // OpenMetrics has no count of a histogram without a sum.
    let is_compared = |name: &str| !name.starts_with("agntix_session_sentiment_score_count");
    let names: BTreeSet<&String> = found.keys().chain(truth.keys()).filter(|name| is_compared(name)).collect();
    let differs: Vec<String> = names
        .into_iter()
        .filter(|name| (of(found, name) - of(truth, name)).abs() > 1e-6)
        .map(|name| format!("{name}: {} and not {}", of(found, name), of(truth, name)))
        .collect();
    assert!(differs.is_empty(), "{} differ:\n{}", differs.len(), differs[..differs.len().min(20)].join("\n"));
}
