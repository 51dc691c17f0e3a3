//! The address of Agntix, as the dashboards ask for it: that of the rules, and the built-in one where they are not loaded.

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
