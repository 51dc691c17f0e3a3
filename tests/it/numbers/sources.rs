//! Sessions heard of by webhook and by the event stream: their messages and returning customers equal the truth as well, whichever
//! source was first and however often each of them tells.

use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, MessageShares, SimulatorConfig, SystemClock, TruthMetrics};

use super::customers::{recognising, windows, without_previous};
use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, durable, free_address, until};

/// An organization that has 200 sessions of few customers an hour from now, within four seconds.
fn later(seed: u64) -> Api {
    let now = SystemClock.now();
    let start = now.plus(Duration::from_secs(3_600));
    let metrics = TruthMetrics { messages_share: Some(1.0), repeat_windows: windows(), ..TruthMetrics::default() };
    Api::start(SimulatorConfig {
        seed,
        now: Some(now),
        customers: Some(40),
        messages: MessageShares::LIVELY,
        missing_part_share: 0.0,
        metrics,
        ..SimulatorConfig::load(start, 50.0, 200)
    })
}

fn shows_the_truth(daemon: &Daemon, api: &Api) {
    let over = api.simulator.config().until.unwrap().plus(Duration::from_secs(4));
    until("the last session to end", || (api.simulator.now() > over).then_some(()));
    let truth = api.truth();
    for name in ["agntix_session_turns_count{", "agntix_session_repeat_contacts_total{"] {
        assert!(truth.keys().any(|sample| sample.starts_with(name)), "the truth has no {name}");
    }
    let expected = without_previous(truth);
    until("the truth", || (without_previous(durable(&daemon.samples_if_any())) == expected).then_some(()));
}

/// `sources` names those that tell of the sessions.
fn told_by(sources: &[&str], kills: u32) {
    let [webhook, stream, listing] = ["webhook", "stream", "listing"].map(|source| sources.contains(&source));
    let (api, directory, address) = (later(9), tempfile::tempdir().unwrap(), free_address());
    let mut setup = recognising(Setup::new(api.address, &directory.path().join("state")), directory.path())
        .set("MESSAGES__ENABLED", "true")
        .set("SESSIONS__LISTING", &listing.to_string())
        .set("STREAM__ENABLED", &stream.to_string());
    if webhook {
        setup = setup.with_webhook(address);
    }
    let mut daemon = setup.start();
    // What has ended before the exporter knows when it was first started has no messages read.
    until("the look-back to be done", || (daemon.lines_with("the look-back is done") > 0).then_some(()));
    if stream {
        until("the stream to be followed", || (api.simulator.open_streams() == 1).then_some(()));
    }
    if webhook {
        let secrets = vec![WEBHOOK_SECRET.parse().unwrap()];
        let deliveries = DeliveryConfig {
            since: Some(api.simulator.config().start),
            repeated_share: 0.5,
            out_of_order_share: 0.3,
            delayed_share: 0.2,
            backoff_scale: 0.001,
            ..DeliveryConfig::new(&format!("http://{address}/webhooks/agntix"), secrets).unwrap()
        };
        api.simulator.set_deliveries(Some(deliveries)).unwrap();
    }
    api.jump(api.simulator.config().start);
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..kills {
        // The instant of the kill is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(200..900)));
        daemon.kill();
        daemon = setup.start();
    }
    shows_the_truth(&daemon, &api);
}

#[test]
fn messages_and_customers_of_sessions_that_only_the_webhook_tells_of_equal_the_truth() {
    told_by(&["webhook"], 0);
}

#[test]
fn messages_and_customers_of_sessions_that_only_the_stream_tells_of_equal_the_truth() {
    told_by(&["stream"], 0);
}

#[test]
fn messages_and_customers_that_every_source_tells_of_are_counted_once_through_kills() {
    told_by(&["webhook", "stream", "listing"], 4);
}
