//! The rules of grafana/dashboard-linter, by their names there, and that every metric and label is in the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use agntix_exporter::catalogue::reference;
use serde_json::Value;

use super::promql::{Selector, parts};
use super::{Dashboard, Panel, directory, list, none, text};

/// Grafana's units that the linter knows; of these, those that the dashboards use.
const UNITS: [&str; 9] =
    ["none", "percentunit", "s", "dthms", "dtdurations", "bytes", "ops", "bool_yes_no", "dateTimeAsLocal"];
/// Units of our own, which Grafana allows and the linter's list does not have: its own one reads "c/m", and it has none for points of a percentage.
const OWN_UNITS: [&str; 2] = ["suffix:/min", "suffix: pp"];

/// Alerts come from rules that sum over instances, and some over jobs: they are matched by `$job|`.
const ALERTS: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// What the rules of `deploy/prometheus` record, by name.
fn recorded() -> BTreeSet<String> {
    let rules = directory().join("../deploy/prometheus/rules");
    let files = std::fs::read_dir(rules).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let names = |file: String| {
        file.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let found: BTreeSet<_> = files.flat_map(names).collect();
    assert!(found.len() > 30, "{found:?}");
    found
}

fn selectors(panel: &Panel<'_>) -> Vec<Selector> {
    panel.targets().iter().flat_map(|target| parts(target.expr).selectors).collect()
}

/// What each rule finds wrong with each panel.
fn complaints(rule: impl Fn(&Panel<'_>) -> Vec<String>) -> Vec<String> {
    let dashboards = Dashboard::all();
    let panels = dashboards.iter().flat_map(Dashboard::panels);
    panels.flat_map(|panel| rule(&panel).into_iter().map(move |said| format!("{}: {said}", panel.place()))).collect()
}

#[test]
fn template_datasource_rule() {
    for dashboard in Dashboard::all() {
        let sources: Vec<_> =
            dashboard.variables().iter().filter(|variable| variable["type"] == "datasource").collect();
        assert_eq!(sources.len(), 1);
        assert_eq!((&sources[0]["name"], &sources[0]["label"]), (&"datasource".into(), &"Data source".into()));
        assert_eq!(sources[0]["query"], "prometheus");
    }
}

#[test]
fn template_job_rule_and_template_instance_rule() {
    for dashboard in Dashboard::all() {
        for (name, label) in [("job", "Job"), ("instance", "Instance")] {
            let variable = dashboard.variables().iter().find(|variable| variable["name"] == name).unwrap();
            assert_eq!(variable["type"], "query");
            assert_eq!(variable["datasource"]["uid"], "${datasource}");
            assert_eq!(variable["label"], label);
            assert_eq!(variable["multi"], true);
            assert_eq!(variable["allValue"], ".+");
        }
    }
}

#[test]
fn template_on_time_change_reload_rule() {
    for dashboard in Dashboard::all() {
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            // An address that somebody has given is not to be replaced when the time range moves.
            let when = if variable["name"] == "app_url" { 1 } else { 2 };
            assert_eq!(variable["refresh"], when, "{}: {}", dashboard.uid, variable["name"]);
        }
    }
}

#[test]
fn uneditable_dashboard() {
    assert!(Dashboard::all().iter().all(|dashboard| dashboard.json["editable"] == false));
}

#[test]
fn panel_datasource_rule() {
    none(&complaints(|panel| {
        let wrong = |value: &Value| value["datasource"]["uid"] != "${datasource}";
        let targets = list(&panel.json["targets"]);
        let all = std::iter::once(panel.json).chain(targets);
        all.filter(|value| wrong(value)).map(|value| format!("the data source is {}", value["datasource"])).collect()
    }));
}

#[test]
fn panel_title_description_rule_and_panel_no_targets_rule() {
    none(&complaints(|panel| {
        let empty = |key: &str| panel.json[key].as_str().is_none_or(str::is_empty).then(|| format!("no {key}"));
        let targets = panel.targets().is_empty().then(|| "no targets".to_owned());
        [empty("title"), empty("description"), targets].into_iter().flatten().collect()
    }));
}

#[test]
fn panel_units_rule() {
    none(&complaints(|panel| {
        let config = &panel.json["fieldConfig"];
        let overrides = list(&config["overrides"]).iter().flat_map(|rule| list(&rule["properties"]));
        let units = overrides.filter(|property| property["id"] == "unit").map(|property| text(&property["value"]));
        let units = units.chain([config["defaults"]["unit"].as_str().unwrap_or("absent")]);
        let unknown = units.filter(|unit| !UNITS.contains(unit) && !OWN_UNITS.contains(unit));
        unknown.map(|unit| format!("the unit {unit} is not known")).collect()
    }));
}

#[test]
fn target_rate_interval_rule() {
    none(&complaints(|panel| {
        let rates = selectors(panel).into_iter().filter(|s| ["rate", "irate"].contains(&first(s)));
        rates.filter(|s| s.range.as_deref() != Some("$__rate_interval")).map(|s| format!("{s:?}")).collect()
    }));
}

/// Beyond the linter: a total is one over the whole time range, and a course is one over the steps' own interval.
#[test]
fn ranges_are_those_of_the_panel() {
    none(&complaints(|panel| {
        let mut wrong = Vec::new();
        for target in panel.targets() {
            let instant = target.json["instant"] == true;
            for selector in parts(target.expr).selectors {
                let Some(range) = &selector.range else { continue };
                // Below a number, a line shows how it went.
                let line = panel.kind() == "stat";
                let whole = range == "$__range" && (instant || line || target.expr.contains("[$__range] @ end())"));
                // Whether a target is an exporter is asked of the whole time range, in a course, too.
                let exporters = first(&selector) == "last_over_time" && selector.name == "agntix_exporter_build_info";
                let step = range == "$__rate_interval" && !instant;
                // An hour of the week is an hour, on average over four weeks.
                let hours = range == "1h" && instant && target.expr.contains(")[4w:1h])");
                // Panels with a time range of their own have a point a day.
                let days = range == "$__interval" && panel.json["timeFrom"] == "4w" && target.json["interval"] == "1d";
                // The error budget is that of four weeks, of what the rules have summed up.
                let budget = range == "4w" && instant && selector.name.starts_with("agntix:");
                if !(whole || step || exporters || hours || days || budget) || first(&selector) == "irate" {
                    wrong.push(format!("{selector:?}"));
                }
            }
        }
        wrong
    }));
}

/// Beyond the linter: cluster, namespace and organization, too, the last except of what Prometheus itself says of a target.
#[test]
fn target_job_rule_and_target_instance_rule() {
    none(&complaints(|panel| {
        let mut wrong = Vec::new();
        for target in panel.targets() {
            let selectors = parts(target.expr).selectors;
            // What is recorded has no instance, and beside alerts it is found by their labels.
            let of_alerts = selectors.iter().any(|selector| ALERTS.contains(&selector.name.as_str()));
            for selector in &selectors {
                let name = selector.name.as_str();
                let (alert, recorded, setting) =
                    (ALERTS.contains(&name), name.contains(':'), name.starts_with("agntix:setting:"));
                let labels: &[&str] = match (alert, recorded) {
                    (true, _) => &["cluster", "namespace", "organization", "job", "agent_id"],
                    (_, true) if of_alerts || setting => &[],
                    (_, true) => &["cluster", "namespace", "organization", "job", "agent_id"],
                    _ if OF_PROMETHEUS.iter().any(|(own, _)| *own == name) => {
                        &["cluster", "namespace", "job", "instance"]
                    }
                    _ => &["cluster", "namespace", "organization", "job", "instance"],
                };
                for label in labels {
                    let variable = label.trim_end_matches("_id");
                    // Aggregation may have taken the label away.
                    let lost = alert || recorded && ["cluster", "namespace"].contains(label);
                    let value = format!("${variable}{}", if lost { "|" } else { "" });
                    if !selector.matchers.contains(&((*label).to_owned(), "=~".to_owned(), value)) {
                        wrong.push(format!("{name} has no matcher of the variable {variable}"));
                    }
                }
            }
        }
        wrong
    }));
}

#[test]
fn target_counter_agg_rule() {
    none(&complaints(|panel| {
        let is_counter = |name: &str| ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
        let counters = selectors(panel).into_iter().filter(|selector| is_counter(&selector.name));
        let wrong = counters.filter(|selector| {
            let counted = selector.range.is_some() && ["rate", "increase"].contains(&first(selector));
            // Asks only which agents there are; group drops the value.
            !counted && first(selector) != "group"
        });
        wrong.map(|selector| format!("{selector:?}")).collect()
    }));
}

fn first(selector: &Selector) -> &str {
    selector.within.first().map_or("", String::as_str)
}

/// Names and labels of the metrics, from the table that the catalogue writes.
fn catalogue() -> BTreeMap<String, BTreeSet<String>> {
    let rows = reference();
    let rows = rows.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cells in rows.map(cells) {
        let name = cells[1].trim_matches('`').to_owned();
        let mut labels: BTreeSet<String> =
            cells[3].split(", ").map(|label| label.trim_matches('`').to_owned()).filter(|label| label != "-").collect();
        if cells[2].starts_with("histogram") {
            let ends: &[&str] =
                if cells[2].contains("without") { &["_bucket"] } else { &["_bucket", "_sum", "_count"] };
            for end in ends {
                let mut labels = labels.clone();
                if *end == "_bucket" {
                    labels.insert("le".into());
                }
                found.insert(format!("{name}{end}"), labels);
            }
        } else {
            found.insert(name, std::mem::take(&mut labels));
        }
    }
    assert!(found.len() > 60);
    found
}

/// What Prometheus itself adds.
const OF_PROMETHEUS: [(&str, &[&str]); 5] = [
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
    ("ALERTS", &["alertname", "alertstate"]),
    ("ALERTS_FOR_STATE", &["alertname"]),
];

/// What the rules of `deploy/prometheus` add to alerts, and what only recorded series have.
const OF_RULES: [&str; 7] = ["severity", "component", "signal", "window", "pace", "week", "url"];

#[test]
fn every_metric_and_label_is_in_the_catalogue() {
    let mut known = catalogue();
    for (name, labels) in OF_PROMETHEUS {
        known.insert(name.into(), labels.iter().map(ToString::to_string).collect());
    }
    let of_rules: BTreeSet<String> = known.values().flatten().cloned().chain(OF_RULES.map(str::to_owned)).collect();
    for name in recorded() {
        known.insert(name, of_rules.clone());
    }
    for (name, _) in OF_PROMETHEUS.iter().filter(|(name, _)| ALERTS.contains(name)) {
        known.get_mut(*name).unwrap().extend(of_rules.clone());
    }
    let target_labels = ["cluster", "namespace", "organization", "job", "instance"];
    let everywhere: BTreeSet<&str> = known.values().flatten().map(String::as_str).chain(target_labels).collect();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut check = |place: &str, expr: &str, legend: &str| {
        let parts = parts(expr);
        assert!(!parts.selectors.is_empty(), "{place}: {expr} selects nothing");
        wrong.extend(
            parts.words.iter().filter(|word| word.starts_with("agntix_")).map(|word| format!("{place}: a bare {word}")),
        );
        for selector in &parts.selectors {
            used.insert(selector.name.clone());
            let Some(labels) = known.get(&selector.name) else {
                wrong.push(format!("{place}: there is no metric {}", selector.name));
                continue;
            };
            let strange = selector
                .matchers
                .iter()
                .filter(|(label, ..)| !labels.contains(label) && !target_labels.contains(&label.as_str()));
            wrong.extend(strange.map(|(label, ..)| format!("{place}: {} has no label {label}", selector.name)));
        }
        let shown = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap());
        let named = parts.labels.iter().map(String::as_str).chain(shown);
        wrong.extend(
            named
                .filter(|label| !everywhere.contains(label) && !parts.texts.iter().any(|made| made == label))
                .map(|label| format!("{place}: no metric has a label {label}")),
        );
    };
    for dashboard in &Dashboard::all() {
        for panel in dashboard.panels() {
            for target in panel.targets() {
                check(&panel.place(), target.expr, target.json["legendFormat"].as_str().unwrap_or_default());
            }
        }
        for note in dashboard.annotations() {
            let shown = format!("{}{}", text(&note["titleFormat"]), text(&note["textFormat"]));
            check(&dashboard.uid, text(&note["expr"]), &shown);
            assert_eq!(note["expr"], note["target"]["expr"]);
        }
    }
    none(&wrong);
    let unused = known.keys().filter(|name| !used.contains(*name) && !name.contains(':'));
    let unused: BTreeSet<_> = unused.map(String::as_str).collect();
    let reasons = BTreeMap::from(NOT_SHOWN);
    assert_eq!(unused, reasons.keys().copied().collect(), "metrics that no dashboard shows, each with a reason");
}

