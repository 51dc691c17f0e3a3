//! What a reader sees: titles, places, colours, links.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::promql::parts;
use super::{Dashboard, Panel, is_row, list, none, text, texts};

const UIDS: [&str; 9] = [
    "agntix-agent",
    "agntix-conversation",
    "agntix-duration",
    "agntix-exporter",
    "agntix-intents",
    "agntix-operations",
    "agntix-overview",
    "agntix-quality",
    "agntix-sessions",
];

/// Every dashboard has them, and every link between dashboards takes them along.
const VARIABLES: [&str; 12] = [
    "datasource",
    "cluster",
    "namespace",
    "organization",
    "job",
    "instance",
    "agent",
    "session_type",
    "channel",
    "language",
    "signal",
    "zone",
];

/// Okabe and Ito's colours, and two greys.
const PALETTE: [&str; 8] = ["#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7", "#009E73", "#999999", "#6E6E6E"];

/// Grafana's grid is so wide; a screen shows about so many of its lines below the header.
const COLUMNS: u64 = 24;
const SCREEN: u64 = 22;

#[test]
fn there_are_nine_with_fixed_uids_and_the_same_variables() {
    let dashboards = Dashboard::all();
    assert_eq!(dashboards.iter().map(|dashboard| &dashboard.uid).collect::<Vec<_>>(), UIDS);
    let variables = |dashboard: &Dashboard| {
        // Hidden where nothing follows it, but there, so that links carry it on.
        let shown = |variable: &Value| {
            let mut variable = variable.clone();
            variable["hide"] = json!(0);
            variable
        };
        dashboard.variables().iter().filter(|variable| variable["name"] != OF_APP).map(shown).collect::<Vec<_>>()
    };
    let names: Vec<_> = dashboards[0].variables().iter().map(|variable| text(&variable["name"])).collect();
    assert_eq!(names, VARIABLES);
    for dashboard in &dashboards {
        assert_eq!(variables(dashboard), variables(&dashboards[0]), "{}", dashboard.uid);
        assert_eq!(dashboard.annotations(), dashboards[0].annotations(), "{}", dashboard.uid);
    }
}

/// `docs/kubernetes.md` and the chart put each into a `ConfigMap` of its own. One holds 1 MiB, but `kubectl apply` writes the whole object into an
/// annotation as well, where 256 KiB are allowed.
#[test]
fn each_of_them_can_be_applied_as_a_config_map() {
    for file in std::fs::read_dir(super::directory().join("dashboards")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // The annotation is JSON, in which the dashboard is a text.
        let size = serde_json::to_string(&text).unwrap().len();
        assert!(size < 250_000, "{}: {size} bytes", path.display());
    }
}

#[test]
fn a_variable_is_shown_where_something_follows_it() {
    for dashboard in Dashboard::all() {
        let all: String =
            dashboard.panels().iter().flat_map(Panel::targets).map(|t| t.expr.to_owned() + "\n").collect();
        for variable in dashboard.variables().iter().skip(6) {
            let name = text(&variable["name"]);
            // The last is a number.
            let follows = [format!("\"${name}\""), format!("\"${name}|\""), format!("+ ${name})")];
            let followed = follows.iter().any(|part| all.contains(part));
            assert_eq!(variable["hide"] == 0, followed, "{}, {name}", dashboard.uid);
        }
    }
}

#[test]
fn every_panel_says_what_it_is_and_what_it_means_when_it_is_empty() {
    let mut complaints = Vec::new();
    for dashboard in Dashboard::all() {
        assert!(text(&dashboard.json["description"]).ends_with('.'));
        let mut titles = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = panel.place();
            let mut check = |good: bool, what: &str| {
                if !good {
                    complaints.push(format!("{place}: {what}"));
                }
            };
            check(titles.insert(panel.title()), "another panel has that title");
            check(
                !panel.title().ends_with('.') && panel.title().len() <= 55,
                "the title is no question and no plain noun",
            );
            check(panel.json["description"].as_str().is_some_and(|text| text.ends_with('.')), "the description");
            let defaults = &panel.json["fieldConfig"]["defaults"];
            check(
                defaults["noValue"].as_str().is_some_and(|text| !text.is_empty()),
                "nothing is said when it is empty",
            );
            check(defaults["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "no unit");
        }
    }
    none(&complaints);
}

#[test]
fn panels_stand_side_by_side_and_no_row_is_higher_than_a_screen() {
    let mut complaints = Vec::new();
    for dashboard in Dashboard::all() {
        let mut ids = BTreeSet::new();
        let mut taken: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut height_of_row = 0;
        let mut place = |panel: &Value, taken: &mut BTreeMap<(u64, u64), u64>| {
            let id = panel["id"].as_u64().unwrap();
            assert!(ids.insert(id), "{}: two panels are number {id}", dashboard.uid);
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{}: {} is too wide", dashboard.uid, panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = taken.insert(cell, id) {
                    complaints.push(format!("{}: panels {id} and {other} overlap at {cell:?}", dashboard.uid));
                    return h;
                }
            }
            h
        };
        let mut first_line = 0;
        for panel in list(&dashboard.json["panels"]) {
            place(panel, &mut taken);
            let (y, h) = (panel["gridPos"]["y"].as_u64().unwrap(), panel["gridPos"]["h"].as_u64().unwrap());
            if is_row(panel) {
                first_line = y + 1;
                // What is folded lies over what follows until it is unfolded.
                let mut unfolded = BTreeMap::new();
                for inner in list(&panel["panels"]) {
                    place(inner, &mut unfolded);
                }
                let lines: BTreeSet<u64> = unfolded.keys().map(|(_, y)| *y).collect();
                assert!(lines.first().is_none_or(|first| *first == y + 1), "{}: {}", dashboard.uid, panel["title"]);
                height_of_row = lines.len() as u64;
                assert_eq!(panel["collapsed"] == true, !lines.is_empty());
            } else {
                height_of_row = (y + h).saturating_sub(first_line);
            }
            assert!(height_of_row <= SCREEN, "{}: {} is higher than a screen", dashboard.uid, panel["title"]);
        }
        assert!(height_of_row > 0);
    }
    none(&complaints);
}

