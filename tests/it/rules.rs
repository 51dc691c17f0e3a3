//! The alert rules under `deploy/`: accepted and tested by both promtools, complete, and about metrics that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use agntix_exporter::catalogue::reference;
use serde_json::{Value, json};

use crate::support::alertmanager::Alertmanager;
use crate::support::prometheus::{Prometheus, Setup, Version};
use crate::support::wait::eventually;
use crate::support::{promtool, tool};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a directory with this ending, by name; a test that finds none proves nothing.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(repository(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "{directory} has no .{ending}");
    files
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What the program said, which must have ended well.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    said
}

fn accepts(version: Version) {
    let checked = run(Command::new(promtool::locate(version))
        .args(["check", "rules"])
        .args(files("deploy/prometheus/rules", "yml")));
    // Of rules that it merely doubts promtool complains and ends well.
    assert!(!checked.contains("FAILED") && !checked.contains("lint error"), "{checked}");
    for config in ["deploy/prometheus/prometheus.yml", "deploy/prometheus/prometheus.replicas.yml"] {
        run(Command::new(promtool::locate(version)).args(["check", "config"]).arg(repository(config)));
    }
}

#[test]
#[ignore = "needs promtool from .ci/tools"]
fn promtool_2_accepts_the_rules() {
    accepts(Version::V2);
}

#[test]
#[ignore = "needs promtool from .ci/tools"]
fn promtool_3_accepts_the_rules() {
    accepts(Version::V3);
}

/// Fires and is silent as a file of tests says.
fn behaves(version: Version, file: &str) {
    let file = repository("deploy/prometheus/tests").join(file).with_extension("yml");
    run(Command::new(promtool::locate(version)).args(["test", "rules"]).arg(file));
}

/// A test for each file and version, since each takes seconds.
macro_rules! alerts_behave {
    ($($file:ident)+) => {
        $(mod $file {
            use super::{Version, behaves};

            #[test]
            #[ignore = "needs promtool from .ci/tools"]
            fn as_promised_on_prometheus_2() {
                behaves(Version::V2, stringify!($file));
            }

            #[test]
            #[ignore = "needs promtool from .ci/tools"]
            fn as_promised_on_prometheus_3() {
                behaves(Version::V3, stringify!($file));
            }
        })+

        #[test]
        fn no_file_of_tests_is_forgotten() {
            let run = BTreeSet::from([$(stringify!($file).to_owned()),+]);
            let there: BTreeSet<_> = files("deploy/prometheus/tests", "yml")
                .iter()
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(run, there);
        }
    };
}

alerts_behave! { absence clocks details drifts exporter first_minutes first_week flood gaps handle_time links never objective organizations past_weeks paused replicas replicas_whole returns shares slow texts volume volume_slow wander }

/// The rules as a server sees them after it has evaluated each of them, which is every second here. An empty server: what is
/// checked is that no expression is in error by itself, and what the rules consist of.
async fn loaded(version: Version) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    for file in files("deploy/prometheus/rules", "yml") {
        let quick: String =
            text(&file)
                .lines()
                .map(|line| {
                    if line.starts_with("    interval: ") {
                        "    interval: 1s\n".to_owned()
                    } else {
                        format!("{line}\n")
                    }
                })
                .collect();
        std::fs::write(directory.path().join(file.file_name().unwrap()), quick).unwrap();
    }
    let rule_files = json!([format!("{}/*.yml", directory.path().display())]);
    let setup = Setup { top: [("rule_files".to_owned(), rule_files)].into_iter().collect(), ..Setup::default() };
    let prometheus = Prometheus::start(version, setup).await;
    let rules = eventually(async || {
        let rules = prometheus.rules().await;
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    });
    let rules = rules.await.expect("every rule is evaluated");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{}: {}", rule["name"], rule["lastError"]);
    }
    rules
}

/// The alerts with their names; one of a name for each severity at most.
fn alerts(rules: &[Value]) -> Vec<(&str, &Value)> {
    let alerts: Vec<_> = rules.iter().filter(|rule| rule["type"] == "alerting").collect();
    let named: Vec<_> = alerts.iter().map(|alert| (alert["name"].as_str().unwrap(), *alert)).collect();
    let distinct: BTreeSet<_> =
        named.iter().map(|(name, alert)| (*name, alert["labels"]["severity"].as_str().unwrap())).collect();
    assert_eq!(distinct.len(), named.len(), "two alerts share name and severity");
    assert!(named.len() > 30, "{distinct:?}");
    named
}

