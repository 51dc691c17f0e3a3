//! A delivery in the making, and how it is sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use agntix_api::WebhookSecrets;
use agntix_exporter::clock::{Clock as _, SystemClock};

use super::{PATH, SECRET};
use crate::support::Reply;

/// A delivery in the making.
pub struct Sent {
    pub id: &'static str,
    pub secret: &'static str,
    pub age: i64,
    pub content_type: Option<&'static str>,
    pub without: &'static str,
    /// A first header, so that it is seen which delivery arrives.
    pub first: String,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        let content_type = Some("application/json");
        Self { id: "msg_1", secret: SECRET, age: 0, content_type, without: "", first: String::new(), body: body.into() }
    }

    pub fn headers(&self) -> String {
        let timestamp = SystemClock.now().as_millis() / 1000 - self.age;
        let signature = WebhookSecrets::parse(self.secret).unwrap().sign(self.id, timestamp, &self.body);
        let (id, timestamp) = (self.id.to_owned(), timestamp.to_string());
        let named = [("svix-id", id), ("svix-timestamp", timestamp), ("svix-signature", signature)];
        let named = named.into_iter().filter(|(name, _)| *name != self.without);
        let kind = self.content_type.map(|kind| ("content-type", kind.to_owned()));
        let first = (!self.first.is_empty()).then(|| ("x-first", self.first.clone()));
        first.into_iter().chain(named).chain(kind).map(|(name, value)| [name, ": ", &value, "\r\n"].concat()).collect()
    }

    pub fn send(&self, to: SocketAddr) -> Reply {
        post(to, &format!("content-length: {}\r\n{}", self.body.len(), self.headers()), &self.body)
    }

    pub fn send_in_chunks(&self, to: SocketAddr) -> Reply {
        let chunks = self
            .body
            .chunks(60_000)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let body = [chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat();
        post(to, &format!("transfer-encoding: chunked\r\n{}", self.headers()), &body)
    }
}

/// `POST` to the webhook. A server that has answered may close before all was sent.
pub fn post(to: SocketAddr, headers: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
    let mut writing = stream.try_clone().unwrap();
    let all = [head.as_bytes(), body].concat();
    let writer = std::thread::spawn(move || drop(writing.write_all(&all)));
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
    }
    // A body that nobody reads is not written to its end.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    writer.join().unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: body.into() }
}

pub const PERSON: &str = "Zyxwvut Personally";

pub fn session(event: &str, id: &str, whole: bool) -> String {
    let now = SystemClock.now();
    let [created, ended] = [120, 60].map(|ago| now.minus(Duration::from_secs(ago)).to_string());
    let analysis = serde_json::json!({
        "summary": PERSON,
        "resolution": {"classification": "RESOLVED", "confidence": 90, "explanation": PERSON},
        "sentiment": {"conversation": {"classification": "POSITIVE", "score": 0.5}},
        "intent": {"conversation": {"classification": "Order-Status", "confidence": 80}},
        "extractedData": {},
    });
    serde_json::json!({
        "eventType": event, "id": id, "agentId": "agent-1", "type": "CHAT", "platform": "WEB", "direction": "INBOUND",
        "state": "CLOSED", "createdAt": created, "updatedAt": ended, "endedAt": ended, "customer": {"name": PERSON},
        "analysis": if whole { analysis } else { serde_json::Value::Null },
    })
    .to_string()
}

/// A sender that keeps its connection, as Svix does, and connects anew when it is closed.
pub struct Sender {
    to: SocketAddr,
    connection: Option<TcpStream>,
}

impl Sender {
    pub fn new(to: SocketAddr) -> Self {
        Self { to, connection: None }
    }

    /// Posts `sent`; `None` if the connection ended before an answer.
    pub fn send(&mut self, sent: &Sent) -> Option<Reply> {
        self.post(sent.headers().as_bytes(), &sent.body)
    }

    /// Posts `body` with these header lines, which may be anything.
    pub fn post(&mut self, headers: &[u8], body: &[u8]) -> Option<Reply> {
        let reply = self.try_post(headers, body);
        let closes = reply.as_ref().is_none_or(|reply| reply.header("connection") == Some("close"));
        if closes {
            self.connection = None;
        }
        reply
    }

    fn try_post(&mut self, headers: &[u8], body: &[u8]) -> Option<Reply> {
        if self.connection.is_none() {
            let connection = TcpStream::connect(self.to).ok()?;
            connection.set_nodelay(true).ok()?;
            connection.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut()?;
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        // In one piece, so that it arrives as one.
        connection.write_all(&[head.as_bytes(), headers, b"\r\n", body].concat()).ok()?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            if let Some(reply) = whole(&answer) {
                return Some(reply);
            }
            match connection.read(&mut piece) {
                Ok(length @ 1..) => answer.extend_from_slice(&piece[..length]),
                _ => return None,
            }
        }
    }
}

/// The answer, once it has come to its end.
fn whole(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let reply = Reply { status, headers, body: answer[end + 4..].into() };
    let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
    (reply.body.len() >= length).then_some(reply)
}
