//! Returning customers: how many came back within which time, from keyed hashes alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use simulator::{AgentProfile, PERSONAL_PHONE_PREFIX, SimulatorConfig, TruthMetrics};

use super::seeds;
use crate::support::ledger::is_postgres;
use crate::support::{Api, NOON, Setup, durable, label, standing_at_noon, until};

const HOUR: Duration = Duration::from_secs(3_600);

/// Sessions of few customers over some hours, all over by noon, none of them longer ago than the longest window.
fn returning(seed: u64, customers: u32) -> SimulatorConfig {
    let standing = standing_at_noon(NOON.minus(HOUR * 6), NOON.minus(HOUR), 0.0);
    let agents = (0..2).map(|number| AgentProfile {
        id: format!("agent-{number}"),
        sessions_per_day: 1_500.0,
        ..AgentProfile::default()
    });
    let metrics = TruthMetrics { repeat_windows: windows(), ..TruthMetrics::default() };
    SimulatorConfig {
        seed,
        agents: agents.collect(),
        customers: Some(customers),
        metrics,
        list_analysis: true,
        ..standing
    }
}

/// Within how long coming back counts, in the simulation as in [`table`].
pub fn windows() -> Vec<(String, Duration)> {
    vec![("10m".into(), HOUR / 6), ("2h".into(), HOUR * 2), ("7h".into(), HOUR * 7)]
}

/// `metrics.repeat_contacts`, with the key in a file of that directory.
pub fn table(directory: &Path, key: &str) -> String {
    let file = directory.join("contacts-key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let names = windows().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    format!("{{ field = \"customerPhoneNumber\", windows = {names:?}, key_file = \"{}\" }}", file.display())
}

/// With a configuration that recognises customers.
pub fn recognising(setup: Setup, directory: &Path) -> Setup {
    let file = directory.join("exporter.toml");
    let table = table(directory, "an example of a key, which is no secret");
    std::fs::write(&file, format!("[metrics]\nrepeat_contacts = {table}\n")).unwrap();
    setup.argument(&format!("--config.file={}", file.display()))
}

fn alone(api: &Api, directory: &Path) -> Setup {
    recognising(Setup::new(api.address, &directory.join("state")), directory).set("SESSIONS__RECENT_WINDOW", "8h")
}

/// The same, with repeat contacts summed over the resolution of the earlier session.
pub fn without_previous(samples: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let mut summed = BTreeMap::new();
    for (name, value) in samples {
        let previous =
            label(&name, "previous_resolution").map(|previous| format!(",previous_resolution=\"{previous}\""));
        *summed.entry(name.replace(&previous.unwrap_or_default(), "")).or_default() += value;
    }
    summed
}

fn part(samples: &BTreeMap<String, f64>) -> f64 {
    let repeats = samples.iter().filter(|(name, _)| name.starts_with("agntix_session_repeat_contacts_total{"));
    repeats.map(|(_, value)| value).sum()
}

#[test]
fn returning_customers_equal_the_truth_through_kills_and_no_number_is_stored() {
    for seed in seeds(2) {
        let api = Api::start(returning(seed, 150));
        let directory = tempfile::tempdir().unwrap();
        let setup = alone(&api, directory.path());
        setup.start_and_kill(4, &mut fastrand::Rng::with_seed(seed));
        let daemon = setup.start();
        let truth = api.truth();
        let repeats = truth.keys().filter(|sample| sample.starts_with("agntix_session_repeat_contacts_total{"));
        assert!(repeats.count() > 10, "seed {seed}");
        daemon.shows_as(&truth, without_previous);
        let shown = durable(&daemon.samples());
        // Where sessions of a customer overlap, or a third one comes late, the order decides which is the earlier one; none else differs.
        let differing: f64 = truth.iter().map(|(name, value)| (value - shown.get(name).unwrap_or(&0.0)).abs()).sum();
        let all = part(&truth);
        assert!(differing <= 0.04 * all, "seed {seed}: {differing} of {all}");
        assert!(!daemon.log().contains(PERSONAL_PHONE_PREFIX));
        daemon.kill();
        if is_postgres() {
            // What is in the database is looked at by `replicas::personal_data`.
            continue;
        }
        for file in std::fs::read_dir(directory.path().join("state")).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let number = PERSONAL_PHONE_PREFIX.as_bytes();
            assert!(!bytes.windows(number.len()).any(|found| found == number), "seed {seed}: a number is in the state");
        }
    }
}

#[test]
fn number_that_many_share_is_left_out_and_counted() {
    let api = Api::start(SimulatorConfig { shared_number_share: 0.5, ..returning(1, 90_000) });
    let directory = tempfile::tempdir().unwrap();
    let daemon = alone(&api, directory.path()).start();
    let shared = api.sessions().iter().filter(|session| session.number == 0).count();
    assert!(shared > 200);
    // All of them are of one day, and it is known by the 51st.
    let expected = f64::from(u32::try_from(shared - 50).unwrap());
    until("sessions of the shared number to be left out", || {
        let left_out = daemon.samples()[r#"agntix_exporter_repeat_contacts_skipped_total{reason="shared"}"#];
        (left_out == expected).then_some(())
    });
    let counted = daemon.samples();
    let repeats = counted
        .iter()
        .filter(|(name, _)| name.starts_with("agntix_session_repeat_contacts_total{") && name.contains("2h"));
    assert!(repeats.map(|(_, value)| value).sum::<f64>() < 100.0);
}

#[test]
fn it_does_not_start_without_the_key_and_says_what_to_do() {
    let api = Api::start(returning(1, 10));
    let directory = tempfile::tempdir().unwrap();
    let setup = alone(&api, directory.path());
    std::fs::remove_file(directory.path().join("contacts-key")).unwrap();
    let (code, output) = setup.run();
    assert!(code.is_some_and(|code| code != 0), "{output}");
    assert!(output.contains("metrics.repeat_contacts") && output.contains("openssl rand"), "{output}");
}