fn names<'r>(alerts: &[(&'r str, &Value)]) -> BTreeSet<&'r str> {
    alerts.iter().map(|(name, _)| *name).collect()
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn prometheus_2_evaluates_every_rule() {
    alerts(&loaded(Version::V2).await);
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn every_alert_says_what_a_reader_needs_and_has_its_runbook() {
    let rules = loaded(Version::V3).await;
    let alerts = alerts(&rules);
    let overview = text(&repository("docs/alerting.md"));
    for (name, alert) in &alerts {
        let labels = &alert["labels"];
        assert!(["critical", "warning"].contains(&labels["severity"].as_str().unwrap()), "{name}");
        assert!(["sessions", "exporter"].contains(&labels["component"].as_str().unwrap()), "{name}");
        assert!(labels["scope"].is_string(), "{name}");
        let annotation =
            |key: &str| alert["annotations"][key].as_str().unwrap_or_else(|| panic!("{name} has no {key}"));
        assert!(annotation("summary").contains("{{"), "the summary of {name} names nobody");
        assert!(annotation("description").len() > 100, "the description of {name} says little");
        let named = format!(r#"reReplaceAll "[{{]alert[}}]" "{name}" }}}}"#);
        assert!(annotation("runbook_url").contains(&named), "{name}");
        assert!(annotation("dashboard_url").contains("/d/agntix-"), "{name}");
        if labels["component"] == "sessions" {
            assert!(annotation("sessions_url").contains("/d/agntix-sessions?"), "{name} does not lead to its sessions");
        }
        for key in ["summary", "description"] {
            assert!(!annotation(key).contains("{{ $labels.job }}"), "the {key} of {name} says the scrape job's name");
        }
        let page = text(&repository(&format!("docs/runbooks/{name}.md")));
        assert!(page.starts_with(&format!("# {name}\n")), "the runbook of {name} has another heading");
        for part in
            ["## What it means", "## Check in a minute", "## Likely causes", "## What to do", "## Tune or silence"]
        {
            assert!(page.contains(&format!("\n{part}\n")), "the runbook of {name} lacks {part:?}");
        }
        assert!(overview.contains(&format!("[{name}](runbooks/{name}.md)")), "docs/alerting.md does not list {name}");
    }
    for page in files("docs/runbooks", "md") {
        let name = page.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names(&alerts).contains(name.as_str()), "no alert belongs to {}", page.display());
    }
}

/// An alert that a file of tests expects: its scrape job, organization and component, and its texts.
struct Expected {
    job: String,
    organization: String,
    component: String,
    texts: BTreeMap<String, String>,
}

/// The value of a label in `{a: b, c: d}`.
fn label(labels: &str, name: &str) -> String {
    let value = labels.split(['{', ',']).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_default().trim_end_matches('}').to_owned()
}

fn expected_alerts() -> Vec<Expected> {
    let mut expected: Vec<Expected> = Vec::new();
    for file in files("deploy/prometheus/tests", "yml") {
        let mut key = String::new();
        for line in text(&file).lines() {
            if let Some(labels) = line.trim().strip_prefix("- exp_labels: ") {
                let [job, organization, component] =
                    ["job", "organization", "component"].map(|name| label(labels, name));
                expected.push(Expected { job, organization, component, texts: BTreeMap::new() });
            } else if let Some(name) = line.strip_prefix("              ").and_then(|line| line.strip_suffix(": >-")) {
                name.clone_into(&mut key);
            } else if let (Some(words), Some(alert)) = (line.strip_prefix("                "), expected.last_mut())
                && !key.is_empty()
            {
                let text = alert.texts.entry(key.clone()).or_default();
                format!("{text} {words}").trim().clone_into(text);
            } else {
                key.clear();
            }
        }
    }
    assert!(expected.len() > 50, "{} alerts are expected", expected.len());
    expected
}

#[test]
fn expected_summaries_have_a_number_and_no_text_has_the_name_of_the_scrape_job() {
    for alert in expected_alerts() {
        let (summary, description) = (&alert.texts["summary"], &alert.texts["description"]);
        // What stands before the colon names who it is, which may have digits too.
        let said = summary.split_once(": ").map_or(summary.as_str(), |(_, said)| said);
        let counts = if alert.component == "sessions" { said } else { summary };
        assert!(counts.contains(|c: char| c.is_ascii_digit()), "no number in: {summary}");
        assert!(summary.chars().count() < 200, "a pager shows less than: {summary}");
        for text in [summary, description] {
            let named = alert.job.is_empty() || alert.job == alert.organization || !text.contains(&alert.job);
            assert!(named, "{} is a job in: {text}", alert.job);
            assert!(!text.contains("  ") && !text.contains("error expanding"), "{text}");
        }
        assert_eq!(alert.component == "sessions", alert.texts.contains_key("sessions_url"), "{summary}");
    }
}

/// What stands between the fences of `PromQL` in a runbook.
fn queries(page: &str) -> Vec<String> {
    let blocks = page.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| block.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn queries_of_the_runbooks_can_be_asked_and_name_what_exists() {
    let prometheus = Prometheus::start(Version::V3, Setup::default()).await;
    let known =
        reference() + &files("deploy/prometheus/rules", "yml").iter().map(|file| text(file)).collect::<String>();
    let known: BTreeSet<&str> = metrics(&known).collect();
    let mut asked = 0;
    for file in files("docs/runbooks", "md") {
        let page = text(&file);
        for name in metrics(&page) {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(
                known.contains(name) || base.is_some_and(|base| known.contains(base)),
                "{}: {name}",
                file.display()
            );
        }
        for query in queries(&page) {
            assert_eq!(prometheus.query(&query).await.len(), 0, "{}: {query}", file.display());
            let is_about_all = query.contains("by (job, organization");
            let selectors = query.matches(r#"job="JOB""#).count();
            let of_targets =
                query.matches(r#"up{job="JOB"}"#).count() - query.matches(r#"agntix_up{job="JOB"}"#).count();
            let of_organization = query.matches(r#"job="JOB", organization="ORGANIZATION""#).count();
            assert!(is_about_all || selectors == of_organization + of_targets, "{}: {query}", file.display());
            asked += 1;
        }
    }
    assert!(asked > 60, "{asked} queries");
}

/// How each alert is tested: whether some test has it fire, and some has it silent.
fn tested() -> BTreeMap<String, (bool, bool)> {
    let mut tested: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for file in files("deploy/prometheus/tests", "yml") {
        let text = text(&file);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("        alertname: ") {
                let fires = lines.peek().is_some_and(|next| next.trim() == "exp_alerts:");
                let entry = tested.entry(name.to_owned()).or_default();
                *entry = (entry.0 || fires, entry.1 || !fires);
            }
        }
    }
    tested
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn every_alert_is_tested_firing_and_silent() {
    let rules = loaded(Version::V3).await;
    let alerts = alerts(&rules);
    let tested = tested();
    for name in names(&alerts) {
        assert_eq!(
            tested.get(name),
            Some(&(true, true)),
            "{name} needs a test that fires it and one where it is silent"
        );
    }
    let untold: Vec<_> = tested.keys().filter(|name| !names(&alerts).contains(name.as_str())).collect();
    assert!(untold.is_empty(), "tested, but not among the alerts: {untold:?}");
}

/// The names of our metrics in an expression or a template.
fn metrics(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)))
        .filter(|word| word.starts_with("agntix:") || word.starts_with("agntix_") || word.starts_with("job:agntix"))
}

#[tokio::test]
#[ignore = "needs Prometheus from .ci/tools"]
async fn rules_read_only_what_the_exporter_serves_or_other_rules_record() {
    let reference = reference();
    let served: BTreeSet<&str> =
        reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let rules = loaded(Version::V3).await;
    let recorded: BTreeSet<&str> =
        rules.iter().filter(|rule| rule["type"] == "recording").map(|rule| rule["name"].as_str().unwrap()).collect();
    let mut read = BTreeSet::new();
    for rule in &rules {
        let annotations = rule["annotations"].as_object().into_iter().flatten().map(|(_, text)| text);
        for text in std::iter::once(&rule["query"]).chain(annotations) {
            read.extend(metrics(text.as_str().unwrap()));
        }
    }
    assert!(read.len() > 40, "{read:?}");
    for name in &read {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(
            recorded.contains(name) || served.contains(name) || served.contains(base),
            "{name} is neither served nor recorded"
        );
    }
    let unread: Vec<_> = recorded.difference(&read).collect();
    assert!(unread.is_empty(), "recorded, and read by no rule: {unread:?}");
}

fn amtool() -> Command {
    Command::new(tool::locate("AMTOOL", "alertmanager/usr/bin/amtool"))
}

#[test]
#[ignore = "needs amtool from .ci/tools"]
fn alertmanager_sends_alerts_where_they_belong() {
    let config = repository("deploy/alertmanager/alertmanager.yml");
    run(amtool().arg("check-config").arg(&config));
    let routes = text(&repository("deploy/alertmanager/routes.txt"));
    let mut checked = 0;
    for line in routes.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (receiver, labels) = line.split_once(' ').unwrap();
        run(amtool()
            .args(["config", "routes", "test"])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--verify.receivers={receiver}"))
            .args(labels.split_whitespace()));
        checked += 1;
    }
    assert!(checked > 10);
}

#[tokio::test]
#[ignore = "needs Alertmanager from .ci/tools"]
async fn alertmanager_hides_what_another_alert_explains() {
    let config = repository("deploy/alertmanager/alertmanager.yml");
    let cases = text(&repository("deploy/alertmanager/inhibition.txt"));
    let mut checked = 0;
    for block in cases.split("\n\n") {
        let alerts: Vec<_> = block.lines().filter(|line| line.starts_with(['+', '-'])).collect();
        if alerts.is_empty() {
            continue;
        }
        let labels = |line: &&str| -> BTreeMap<String, String> {
            let pairs = line[1..].split_whitespace().map(|pair| pair.split_once('=').unwrap());
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        // One for each block, so that nothing of the block before is left.
        let alertmanager = Alertmanager::start(&config).await;
        let fired: Vec<_> = alerts.iter().map(labels).collect();
        alertmanager.fire(&fired).await;
        let mut expected: Vec<_> =
            alerts.iter().filter(|line| line.starts_with('+')).map(|line| labels(line)["alertname"].clone()).collect();
        expected.sort_unstable();
        // Before the first look nothing is hidden yet, which must not be what is waited for.
        assert!(expected.len() < alerts.len(), "nothing is hidden in: {block}");
        alertmanager.shows(&expected, alerts.len()).await;
        checked += 1;
    }
    assert!(checked > 3);
}
