//! How much memory a large past takes.

use std::process::Stdio;
use std::time::Duration;

use simulator::{AgentProfile, SimulatorConfig, Timestamp};

use super::until_noon;
use crate::support::{Api, NOON, PATIENCE, standing_at_noon};

/// `BACKFILL_SESSIONS` of them, within thirty hours.
#[test]
#[ignore = "takes minutes (CONTRIBUTING.md)"]
fn a_million_sessions_take_64_mib_at_most() {
    let sessions: f64 = std::env::var("BACKFILL_SESSIONS").map_or(1e6, |sessions| sessions.parse().unwrap());
    let from = Timestamp::from_millis(NOON.as_millis() - 30 * 3_600_000);
    let agents = (0..10).map(|agent| AgentProfile {
        id: format!("agent-{agent}"),
        sessions_per_day: sessions / 10.0 * 24.0 / 30.0,
        ..AgentProfile::default()
    });
    let config = SimulatorConfig {
        agents: agents.collect(),
        slot: Duration::from_secs(60),
        // Without it each session is asked for by itself, which takes an hour.
        list_analysis: true,
        ..standing_at_noon(from, NOON, 1.0)
    };
    let api = Api::start(config);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    let setup = until_noon(&api, directory.path(), &output);
    let mut child = setup.command().stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let (mut most, status) = (0, format!("/proc/{}/status", child.id()));
    let code = loop {
        let peak = std::fs::read_to_string(&status).unwrap_or_default();
        // What is its own: the pages of the program's file are the system's, which may take them back.
        let own = peak.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(own.unwrap_or(0_u64));
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(0));
    let summary = std::fs::read_to_string(output.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    eprintln!(
        "{} sessions, {} samples, {} MiB at most ({PATIENCE:?})",
        summary["sessions"],
        summary["samples"],
        most / 1024
    );
    assert!(most <= 64 * 1024, "{} MiB", most / 1024);
}
