//! What the dashboards make of the rules' labels: the address of Agntix, and which alerts are of the chosen cluster.

use serde_json::json;

use super::{Dashboard, alerts, text};
use crate::support::prometheus::Version;

#[test]
#[ignore = "needs promtool from .ci/tools"]
fn the_address_of_agntix_is_that_of_the_rules_and_else_the_built_in_one() {
    let dashboards = Dashboard::all();
    let variables = dashboards.iter().flat_map(Dashboard::variables);
    let variable = variables.into_iter().find(|variable| variable["name"] == "app_url").unwrap();
    let query = text(&variable["definition"]).strip_prefix("query_result(").unwrap().strip_suffix(')').unwrap();
    // Grafana takes the first group of each line such as `{app_url="https://app.example"} 1 1700000000000`.
    assert_eq!(variable["regex"], r#"/app_url="([^"]+)"/"#);
    let links = r#"agntix:setting:links{app_url="https://app.example", exporter_url="https://exporter.example"}"#;
    let built_in = format!(r#"{{app_url="{}"}}"#, text(&variable["current"]["value"]));
    let of = |input: serde_json::Value, labels: &str| {
        let wanted = json!([{ "labels": labels, "value": 1 }]);
        let test = json!([{ "expr": query, "eval_time": "5m", "exp_samples": wanted }]);
        json!({ "interval": "1m", "input_series": input, "promql_expr_test": test })
    };
    let tests = [of(json!([{ "series": links, "values": "1x9" }]), links), of(json!([]), &built_in)];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("links.yml");
    std::fs::write(&path, json!({ "evaluation_interval": "1m", "tests": tests }).to_string()).unwrap();
    for version in [Version::V2, Version::V3] {
        alerts::run(version, &path);
    }
}

/// Prometheus adds a cluster to all that it sends elsewhere, alerts included; other alerts have none, and nobody may miss them.
#[test]
#[ignore = "needs promtool from .ci/tools"]
fn a_choice_of_clusters_hides_the_alerts_of_the_others_alone() {
    let dashboards = Dashboard::all();
    let overview = dashboards.iter().find(|dashboard| dashboard.uid == "agntix-overview").unwrap();
    let table = alerts::filled(&overview.panel("Which alerts?").target("A").expr.replace("$cluster", "east"));
    let series = |name: &str, alert: &str, labels: &str, value: u64| {
        let state = if name == "ALERTS" { r#", alertstate="firing""# } else { "" };
        let of = format!(
            r#"{name}{{alertname="{alert}", severity="critical", component="exporter", job="agntix"{labels}{state}}}"#
        );
        json!({ "series": of, "values": format!("{value}x9") })
    };
    let of = [("AgntixHere", r#", cluster="east""#), ("AgntixThere", r#", cluster="west""#), ("AgntixAnywhere", "")];
    let input: Vec<_> = of
        .iter()
        .flat_map(|(alert, labels)| [series("ALERTS", alert, labels, 1), series("ALERTS_FOR_STATE", alert, labels, 60)])
        .collect();
    let shown = |alert: &str| json!({ "labels": format!(r#"{{alertname="{alert}"}}"#), "value": 1 });
    let test = json!({ "interval": "1m", "input_series": input, "promql_expr_test": [{
        "expr": format!("count by (alertname) ({table})"),
        "eval_time": "5m",
        "exp_samples": [shown("AgntixAnywhere"), shown("AgntixHere")],
    }] });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clusters.yml");
    std::fs::write(&path, json!({ "evaluation_interval": "1m", "tests": [test] }).to_string()).unwrap();
    for version in [Version::V2, Version::V3] {
        alerts::run(version, &path);
    }
}
