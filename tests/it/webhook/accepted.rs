//! Deliveries that are right are taken, and cost no request.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, SimulatorConfig, SystemClock};

use super::delivery::session;
use super::{
    NEXT_SECRET, SECRET, delivered, disorderly, finished, outcomes, quiet, receiving, session_requests, shows, url,
};
use crate::support::{Api, Setup, free_address, ledger, number, until};

#[test]
fn complete_deliveries_are_counted_without_a_request() {
    for hidden_status in [403, 404] {
        let api = Api::start(SimulatorConfig { hidden_share: 0.2, hidden_status, ..finished(800) });
        let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
        let setup = Setup::new(api.address, &state.path().join("state"))
            .set("SESSIONS__LISTING", "false")
            // An open session is asked for before its end is delivered, if that takes longer than this.
            .set("POLL__OPEN_INTERVAL", "1h");
        let daemon = receiving(setup, Some(webhook)).start();
        api.simulator.set_deliveries(Some(disorderly(&api, webhook))).unwrap();
        let attempts = delivered(&api);
        daemon.shows(&api.truth());
        assert_eq!(session_requests(&api), [""; 0]);
        assert!(attempts.iter().all(|attempt| attempt.status == 200), "{:?}", daemon.log());

        let (samples, outcomes) = (daemon.samples(), outcomes(&daemon));
        let sessions = number(api.sessions().len());
        // Word of commits made at the same moment may come in another order than theirs; then one may be left out.
        let heard = samples[r#"agntix_exporter_sessions_discovered_total{source="webhook"}"#];
        assert!(heard <= sessions && heard > sessions * 0.98, "{heard} of {sessions}");
        assert_eq!(samples[r#"agntix_exporter_sessions_tracked{stage="ended"}"#], 0.0);
        assert_eq!(samples["agntix_exporter_webhook_missed_sessions_total"], 0.0);
        // A replica that does not count yet only makes them durable.
        let fewest = if ledger::is_postgres() { sessions * 0.9 } else { sessions };
        let counted = outcomes[r#"event="session.ended",outcome="counted""#];
        assert!(counted <= sessions && counted >= fewest, "{counted} of {sessions}");
        assert!(outcomes[r#"event="other",outcome="ignored""#] > 50.0, "{outcomes:?}");
        assert!(outcomes[r#"event="session.created",outcome="known""#] > 50.0, "{outcomes:?}");
        assert_eq!(outcomes.values().sum::<f64>(), number(attempts.len()));
        // The servers of the tests do not sync, and a replica warns of that.
        let complaints = daemon.lines_with("level=warn") + daemon.lines_with("level=error");
        assert_eq!(complaints, daemon.lines_with("fsync is off"), "{}", daemon.log());
    }
}

/// A session that the credential cannot read, and of which only the start was delivered, says nothing of the credential.
#[test]
fn hidden_sessions_do_not_look_like_a_credential_without_a_scope() {
    let start = SystemClock.now().minus(Duration::from_secs(4));
    let config = SimulatorConfig { hidden_share: 1.0, hidden_status: 403, ..SimulatorConfig::load(start, 10.0, 20) };
    let api = Api::start(config);
    let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state")).set("SESSIONS__LISTING", "false");
    let daemon = receiving(setup, Some(webhook)).start();
    let starts = DeliveryConfig { ended: false, ..disorderly(&api, webhook) };
    api.simulator.set_deliveries(Some(starts)).unwrap();
    delivered(&api);
    until("all to be asked for", || {
        let asked: BTreeSet<_> = session_requests(&api).into_iter().collect();
        (asked.len() == api.sessions().len()).then_some(())
    });
    until("all to be over", || (api.simulator.now() > start.plus(Duration::from_secs(10))).then_some(()));
    assert_eq!(daemon.sample("agntix_up"), Some(1.0), "{}", daemon.log());
    api.simulator.set_deliveries(None).unwrap();
    api.simulator.set_deliveries(Some(disorderly(&api, webhook))).unwrap();
    delivered(&api);
    daemon.shows(&api.truth());
    assert_eq!(daemon.sample("agntix_up"), Some(1.0), "{}", daemon.log());
}

/// Twenty deliveries, of all kinds of text, signed and posted by a program.
fn signed_by(name: &str, program: impl Fn() -> Command) {
    let (_api, state, daemon, webhook) = quiet(|setup| setup.set("LOG__LEVEL", "info"));
    let files: Vec<_> = (0..20)
        .map(|number| {
            let odd = ["plain", "äöü", "\u{1f600}", "\\\" \n", "日本語"][number % 5];
            let mut body: serde_json::Value =
                serde_json::from_str(&session("session.ended", &format!("{name}-{number}"), true)).unwrap();
            body["analysis"]["summary"] = odd.into();
            let file = state.path().join(format!("body-{number}"));
            // Both ways of writing it: the signature is of bytes, not of what they mean.
            let text = if number % 2 == 0 { body.to_string() } else { serde_json::to_string_pretty(&body).unwrap() };
            std::fs::write(&file, text).unwrap();
            file
        })
        .collect();
    for (secret, status) in [(SECRET, "200"), (NEXT_SECRET, "401")] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let output = program().arg(script).args([&url(webhook), secret]).args(&files).output();
        let output = output.unwrap_or_else(|error| panic!("{name} does not run: {error}"));
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.lines().collect::<Vec<_>>(), [status; 20], "{name}: {complaint}");
    }
    shows(&daemon, "agntix_session_outcomes_total", 20.0);
}

#[test]
#[ignore = "needs Svix's libraries from .ci/tools"]
fn what_svix_signs_in_python_is_accepted() {
    let python = crate::support::tool::locate("SVIX_PYTHON", "svix-python/bin/python");
    signed_by("svix_deliver.py", || Command::new(&python));
}

#[test]
#[ignore = "needs Svix's libraries from .ci/tools"]
fn what_svix_signs_in_node_is_accepted() {
    let library = crate::support::tool::locate("SVIX_NODE", "svix-node/node_modules/svix/package.json");
    signed_by("svix_deliver.cjs", || {
        let mut node = Command::new("node");
        node.env("NODE_PATH", library.ancestors().nth(2).unwrap());
        node
    });
}
