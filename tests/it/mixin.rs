//! `deploy/mixin`, rendered by go-jsonnet: by default it is the shipped files, and what `_config` sets changes what it is about and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dashboards::promql::parts;
use crate::support::prometheus::Version;
use crate::support::{promtool, tool};

/// What of the repository the mixin reads.
const READ: [&str; 3] = ["deploy/mixin", "deploy/prometheus/rules", "grafana/dashboards"];

/// As jsonnet-bundler lays it out: the repository as a whole, and nothing else.
fn vendor() -> TempDir {
    let vendor = tempfile::tempdir().unwrap();
    for directory in READ {
        let to = vendor.path().join("agntix-exporter").join(directory);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
        }
    }
    vendor
}

/// What go-jsonnet says of the mixin with this `_config`.
fn evaluated(config: &str) -> Output {
    let vendor = vendor();
    let program = "import sys, _gojsonnet as jsonnet\n\
                   print(jsonnet.evaluate_snippet('mixin', sys.argv[1], jpathdir=[sys.argv[2]]))";
    let source = format!(
        "local mixin = (import 'agntix-exporter/deploy/mixin/mixin.libsonnet') + {{ _config+:: {config} }};\n\
         {{ alerts: mixin.prometheusAlerts, rules: mixin.prometheusRules, dashboards: mixin.grafanaDashboards, folder: mixin.grafanaDashboardFolder }}"
    );
    let python = tool::locate("JSONNET_PYTHON", "gojsonnet/bin/python");
    Command::new(python).args(["-c", program, &source]).arg(vendor.path()).output().unwrap()
}

fn rendered(config: &str) -> Value {
    let output = evaluated(config);
    assert!(output.status.success(), "{config}: {}", String::from_utf8_lossy(&output.stderr));
    read(&output.stdout)
}

/// JSON in which 1.0 is the same number as 1, and 0.10000000000000001 as 0.1: Jsonnet writes them otherwise than the files.
fn read(text: &[u8]) -> Value {
    fn one_spelling(value: &mut Value) {
        match value {
            Value::Number(number) => *value = json!((number.as_f64().unwrap() * 1e9).round() / 1e9),
            Value::Array(values) => values.iter_mut().for_each(one_spelling),
            Value::Object(map) => map.values_mut().for_each(one_spelling),
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(text).unwrap();
    one_spelling(&mut value);
    value
}

/// The groups of a shipped file of rules.
fn shipped(file: &str) -> Vec<Value> {
    let python = tool::locate("KUBERNETES_PYTHON", "kubernetes-python/bin/python");
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1]))['groups'], sys.stdout)";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules").join(file);
    let output = Command::new(python).args(["-c", program]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read(&output.stdout).as_array().unwrap().clone()
}

fn shipped_dashboards() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards")).unwrap();
    files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), read(&std::fs::read(file.path()).unwrap()))
        })
        .collect()
}

fn dashboards(mixin: &Value) -> BTreeMap<String, Value> {
    serde_json::from_value(mixin["dashboards"].clone()).unwrap()
}

/// The rules of all groups, the alerts before what is recorded.
fn rules(mixin: &Value) -> Vec<Value> {
    let groups = [&mixin["alerts"], &mixin["rules"]].map(|part| part["groups"].as_array().unwrap());
    groups.into_iter().flatten().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// promtool has nothing to say against what is rendered.
fn check_rules(mixin: &Value) {
    let directory = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = ["alerts", "rules"].map(|part| directory.path().join(part).with_extension("yml")).into();
    for (file, part) in files.iter().zip(["alerts", "rules"]) {
        std::fs::write(file, mixin[part].to_string()).unwrap();
    }
    for version in [Version::V2, Version::V3] {
        let output = Command::new(promtool::locate(version)).args(["check", "rules"]).args(&files).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success() && !said.contains("FAILED") && !said.contains("lint error"), "{said}");
    }
}

#[test]
#[ignore = "needs go-jsonnet, promtool and the schemas from .ci/tools"]
fn by_default_it_is_the_shipped_files() {
    let mixin = rendered("{}");
    let alerts = [shipped("agntix-exporter.yml"), shipped("agntix-sessions.yml")].concat();
    let recorded = [shipped("agntix-recording.yml"), shipped("agntix-settings.yml")].concat();
    assert!(mixin["alerts"] == json!({ "groups": alerts }), "the alerts differ");
    assert!(mixin["rules"] == json!({ "groups": recorded }), "what is recorded differs");
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules")).unwrap();
    assert_eq!(files.count(), 4, "a file of rules is not in deploy/mixin/rules.libsonnet");
    let (made, wanted) = (dashboards(&mixin), shipped_dashboards());
    assert_eq!(made.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, dashboard) in &wanted {
        assert!(made[name] == *dashboard, "{name} differs");
    }
    assert_eq!(mixin["folder"], "Agntix");
    check_rules(&mixin);
}

