//! What an answer about one session means: what of it is made durable, and when a session that cannot be read is asked for
//! again.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::promise::Unexpected;
use agntix_api::{JsonText, Route, wire};

use super::answer_head::AnswerHead;
use super::core::{Ask, Core, Now};
use super::notices::{Notice, SessionNotice, SessionTrouble};
use super::pipeline::Purpose;
use super::startup::LookBackStage;
use crate::ledger::Change;
use crate::observation;
use crate::session::{Facts, MalformedReason, Source};
use crate::tracker::{LOOK_BACK_FAILURES, PERSISTENT, Progress};

/// A session that the API does not give, or garbles, is asked for again after this, doubled each time up to the cap.
const MISSING_WAIT: Duration = Duration::from_secs(2);
const MISSING_CAP: Duration = Duration::from_secs(3600);
/// The cap while so many sessions cannot be read that the fault is not theirs. The first one that is read again brings the
/// others forward.
const GENERAL_CAP: Duration = Duration::from_secs(400);
/// While the first page waits for what is left of the look-back, what has failed is asked for again within this.
const LOOK_BACK_WAIT: Duration = Duration::from_secs(2);
/// After a day without it, it is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(86_400);
/// For so many of `poll.ended_interval` the parts of an analysis must stay the same to be all of them, of an agent that is new.
const SETTLED_LOOKS: u32 = 6;