#[test]
fn colours_are_those_that_everybody_can_tell_apart_and_mean_the_same_everywhere() {
    let meaning = [
        ("resolved", "#0072B2"),
        ("partially_resolved", "#56B4E9"),
        ("unresolved", "#D55E00"),
        ("not_applicable", "#999999"),
        ("none", "#6E6E6E"),
        ("positive", "#0072B2"),
        ("neutral", "#999999"),
    ];
    let mut told = 0;
    for dashboard in Dashboard::all() {
        let mut colours = Vec::new();
        texts(&dashboard.json, &mut |text| text.starts_with('#') && text.len() == 7, &mut colours);
        for colour in colours {
            assert!(PALETTE.contains(&colour), "{}: {colour}", dashboard.uid);
        }
        for panel in dashboard.panels() {
            for rule in list(&panel.json["fieldConfig"]["overrides"]) {
                let Some((_, wanted)) = meaning.iter().find(|(name, _)| rule["matcher"]["options"] == *name) else {
                    continue;
                };
                let colour = list(&rule["properties"]).iter().find(|property| property["id"] == "color").unwrap();
                assert_eq!(colour["value"]["fixedColor"], *wanted, "{}", panel.place());
                told += 1;
            }
        }
    }
    assert!(told > 20, "{told}");
}

#[test]
fn links_lead_to_dashboards_that_exist_and_take_time_and_variables_along() {
    let mut clicks = 0;
    for dashboard in Dashboard::all() {
        let links = list(&dashboard.json["links"]);
        let mut reached: Vec<_> = links.iter().map(|link| text(&link["url"]).strip_prefix("/d/").unwrap()).collect();
        for link in links {
            assert!(link["keepTime"] == true && link["includeVars"] == true, "{}: {link}", dashboard.uid);
        }
        reached.push(&dashboard.uid);
        reached.sort_unstable();
        assert_eq!(reached, UIDS, "{} links to all others", dashboard.uid);
        for panel in dashboard.panels() {
            let mut urls = Vec::new();
            let wanted =
                &mut |text: &str| text.starts_with("/d/") || text.starts_with("http") || text.starts_with("${");
            texts(&panel.json["fieldConfig"], wanted, &mut urls);
            for url in urls {
                clicks += 1;
                uses_columns(panel.json, url);
                let Some(rest) = url.strip_prefix("/d/") else {
                    assert!(ELSEWHERE.contains(&url), "{}: {url}", panel.place());
                    continue;
                };
                let (uid, query) = rest.split_once('?').unwrap();
                assert!(UIDS.contains(&uid) || uid == OF_ROW, "{}: {url}", panel.place());
                for variable in VARIABLES {
                    let kept = query.contains(&format!("${{{variable}:queryparam}}"));
                    let set = query.contains(&format!("var-{variable}="));
                    assert!(kept ^ set, "{}: {variable} in {url}", panel.place());
                }
                assert!(query.ends_with("${__url_time_range}"), "{}: {url}", panel.place());
            }
        }
    }
    assert!(clicks > 10, "{clicks}");
}

/// The variable with the address of Agntix: hidden, and only where a link uses it. Whoever has another one finds it in the dashboard's own address.
const OF_APP: &str = "app_url";