/// The parts of a histogram whose quantiles are shown.
const QUANTILES: &str = "quantiles are shown";

/// Metrics that no dashboard shows, and why.
const NOT_SHOWN: [(&str, &str); 17] = [
    ("agntix_session_first_response_seconds_count", QUANTILES),
    ("agntix_session_first_response_seconds_sum", QUANTILES),
    ("agntix_session_response_seconds_count", QUANTILES),
    ("agntix_session_response_seconds_sum", QUANTILES),
    ("agntix_exporter_ledger_read_seconds_count", QUANTILES),
    ("agntix_exporter_ledger_read_seconds_sum", QUANTILES),
    (
        "agntix_exporter_api_rate_limit_reset_timestamp_seconds",
        "the window is a minute, shorter than a look at a dashboard",
    ),
    ("agntix_exporter_api_request_duration_seconds_count", "the same as api_requests_total, without the status"),
    ("agntix_exporter_api_request_duration_seconds_sum", "quantiles say more than the mean"),
    ("agntix_exporter_config_last_reload_success_timestamp_seconds", "whether it succeeded is what matters"),
    ("agntix_exporter_count_delay_seconds_sum", "quantiles say more than the mean"),
    (
        "agntix_exporter_web_certificate_not_after_timestamp_seconds",
        "there is none without TLS, and an alert before it",
    ),
    ("agntix_exporter_web_info", "the links of the alerts are made of it"),
    ("agntix_session_extracted_value_bucket", "fields differ too much to share an axis; the mean is shown"),
    ("agntix_session_intent_confidence_bucket", "the mean is shown"),
    ("process_threads", "it follows the number of cores"),
    ("process_virtual_memory_bytes", "resident memory is what runs out"),
];

