//! What the dashboards say of alerts: each says what came and what was expected, and leads to its runbook, its sessions and its dashboard.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Dashboard, directory, text};
use crate::support::prometheus::Version;
use crate::support::promtool;

const DESK: &str = r#"agent_id="desk""#;

/// An alert, its labels beside those of its kind, and what a row of the table says of it.
struct Row {
    alert: &'static str,
    labels: &'static str,
    about: &'static str,
    came: &'static str,
}

const fn row(alert: &'static str, labels: &'static str, about: &'static str, came: &'static str) -> Row {
    Row { alert, labels, about, came }
}

/// Every alert about sessions, and some about the exporter.
const ROWS: [Row; 24] = [
    row(
        "AgntixUnresolvedSpike",
        r#"agent_id="desk", signal="unresolved""#,
        "Delivery Desk",
        "61 % of 89 unresolved in 15m, 30 % expected",
    ),
    row(
        "AgntixUnresolvedElevated",
        r#"agent_id="desk", signal="unresolved""#,
        "Delivery Desk",
        "41 % of 400 unresolved in 6h, 25 % expected",
    ),
    row(
        "AgntixNegativeSpike",
        r#"agent_id="desk", signal="negative""#,
        "Delivery Desk",
        "52 % of 90 negative in 15m, 20 % expected",
    ),
    row(
        "AgntixNegativeElevated",
        r#"agent_id="desk", signal="negative""#,
        "Delivery Desk",
        "35 % of 410 negative in 6h, 18 % expected",
    ),
    row(
        "AgntixOrganizationUnresolvedSpike",
        r#"signal="unresolved""#,
        "all agents",
        "33 % of 500 unresolved in 15m, 15 % expected",
    ),
    // Its numbers are gone, as after a restart without data.
    row("AgntixOrganizationUnresolvedElevated", r#"signal="unresolved""#, "all agents", "see its runbook"),
    row("AgntixOrganizationNegativeSpike", r#"signal="negative""#, "all agents", "see its runbook"),
    row("AgntixOrganizationNegativeElevated", r#"signal="negative""#, "all agents", "see its runbook"),
    row(
        "AgntixResolutionBudgetBurnFast",
        r#"agent_id="desk", signal="unresolved""#,
        "Delivery Desk",
        "41 % of 400 unresolved in 6h, 20 % allowed",
    ),
    row(
        "AgntixResolutionBudgetBurnSlow",
        r#"agent_id="desk", signal="unresolved""#,
        "Delivery Desk",
        "26 % of 2000 unresolved in 3d, 20 % allowed",
    ),
    row("AgntixSessionsSilent", DESK, "Delivery Desk", "1 started in 30m, 42 expected"),
    row("AgntixSessionsMissing", DESK, "Delivery Desk", "100 started in 6h, 500 expected"),
    row("AgntixOrganizationSessionsSilent", "", "all agents", "7 started in 2h, 160 expected"),
    row("AgntixSessionsFlood", DESK, "Delivery Desk", "300 started in 2h, 160 expected"),
    row("AgntixOrganizationSessionsFlood", "", "all agents", "7 started in 2h, 160 expected"),
    row(
        "AgntixHandleTimeShift",
        r#"agent_id="desk", session_type="voice""#,
        "Delivery Desk, voice",
        "median 412 s in 1h, 210 s before",
    ),
    row(
        "AgntixIntentUnresolved",
        r#"agent_id="desk", intent="Refund, late""#,
        "Delivery Desk, Refund, late",
        "70 % of 50 unresolved so far, 30 % expected",
    ),
    row("AgntixSessionsOpenLong", DESK, "Delivery Desk", "at least 5 of 12 open for more than 4 h"),
    row(
        "AgntixWatchedSessionIdle",
        r#"agent_id="desk", session_id="ses-1""#,
        "Delivery Desk, ses-1",
        "see its runbook",
    ),
    row("AgntixExporterDown", r#"instance="exporter:9899""#, "exporter:9899", "recent numbers may be late or missing"),
    row("AgntixExporterAbsent", "", "the exporter", "recent numbers may be late or missing"),
    row(
        "AgntixSourceStale",
        r#"instance="exporter:9899", source="listing""#,
        "exporter:9899, listing",
        "recent numbers may be late or missing",
    ),
    // An agent that no exporter knows.
    row("AgntixAnalysisTimeouts", r#"agent_id="gone""#, "gone", "recent numbers may be late or missing"),
    row("AgntixSessionAlertsPaused", "", "the exporter", "recent numbers may be late or missing"),
];

/// What the rules have recorded, and the value.
const RECORDED: [(&str, &str, f64); 50] = [
    // Of the windows in excess that of the highest share, although another one's is more surely high.
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="unresolved", window="5m", pace="fast""#, 0.3),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="unresolved", window="5m", pace="fast""#, 0.9),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="unresolved", window="5m", pace="fast""#, 9.0),
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="unresolved", window="15m", pace="fast""#, 0.5),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="unresolved", window="15m", pace="fast""#, 0.609),
    ("agntix:sessions_bad_share:excess", r#"agent_id="desk", signal="unresolved", window="15m", pace="fast""#, 0.609),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="unresolved", window="15m", pace="fast""#, 89.2),
    ("agntix:sessions_bad_share:excess", r#"agent_id="desk", signal="unresolved", window="2h", pace="fast""#, 0.55),
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="unresolved", window="2h", pace="fast""#, 0.52),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="unresolved", window="2h", pace="fast""#, 0.55),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="unresolved", window="2h", pace="fast""#, 150.0),
    // None is in excess any more.
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="unresolved", window="6h", pace="medium""#, 0.36),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="unresolved", window="6h", pace="medium""#, 0.41),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="unresolved", window="6h", pace="medium""#, 400.0),
    // A window without sessions.
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="unresolved", window="1d", pace="slow""#, f64::NAN),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="unresolved", window="1d", pace="slow""#, f64::NAN),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="unresolved", window="1d", pace="slow""#, 0.0),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="unresolved", window="3d", pace="slow""#, 0.26),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="unresolved", window="3d", pace="slow""#, 2000.0),
    ("agntix:sessions_bad_share:expected", r#"agent_id="desk", signal="unresolved", pace="fast""#, 0.3),
    ("agntix:sessions_bad_share:expected", r#"agent_id="desk", signal="unresolved", pace="medium""#, 0.25),
    ("agntix:sessions_bad_share:expected", r#"agent_id="desk", signal="unresolved", pace="slow""#, 0.2),
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="negative", window="15m", pace="fast""#, 0.4),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="negative", window="15m", pace="fast""#, 0.52),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="negative", window="15m", pace="fast""#, 90.0),
    ("agntix:sessions_bad_share:lower", r#"agent_id="desk", signal="negative", window="6h", pace="medium""#, 0.3),
    ("agntix:sessions_bad_share:ratio", r#"agent_id="desk", signal="negative", window="6h", pace="medium""#, 0.35),
    ("agntix:sessions_judged:increase", r#"agent_id="desk", signal="negative", window="6h", pace="medium""#, 410.0),
    ("agntix:sessions_bad_share:expected", r#"agent_id="desk", signal="negative", pace="fast""#, 0.2),
    ("agntix:sessions_bad_share:expected", r#"agent_id="desk", signal="negative", pace="medium""#, 0.18),
    ("agntix:sessions_bad_share:lower", r#"signal="unresolved", window="15m", pace="fast""#, 0.3),
    ("agntix:sessions_bad_share:ratio", r#"signal="unresolved", window="15m", pace="fast""#, 0.33),
    ("agntix:sessions_judged:increase", r#"signal="unresolved", window="15m", pace="fast""#, 500.0),
    ("agntix:sessions_bad_share:expected", r#"signal="unresolved", pace="fast""#, 0.15),
    ("agntix:sessions_started:increase", r#"agent_id="desk", window="30m""#, 1.0),
    ("agntix:sessions_started:past_weeks", r#"agent_id="desk", window="30m", week="1""#, 40.0),
    ("agntix:sessions_started:past_weeks", r#"agent_id="desk", window="30m", week="2""#, 44.0),
    ("agntix:sessions_started:increase", r#"agent_id="desk", window="2h""#, 300.0),
    ("agntix:sessions_started:past_weeks", r#"agent_id="desk", window="2h", week="1""#, 160.0),
    ("agntix:sessions_started:increase", r#"agent_id="desk", window="6h""#, 100.0),
    ("agntix:sessions_started:past_weeks", r#"agent_id="desk", window="6h", week="1""#, 500.0),
    ("agntix:sessions_started:increase", r#"window="2h""#, 7.0),
    ("agntix:sessions_started:past_weeks", r#"window="2h", week="1""#, 160.0),
    ("agntix:session_duration_seconds:median", r#"agent_id="desk", session_type="voice", window="1h""#, 412.0),
    ("agntix:session_duration_seconds:median_before", r#"agent_id="desk", session_type="voice", window="1h""#, 210.0),
    ("agntix:intent_sessions_unresolved:increase", r#"agent_id="desk", intent="Refund, late", window="6h""#, 35.0),
    ("agntix:intent_sessions_judged:increase", r#"agent_id="desk", intent="Refund, late", window="6h""#, 50.0),
    ("agntix:intent_unresolved_share:lower", r#"agent_id="desk", intent="Refund, late", window="6h""#, 0.5),
    ("agntix:intent_unresolved_share:expected", r#"agent_id="desk", intent="Refund, late""#, 0.3),
    ("agntix:sessions_open_long:lower", DESK, 5.0),
];

/// Names of alerts in a file of rules, and the severity and component of each.
fn alerts(file: &str) -> Vec<(String, String, String)> {
    let path = directory().join("../deploy/prometheus/rules").join(file);
    let rules = std::fs::read_to_string(&path).unwrap();
    let mut found = Vec::new();
    for block in rules.split("- alert: ").skip(1) {
        let name = block.lines().next().unwrap().trim().to_owned();
        let value = |label: &str| {
            let (_, rest) = block.split_once(&format!("{label}: ")).unwrap_or_else(|| panic!("{name} has no {label}"));
            rest.split([',', '}', '\n']).next().unwrap().trim().to_owned()
        };
        found.push((name.clone(), value("severity"), value("component")));
    }
    assert!(found.len() > 10, "{file}");
    found
}

fn every_alert() -> Vec<(String, String, String)> {
    [alerts("agntix-sessions.yml"), alerts("agntix-exporter.yml")].concat()
}

#[test]
fn every_alert_about_sessions_has_its_row_here() {
    let sessions: BTreeSet<_> = alerts("agntix-sessions.yml").into_iter().map(|(name, ..)| name).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.alert.to_owned()).collect();
    let missing: Vec<_> = sessions.difference(&rows).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let known: BTreeSet<_> = every_alert().into_iter().map(|(name, ..)| name).collect();
    let unknown: Vec<_> = rows.difference(&known).collect();
    assert!(unknown.is_empty(), "there are no such alerts: {unknown:?}");
}

/// `/d/agntix-sessions?var-job=…&var-agent=…`, as the rules write it into the texts of alerts.
#[test]
fn links_of_alerts_name_dashboards_and_variables_that_there_are() {
    let dashboards = Dashboard::all();
    let mut links = 0;
    for file in ["agntix-sessions.yml", "agntix-exporter.yml"] {
        let rules = std::fs::read_to_string(directory().join("../deploy/prometheus/rules").join(file)).unwrap();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let names = |mark: &str| {
            let rest = rules.split(mark).skip(1);
            rest.map(|rest| rest.split(|c| !is_name(c)).next().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        for uid in names("/d/") {
            links += 1;
            // The rest of the name may depend on the alert's labels.
            let fits = |known: &str| known == uid || (uid.ends_with('-') && known.starts_with(&uid));
            assert!(dashboards.iter().any(|dashboard| fits(&dashboard.uid)), "{file}: no dashboard {uid}");
        }
        // All dashboards have the same ones.
        for variable in names("var-") {
            let there_is = dashboards[0].variables().iter().any(|known| known["name"] == variable);
            assert!(there_is, "{file}: no variable {variable}");
        }
    }
    assert!(links > 3, "{links}");
}

/// With everything chosen, as Grafana fills it in.
pub fn filled(expr: &str) -> String {
    let values = [
        ("$cluster", ".*"),
        ("$namespace", ".*"),
        ("$organization", ".*"),
        ("$job", ".+"),
        ("$instance", ".+"),
        ("$agent", ".*"),
        ("$__interval", "1m"),
        ("$__range", "5m"),
    ];
    values.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value))
}

fn series(name: &str, labels: &[&str], value: f64) -> Value {
    let labels: Vec<_> = labels.iter().copied().filter(|label| !label.is_empty()).collect();
    // A gauge, from the fourth minute on.
    json!({ "series": format!("{name}{{{}}}", labels.join(", ")), "values": format!("_x4 {value}+0x400") })
}

/// What promtool finds when the alerts fire from the fourth minute on; `named` is the label of their organization, or nothing.
fn told(version: Version, named: &str) {
    let of_job = [r#"job="agntix""#, named];
    let every_alert = every_alert();
    let url = r#"url="https://exporter.example/-/runbooks/{alert}""#;
    let mut runbooks = series("agntix:runbook:url", &[&of_job[..], &[url]].concat(), 1.0);
    if !named.is_empty() {
        // The last exporter has gone down: its address is remembered.
        runbooks["values"] = json!("_x4 1+0x1 stale");
    }
    let mut input: Vec<_> = RECORDED
        .iter()
        .map(|(name, labels, value)| series(name, &[&of_job[..], &[labels]].concat(), *value))
        .chain([
            series("agntix:sessions_judged:sum", &[&of_job[..], &[DESK, r#"signal="unresolved""#]].concat(), 9.0),
            series("agntix:sessions_open:sum", &[&of_job[..], &[DESK]].concat(), 12.0),
            series(
                "agntix:sessions_bad_share:allowed",
                &[&of_job[..], &[DESK, r#"signal="unresolved""#]].concat(),
                0.2,
            ),
            runbooks,
            series(
                "agntix_agent_info",
                &[&of_job[..], &[r#"instance="exporter:9899""#, DESK, r#"agent_name="Delivery Desk""#]].concat(),
                1.0,
            ),
        ])
        .collect();
    let (mut rows, mut marks) = (Vec::new(), Vec::new());
    for row in &ROWS {
        let (_, severity, component) = every_alert.iter().find(|(name, ..)| name == row.alert).unwrap();
        let own = [format!(r#"alertname="{}""#, row.alert), format!(r#"severity="{severity}""#)];
        let component_label = format!(r#"component="{component}""#);
        let labels = [&of_job[..], &[&own[0], &own[1], &component_label, row.labels]].concat();
        input.push(series("ALERTS", &[&labels[..], &[r#"alertstate="firing""#]].concat(), 1.0));
        input.push(series("ALERTS_FOR_STATE", &labels, 240.0));

        let of =
            |label: &str| row.labels.split(&format!("{label}=\"")).nth(1).map(|rest| rest.split('"').next().unwrap());
        let (agent, organization) = (of("agent_id"), named.split('"').nth(1));
        let signal = ["Negative", "Unresolved", "Resolution"].into_iter().find(|word| row.alert.contains(word));
        let signal = signal.map_or("All", |word| if word == "Negative" { "negative" } else { "unresolved" });
        let board = match (agent, component.as_str()) {
            (Some(_), _) => "agntix-agent",
            (None, "sessions") => "agntix-overview",
            (None, _) => "agntix-exporter",
        };
        let behind = match (signal, component.as_str()) {
            ("All", "sessions") => r#"behind="watched sessions""#.to_owned(),
            ("All", _) => String::new(),
            (signal, _) => format!(r#"behind="{signal} sessions""#),
        };
        let shown = [
            &own[..],
            &[
                r#"alertstate="firing""#.to_owned(),
                named.to_owned(),
                behind,
                format!(r#"about="{}""#, row.about),
                format!(r#"came="{}""#, row.came),
                format!(r#"board="{board}""#),
                format!(r#"its_agent="{}""#, agent.unwrap_or("All")),
                format!(r#"its_organization="{}""#, organization.unwrap_or("All")),
                r#"its_job="agntix""#.to_owned(),
                format!(r#"its_signal="{signal}""#),
                format!(r#"runbook="https://exporter.example/-/runbooks/{}""#, row.alert),
            ],
        ]
        .concat();
        let shown: Vec<_> = shown.into_iter().filter(|label| !label.is_empty()).collect();
        rows.push(json!({ "labels": format!("{{{}}}", shown.join(", ")), "value": 240_000 }));
        if severity == "critical" {
            let (about, came) = (format!(r#"about="{}""#, row.about), format!(r#"came="{}""#, row.came));
            marks.push(json!({ "labels": format!("{{{}, {about}, {came}}}", own[0]), "value": 1 }));
        }
    }
    let dashboards = Dashboard::all();
    let overview = dashboards.iter().find(|dashboard| dashboard.uid == "agntix-overview").unwrap();
    let mark = filled(text(&overview.annotations()[0]["expr"]));
    // What Grafana shows of a mark.
    let mark = format!("max by (alertname, about, came) ({mark})");
    let table = filled(overview.panel("Which alerts?").target("A").expr);
    let mut file = json!({ "evaluation_interval": "1m", "tests": [{ "interval": "1m", "input_series": input, "promql_expr_test": [
        { "expr": table, "eval_time": "8m", "exp_samples": rows },
        { "expr": mark, "eval_time": "4m", "exp_samples": marks },
        // They fired before.
        { "expr": mark, "eval_time": "5m", "exp_samples": [] },
    ] }] });
    if named.is_empty() {
        // The windows of intents have been seen as a whole by then.
        let later = json!(rows).to_string().replace("unresolved so far", "unresolved in 6h");
        let later: Value = serde_json::from_str(&later).unwrap();
        let tests = file["tests"][0]["promql_expr_test"].as_array_mut().unwrap();
        tests.push(json!({ "expr": table, "eval_time": "6h10m", "exp_samples": later }));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    run(version, &path);
}

/// Has promtool run the tests of a file.
pub fn run(version: Version, file: &Path) {
    let output = Command::new(promtool::locate(version)).args(["test", "rules"]).arg(file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{version:?}:\n{}", said.replace("}, ", "},\n").replace("} 2.4E", "}\n2.4E"));
}

#[test]
#[ignore = "needs promtool from .ci/tools"]
fn alerts_say_what_came_and_what_was_expected_and_where_to_look() {
    for version in [Version::V2, Version::V3] {
        told(version, "");
        told(version, r#"organization="acme""#);
    }
}
