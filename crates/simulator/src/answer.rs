//! An answer before it is sent, so that faults can still spoil it.

use std::time::Duration;

use serde_json::{Value, json};

/// Status, headers, body, and how it is delivered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    pub(crate) delivery: Delivery,
}

/// How much of an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All of it.
    Whole,
    /// The head and this many bytes of the body, then the connection ends.
    CutAt(usize),
    /// Nothing; the connection ends.
    Drop,
}

impl Answer {
    /// 200 with JSON that is already written.
    pub(crate) fn ok(body: Vec<u8>) -> Self {
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
    pub(crate) fn json(body: &Value) -> Self {
        Self::ok(body.to_string().into_bytes())
    }

    /// The API's error envelope.
    pub(crate) fn error(status: u16, code: &str, message: &str, request_id: &str) -> Self {
        let body = json!({"error": {"code": code, "message": message, "requestId": request_id}});
        Self { status, ..Self::json(&body) }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}
