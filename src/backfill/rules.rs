//! The recording rules that read the history, as files for `promtool tsdb create-blocks-from rules`, one after the other.
//!
//! `promtool` evaluates each rule against what a Prometheus has stored, and nothing it has evaluated itself. A rule that reads what
//! another one records can so be evaluated only once that one's past is stored. What comes first is a matter of names alone; nothing here
//! knows `PromQL`. What asks Prometheus and what writes the files are elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// How the names of all metrics of this exporter begin.
const OURS: &str = "agntix_";

/// `data` of `GET /api/v1/rules`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Rules {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Group {
    name: String,
    /// Seconds.
    interval: f64,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Rule {
    /// `recording` or `alerting`.
    r#type: String,
    name: String,
    query: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A file of rules.
#[derive(Debug, Serialize)]
pub(super) struct RuleFile<'r> {
    groups: Vec<FileGroup<'r>>,
    /// The names that this file records and none before it.
    #[serde(skip)]
    first_recorded: BTreeSet<&'r str>,
}

#[derive(Debug, Serialize)]
struct FileGroup<'r> {
    name: String,
    interval: String,
    rules: Vec<FileRule<'r>>,
}

#[derive(Debug, Serialize)]
struct FileRule<'r> {
    record: &'r str,
    expr: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'r BTreeMap<String, String>,
}

/// A recording rule, where it stands, and which others it reads.
struct Placed<'r> {
    group: usize,
    rule: &'r Rule,
    words: BTreeSet<&'r str>,
    reads: Vec<usize>,
}

/// The metric names of an expression, and whatever else looks like one.
fn words(query: &str) -> BTreeSet<&str> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| !word.is_empty())
        .collect()
}

impl Rules {
    /// All recording rules in their order. What a rule reads of a later one of its own group, or of itself, is the value of the evaluation
    /// before; that is not waited for.
    fn placed(&self) -> Vec<Placed<'_>> {
        let mut placed: Vec<Placed<'_>> = Vec::new();
        for (group, of) in self.groups.iter().enumerate() {
            let recording = of.rules.iter().filter(|rule| rule.r#type == "recording");
            placed.extend(recording.map(|rule| Placed { group, rule, words: words(&rule.query), reads: Vec::new() }));
        }
        let mut named: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (place, of) in placed.iter().enumerate() {
            named.entry(&of.rule.name).or_default().push((place, of.group));
        }
        for (place, of) in placed.iter_mut().enumerate() {
            let read = of.words.iter().filter_map(|word| named.get(word)).flatten();
            let earlier = read.filter(|(other, group)| *group != of.group || *other < place);
            of.reads = earlier.map(|(other, _)| *other).collect();
        }
        placed
    }

    /// The rules that read this exporter's metrics, directly or through others, and those that these read, as one file after the other.
    /// Rules that read each other in a circle, and what reads them, have no first one and are left out.
    pub(super) fn files(&self) -> Vec<RuleFile<'_>> {
        let placed = self.placed();
        let wanted = wanted(&placed);
        let mut done: BTreeSet<usize> = BTreeSet::new();
        let (mut files, mut recorded) = (Vec::new(), BTreeSet::new());
        loop {
            let can_follow = |(place, of): &(usize, &Placed<'_>)| {
                wanted.contains(place) && !done.contains(place) && of.reads.iter().all(|other| done.contains(other))
            };
            let next: Vec<(usize, &Placed<'_>)> = placed.iter().enumerate().filter(can_follow).collect();
            if next.is_empty() {
                return files;
            }
            done.extend(next.iter().map(|(place, _)| *place));
            files.push(self.file(&next, &mut recorded));
        }
    }

    /// `recorded` are the names of the files before.
    fn file<'r>(&'r self, rules: &[(usize, &Placed<'r>)], recorded: &mut BTreeSet<&'r str>) -> RuleFile<'r> {
        let names = rules.iter().map(|(_, of)| of.rule.name.as_str());
        let first_recorded = names.filter(|name| recorded.insert(name)).collect();
        let mut groups: BTreeMap<usize, Vec<FileRule<'r>>> = BTreeMap::new();
        for (_, of) in rules {
            // `a or b` gives series that differ only by their names, at different times. A rule drops the names; `promtool` does so too
            // late, and fails, so that an addition has to drop them.
            let expr = format!("({}) + 0", of.rule.query);
            let rule = FileRule { record: &of.rule.name, expr, labels: &of.rule.labels };
            groups.entry(of.group).or_default().push(rule);
        }
        let groups = groups.into_iter().filter_map(|(group, rules)| {
            let of = self.groups.get(group)?;
            // Files may have groups of one name, and this is one file.
            let (name, interval) = (format!("{group}-{}", of.name), format!("{}ms", of.interval * 1000.0));
            Some(FileGroup { name, interval, rules })
        });
        RuleFile { groups: groups.collect(), first_recorded }
    }
}

