//! What is said in a session: by whom and when. How it is written is `json`'s.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::list_faults::ListFaults;
use crate::random::mix;
use crate::session::Session;
use crate::time::Timestamp;

/// Tells the draws for messages from all others.
const SAID: u64 = 0x5a1d;
/// One message each five seconds, turn and turn about, where nothing else is set.
const PLAIN_MS: usize = 5_000;
/// Turns of a session at most: more than a page of messages.
const MOST_TURNS: u64 = 90;

/// What a careless parser takes for the end of a text, and of its message.
const MORE: &str = r#"\"},{"role":"USER"#;

/// How odd the conversations are. With nothing set, somebody says something every five seconds, turn and turn about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MessageShares {
    /// Sessions in which the customer says nothing.
    pub silent: f64,
    /// Others in which the last word is the customer's.
    pub unanswered: f64,
    /// Answers before which a tool is called.
    pub tools: f64,
    /// Of every fourth message: those whose time lies before the one that came before, as in transcripts of voice.
    pub backwards: f64,
    /// Messages without a time, and as many with the time of the one before.
    pub untimed: f64,
    /// Messages of a role that nobody knows, and as many without one, besides all others.
    pub odd_roles: f64,
}

impl MessageShares {
    /// Some of everything.
    pub const LIVELY: Self =
        Self { silent: 0.1, unanswered: 0.15, tools: 0.2, backwards: 0.2, untimed: 0.04, odd_roles: 0.02 };
}

/// What is wrong with the messages of every session from now on. Who said what when stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageFaults {
    /// With their list.
    pub lists: ListFaults,
    /// The text of the first message of each page of a hundred is so many bytes longer.
    pub longer_by: usize,
    /// They come without ids.
    pub without_ids: bool,
}

impl MessageFaults {
    /// Spoils the messages of a session.
    pub(crate) fn apply(&self, messages: &mut [Value]) {
        for (number, message) in messages.iter_mut().enumerate() {
            let Some(fields) = message.as_object_mut() else { continue };
            if self.without_ids {
                fields.remove("id");
            }
            if let (true, Some(Value::String(content))) = (number % 100 == 0, fields.get("content")) {
                fields.insert("content".into(), json!(content.to_owned() + &MORE.repeat(self.longer_by / MORE.len())));
            }
        }
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its role in the API's spelling; `None`: it has none.
    pub role: Option<&'static str>,
    /// Its time; `None`: it has none.
    pub at: Option<Timestamp>,
}

/// When each message of a session with nothing set is written.
pub(crate) fn plain_times(session: &Session<'_>) -> impl Iterator<Item = Timestamp> + use<> {
    (session.created.as_millis()..session.ended.as_millis()).step_by(PLAIN_MS).map(Timestamp::from_millis)
}

/// All messages of a session, in the order of the conversation.
pub(crate) fn of(session: &Session<'_>) -> Vec<Said> {
    if session.messages == MessageShares::default() {
        let roles = ["ASSISTANT", "USER"].into_iter().cycle();
        return plain_times(session).zip(roles).map(|(at, role)| Said { role: Some(role), at: Some(at) }).collect();
    }
    Conversation::new(session).held()
}

struct Conversation {
    shares: MessageShares,
    rng: Rng,
    now: Timestamp,
    end: Timestamp,
    said: Vec<Said>,
}

impl Conversation {
    fn new(session: &Session<'_>) -> Self {
        let rng = Rng::with_seed(mix(&[session.customer, SAID]));
        Self { shares: session.messages, rng, now: session.created, end: session.ended, said: Vec::new() }
    }

    fn held(mut self) -> Vec<Said> {
        let length = self.end.since(self.now).as_secs();
        if self.rng.f64() < self.shares.silent {
            // Some hang up before anybody has spoken.
            for _ in 0..self.rng.u64(0..3) {
                self.say("ASSISTANT");
            }
            return self.said;
        }
        if self.rng.f64() < 0.7 {
            self.say("ASSISTANT");
        }
        let is_unanswered = self.rng.f64() < self.shares.unanswered;
        let turns = 1 + self.rng.u64(0..=(length / 6).min(MOST_TURNS));
        for turn in 1..=turns {
            for _ in 0..self.rng.u64(1..=2) {
                self.say("USER");
            }
            if turn == turns && is_unanswered {
                break;
            }
            if self.rng.f64() < self.shares.tools {
                self.say("TOOL");
                self.say("SYSTEM");
            }
            for _ in 0..self.rng.u64(1..=2) {
                self.say("ASSISTANT");
            }
        }
        self.said
    }

    fn say(&mut self, role: &'static str) {
        if self.now >= self.end {
            return;
        }
        if self.rng.f64() < self.shares.odd_roles {
            self.said.push(Said { role: Some("NARRATOR"), at: Some(self.now) });
            self.said.push(Said { role: None, at: Some(self.now) });
        }
        let passed = Duration::from_millis(self.rng.u64(150..4_000));
        let before = self.now;
        self.now = self.now.plus(passed).min(self.end);
        let mut at = Some(self.now);
        if self.said.len() % 4 == 3 && self.rng.f64() < self.shares.backwards {
            at = Some(before.minus(Duration::from_millis(self.rng.u64(1..3_000))));
        }
        let odd = self.rng.f64();
        if odd < self.shares.untimed {
            at = None;
        } else if odd < self.shares.untimed * 2.0 {
            at = Some(before);
        }
        self.said.push(Said { role: Some(role), at });
    }
}