#[test]
fn the_address_of_agntix_is_a_variable_where_something_leads_there() {
    let mut there = Vec::new();
    for dashboard in Dashboard::all() {
        let mut links = Vec::new();
        texts(&dashboard.json, &mut |text| text.contains("${app_url"), &mut links);
        let variable = dashboard.variables().iter().find(|variable| variable["name"] == OF_APP);
        assert_eq!(variable.is_some(), !links.is_empty(), "{}", dashboard.uid);
        // What is fixed in a panel could not be set.
        let mut fixed = Vec::new();
        texts(&dashboard.json["panels"], &mut |text| text.contains("app.agntix.ai"), &mut fixed);
        assert!(fixed.is_empty(), "{}: {fixed:?}", dashboard.uid);
        let Some(variable) = variable else { continue };
        assert_eq!(
            (&variable["hide"], &variable["multi"], &variable["includeAll"]),
            (&json!(2), &json!(false), &json!(false))
        );
        assert_eq!(variable["current"]["value"], "https://app.agntix.ai/en/logs-history");
        there.push(dashboard.uid);
    }
    assert_eq!(there, ["agntix-sessions"]);
}

/// The dashboard that a row names.
const OF_ROW: &str = "${__data.fields[\"Board\"]}";
/// Links to pages that are no dashboards: what `agntix-settings.yml` says of them is in a column.
const ELSEWHERE: [&str; 2] = ["${app_url:raw}?opened=${__value.raw}", "${__data.fields[\"Runbook\"]}"];

/// `${__data.fields["Agent ID"]}` names a column that the table has after its columns are renamed, and that is made of a label
/// that its query gives every row.
fn uses_columns(panel: &Value, url: &str) {
    for rest in url.split("${__data.fields[\"").skip(1) {
        let (column, _) = rest.split_once('"').unwrap();
        let organize = list(&panel["transformations"]).iter().find(|step| step["id"] == "organize").unwrap();
        let renamed = organize["options"]["renameByName"].as_object().unwrap();
        let label = renamed.iter().find(|(_, name)| *name == column).map(|(label, _)| label);
        let label = label.unwrap_or_else(|| panic!("{}: no column {column}", panel["title"]));
        let made = list(&panel["targets"]).iter().any(|target| {
            let parts = parts(text(&target["expr"]));
            parts.labels.iter().chain(&parts.texts).any(|known| known == label)
        });
        assert!(made, "{}: no query gives {label}", panel["title"]);
    }
}

#[test]
fn tables_sort_by_and_format_columns_that_they_have() {
    for dashboard in Dashboard::all() {
        for panel in dashboard.panels().iter().filter(|panel| panel.kind() == "table") {
            let steps = list(&panel.json["transformations"]);
            let organize = steps.iter().find(|step| step["id"] == "organize").unwrap();
            let renamed = organize["options"]["renameByName"].as_object().unwrap();
            let columns: BTreeSet<&str> = renamed.values().map(text).collect();
            assert_eq!(columns.len(), renamed.len(), "{}: two columns have one name", panel.place());
            let joined = steps.iter().any(|step| step["id"] == "merge");
            assert_eq!(joined, panel.targets().len() > 1, "{}", panel.place());
            // Rows and columns are values of labels.
            if let Some(matrix) = steps.iter().find(|step| step["id"] == "groupingToMatrix") {
                assert_eq!(matrix["options"]["valueField"], "Value", "{}", panel.place());
                continue;
            }
            for target in panel.targets() {
                let letter = text(&target.json["refId"]);
                let field = if joined { format!("Value #{letter}") } else { "Value".to_owned() };
                assert!(renamed.contains_key(&field), "{}: nothing is made of {field}", panel.place());
                assert!(target.json["format"] == "table" && target.json["instant"] == true, "{}", panel.place());
            }
            for rule in list(&panel.json["fieldConfig"]["overrides"]) {
                assert!(columns.contains(text(&rule["matcher"]["options"])), "{}: {rule}", panel.place());
            }
            for sorted in list(&panel.json["options"]["sortBy"]) {
                assert!(columns.contains(text(&sorted["displayName"])), "{}: {sorted}", panel.place());
            }
        }
    }
}

#[test]
fn the_provisioned_data_source_is_the_one_that_the_dashboards_open_with() {
    let read = |file: &str| std::fs::read_to_string(super::directory().join("provisioning").join(file)).unwrap();
    let source = read("datasources/prometheus.yml");
    let line = |key: &str| {
        let mut found = source.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
        found.next().unwrap_or_else(|| panic!("no {key} in {source}")).to_owned()
    };
    for dashboard in Dashboard::all() {
        let chosen = &dashboard.variables()[0]["current"]["value"];
        assert_eq!(line("uid: "), *chosen, "{}", dashboard.uid);
    }
    assert_eq!(line("name: session_id"), "");
    // Grafana fills in the environment where a single dollar sign stands.
    assert_eq!(line("url: https://app.agntix.ai/"), "en/logs-history?opened=$${__value.raw}");
    assert!(read("dashboards/agntix.yml").contains("allowUiUpdates: false"));
}
