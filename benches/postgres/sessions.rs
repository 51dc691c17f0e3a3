//! Made-up sessions: as they come usually, and such that each begins a series.

use std::sync::Arc;
use std::time::Duration;

use agntix_exporter::clock::{Clock as _, SystemClock, Timestamp};
use agntix_exporter::config::Config;
use agntix_exporter::ledger::Change;
use agntix_exporter::session::{Channel, Ended, Facts, Outcome, Parts, Source};

/// Intents of an agent.
const INTENTS: u64 = 100;
const RESOLUTIONS: [&str; 4] = ["resolved", "partially_resolved", "unresolved", "not_applicable"];
const SENTIMENTS: [&str; 3] = ["positive", "neutral", "negative"];
/// Series of intents of an agent.
const AN_AGENT: u64 = INTENTS * 12;

/// The configuration of all that is measured: any number of series, which are shown at once.
pub fn config() -> Config {
    let mut config = Config::default();
    config.metrics.max_series = 1_000_000;
    config.metrics.max_label_values = 1_000;
    config.metrics.new_series_hold = Duration::ZERO;
    config
}

/// The session numbered `n`: of one of ten agents, with about ten series that are there already.
pub fn usual(n: u64) -> Change {
    session("usual", n, n % 10, (n / 10) % 5, n)
}

/// The session numbered `n`, with an intent that no other has under that agent, resolution and sentiment.
pub fn new_series(n: u64) -> Change {
    session("new", n, n / AN_AGENT, n / 12 % INTENTS, n)
}

fn session(kind: &str, n: u64, agent: u64, intent: u64, answer: u64) -> Change {
    let of = |choices: &[&str], by: u64| choices[usize::try_from(answer / by).unwrap() % choices.len()].to_owned();
    let now = SystemClock.now();
    let created = now.minus(Duration::from_secs(600));
    let outcome = Outcome {
        resolution: Some(of(&RESOLUTIONS, 1)),
        resolution_confidence: Some(880_000),
        sentiment: Some(of(&SENTIMENTS, 4)),
        sentiment_score: Some(400_000),
        language: Some("en".into()),
        intent: Some(format!("Order-Status-Of-The-Week-{intent}")),
        intent_confidence: Some(920_000),
        ..Outcome::default()
    };
    let facts = Facts {
        // As long as the vendor's ids are, and as scattered.
        id: format!("{:016x}-4893-84ff-{n:010x}-{kind}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
        created,
        channel: Channel {
            agent_id: format!("40235145-aa3d-443e-9d0c-{agent:012x}"),
            session_type: "voice".into(),
            platform: "phone".into(),
            direction: "inbound".into(),
        },
        state: "closed".into(),
        last_activity: Some(created),
        updated: Some(created),
        ended: Some(Ended { at: created.plus(Duration::from_secs(60)), duration_ms: Some(60_000) }),
        outcome: Some(outcome),
        contact: None,
        parts: Parts::counted(false),
        malformed: Vec::new(),
    };
    Change::Session { facts: Arc::new(facts), source: Source::Listing, now }
}

/// Some days before now: the first start of a daemon that has run for a while.
pub fn first_start() -> Timestamp {
    SystemClock.now().minus(Duration::from_secs(3 * 86_400))
}
