//! The deliveries on the wire.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, redirect, retry};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Simulator;
use super::body::body;
use super::config::DeliveryConfig;
use super::queue::Attempt;
use super::record::DeliveryRecord;
use super::secret::signature_header;

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(10);
const USER_AGENT: &str = "Svix-Webhooks/1.0 (simulated)";
/// An answer longer than this is not read to its end, and its connection not used again.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A client of its own: no proxy, no redirects, no retries but those of the schedule.
pub(in super::super) fn client(config: &DeliveryConfig) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .timeout(config.timeout)
        .tls_backend_preconfigured(tls(config.url.starts_with("https"))?);
    builder.build().map_err(|error| format!("deliveries cannot be made ({error})"))
}

/// TLS that trusts what the system trusts; reading that takes time, so only if it is used.
fn tls(is_used: bool) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if is_used {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

/// An attempt that is to be made now, with all that it takes.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) attempt: Attempt,
    pub(super) config: Arc<DeliveryConfig>,
    pub(super) client: Client,
    /// Which switching on it belongs to.
    pub(super) generation: u64,
}

/// Makes deliveries until `stop`; what is under way then is put back.
pub(in super::super) async fn run(simulator: Arc<Simulator>, stop: CancellationToken) {
    let mut attempts = JoinSet::new();
    loop {
        while let Some(due) = simulator.next_attempt() {
            attempts.spawn(Flight { simulator: Arc::clone(&simulator), due: Some(due) }.go());
        }
        let on = simulator.delivers();
        tokio::select! {
            () = stop.cancelled() => return,
            () = simulator.deliveries.changed.notified() => {}
            Some(_) = attempts.join_next(), if !attempts.is_empty() => {}
            () = tokio::time::sleep(TICK), if on => {}
        }
    }
}

/// An attempt under way: whatever becomes of it, the queue hears of it.
struct Flight {
    simulator: Arc<Simulator>,
    due: Option<Due>,
}

impl Flight {
    async fn go(mut self) {
        let Some(due) = &self.due else { return };
        let record = send(&self.simulator, due).await;
        if let Some(due) = self.due.take() {
            self.simulator.finish_attempt(&due, record);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(due) = self.due.take() {
            self.simulator.put_back_attempt(&due);
        }
    }
}

async fn send(simulator: &Simulator, due: &Due) -> DeliveryRecord {
    let generator = simulator.generator();
    let Due { attempt, config, client, .. } = due;
    let delivery = &attempt.delivery;
    let svix_id = delivery.svix_id(generator);
    let body = body(generator, config, &simulator.faults(), delivery);
    let (sent_at, began) = (simulator.real_now(), Instant::now());
    let timestamp = sent_at.as_millis().div_euclid(1000);
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, value) in [
        ("svix-id", svix_id.clone()),
        ("svix-timestamp", timestamp.to_string()),
        ("svix-signature", signature_header(&config.secrets, &svix_id, timestamp, &body)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    let answer = client.post(&config.url).headers(headers).body(body).send().await;
    let (status, failure) = match answer {
        Ok(answer) => {
            let status = answer.status().as_u16();
            drain(answer).await;
            (status, None)
        }
        Err(error) => (0, Some(if error.is_timeout() { "timeout" } else { "connection" })),
    };
    DeliveryRecord {
        svix_id,
        session_id: generator.id(delivery.outline),
        event_type: delivery.event_type(config).to_owned(),
        attempt: attempt.number,
        status,
        failure,
        sent_at_ms: sent_at.as_millis(),
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Reads an answer to its end, so that the connection can be used again. Its status has decided already.
async fn drain(mut answer: reqwest::Response) {
    let mut left = LONGEST_ANSWER;
    while let Ok(Some(chunk)) = answer.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