/// Metrics with exemplars. Shares do without: on their axis an exemplar of a counter, which is 1, would be 100 %.
const WITH_EXEMPLARS: [&str; 3] = [
    "agntix_session_outcomes_total",
    "agntix_session_duration_seconds_bucket",
    "agntix_session_sentiment_score_bucket",
];
#[test]
fn exemplars_are_asked_for_where_there_are_any() {
    let mut wrong = Vec::new();
    for dashboard in &Dashboard::all() {
        for panel in dashboard.panels().iter().filter(|panel| ["timeseries", "heatmap"].contains(&panel.kind())) {
            // An exemplar is in the bucket of its value, and no score is infinite.
            let is_count = |(label, operator, value): &(String, String, String)| {
                (label.as_str(), operator.as_str(), value.as_str()) == ("le", "=", "+Inf")
            };
            let count = |s: &Selector| s.matchers.iter().any(is_count);
            let with = |s: &Selector| WITH_EXEMPLARS.contains(&s.name.as_str()) && !count(s);
            let asks = |target: &super::Target<'_>| target.json["exemplar"] == true;
            let targets = panel.targets();
            let there_are = targets.iter().any(|target| parts(target.expr).selectors.iter().any(with));
            let asked_well =
                targets.iter().filter(|target| asks(target)).all(|t| parts(t.expr).selectors.iter().any(with));
            if !asked_well {
                wrong.push(format!("{}: asks for exemplars that no metric has", panel.place()));
            }
            let is_share = panel.json["fieldConfig"]["defaults"]["unit"] == "percentunit";
            if there_are && !is_share && !targets.iter().any(asks) {
                wrong.push(format!("{}: does not ask for exemplars", panel.place()));
            }
        }
    }
    none(&wrong);
}
