//! The reference lists every metric that is served, and every metric of the reference can be met.
//! (That nothing else is served is checked on every page that any of these tests reads.)

use std::collections::BTreeSet;
use std::time::Duration;

use agntix_exporter::catalogue::reference;
use simulator::{AgentProfile, Faults, SimulatorConfig};

use crate::support::{Api, NOON, Setup, until};

/// The metrics that are there only where several replicas share the counts.
pub fn of_replicas() -> BTreeSet<String> {
    let rows = reference();
    let rows = rows.lines().filter(|row| row.contains("only with state.url."));
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[test]
fn every_metric_of_the_reference_is_served() {
    let minute = Duration::from_secs(60);
    let api = Api::start(SimulatorConfig {
        start: NOON.minus(minute * 10),
        until: Some(NOON),
        now: Some(NOON.minus(minute)),
        speed: 0.0,
        agents: vec![AgentProfile { sessions_per_day: 12_000.0, ..AgentProfile::default() }],
        analysis_delay: (minute, minute * 2),
        no_analysis_share: 0.3,
        reclassified_share: 1.0,
        reclassified_after: minute * 20,
        list_analysis: true,
        customers: Some(20),
        rate_limit: None,
        ..SimulatorConfig::default()
    });
    let analysed = api.sessions().into_iter().skip(1).find(|session| session.analysis_at.is_some()).unwrap();
    let bad_sessions = api.sessions().into_iter().take(1).map(|session| session.id).collect();
    api.simulator.set_faults(Faults { bad_sessions, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("exporter.toml");
    let extracted = |field: &str, more: &str| format!("[[metrics.extracted]]\nfield = \"{field}\"\n{more}\n");
    let text =
        extracted("callOutcome", "kind = \"enum\"") + &extracted("parcels", "kind = \"number\"\nbuckets = [1, 5]");
    let key = state.path().join("key");
    std::fs::write(&key, "an example of a key, which is no secret").unwrap();
    let contacts = format!("field = \"customerPhoneNumber\", windows = [\"1h\"], key_file = \"{}\"", key.display());
    std::fs::write(&file, format!("[metrics]\nrepeat_contacts = {{ {contacts} }}\n{text}")).unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state"))
        .with_guarded_webhook(state.path(), "")
        .argument(&format!("--config.file={}", file.display()))
        .set("SESSIONS__IDS", &format!("{},no-such-session", analysed.id))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "1s")
        .set("METRICS__MAX_LABEL_VALUES", "1")
        .set("METRICS__VARIABLES", "campaign")
        .set("MESSAGES__ENABLED", "true")
        .set("WEB__EXTERNAL_URL", "http://exporter.example:9899/")
        .start();
    let reference = reference();
    let names: BTreeSet<&str> =
        reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(names.len() > 40, "{names:?}");
    let mut missing = names.clone();
    // A single daemon has none of these; replicas::turns meets them.
    missing.retain(|name| !of_replicas().contains(*name));
    let mut step = 0;
    // Sessions open, waiting, analysed, given up, and changed: all that there is to tell, one after the other.
    until("all metrics", || {
        step += 1;
        // Open sessions are waited for, then time goes on.
        if step % 20 == 0 && !missing.contains("agntix_sessions_open") {
            api.jump(api.simulator.now().plus(minute * 5));
        }
        let (_, page) = daemon.get("/metrics");
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            missing.retain(|metric| *metric != name && name != format!("{metric}_count"));
        }
        assert!(step <= 400, "never met: {missing:?}");
        missing.is_empty().then_some(())
    });
}
