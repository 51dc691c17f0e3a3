//! The deliveries on the wire.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::body;
use super::record::DeliveryRecord;
use super::secret::signature_header;
use super::state::Due;
use crate::simulator::Simulator;

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(10);
/// An answer longer than this is not read to its end, and its connection not used again.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Makes deliveries until `stop`; what is under way then is put back.
pub(crate) async fn run(simulator: Arc<Simulator>, stop: CancellationToken) {
    let mut attempts = JoinSet::new();
    loop {
        while let Some(due) = next(&simulator) {
            attempts.spawn(Flight { simulator: Arc::clone(&simulator), due: Some(due) }.go());
        }
        let on = simulator.deliveries.are_on();
        tokio::select! {
            () = stop.cancelled() => return,
            () = simulator.deliveries.changed() => {}
            Some(_) = attempts.join_next(), if !attempts.is_empty() => {}
            () = tokio::time::sleep(TICK), if on => {}
        }
    }
}

fn next(simulator: &Simulator) -> Option<Due> {
    simulator.deliveries.next(simulator.generator(), simulator.now(), simulator.real_now())
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
            self.simulator.deliveries.finish(&due, record, self.simulator.real_now());
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(due) = self.due.take() {
            self.simulator.deliveries.put_back(&due, self.simulator.real_now());
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
