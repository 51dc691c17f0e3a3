//! What people are sent: `deploy/alertmanager/alertmanager.yml` and its templates, through a real Alertmanager, to the receiver that
//! shows it as they would see it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::alertmanager::Alertmanager;
use crate::support::receiver::{self, Message, Receiver};
use crate::support::tool;
use crate::support::wait::eventually;

const CONFIG: &str = "deploy/alertmanager/alertmanager.yml";
const LONG_AGO: &str = "2026-11-24T03:00:00Z";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn shipped() -> String {
    std::fs::read_to_string(repository(CONFIG)).unwrap()
}

/// The shipped configuration with these changes, beside its templates.
fn with(changes: &[(&str, String)]) -> (TempDir, PathBuf) {
    let mut text = shipped();
    for (from, to) in changes {
        assert!(text.contains(from), "{CONFIG} has no {from}");
        text = text.replace(from, to);
    }
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("alertmanager.yml");
    std::fs::write(&config, text).unwrap();
    std::os::unix::fs::symlink(repository("deploy/alertmanager/templates"), place.path().join("templates")).unwrap();
    (place, config)
}

/// An Alertmanager that waits for nothing and sends to this receiver.
async fn sending_to(receiver: &Receiver) -> (TempDir, Alertmanager) {
    let (place, config) = with(&[
        ("receiver:9095", receiver.web.to_string()),
        ("receiver:9025", receiver.mail.to_string()),
        ("group_wait: 30s", "group_wait: 1s".into()),
        ("group_interval: 5m", "group_interval: 1s".into()),
    ]);
    let alertmanager = Alertmanager::start(&config).await;
    (place, alertmanager)
}

/// An alert about an agent, with all annotations.
fn alert(name: &str, severity: &str, agent: &str, summary: &str) -> Value {
    json!({
        "startsAt": LONG_AGO,
        "labels": {
            "alertname": name, "severity": severity, "component": "sessions", "scope": "agent", "job": "agntix",
            "organization": "acme", "agent_id": agent, "signal": "unresolved",
        },
        "annotations": {
            "summary": summary,
            "description": format!("Of {agent}: more < than > & less."),
            "runbook_url": format!("http://exporter.example/-/runbooks/{name}"),
            "dashboard_url": format!("http://grafana.example/d/agntix-agent?var-job=agntix&var-agent={agent}"),
            "sessions_url": format!("http://grafana.example/d/agntix-sessions?var-job=agntix&var-agent={agent}"),
        },
    })
}

/// Waits until there is a message of this kind and state with this in its title.
async fn message(receiver: &Receiver, kind: &str, state: &str, title: &str) -> Message {
    let client = receiver::client();
    let mut seen = Vec::new();
    let found = eventually(async || {
        seen = receiver::latest(&client, receiver.web).await;
        let mut of_kind = seen.iter().filter(|one| one.kind == kind && one.state == state);
        of_kind.find(|one| one.title.contains(title)).cloned()
    });
    found.await.unwrap_or_else(|| panic!("no {kind} message {title:?} ({state}) in {seen:#?}"))
}

