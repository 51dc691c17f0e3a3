//! Pages as numbers.

use std::collections::BTreeMap;

use agntix_exporter::catalogue::{Family, reference};

/// Every metric on a text page must be in the reference, and every sample under its own metric.
pub fn check_names(page: &str) {
    static REFERENCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let reference = REFERENCE.get_or_init(reference);
    let mut family = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(reference.contains(&format!("| `{family}` |")), "{family} is not in the reference");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = name.strip_prefix(family);
            assert!(matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")), "{name} under {family}");
        }
    }
}

/// The samples of a text page.
pub fn samples(page: &str) -> BTreeMap<String, f64> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{name} {value}"))))
        .collect()
}

/// Whether a sample belongs to a durable family.
pub fn is_durable(sample: &str) -> bool {
    Family::ALL.iter().any(|family| {
        let rest = sample.strip_prefix(family.descriptor().name);
        rest.is_some_and(|rest| ["{", "_bucket{", "_sum{", "_count{"].iter().any(|start| rest.starts_with(start)))
    })
}

/// The value of a label of a sample.
pub fn label<'s>(sample: &'s str, name: &str) -> Option<&'s str> {
    let (_, rest) = sample.split_once(&format!("{name}=\""))?;
    Some(&rest[..rest.find('"')?])
}

/// A number of things as a sample shows it.
pub fn number(things: usize) -> f64 {
    f64::from(u32::try_from(things).unwrap())
}

/// The sum of a metric over all its labels; bucket bounds are kept apart by asking for `…_count`, `…_sum`.
pub fn total(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    samples.iter().filter(|(sample, _)| sample.split('{').next() == Some(name)).map(|(_, value)| value).sum()
}

/// The samples of the durable families that are not 0, as the truth has them.
pub fn durable(samples: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    samples.iter().filter(|(name, value)| **value != 0.0 && is_durable(name)).map(|(k, v)| (k.clone(), *v)).collect()
}
