//! `deploy/prometheus/alerts.yml`, and `apply`, which writes it into the rule files and into Alertmanager's configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::prometheus::Version;
use crate::support::{promtool, tool};

/// Something of everything that can be set. Two alerts that are disabled share a description with others.
const SETTINGS: &str = r#"
severities:
  critical: P1
  warning: P3
additionalRuleLabels: {team: support, cost: "12"}
alerts:
  AgntixUnresolvedSpike: {enabled: false}
  AgntixNegativeElevated:
    enabled: false
  AgntixSessionsSilent: {severity: warning, for: 7m, keepFiringFor: 1h}
  AgntixExporterDown: {keepFiringFor: 2m}  # it has none
  AgntixUnresolvedElevated:
    labels:
      team: delivery
      queue: "{{ $labels.agent_id }}"
"#;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files below a directory, by their paths in it.
fn files(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// A copy of what an operator has of `deploy`.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for directory in ["prometheus", "alertmanager"] {
        for (path, text) in files(&repository("deploy").join(directory)) {
            let to = copy.path().join(directory).join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, text).unwrap();
        }
    }
    copy
}

fn apply(script: &Path, arguments: &[&str]) -> Output {
    Command::new("python3").arg(script).args(arguments).output().expect("python3 runs")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

#[test]
fn the_shipped_settings_leave_the_shipped_files_as_they_are() {
    let checked = apply(&repository("deploy/prometheus/apply"), &["--check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert_eq!(said(&checked), "");
}

#[test]
fn settings_are_written_once_and_undone_to_the_byte() {
    let copy = copy();
    let shipped = files(copy.path());
    let (script, settings) = (copy.path().join("prometheus/apply"), copy.path().join("prometheus/alerts.yml"));
    let shipped_settings = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, SETTINGS).unwrap();

    let drift = apply(&script, &["--check"]);
    assert_eq!(drift.status.code(), Some(1), "{}", said(&drift));
    assert!(said(&drift).contains("+      # disabled: - alert: AgntixUnresolvedSpike"), "{}", said(&drift));
    let mut unchanged = files(copy.path());
    unchanged.insert("prometheus/alerts.yml".into(), shipped_settings.clone());
    assert_eq!(unchanged, shipped, "--check writes");

    let written = apply(&script, &[]);
    assert!(written.status.success() && said(&written).contains("agntix-sessions.yml"), "{}", said(&written));
    assert!(said(&written).contains(r#"severity="P1""#), "the dashboards: {}", said(&written));
    let once = files(copy.path());
    assert!(apply(&script, &["--check"]).status.success());
    assert!(apply(&script, &[]).status.success());
    assert_eq!(files(copy.path()), once, "a second run changes something");

    std::fs::write(&settings, shipped_settings).unwrap();
    assert!(apply(&script, &[]).status.success());
    assert_eq!(files(copy.path()), shipped);
}

#[test]
fn another_directory_leaves_the_shipped_files_alone() {
    let copy = copy();
    std::fs::write(copy.path().join("prometheus/alerts.yml"), SETTINGS).unwrap();
    let before = files(copy.path());
    let output = tempfile::tempdir().unwrap();
    let script = copy.path().join("prometheus/apply");
    let written = apply(&script, &["--output", output.path().to_str().unwrap()]);
    assert!(written.status.success(), "{}", said(&written));
    assert_eq!(files(copy.path()), before);

    assert!(apply(&script, &[]).status.success());
    let in_place = files(copy.path());
    for (path, text) in files(output.path()) {
        let beside = if path.starts_with("rules") { Path::new("prometheus").join(&path) } else { path.clone() };
        assert_eq!(in_place[&beside], text, "{}", path.display());
    }
}

#[test]
#[ignore = "needs promtool and amtool from .ci/tools"]
fn what_is_written_is_accepted_and_routed_by_its_own_words() {
    let output = tempfile::tempdir().unwrap();
    let settings = output.path().join("alerts.yml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let arguments = ["--settings", settings.to_str().unwrap(), "--output", output.path().to_str().unwrap()];
    let written = apply(&repository("deploy/prometheus/apply"), &arguments);
    assert!(written.status.success(), "{}", said(&written));

    let rules = files(&output.path().join("rules"));
    for version in [Version::V2, Version::V3] {
        let files = rules.keys().map(|name| output.path().join("rules").join(name));
        let checked = run(Command::new(promtool::locate(version)).args(["check", "rules"]).args(files));
        assert!(!checked.contains("FAILED") && !checked.contains("lint error"), "{checked}");
    }
    let config = output.path().join("alertmanager/alertmanager.yml");
    let amtool = tool::locate("AMTOOL", "alertmanager/usr/bin/amtool");
    run(Command::new(&amtool).arg("check-config").arg(&config));
    for (severity, receiver) in [("P1", "on-call"), ("P3", "team"), ("info", "team"), ("critical", "team")] {
        run(Command::new(&amtool)
            .args(["config", "routes", "test"])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--verify.receivers={receiver}"))
            .args([&format!("severity={severity}"), "component=sessions", "alertname=AgntixUnresolvedSpike"]));
    }
}

#[test]
fn a_mistake_is_refused_with_what_may_have_been_meant() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("alerts.yml");
    let mistakes = [
        ("alert: {}", "there is no setting alert; did you mean alerts?"),
        ("alerts: {AgntixUnresolvedSpikes: {for: 3m}}", "did you mean AgntixUnresolvedSpike?"),
        ("alerts: {AgntixUnresolvedSpike: {fro: 3m}}", "there is no setting fro; did you mean for?"),
        ("alerts: {AgntixUnresolvedSpike: {severity: warnign}}", "did you mean warning?"),
        ("alerts: {AgntixUnresolvedSpike: {for: 3 min}}", "for is '3 min', but must be a duration"),
        ("alerts: {AgntixUnresolvedSpike: {enabled: maybe}}", "must be true or false"),
        ("alerts: {AgntixUnresolvedSpike: off}", "must be a mapping"),
        ("severities: {critcal: P1}", "did you mean critical?"),
        ("severities: {critical: warning}", "two have the same word"),
        ("severities: {critical: 'P 1'}", "critical is 'P 1'"),
        ("additionalRuleLabels: {severity: P1}", "severity is set by the rules"),
        ("additionalRuleLabels: {te-am: a}", "te-am is no name of a label"),
        ("additionalRuleLabels: {team: a, team: b}", "team is set twice"),
        ("alerts:\n  AgntixUnresolvedSpike:\n      for: 3m\n    severity: warning", ":4: expected `name: value`"),
        ("alerts: [AgntixUnresolvedSpike]", ":1: cannot read"),
        ("additionalRuleLabels: {team: a", "must end on its line"),
    ];
    for (text, words) in mistakes {
        std::fs::write(&file, text).unwrap();
        let arguments = ["--check", "--settings", file.to_str().unwrap()];
        let refused = apply(&repository("deploy/prometheus/apply"), &arguments);
        assert_eq!(refused.status.code(), Some(2), "{text}: {}", said(&refused));
        assert!(said(&refused).contains(words), "{text}: {}", said(&refused));
        assert!(!said(&refused).contains("Traceback"), "{}", said(&refused));
    }
}
