//! The core with a real ledger, hand-made answers and a time that only moves when it is moved: the world plays the shell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::{Answer, ApiError, ApiRateLimit};
use exposition::negotiation::{Encoding, Format};

use crate::catalogue::{ExporterMetrics, Exposition};
use crate::clock::{Tick, Timestamp};
use crate::config::Config;
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};
use crate::ledger::{Ledger as _, LedgerError};
use crate::poller::core::{Ask, Core, CoreDeps, NextAction, Now};
use crate::poller::publish::Publisher;
use crate::status::Status;

pub(super) const S: Duration = Duration::from_secs(1);
/// 2026-04-08T06:00:00Z
pub(super) const T0: i64 = 1_775_628_000_000;

pub(super) struct World {
    pub(super) core: Core,
    pub(super) publisher: Publisher,
    pub(super) ledger: SqliteLedger,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) began: Instant,
    pub(super) tick: Tick,
    pub(super) exposition: Arc<Exposition>,
    pub(super) own: ExporterMetrics,
    pub(super) status: Arc<Status>,
    /// Commits fail while this is set.
    pub(super) disk_full: bool,
    /// By how many milliseconds this machine's clock is ahead.
    pub(super) machine_ahead: i64,
    /// By how many milliseconds the `Date` of the answer with this number, from 0, is ahead.
    pub(super) date_ahead: fn(u32) -> i64,
    pub(super) answers: u32,
    pub(super) _directory: tempfile::TempDir,
}

impl World {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(tempfile::tempdir().unwrap(), Tick::ZERO, change)
    }

    /// What comes after a kill at this moment.
    pub(super) fn restarted(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { ledger, tick, _directory: directory, .. } = self;
        // The file has one owner at a time.
        drop(ledger);
        Self::over(directory, tick, change)
    }

    pub(super) fn over(directory: tempfile::TempDir, tick: Tick, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.state.path = directory.path().into();
        config.metrics.new_series_hold = Duration::ZERO;
        change(&mut config);
        let ledger_config = LedgerConfig::from(&config);
        let own = ExporterMetrics::new().unwrap();
        let exposition = own.exposition(Arc::clone(&ledger_config.policy.bucket_schemas));
        let exposition = Arc::new(exposition);
        let shown = Arc::clone(&exposition);
        let observer = Box::new(move |result: Result<crate::ledger::Committed, &LedgerError>| {
            if let Ok(committed) = result {
                shown.apply(&committed.series, committed.exemplars);
                committed.released.iter().for_each(|released| shown.release(released));
            }
        });
        let (ledger, opened) = SqliteLedger::open(ledger_config, observer).unwrap();
        exposition.apply(&opened.series, Vec::new());
        let status = Arc::new(Status::default());
        let deps = CoreDeps { credential: "AGNTIX_API_KEY".into(), host: "api.agntix.ai".into(), seed: 7, counted: 0 };
        let began = Instant::now();
        let now = Now { tick, instant: began + tick, local: Timestamp::from_millis(T0).plus(tick) };
        let windows = opened.windows.clone();
        let publisher =
            Publisher::new(Arc::clone(&exposition), own.clone(), Arc::clone(&status), Arc::default(), windows);
        let mut core = Core::new(&config, &opened, deps, now);
        publisher.apply(&mut core);
        Self {
            core,
            publisher,
            ledger,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            began,
            tick,
            exposition,
            own,
            status,
            disk_full: false,
            machine_ahead: 0,
            date_ahead: |_| 0,
            answers: 0,
            _directory: directory,
        }
    }

    pub(super) fn now(&self) -> Now {
        let local = ahead(Timestamp::from_millis(T0).plus(self.tick), self.machine_ahead);
        Now { tick: self.tick, instant: self.began + self.tick, local }
    }

    /// Commits what the core wants durable, until it asks for something or waits.
    pub(super) fn next(&mut self) -> Result<Ask, Tick> {
        loop {
            let next = self.core.next(self.now(), true);
            self.publisher.apply(&mut self.core);
            match next {
                NextAction::Ask(ask) => return Ok(ask),
                NextAction::Wait(until) => return Err(until),
                NextAction::Commit(batch) => {
                    let (now, changes) = (self.now(), batch.changes.len());
                    if self.disk_full {
                        self.core.commit_ended(changes, Some(batch), now);
                        continue;
                    }
                    let outcomes = self.runtime.block_on(self.ledger.commit(batch.changes)).unwrap();
                    self.core.commit_ended(changes, None, now);
                    self.core.committed(batch.purpose, &outcomes, now);
                    self.publisher.apply(&mut self.core);
                }
            }
        }
    }

    pub(super) fn answer(&mut self, ask: &Ask, result: Result<String, ApiError>) {
        let date = ahead(Timestamp::from_millis(T0).plus(self.tick), (self.date_ahead)(self.answers));
        self.answers += 1;
        let answer = Answer {
            route: ask.route(),
            path: self.core.path(ask.route()),
            status: match &result {
                Ok(_) => Some(200),
                Err(ApiError::Status { status, .. }) => Some(*status),
                Err(_) => None,
            },
            content_type: Some("application/json"),
            elapsed: Duration::ZERO,
            rate_limit: ApiRateLimit::default(),
            date: result.is_ok().then_some(date),
            head_received: None,
            request_id: None,
            is_unsent: false,
            result: result.map(Into::into),
        };
        self.core.answered(ask, answer, self.now());
        self.publisher.apply(&mut self.core);
    }

    /// What the shell does once a second.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.publisher.tick(&mut self.core, now);
    }

    /// Answers everything that is asked for at this moment.
    pub(super) fn serve(&mut self, mut api: impl FnMut(&Ask) -> Result<String, ApiError>) -> Vec<Ask> {
        let mut asked = Vec::new();
        while let Ok(ask) = self.next() {
            let result = api(&ask);
            self.answer(&ask, result);
            asked.push(ask);
            assert!(asked.len() < 10_000, "it asks without end");
        }
        asked
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.tick += by;
        self.tick();
    }

    pub(super) fn page(&self) -> String {
        let page = self.exposition.page(Format::Text, Encoding::Identity, self.began).unwrap();
        String::from_utf8(page.to_vec()).unwrap()
    }

    pub(super) fn value(&self, sample: &str) -> Option<f64> {
        self.page().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }
}