/// The places of the rules that read this exporter's metrics, and of those that these read.
fn wanted(placed: &[Placed<'_>]) -> BTreeSet<usize> {
    let is_ours = |of: &Placed<'_>| of.words.iter().any(|word| word.starts_with(OURS));
    let mut readers: BTreeSet<usize> = BTreeSet::new();
    loop {
        let reads_them = |of: &Placed<'_>| is_ours(of) || of.reads.iter().any(|other| readers.contains(other));
        let found: BTreeSet<usize> =
            placed.iter().enumerate().filter(|(_, of)| reads_them(of)).map(|(place, _)| place).collect();
        if found == readers {
            break;
        }
        readers = found;
    }
    let mut wanted = readers.clone();
    let mut next: Vec<usize> = readers.into_iter().collect();
    while let Some(place) = next.pop() {
        for other in placed.get(place).into_iter().flat_map(|of| &of.reads) {
            if wanted.insert(*other) {
                next.push(*other);
            }
        }
    }
    wanted
}

impl RuleFile<'_> {
    /// As text: what is recorded here first as a comment, for `import.sh` to wait for, and JSON, which is YAML.
    ///
    /// # Errors
    /// Never in practice: names and texts are all that is in it.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        let names: Vec<&str> = self.first_recorded.iter().copied().collect();
        Ok(format!("# {}\n{}\n", names.join("|"), serde_json::to_string_pretty(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, name and expression.
    type Written<'r> = (&'r str, &'r str, &'r str);

    fn rules(groups: &[(&str, &[Written<'_>])]) -> Rules {
        let groups = groups.iter().map(|(name, rules)| {
            let rules = rules.iter().map(|(r#type, name, query)| Rule {
                r#type: (*r#type).into(),
                name: (*name).into(),
                query: (*query).into(),
                labels: BTreeMap::new(),
            });
            Group { name: (*name).into(), interval: 60.0, rules: rules.collect() }
        });
        Rules { groups: groups.collect() }
    }

    fn names(rules: &Rules) -> Vec<Vec<String>> {
        let recorded = |file: &RuleFile<'_>| {
            let names = file.groups.iter().flat_map(|group| &group.rules).map(|rule| rule.record.to_owned());
            names.collect::<BTreeSet<_>>().into_iter().collect()
        };
        rules.files().iter().map(recorded).collect()
    }

    #[test]
    fn a_rule_comes_after_those_that_it_reads_and_foreign_rules_are_left_out() {
        let rules = rules(&[
            ("late", &[("recording", "c", "b:x[1h] + z"), ("alerting", "Alert", "c > 1")]),
            ("early", &[("recording", "b:x", "sum(agntix_up)"), ("recording", "node", "sum(node_load)")]),
            ("constants", &[("recording", "z", "vector(4)"), ("recording", "unread", "vector(5)")]),
        ]);
        assert_eq!(names(&rules), [vec!["b:x", "z"], vec!["c"]]);
    }

    #[test]
    fn a_rule_does_not_wait_for_itself_or_for_later_ones_of_its_group() {
        let rules = rules(&[(
            "one",
            &[
                ("recording", "a", "sum(agntix_up) + b"),
                ("recording", "b", "sum by (x) (a)"),
                ("recording", "a", "sum by (y) (a)"),
            ],
        )]);
        // The first and the third of them record the same name.
        assert_eq!(names(&rules), [vec!["a"], vec!["a", "b"]]);
        let second = rules.files().remove(1).text().unwrap();
        assert!(second.starts_with("# b\n"), "a is there before this file: {second}");
    }

    #[test]
    fn rules_that_read_each_other_in_a_circle_are_left_out() {
        let rules = rules(&[
            ("one", &[("recording", "a", "agntix_up + b")]),
            ("two", &[("recording", "b", "a offset 1h"), ("recording", "c", "sum(agntix_up)")]),
        ]);
        assert_eq!(names(&rules), [vec!["c"]]);
    }

    #[test]
    fn a_file_says_what_it_records_and_keeps_the_intervals() {
        let rules = rules(&[("slow", &[("recording", "a", "sum(agntix_up{x=\"y\"})")])]);
        let text = rules.files().remove(0).text().unwrap();
        let (comment, json) = text.split_once('\n').unwrap();
        assert_eq!(comment, "# a");
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let group = &json["groups"][0];
        assert_eq!((group["name"].as_str(), group["interval"].as_str()), (Some("0-slow"), Some("60000ms")));
        assert_eq!(group["rules"][0]["expr"], "(sum(agntix_up{x=\"y\"})) + 0");
    }

    #[test]
    fn what_prometheus_answers_is_read() {
        let rules: Rules = serde_json::from_str(
            r#"{"groups":[{"name":"g","file":"f.yml","interval":60,"limit":0,"rules":[
                {"name":"a","query":"sum(agntix_up)","labels":{"signal":"x"},"health":"ok","type":"recording","evaluationTime":0.1},
                {"state":"inactive","name":"A","query":"a","duration":0,"labels":{},"annotations":{},"alerts":[],"type":"alerting"}]}]}"#,
        )
        .unwrap();
        assert!(rules.files().remove(0).text().unwrap().contains(r#""signal": "x""#));
    }
}
