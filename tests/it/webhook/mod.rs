//! The webhook: what it is told is counted without a request, a 2xx is a promise (P4), and whoever sends what is not right
//! is told so and costs nothing.

mod accepted;
mod answers;
mod bounded;
pub mod delivery;
mod durable;
mod mutated;
mod shared;
mod sources;
mod syncs;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, DeliveryRecord, Route, SimulatorConfig, SystemClock};

use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET as SECRET, free_address, total, until};

const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PATH: &str = "/webhooks/agntix";

/// Sessions that are all over and analysed by now, each analysis whole.
fn finished(total: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    // However many they are, the last one ended a quarter of an hour ago.
    let per_second = (f64::from(u32::try_from(total).unwrap()) / 900.0).max(10.0);
    SimulatorConfig { missing_part_share: 0.0, ..SimulatorConfig::load(start, per_second, total) }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}{PATH}")
}

/// A daemon that takes deliveries on `webhook`, or beside everything else.
fn receiving(setup: Setup, webhook: Option<SocketAddr>) -> Setup {
    let setup = setup.set("WEBHOOK__ENABLED", "true").env("AGNTIX_WEBHOOK_SECRET", SECRET);
    match webhook {
        Some(address) => setup.set("WEBHOOK__LISTEN_ADDRESS", &address.to_string()),
        None => setup,
    }
}

/// Everything from the first session on, badly: repeated, late, in no order, with types that nobody knows.
fn disorderly(api: &Api, webhook: SocketAddr) -> DeliveryConfig {
    DeliveryConfig {
        since: Some(api.simulator.config().start),
        repeated_share: 0.3,
        out_of_order_share: 0.2,
        delayed_share: 0.2,
        unknown_share: 0.1,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&url(webhook), vec![SECRET.parse().unwrap()]).unwrap()
    }
}

/// Waits until every delivery was acknowledged; all attempts.
fn delivered(api: &Api) -> Vec<DeliveryRecord> {
    api.all_delivered();
    api.simulator.deliveries()
}

fn session_requests(api: &Api) -> Vec<String> {
    let requests = api.simulator.requests().into_iter().filter(|request| request.route == Route::Session);
    requests.map(|request| request.path).collect()
}

/// The counter of deliveries, by event and outcome; those that have not happened are left out.
fn outcomes(daemon: &Daemon) -> BTreeMap<String, f64> {
    const NAME: &str = "agntix_exporter_webhook_deliveries_total{";
    let samples = daemon.samples().into_iter().filter(|(_, value)| *value > 0.0);
    samples
        .filter_map(|(name, value)| Some((name.strip_prefix(NAME)?.trim_end_matches('}').to_owned(), value)))
        .collect()
}

fn no_sessions() -> Api {
    let until = Some(SystemClock.now().minus(Duration::from_secs(86_400)));
    Api::start(SimulatorConfig { until, ..finished(1) })
}

/// An API without sessions, and a daemon that is past its look-back.
fn quiet(more: impl FnOnce(Setup) -> Setup) -> (Api, tempfile::TempDir, Daemon, SocketAddr) {
    let api = no_sessions();
    let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("LOG__LEVEL", "trace");
    let daemon = more(receiving(setup, Some(webhook))).start();
    (api, state, daemon, webhook)
}

/// Waits until the look-back is over and the metric comes to this.
fn shows(daemon: &Daemon, name: &str, value: f64) {
    until(name, || (total(&daemon.samples(), name) == value).then_some(()));
}
