//! What dashboards show beside a number: how it differs from a week before, what is expected, and what to set where there is none.

use std::process::Command;

use serde_json::{Value, json};

use super::Dashboard;
use crate::support::prometheus::Version;
use crate::support::promtool;

/// A week in steps of ten minutes, and two hours after it.
const WEEK: u32 = 7 * 24 * 6;
const NOW: &str = "7d2h";

/// A counter that rises by so much each ten minutes in the first week, and by so much after it.
fn counter(name: &str, agent: &str, labels: &str, first: u32, then: u32) -> Value {
    let after = first * WEEK + then;
    json!({
        "series": format!(r#"{name}{{job="agntix", instance="exporter:9899", agent_id="{agent}"{labels}}}"#),
        "values": format!("0+{first}x{WEEK} {after}+{then}x11"),
    })
}

fn gauge(name: &str, labels: &str, value: f64) -> Value {
    json!({ "series": format!(r#"{name}{{job="agntix", {labels}}}"#), "values": format!("{value}+0x1020") })
}

/// Two agents: a desk that resolves more than in the week before, and a line that resolves less than is expected.
fn input() -> Vec<Value> {
    let outcomes = |agent, resolution, first, then| {
        let labels = format!(r#", resolution="{resolution}", sentiment="neutral""#);
        counter("agntix_session_outcomes_total", agent, &labels, first, then)
    };
    let of_agent = |agent: &str, name: &str, expected| {
        let labels = format!(r#"instance="exporter:9899", agent_id="{agent}", agent_name="{name}""#);
        let expected = gauge(
            "agntix:sessions_bad_share:expected",
            &format!(r#"agent_id="{agent}", signal="unresolved", pace="fast""#),
            expected,
        );
        [gauge("agntix_agent_info", &labels, 1.0), expected]
    };
    let counters = [
        outcomes("desk", "resolved", 6, 9),
        outcomes("desk", "unresolved", 4, 1),
        outcomes("line", "resolved", 8, 3),
        outcomes("line", "unresolved", 2, 7),
        counter("agntix_sessions_ended_total", "desk", "", 10, 20),
    ];
    counters.into_iter().chain(of_agent("desk", "Delivery Desk", 0.3)).chain(of_agent("line", "Hotline", 0.2)).collect()
}

/// The query of a panel for this choice of agents, as Grafana fills it in.
fn query(dashboards: &[Dashboard], uid: &str, title: &str, letter: &str, agents: &str) -> String {
    let dashboard = dashboards.iter().find(|dashboard| dashboard.uid == uid).unwrap();
    let expr = dashboard.panel(title).target(letter).expr.replace("$agent\"", &format!("{agents}\""));
    let values = [("$__range", "1h"), ("$__rate_interval", "1h"), ("$job", ".+"), ("$instance", ".+")];
    let expr = values.iter().fold(expr, |expr, (name, value)| expr.replace(name, value));
    ["cluster", "namespace", "organization", "session_type", "channel"]
        .iter()
        .fold(expr, |expr, name| expr.replace(&format!("\"${name}\""), "\".*\""))
}

#[test]
#[ignore = "needs promtool from .ci/tools"]
fn numbers_say_how_they_differ_from_a_week_before_and_shares_what_is_expected() {
    let dashboards = Dashboard::all();
    let told = |uid, title, at, value: f64, change: &str| {
        let expr = query(&dashboards, uid, title, "A", "desk");
        let sample = json!([{ "labels": format!(r#"{{change="{change}"}}"#), "value": value }]);
        json!({ "expr": format!("round({expr}, 0.001)"), "eval_time": at, "exp_samples": sample })
    };
    let off =
        format!("count by (change) ({})", query(&dashboards, "agntix-operations", "First contact (FCR)", "A", "desk"));
    let place = |letter, agent, name, share: f64, expected: f64| {
        let title = "Which agent's unresolved share rises?";
        let expr = query(&dashboards, "agntix-overview", title, letter, ".*");
        let labels = format!(r#"agent_id="{agent}", agent_name="{name}""#);
        let samples = json!([
            { "labels": format!("{{{labels}}}"), "value": share },
            { "labels": format!(r#"{{{labels}, what=", expected"}}"#), "value": expected },
        ]);
        json!({ "expr": format!("round({expr}, 0.001)"), "eval_time": NOW, "exp_samples": samples })
    };
    let tests = json!([
        told("agntix-overview", "Resolved", NOW, 0.9, "of 60, +30 pp in a week"),
        told("agntix-overview", "Unresolved", NOW, 0.1, "of 60, -30 pp in a week"),
        told("agntix-overview", "Sessions ended", NOW, 120.0, "+100 % in a week"),
        told("agntix-overview", "Sessions ended", "2h", 60.0, "no week before"),
        { "expr": off, "eval_time": NOW,
          "exp_samples": [{ "labels": r#"{change="none known: metrics.repeat_contacts"}"#, "value": 1 }] },
        // The one with the most sessions beyond what is expected is the first.
        place("A", "line", "Hotline", 0.7, 0.2),
        place("B", "desk", "Delivery Desk", 0.1, 0.3),
    ]);
    let tests = json!([{ "interval": "10m", "input_series": input(), "promql_expr_test": tests }]);
    let file = json!({ "evaluation_interval": "10m", "tests": tests });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("before.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    for version in [Version::V2, Version::V3] {
        let output = Command::new(promtool::locate(version)).args(["test", "rules"]).arg(&path).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{version:?}:\n{said}");
    }
}
