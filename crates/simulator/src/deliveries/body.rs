//! The body of a delivery: the session's own fields and `eventType`, flat.

use fastrand::Rng;
use serde_json::Value;

use super::config::DeliveryConfig;
use super::plan::Delivery;
use crate::faults::{self, Faults};
use crate::generate::{Generator, purpose};
use crate::json as written;
use crate::lenient;

/// The body, the same for each attempt. That of a session which the faults call bad is garbage.
pub(super) fn body(generator: &Generator, config: &DeliveryConfig, faults: &Faults, delivery: &Delivery) -> Vec<u8> {
    let Some(session) = generator.session(delivery.outline) else { return Vec::new() };
    let chance = generator.chance(purpose::TRUNCATION, delivery.outline.place);
    if faults.bad_sessions.contains(&session.id) {
        return faults::garbage(chance);
    }
    let mut fields = written::session(&session, delivery.shows, true);
    if delivery.truncated
        && let Ok(mut value) = serde_json::from_slice::<Value>(&fields)
    {
        truncate(&mut value, &mut Rng::with_seed(chance));
        fields = value.to_string().into_bytes();
    }
    let mut body = format!("{{\"eventType\":\"{}\",", delivery.event_type(config)).into_bytes();
    body.extend(fields.iter().skip(1));
    match faults.deliveries_written {
        Some(writing) => lenient::rewrite(&body, writing, chance),
        None => body,
    }
}

/// Takes at least one part out of the analysis that is in it, or all of the analysis.
fn truncate(session: &mut Value, rng: &mut Rng) {
    let Some(analysis) = session.get_mut("analysis").and_then(Value::as_object_mut) else { return };
    let mut parts: Vec<String> =
        analysis.iter().filter(|(_, part)| !part.is_null()).map(|(name, _)| name.clone()).collect();
    rng.shuffle(&mut parts);
    parts.truncate(rng.usize(1..=parts.len().max(1)));
    for part in parts {
        if rng.bool() {
            analysis.insert(part, Value::Null);
        } else {
            analysis.remove(&part);
        }
    }
    if rng.u32(0..4) == 0
        && let Some(analysis) = session.get_mut("analysis")
    {
        *analysis = Value::Null;
    }
}
