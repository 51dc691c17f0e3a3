//! That Grafana 10.4 to 13 read the dashboards: everything in them is in the types that each of these versions publishes of its schema, and what later versions
//! do to the stated form of 10.4 changes nothing.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{Dashboard, directory, list, none, text};
use crate::support::tool;

/// Grafana 10.4's own number for the form of a dashboard.
const FORM: u64 = 39;

/// What a version does not know, in which versions, and why it is there all the same.
const UNKNOWN: [(&str, &[&str], &str); 11] = [
    ("dashboard.annotations.list[].expr", ALL, ANNOTATION),
    ("dashboard.annotations.list[].step", ALL, ANNOTATION),
    ("dashboard.annotations.list[].tagKeys", ALL, ANNOTATION),
    ("dashboard.annotations.list[].target.datasource", ALL, ANNOTATION),
    ("dashboard.annotations.list[].target.expr", ALL, ANNOTATION),
    ("dashboard.annotations.list[].target.interval", ALL, ANNOTATION),
    ("dashboard.annotations.list[].textFormat", ALL, ANNOTATION),
    ("dashboard.annotations.list[].titleFormat", ALL, ANNOTATION),
    ("dashboard.templating.list[].definition", ALL, "Grafana itself writes it: the query, for tools that read text"),
    (
        "table.override.custom.hideFrom",
        &["10.4.0", "11.0.0", "11.6.16", "12.0.2"],
        "before 12.1 a column is hidden by custom.hidden, which is there, too",
    ),
    (
        "table.override.custom.hidden",
        &["12.4.11", "13.2.3"],
        "since 12.1 a column is hidden by custom.hideFrom, which is there, too",
    ),
];
const ALL: &[&str] = &["10.4.0", "11.0.0", "11.6.16", "12.0.2", "12.4.11", "13.2.3"];
const ANNOTATION: &str = "the types are those of Grafana's own annotations; this is read by Prometheus' data source";
/// The same, of the queries' types, which only 10.4 publishes.
const OF_10_4: [(&str, &str); 2] = [
    ("dashboard.annotations.list[].target.refId", ANNOTATION),
    ("target.interval", "the data source reads it, and its published type leaves it out"),
];

#[test]
#[ignore = "needs the types of Grafana's schema from .ci/grafana, and node"]
fn grafana_from_10_4_to_13_knows_every_kind_of_panel_and_every_property() {
    let typescript = tool::locate("GRAFANA_SCHEMA", "grafana-schema/node_modules/typescript/package.json");
    let modules = typescript.parent().unwrap().parent().unwrap();
    let dashboards = Dashboard::all();
    let files = dashboards.iter().map(|of| directory().join("dashboards").join(&of.uid).with_extension("json"));
    let output =
        Command::new("node").arg(directory().join("schema/check.mjs")).arg(modules).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let panels: usize = dashboards.iter().map(|dashboard| dashboard.panels().len()).sum();
    assert_eq!((&report["dashboards"], &report["panels"]), (&dashboards.len().into(), &panels.into()));

    let versions = report["versions"].as_object().unwrap();
    let releases: BTreeSet<&str> = versions.values().map(|version| text(&version["release"])).collect();
    assert_eq!(releases, ALL.iter().copied().collect());
    let (mut complaints, mut used) = (Vec::new(), BTreeSet::new());
    for version in versions.values() {
        let release = text(&version["release"]);
        complaints.extend(list(&version["missing"]).iter().map(|kind| format!("{release} has no panel {kind}")));
        for unknown in list(&version["unknown"]) {
            let path = text(&unknown["path"]);
            let excused = UNKNOWN.iter().any(|(known, versions, _)| *known == path && versions.contains(&release))
                || OF_10_4
                    .iter()
                    .any(|(known, _)| *known == path && (release == "10.4.0" || path.contains("annotations")));
            if excused {
                used.insert((path.to_owned(), release.to_owned()));
            } else {
                complaints.push(format!("{release}: {path} {} ({})", unknown["what"], unknown["where"]));
            }
        }
    }
    none(&complaints);
    for (path, versions, reason) in UNKNOWN {
        assert!(!reason.is_empty());
        for version in versions {
            assert!(used.contains(&(path.to_owned(), (*version).to_owned())), "{version} knows {path}");
        }
    }
    assert!(OF_10_4.iter().all(|(path, _)| used.contains(&((*path).to_owned(), "10.4.0".to_owned()))));
}

/// What a later version does to a dashboard of an earlier form when it reads it: 40 makes a text of `refresh`, 41 drops `time_options`, 42 hides from the tooltip
/// what is not drawn, 43 writes `formatTime` anew.
#[test]
fn what_later_versions_do_to_the_form_of_10_4_changes_nothing() {
    let mut complaints = Vec::new();
    for dashboard in Dashboard::all() {
        let json = &dashboard.json;
        assert_eq!(json["schemaVersion"], FORM, "{}", dashboard.uid);
        assert!(json["refresh"].is_string() && json["timepicker"].get("time_options").is_none(), "{}", dashboard.uid);
        for panel in dashboard.panels() {
            for rule in list(&panel.json["fieldConfig"]["overrides"]) {
                let hidden = list(&rule["properties"]).iter().filter(|property| property["id"] == "custom.hideFrom");
                let drawn = |value: &Value| value["viz"] != true || value["tooltip"] == true;
                complaints.extend(
                    hidden
                        .filter(|property| !drawn(&property["value"]))
                        .map(|found| format!("{}: {found}", panel.place())),
                );
            }
            // All of them are older than 10.4.
            let known = ["merge", "organize", "groupingToMatrix"];
            let steps = list(&panel.json["transformations"]).iter().map(|step| text(&step["id"]));
            complaints
                .extend(steps.filter(|step| !known.contains(step)).map(|step| format!("{}: {step}", panel.place())));
        }
    }
    none(&complaints);
}
