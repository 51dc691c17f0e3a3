//! What the event stream says of a session, and when: a pure function of the session.

use serde_json::json;

use crate::generate::{Generator, Outline};
use crate::json as written;
use crate::time::Timestamp;

/// One thing that happens to a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    outline: Outline,
    at: Timestamp,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Started,
    Message,
    Ended,
    Usage,
    Updated,
}

/// All events of a session.
pub(super) fn plan(generator: &Generator, outline: Outline) -> Vec<(Timestamp, Moment)> {
    let Some(session) = generator.session(outline) else { return Vec::new() };
    let moment = |at, kind| (at, Moment { outline, at, kind });
    let mut planned = vec![moment(session.created, Kind::Started)];
    planned.extend(written::message_times(&session).map(|at| moment(at, Kind::Message)));
    planned.extend([moment(session.ended, Kind::Ended), moment(session.ended, Kind::Usage)]);
    let updates = [session.analysis_at, session.change.map(|(at, _)| at)];
    planned.extend(updates.into_iter().flatten().map(|at| moment(at, Kind::Updated)));
    planned
}

impl Moment {
    /// The event type.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Started => "session.started",
            Kind::Message => "message.added",
            Kind::Ended => "session.ended",
            Kind::Usage => "usage.updated",
            Kind::Updated => "session.updated",
        }
    }

    /// The payload; that of a message is personal, as it is in the real stream.
    pub(super) fn data(&self, generator: &Generator) -> String {
        let Some(session) = generator.session(self.outline) else { return String::new() };
        let mut data = json!({
            "sessionId": session.id,
            "agentId": session.agent.id,
            "timestamp": written::rfc3339(self.at),
        });
        let more = match self.kind {
            Kind::Started | Kind::Ended | Kind::Updated => ("state", json!(session.state(self.at).as_str())),
            // Messages up to the next millisecond include the one of this moment.
            Kind::Message => {
                let after = self.at.plus(std::time::Duration::from_millis(1));
                ("message", written::messages(&session, after).pop().unwrap_or_default())
            }
            Kind::Usage => ("seconds", json!(session.ended.since(session.created).as_secs())),
        };
        if let Some(fields) = data.as_object_mut() {
            fields.insert(more.0.to_owned(), more.1);
        }
        data.to_string()
    }
}