impl Core {
    pub(super) fn session_answered(&mut self, ask: &Ask, id: &Arc<str>, body: &[u8], head: &AnswerHead, now: Now) {
        let request = head.request_id.as_deref();
        let mut api_now = self.api_time.now(now.tick, now.local);
        let facts = match JsonText::new(body).read::<wire::Session<'_>>() {
            Err(_) => Err(MalformedReason::Json),
            Ok(session) => {
                if session.id.text() == Some(&**id) {
                    api_now = self.note_time(head.time, now);
                    // Its end is seen now, also where it is not said since when.
                    if session.state.text().is_some_and(|state| !state.eq_ignore_ascii_case("open")) {
                        self.tracker.saw_end(id, now.tick);
                    }
                }
                let (moment, settled_after) = (self.moment(id, now), self.config.ended_interval * SETTLED_LOOKS);
                match observation::observe(&session, &self.config.observation, moment) {
                    Err(unusable) => Err(unusable.reason),
                    Ok(facts) if facts.id != *id => Err(MalformedReason::Id),
                    Ok(facts) => Ok(Arc::new(self.half_written.once_settled(
                        facts,
                        settled_after,
                        &self.config.observation,
                        now.tick,
                        moment,
                    ))),
                }
            }
        };
        self.contact.session_answered();
        let facts = match facts {
            Ok(facts) => facts,
            Err(reason) => {
                if let Unexpected::Foreign { came: what, is_absent } = head.unexpected(Route::Session, body) {
                    return self.wrong_answer(ask, head, &what, is_absent, now);
                }
                self.updates.malformed(reason);
                return self.session_missing(
                    id,
                    &format!("the answer makes no sense ({})", reason.as_str()),
                    false,
                    request,
                    now,
                );
            }
        };
        self.promise_kept(Route::Session, head, now);
        self.report_malformed(&facts, request, now);
        if self.tracker.get(id).is_some_and(|tracked| tracked.failures > PERSISTENT) {
            self.unreadable.read_one();
        }
        let source = self.tracker.get(id).map_or(Source::Listing, |tracked| tracked.source);
        if source != Source::Listing {
            self.succeeded(source, api_now);
        }
        let change = Change::Session { facts: Arc::clone(&facts), source, now: api_now };
        self.commits.push(vec![change], Purpose::Session(facts));
    }

    /// The longest wait before a session that cannot be read is asked for again. That the API does not have it is about that
    /// session alone, however many there are.
    pub(super) fn missing_cap(&self, refused: bool) -> Duration {
        if !refused && self.unreadable.is_general() { GENERAL_CAP } else { MISSING_CAP }
    }

    /// The API answered, but without the session: it refused it, or gave something else.
    pub(super) fn session_missing(
        &mut self,
        id: &Arc<str>,
        why: &str,
        refused: bool,
        request_id: Option<&str>,
        now: Now,
    ) {
        if self.tracker.get(id).is_none() {
            // It was counted meanwhile, and is not missing.
            return;
        }
        let (random, cap, look_back) = (self.rng.f64(), self.missing_cap(refused), self.startup.look_back);
        let mut again = Duration::ZERO;
        let missing = self.tracker.miss(id, refused, now.tick, |tracked| {
            let failures = u32::from(tracked.failures);
            again = paced(look_back, failures, missing_wait(failures, random, cap));
            again
        });
        if let Some(suppressed) = self.log_limit.admit(now.tick) {
            let trouble = SessionTrouble::Unreadable { why: why.to_owned(), again: Some(again) };
            self.updates.notice(session_notice(id, trouble, request_id, suppressed));
        }
        if missing >= GIVE_UP_AFTER || (refused && self.is_outlived(id, now)) {
            self.updates.malformed(MalformedReason::GivenUp);
            self.tracker.take(id);
            let now = self.api_time.now(now.tick, now.local);
            let changes = vec![Change::GiveUp { id: Arc::clone(id), now }];
            self.commits.push(changes, Purpose::GiveUp(Arc::clone(id)));
        }
    }

    /// Whether the session is older than sessions are remembered. A restart begins to wait anew for one that is missing, so
    /// that with one a day none would ever be given up.
    pub(super) fn is_outlived(&self, id: &str, now: Now) -> bool {
        let api_now = self.api_time.now(now.tick, now.local);
        let since = self.tracker.get(id).map(|tracked| tracked.created.unwrap_or(tracked.heard));
        // Neither clock alone may say so.
        since.is_some_and(|since| api_now.min(now.local).since(since) > self.config.retention)
    }

    /// Counts what was malformed in a session. It is logged unless the session is counted already: each later request would
    /// repeat it.
    pub(super) fn report_malformed(&mut self, facts: &Facts, request_id: Option<&str>, now: Now) {
        if facts.malformed.is_empty() {
            return;
        }
        for reason in &facts.malformed {
            self.updates.malformed(*reason);
        }
        let counted = self.tracker.get(&facts.id).is_some_and(|tracked| tracked.progress == Progress::Counted);
        if !counted && let Some(suppressed) = self.log_limit.admit(now.tick) {
            let parts = facts.malformed.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(",");
            let trouble = SessionTrouble::PartsLeftOut { parts };
            self.updates.notice(session_notice(&facts.id, trouble, request_id, suppressed));
        }
    }
}

pub(super) fn session_notice(
    id: &Arc<str>,
    trouble: SessionTrouble,
    request_id: Option<&str>,
    suppressed: u64,
) -> Notice {
    let request_id = request_id.map(ToOwned::to_owned);
    Notice::Session(SessionNotice { session: Arc::clone(id), trouble, request_id, suppressed })
}

/// How long to wait after so many failures in a row, which would else be `wait`.
pub(super) fn paced(look_back: LookBackStage, failures: u32, wait: Duration) -> Duration {
    let is_waited_for = look_back == LookBackStage::Running && failures < u32::from(LOOK_BACK_FAILURES);
    if is_waited_for { wait.min(LOOK_BACK_WAIT) } else { wait }
}

/// How long to wait, at most `cap`, for a session that the API has failed to give so often; `random` is from 0 to 1.
pub(super) fn missing_wait(failures: u32, random: f64, cap: Duration) -> Duration {
    let growth = 1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(1);
    MISSING_WAIT.saturating_mul(growth).min(cap).mul_f64(0.9 + 0.2 * random)
}