#[test]
#[ignore = "needs amtool from .ci/tools"]
fn the_commented_settings_of_each_receiver_are_accepted_in_place_of_the_demos() {
    let text = shipped();
    let (mut lines, mut uncommented, mut removed) = (Vec::new(), 0, 0);
    for line in text.lines() {
        if line.ends_with("# demo") {
            removed += 1;
        } else if let Some(setting) = line.strip_prefix("        #").filter(|rest| !rest.starts_with(' ')) {
            uncommented += 1;
            lines.push(format!("        {setting}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    assert_eq!((removed, uncommented), (6, 6));
    let own = lines.join("\n");
    for setting in ["routing_key_file: ", "api_url_file: ", "auth_password_file: "] {
        assert!(own.contains(setting), "{setting} is a secret, and belongs into a file");
    }
    assert!(!own.contains("receiver:9"), "something still goes to the demo's receiver");
    let (place, config) = with(&[]);
    std::fs::write(&config, own).unwrap();
    let amtool = tool::locate("AMTOOL", "alertmanager/usr/bin/amtool");
    let checked = Command::new(amtool).arg("check-config").arg(&config).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    drop(place);
}

#[tokio::test]
#[ignore = "needs Alertmanager from .ci/tools"]
async fn a_critical_alert_is_told_to_slack_and_pagerduty_and_resolved_there() {
    let receiver = Receiver::start();
    let (_place, alertmanager) = sending_to(&receiver).await;
    let summary = "Delivery <Desk>: 61 % of 89 unresolved, 30 % expected";
    let mut spike = alert("AgntixUnresolvedSpike", "critical", "a1", summary);
    alertmanager.post(&json!([spike])).await;

    let slack = message(&receiver, "Slack", "firing", "Delivery").await;
    assert_eq!(slack.title, format!("[CRITICAL] {summary}"));
    assert_eq!((slack.to.as_str(), slack.color.as_deref()), ("#on-call", Some("#a30200")));
    assert!(slack.text.starts_with("Of a1: more < than > & less.\n"), "{}", slack.text);
    assert!(slack.text.ends_with("Sessions · Dashboard · Runbook · Silence"), "{}", slack.text);
    assert!(slack.link("Sessions").ends_with("/d/agntix-sessions?var-job=agntix&var-agent=a1"));
    assert!(slack.link("Dashboard").ends_with("/d/agntix-agent?var-job=agntix&var-agent=a1"));
    assert_eq!(slack.link(&slack.title), slack.link("Dashboard"), "where a click on the title leads");
    assert!(slack.link("Runbook").ends_with("/-/runbooks/AgntixUnresolvedSpike"));
    assert!(slack.link("Silence").contains("alertname%3D%22AgntixUnresolvedSpike%22%2Cagent_id%3D%22a1%22"));

    let incident = message(&receiver, "PagerDuty", "firing", "Delivery").await;
    assert_eq!(incident.title, summary, "which is all that a pager shows");
    for fact in ["Severity: critical", "Class: AgntixUnresolvedSpike", "Component: a1", "Group: acme", "Of a1: more"] {
        assert!(incident.text.contains(fact), "{fact}: {}", incident.text);
    }
    for words in ["Sessions", "Dashboard", "Runbook", "Silence"] {
        assert!(incident.link(words).starts_with("http"), "{words}");
    }

    spike["endsAt"] = LONG_AGO.into();
    alertmanager.post(&json!([spike])).await;
    let slack = message(&receiver, "Slack", "resolved", "Delivery").await;
    assert_eq!((slack.title.as_str(), slack.color.as_deref()), (&*format!("[RESOLVED] {summary}"), Some("#2eb886")));
    assert!(!slack.text.contains("Silence"), "{}", slack.text);
    let resolved = message(&receiver, "PagerDuty", "resolved", "").await;
    assert_eq!(resolved.to, incident.to, "the same incident");
}

#[tokio::test]
#[ignore = "needs Alertmanager from .ci/tools"]
async fn a_warning_is_told_to_the_team_in_slack_and_by_e_mail() {
    let receiver = Receiver::start();
    let (_place, alertmanager) = sending_to(&receiver).await;
    let own = alert("AgntixHandleTimeShift", "warning", "a1", "Delivery <Desk>: median 4m, 2m expected");
    let others = json!({"labels": {"alertname": "NodeDown", "job": "node"}});
    alertmanager.post(&json!([own, others])).await;

    let slack = message(&receiver, "Slack", "firing", "Delivery").await;
    assert_eq!((slack.to.as_str(), slack.color.as_deref()), ("#agntix", Some("#daa038")));
    let mail = message(&receiver, "e-mail", "firing", "Delivery").await;
    assert_eq!(mail.title, "[WARNING] Delivery <Desk>: median 4m, 2m expected");
    assert!(mail.text.contains("Of a1: more < than > & less."), "{}", mail.text);
    assert!(mail.link("Sessions").contains("agntix-sessions"));
    let html = mail.html.unwrap();
    for part in ["Delivery &lt;Desk&gt;", "more &lt; than &gt; &amp; less.", "/d/agntix-agent?", ">Runbook</a>"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    // Other people's alerts have no texts, and are sent all the same.
    let other = message(&receiver, "Slack", "firing", "NodeDown").await;
    assert_eq!(other.title, "[ALERT] NodeDown");
    message(&receiver, "e-mail", "firing", "NodeDown").await;
}

#[tokio::test]
#[ignore = "needs Alertmanager from .ci/tools"]
async fn alerts_of_a_group_are_listed_shortly_firing_ones_first() {
    let receiver = Receiver::start();
    let (_place, alertmanager) = sending_to(&receiver).await;
    let mut alerts: Vec<Value> = (0..12)
        .map(|n| alert(&format!("AgntixTest{n:02}"), "critical", "a1", &format!("Number {n:02} is wrong")))
        .collect();
    alertmanager.post(&Value::from(alerts.clone())).await;
    let slack = message(&receiver, "Slack", "firing", "(12 alerts)").await;
    assert_eq!(slack.text.matches("• Number").count(), 10, "{}", slack.text);
    assert!(slack.text.contains("10 of 12 are listed.") && slack.text.contains("Silence all"), "{}", slack.text);
    assert!(!slack.text.contains("Of a1"), "descriptions are for one alert: {}", slack.text);
    let incident = message(&receiver, "PagerDuty", "firing", "(12 alerts)").await;
    assert!(incident.title.chars().count() < 1024, "{}", incident.title);

    alerts.truncate(11);
    for alert in &mut alerts {
        alert["endsAt"] = LONG_AGO.into();
    }
    alertmanager.post(&Value::from(alerts)).await;
    let slack = message(&receiver, "Slack", "firing", "Number 11").await;
    assert_eq!(slack.title, "[CRITICAL] Number 11 is wrong");
    assert!(slack.text.starts_with("• Number 11 is wrong\n"), "{}", slack.text);
    assert_eq!(slack.text.matches("• Resolved: Number").count(), 10, "{}", slack.text);
    assert!(slack.text.contains("10 of 11 resolved ones are listed."), "{}", slack.text);
}

#[test]
#[ignore = "needs amtool from .ci/tools"]
fn colors_and_pagerdutys_severity_follow_the_words_of_alerts_yml() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("alerts.yml"), "severities: {critical: P1, warning: P3, info: P5}").unwrap();
    let mut apply = Command::new("python3");
    apply.arg(repository("deploy/prometheus/apply")).args(["--settings", &path("alerts.yml")]);
    assert!(apply.args(["--output", place.path().to_str().unwrap()]).status().unwrap().success());
    let rendered = |templates: &str, template: &str, severity: &str| {
        let alert = alert("AgntixUnresolvedSpike", severity, "a1", "Something is wrong");
        let data = json!({
            "status": "firing", "alerts": [{"status": "firing", "labels": alert["labels"], "annotations": alert["annotations"]}],
            "commonLabels": alert["labels"], "externalURL": "http://alertmanager.example",
        });
        std::fs::write(path("data.json"), data.to_string()).unwrap();
        let output = Command::new(tool::locate("AMTOOL", "alertmanager/usr/bin/amtool"))
            .args(["template", "render", &format!("--template.glob={templates}/*.tmpl")])
            .arg(format!("--template.text={{{{ template \"{template}\" . }}}}"))
            .arg(format!("--template.data={}", path("data.json")))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shipped = repository("deploy/alertmanager/templates");
    let (shipped, renamed) = (shipped.to_str().unwrap(), path("alertmanager/templates"));
    for (templates, words) in [(shipped, ["critical", "warning", "info"]), (&renamed, ["P1", "P3", "P5"])] {
        let each = |template: &str| words.map(|word| rendered(templates, template, word));
        assert_eq!(each("agntix.pagerduty.severity"), ["critical", "warning", "info"], "{templates}");
        assert_eq!(each("agntix.slack.color"), ["danger", "warning", "#439fe0"], "{templates}");
    }
}

#[tokio::test]
async fn the_receiver_is_bounded_and_shows_what_others_wrote_as_text() {
    let receiver = Receiver::start();
    let client = receiver::client();
    let post = async |path: &str, body: String| {
        let request = client.post(format!("http://{}{path}", receiver.web)).body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("/slack", "x".into()).await, 400);
    assert_eq!(post("/slack", "[1]".into()).await, 400);
    assert_eq!(post("/pagerduty", "{\"payload\": 1}".into()).await, 400);
    assert_eq!(post("/elsewhere", "{}".into()).await, 404);
    let too_large = client.post(format!("http://{}/slack", receiver.web)).header("content-length", (1 << 20) + 1);
    let refused = too_large.send().await.map(|answer| answer.status().as_u16());
    assert!(refused.is_err() || refused.is_ok_and(|code| code == 413));

    for n in 0..105 {
        let annotations = json!({"summary": format!("<b>{n}</b>"), "evil_url": "javascript:alert(1)"});
        let sent = json!({"receiver": "team", "alerts": [{"status": "firing", "annotations": annotations}]});
        assert_eq!(post("/webhook", sent.to_string()).await, 200);
    }
    let kept = receiver::latest(&client, receiver.web).await;
    assert_eq!((kept.len(), kept[0].title.as_str(), kept[99].title.as_str()), (100, "<b>5</b>", "<b>104</b>"));
    assert!(kept.iter().all(|message| message.links.is_empty()), "{kept:#?}");
    let page = client.get(format!("http://{}/", receiver.web)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("&lt;b&gt;104&lt;/b&gt;") && !page.contains("<b>104"), "{page}");
}