pub(super) fn ahead(time: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_millis(time.as_millis() + ms)
}

pub(super) fn status(status: u16) -> ApiError {
    ApiError::Status { status, code: None, request_id: Some("req_1".into()), retry_after: None }
}

/// The API's own word that there is no such session.
pub(super) fn no_session() -> ApiError {
    let code = Some("SESSION_NOT_FOUND".into());
    ApiError::Status { status: 404, code, request_id: Some("req_1".into()), retry_after: None }
}

pub(super) fn nothing(ask: &Ask) -> Result<String, ApiError> {
    match ask {
        Ask::Session(_) | Ask::Messages(..) => Err(no_session()),
        Ask::List(_) | Ask::Agents(_) => Ok(r#"{"data":[],"pagination":{"totalPages":0}}"#.into()),
    }
}

/// A session created `age` before [`T0`]; closed at once and analysed if it is `closed`.
pub(super) fn session(id: &str, age: Duration, closed: bool) -> String {
    let created = Timestamp::from_millis(T0).minus(age);
    let end = format!(
        r#","endedAt":"{}","analysis":{{"intent":{{"conversation":{{"intent":"Refund","confidence":1}}}},
        "resolution":{{"classification":"RESOLVED","confidenceScore":1}},
        "sentiment":{{"conversation":{{"sentiment":"POSITIVE","score":1,"detectedLanguage":"en"}}}}}}"#,
        created.plus(S)
    );
    let (state, end) = if closed { ("CLOSED", end.as_str()) } else { ("OPEN", "") };
    format!(
        r#"{{"id":"{id}","type":"VOICE","platform":"PHONE","direction":"INBOUND","state":"{state}","agentId":"A",
        "createdAt":"{created}"{end}}}"#
    )
}

pub(super) fn list(sessions: &[String]) -> String {
    format!(r#"{{"data":[{}],"pagination":{{"totalPages":1}}}}"#, sessions.join(","))
}

pub(super) const OUTCOME: &str = r#"agntix_session_outcomes_total{agent_id="A",session_type="voice",platform="phone",direction="inbound",resolution="resolved",sentiment="positive"}"#;
