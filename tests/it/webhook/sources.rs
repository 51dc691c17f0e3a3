//! Every source at once, and kills at any instant.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use simulator::{DeliveryConfig, SimulatorConfig};

use super::{NEXT_SECRET, SECRET, delivered, disorderly, finished, receiving};
use crate::support::{Api, Setup, durable, free_address, samples};

/// The waits of Svix's retries together: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h.
const SCHEDULE: Duration = Duration::from_secs(99_305);

/// Listing, webhook and stream tell of the same sessions, while the daemon is killed again and again.
fn everything_at_once(sessions: u64, kills: u32) {
    let hidden = SimulatorConfig { hidden_share: 0.05, expired_share: 0.1, ..finished(sessions) };
    let api = Api::start(SimulatorConfig { unlisted_share: 0.2, ..hidden });
    let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("API__MAX_CONCURRENCY", "2")
        .set("STREAM__ENABLED", "true")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("LOG__LEVEL", "warn,agntix_exporter::cli=info,agntix_exporter::lifecycle=info");
    let setup = receiving(setup, Some(webhook)).env("AGNTIX_WEBHOOK_SECRET", &format!("{SECRET},{NEXT_SECRET}"));
    let began = Instant::now();
    setup.start().kill();
    // Retries that outlast the kills, however slow the machine is; the last one waits for a third of the schedule, so not for ever.
    let phase = kills * (began.elapsed() + Duration::from_millis(150));
    let backoff_scale = (3.0 * phase.as_secs_f64() / SCHEDULE.as_secs_f64()).clamp(0.0004, 0.002);
    let mut deliveries = DeliveryConfig {
        truncated_share: 0.3,
        repeated_share: 0.5,
        out_of_order_share: 0.4,
        parallelism: 4,
        backoff_scale,
        ..disorderly(&api, webhook)
    };
    api.simulator.set_deliveries(Some(deliveries.clone())).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut before = BTreeMap::new();
    let mut killed_at_work = 0;
    for kill in 0..kills {
        let secrets: &[&str] = match 3 * kill / kills {
            0 => &[SECRET],
            1 => &[SECRET, NEXT_SECRET],
            _ => &[NEXT_SECRET],
        };
        let secrets: Vec<_> = secrets.iter().map(|secret| secret.parse().unwrap()).collect();
        if deliveries.secrets != secrets {
            deliveries.secrets = secrets;
            api.simulator.set_deliveries(Some(deliveries.clone())).unwrap();
        }
        let daemon = setup.start();
        // The instant of the kill is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(0..250)));
        if let Some((200, page)) = daemon.try_get("/metrics") {
            let now = durable(&samples(&page));
            for (name, value) in before.iter().filter(|_| !now.is_empty()) {
                assert!(now.get(name) >= Some(value), "{name} fell from {value} to {:?}", now.get(name));
            }
            before = if now.is_empty() { before } else { now };
        }
        killed_at_work += u32::from(api.simulator.delivery_progress().is_some_and(|progress| !progress.done));
        daemon.kill();
    }
    assert!(killed_at_work > kills / 4, "only {killed_at_work} kills fell into the work");
    let daemon = setup.start();
    let attempts = delivered(&api);
    daemon.shows(&api.truth());
    // Hidden and unlisted sessions can only have come from a delivery.
    let told: BTreeSet<&str> =
        attempts.iter().filter(|attempt| attempt.status == 200).map(|attempt| attempt.session_id.as_str()).collect();
    assert_eq!(told.len(), api.sessions().len());
    assert!(attempts.iter().any(|attempt| attempt.status == 0), "no delivery met a kill");
    assert!(attempts.iter().all(|attempt| matches!(attempt.status, 0 | 200 | 503)));
}

#[test]
fn all_sources_and_kills_at_any_instant_count_each_session_once() {
    everything_at_once(1_400, 20);
}

#[test]
#[ignore = "takes a minute of processor time: 4,000 sessions and 60 kills"]
fn all_sources_and_sixty_kills_at_any_instant_count_each_session_once() {
    everything_at_once(4_000, 60);
}

#[test]
#[ignore = "takes minutes: 100,000 sessions and 300 kills"]
fn all_sources_and_kills_count_each_of_100_000_sessions_once() {
    everything_at_once(100_000, 300);
}
