//! What several benchmarks need: made-up sessions, a ledger on a real disk, medians.

#![allow(dead_code, reason = "each benchmark uses its own part")]

pub mod daemon;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agntix_exporter::clock::Timestamp;
use agntix_exporter::config::{Config, RepeatContacts};
use agntix_exporter::ledger::sqlite::{LedgerConfig, SqliteLedger};
use agntix_exporter::ledger::{Change, CommitOutcome, Ledger as _, Opened};
use agntix_exporter::session::Source;
use agntix_exporter::session::{Channel, Ended, Facts, Outcome};

pub const NOW: Timestamp = Timestamp::from_millis(1_775_628_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A directory below `target/`, which is on the disk that the sources are on and not in memory.
pub fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // It is there only if an earlier run was broken off.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

pub fn open(directory: &Path) -> (SqliteLedger, Opened) {
    let mut config = Config::default();
    config.state.path = directory.into();
    SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| ())).unwrap()
}

/// A ledger that recognises customers for seven days.
pub fn open_with_customers(directory: &Path) -> (SqliteLedger, Opened) {
    let mut config = Config::default();
    config.state.path = directory.into();
    config.metrics.repeat_contacts = Some(RepeatContacts {
        field: "customerPhoneNumber".into(),
        windows: vec!["24h".into(), "7d".into()],
        key_file: PathBuf::new(),
        key: None,
    });
    SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| ())).unwrap()
}

/// [`session`], analysed and of a customer of its own.
pub fn session_of_a_customer(n: u64, age_days: u32) -> Change {
    let Change::Session { facts, source, now } = session(n, Stage::Analysed, age_days) else {
        unreachable!("a session")
    };
    let mut facts = Arc::unwrap_or_clone(facts);
    // As a hash is: in no order.
    let key = [n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), n.to_be_bytes()].concat();
    facts.contact = Some(key.try_into().unwrap());
    Change::Session { facts: Arc::new(facts), source, now }
}

/// A batch that is committed by the time this returns.
pub fn commit(runtime: &tokio::runtime::Runtime, ledger: &SqliteLedger, changes: Vec<Change>) -> Vec<CommitOutcome> {
    runtime.block_on(ledger.commit(changes)).unwrap()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// How far a made-up session is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Open,
    AwaitingAnalysis,
    Analysed,
}

/// The session numbered `n`, of one of eight agents and one of six channels of each, created `age_days` ago.
pub fn session(n: u64, stage: Stage, age_days: u32) -> Change {
    let of = |choices: &[&str], by: u64| choices[usize::try_from(n / by).unwrap() % choices.len()].to_owned();
    let created = NOW.minus(DAY * age_days).minus(Duration::from_millis(n % 3_600_000));
    let outcome = Outcome {
        resolution: Some(of(&["resolved", "partially_resolved", "unresolved", "not_applicable"], 5)),
        resolution_confidence: Some(880_000),
        sentiment: Some(of(&["positive", "neutral", "negative"], 7)),
        sentiment_score: Some(400_000),
        language: Some(of(&["en", "de", "es"], 11)),
        intent: Some(of(&["Slot-Confirmed", "Refund", "Complaint", "Address-Change", "Order-Status"], 13)),
        intent_confidence: Some(920_000),
        ..Outcome::default()
    };
    let facts = Facts {
        // As long as the vendor's ids are.
        id: format!("{:08x}-2658-4893-84ff-{n:012x}", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff).into(),
        created,
        channel: Channel {
            agent_id: format!("40235145-aa3d-443e-9d0c-{:012x}", n % 8),
            session_type: of(&["voice", "chat"], 8),
            platform: of(&["phone", "web", "whatsapp"], 16),
            direction: "inbound".into(),
        },
        state: if stage == Stage::Open { "open" } else { "closed" }.into(),
        last_activity: Some(created),
        updated: Some(created),
        ended: (stage != Stage::Open).then(|| Ended { at: created.plus(DAY / 1440), duration_ms: Some(60_000) }),
        outcome: (stage == Stage::Analysed).then_some(outcome),
        contact: None,
        parts: agntix_exporter::session::Parts::counted(false),
        malformed: Vec::new(),
    };
    Change::Session { facts: Arc::new(facts), source: Source::Listing, now: NOW }
}

/// The middle one; half of the samples are smaller.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}
