//! An answer before it is sent, so that faults can still spoil it.

use std::time::Duration;

use serde_json::{Value, json};

/// Status, headers, body, and how it is delivered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) delay: Duration,
    pub(super) delivery: Delivery,
}

/// How much of an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All of it.
    Whole,
    /// The head and this many bytes of the body, then the connection ends.
    CutAt(usize),
    /// Nothing; the connection ends.
    Drop,
}

impl Answer {
    /// 200 with JSON that is already written.
    pub(super) fn ok(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: "application/json; charset=utf-8",
            headers: Vec::new(),
            body,
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
        }
    }

    /// 200 with JSON.
    pub(super) fn json(body: &Value) -> Self {
        Self::ok(body.to_string().into_bytes())
    }

    /// The API's error envelope.
    pub(super) fn error(status: u16, code: &str, message: &str, request_id: &str) -> Self {
        let body = json!({"error": {"code": code, "message": message, "requestId": request_id}});
        Self { status, ..Self::json(&body) }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}