/// Something of everything that can be set for rules, but for the selector.
const RULES: &str = r#"{
    links+: { grafanaUrl: "https://grafana.example/", runbookUrl: "https://wiki.example/{alert}", appUrl: "https://app.example/s/" },
    thresholds+: [
        { record: "agntix:threshold:share_floor", labels: { signal: "negative" }, value: 0.1 },
        { record: "agntix:threshold:certificate_seconds", value: 1209600 },
        { record: "agntix:threshold:resolution_objective", value: 0.8 },
        { record: "agntix:threshold:resolution_objective", labels: { agent_id: "agnt_sales" }, value: 0.6 },
    ],
    severities+: { critical: "P1" },
    additionalRuleLabels+: { team: "support" },
    alerts+: {
        AgntixSessionsSilent: { severity: "warning", "for": "7m", keepFiringFor: "1h" },
        AgntixUnresolvedElevated: { labels: { team: "delivery" } },
        AgntixWatchedSessionIdle: { enabled: false },
    },
}"#;

#[test]
#[ignore = "needs go-jsonnet, promtool and the schemas from .ci/tools"]
fn what_is_set_of_rules_changes_them_and_nothing_else() {
    let (plain, mixin) = (rendered("{}"), rendered(RULES));
    check_rules(&mixin);
    let mut wanted = rules(&plain);
    wanted.retain(|rule| rule["alert"] != "AgntixWatchedSessionIdle");
    let mut changed = BTreeSet::new();
    let own = json!({ "record": "agntix:threshold:resolution_objective", "expr": "vector(0.6)", "labels": { "agent_id": "agnt_sales" } });
    let at = wanted.iter().position(|rule| rule["record"] == own["record"]).unwrap();
    wanted.insert(at + 1, own);
    wanted[at]["expr"] = "vector(0.8)".into();
    for rule in &mut wanted {
        if let Some(alert) = rule["alert"].as_str().map(str::to_owned) {
            let severity = match (alert.as_str(), rule["labels"]["severity"].as_str()) {
                ("AgntixSessionsSilent", _) | (_, Some("warning")) => "warning",
                _ => "P1",
            };
            rule["labels"]["severity"] = severity.into();
            rule["labels"]["team"] = if alert == "AgntixUnresolvedElevated" { "delivery" } else { "support" }.into();
            if alert == "AgntixSessionsSilent" {
                rule["for"] = "7m".into();
                rule["keep_firing_for"] = "1h".into();
            }
            changed.insert(alert);
        } else if rule["record"] == "agntix:setting:links" {
            rule["labels"]["grafana_url"] = "https://grafana.example".into();
            rule["labels"]["app_url"] = "https://app.example/s".into();
            rule["labels"]["runbook_url"] = "https://wiki.example/{alert}".into();
        } else if rule["record"] == "agntix:threshold:share_floor" && rule["labels"]["signal"] == "negative" {
            rule["expr"] = "vector(0.1)".into();
        } else if rule["record"] == "agntix:threshold:certificate_seconds" {
            rule["expr"] = "vector(1209600)".into();
        }
    }
    assert!(changed.contains("AgntixSessionsSilent") && changed.contains("AgntixUnresolvedElevated"));
    let made = rules(&mixin);
    assert_eq!(made.len(), wanted.len());
    for (made, wanted) in made.iter().zip(&wanted) {
        assert_eq!(made, wanted);
    }
    // The dashboards mark alerts by the same words.
    for (name, dashboard) in dashboards(&mixin) {
        let words = |dashboard: &Value| dashboard.to_string().replace(r#"severity=\"critical\""#, r#"severity=\"P1\""#);
        let words = words(&shipped_dashboards()[&name]).replace(r#""critical""#, r#""P1""#);
        let words = words.replace("https://app.agntix.ai/en/logs-history", "https://app.example/s");
        assert!(dashboard == read(words.as_bytes()), "{name}");
    }
}

const SELECTOR: &str = r#"job="agntix", cluster=~"prod.*""#;

/// The queries that there are in a dashboard.
fn queries<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if ["expr", "query", "definition"].contains(&key.as_str()) => found.push(text),
                    value => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// What is recorded, and what Prometheus knows of alerts, follows from what is narrowed.
fn is_narrowed(expr: &str, shipped: &str) -> usize {
    let plain = expr.replace(&format!("{{{SELECTOR}, "), "{").replace(&format!("{{{SELECTOR}}}"), "");
    assert_eq!(plain, shipped);
    let of_exporter = |name: &str| name.starts_with("agntix_") || name == "up";
    let parts = parts(expr);
    let bare: Vec<_> = parts.words.iter().filter(|word| of_exporter(word)).collect();
    assert!(bare.is_empty(), "{bare:?} in {expr}");
    let wanted = [("job", "=", "agntix"), ("cluster", "=~", "prod.*")];
    for selector in &parts.selectors {
        let narrowed = wanted.iter().all(|(label, operator, value)| {
            selector.matchers.contains(&((*label).to_owned(), (*operator).to_owned(), (*value).to_owned()))
        });
        assert_eq!(narrowed, of_exporter(&selector.name), "{} in {expr}", selector.name);
    }
    parts.selectors.iter().filter(|selector| of_exporter(&selector.name)).count()
}

#[test]
#[ignore = "needs go-jsonnet, promtool and the schemas from .ci/tools"]
fn a_selector_narrows_every_query_of_the_exporters_metrics() {
    let (plain, mixin) = (rendered("{}"), rendered(&format!("{{ selector: '{SELECTOR}' }}")));
    check_rules(&mixin);
    let mut narrowed = 0;
    for (made, shipped) in rules(&mixin).iter_mut().zip(&rules(&plain)) {
        narrowed += is_narrowed(made["expr"].as_str().unwrap(), shipped["expr"].as_str().unwrap());
        made["expr"] = shipped["expr"].clone();
        assert_eq!(made, shipped);
    }
    assert!(narrowed > 80, "{narrowed}");
    let of_rules = narrowed;
    for (name, dashboard) in shipped_dashboards() {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        queries(&dashboard, &mut before);
        queries(&mixin["dashboards"][&name], &mut after);
        assert_eq!(before.len(), after.len(), "{name}");
        for (after, before) in after.into_iter().zip(before) {
            narrowed += is_narrowed(after, before);
        }
    }
    assert!(narrowed > of_rules + 500, "{narrowed}");
}

#[test]
#[ignore = "needs go-jsonnet, promtool and the schemas from .ci/tools"]
fn what_is_set_of_dashboards_changes_them_and_the_links_to_them() {
    let mixin = rendered(
        r#"{
        dashboardTags: ["bots", "prod"],
        dashboardUidPrefix: "bots-",
        dashboardTitlePrefix: 'The "bots" / ',
        dashboardRefresh: "5m",
        dashboardTimezone: "utc",
        dashboardFolder: "Bots",
        datasource: { uid: "mimir", name: "Mimir" },
        datasourceFilterRegex: "/prod/",
        hiddenVariables: ["cluster", "namespace"],
    }"#,
    );
    check_rules(&mixin);
    assert_eq!(mixin["folder"], "Bots");
    let made = dashboards(&mixin);
    for (name, mut wanted) in shipped_dashboards() {
        let text = wanted.to_string().replace("/d/agntix-", "/d/bots-").replace("\\\"agntix-", "\\\"bots-");
        wanted = read(text.replace("Agntix / ", "The \\\"bots\\\" / ").as_bytes());
        wanted["uid"] = name.replace("agntix-", "bots-").replace(".json", "").into();
        wanted["tags"] = json!(["bots", "prod"]);
        wanted["refresh"] = "5m".into();
        wanted["timezone"] = "utc".into();
        let variables = wanted["templating"]["list"].as_array_mut().unwrap();
        variables[0]["current"] = json!({ "selected": true, "text": "Mimir", "value": "mimir" });
        variables[0]["regex"] = "/prod/".into();
        for variable in variables.iter_mut().filter(|of| of["name"] == "cluster" || of["name"] == "namespace") {
            variable["hide"] = 2.0.into();
        }
        assert!(made[&name.replace("agntix-", "bots-")] == wanted, "{name}");
    }
    assert_eq!(made.len(), shipped_dashboards().len());
    let alerts = mixin["alerts"].to_string();
    assert!(!alerts.contains("/d/agntix-") && alerts.contains("/d/bots-quality?"));
}

#[test]
#[ignore = "needs go-jsonnet, promtool and the schemas from .ci/tools"]
fn a_mistake_is_refused_with_what_is_wrong() {
    let mistakes = [
        (
            r#"{ thresholds+: [{ record: "agntix:threshold:zz", value: 1 }] }"#,
            "agntix-settings.yml has no agntix:threshold:zz with exactly the labels",
        ),
        (r#"{ thresholds+: [{ record: "agntix:threshold:z", value: 1 }] }"#, "has no agntix:threshold:z with exactly"),
        (
            r#"{ thresholds+: [{ record: "agntix:threshold:resolution_objective", value: 80 }] }"#,
            "the objective 80 is no share of the sessions",
        ),
        ("{ alerts+: { AgntixUnresolvedSpikes: {} } }", "there is no alert AgntixUnresolvedSpikes"),
        (r#"{ alerts+: { AgntixUnresolvedSpike: { fro: "3m" } } }"#, "there is no setting fro"),
        (
            r#"{ alerts+: { AgntixUnresolvedSpike: { severity: "P1" } } }"#,
            "severity is P1, but must be one of critical",
        ),
        (r#"{ severities+: { critical: "warning" } }"#, "two have the same word"),
        (r#"{ additionalRuleLabels+: { job: "x" } }"#, "the label job is set by the rules"),
        (r#"{ hiddenVariables: ["clusters"] }"#, "there is no variable clusters"),
    ];
    for (config, words) in mistakes {
        let refused = evaluated(config);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(words), "{config}: {said}");
    }
}
