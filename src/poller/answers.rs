//! What an answer of the API means: which changes it makes, and when to ask again.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Ask, Batch, Core, LookBackStage, Now, Purpose};
use super::health::backoff;
use super::time::Head;
use crate::agntix::{Answer, ApiError, JsonText, Route, wire};
use crate::clock::{Tick, Timestamp};
use crate::discovery::listing::{ListPage, PageSeen};
use crate::exposition::catalogue::GaugeFamily;
use crate::ledger::{Change, Source};
use crate::observation::{self, Facts, MAX_VALUE, MalformedReason};
use crate::tracker::{Announced, LOOK_BACK_FAILURES, PERSISTENT, Progress};

/// A session that the API does not give, or garbles, is asked for again after this, doubled each time up to the cap.
const MISSING_WAIT: Duration = Duration::from_secs(2);
const MISSING_CAP: Duration = Duration::from_secs(3600);
/// The cap while so many sessions cannot be read that the fault is not theirs. The first one that is read again brings the
/// others forward.
const GENERAL_CAP: Duration = Duration::from_secs(400);
/// While the first page waits for what is left of the look-back, what has failed is asked for again within this.
const LOOK_BACK_WAIT: Duration = Duration::from_secs(2);
/// So many sessions in a row that are refused with 403 are not of another organization: the scope is missing.
const FORBIDDEN_SESSIONS: u8 = 3;
/// How far this machine's clock may be ahead of the API's before a sweep that was begun by it is begun anew.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);
/// After a day without it, it is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(86_400);
/// A page with an entry that nobody can name is read again so often before the entry is given up.
const PAGE_RETRIES: u8 = 5;

impl Core {
    /// An answer has come, or its time is over.
    pub fn answered(&mut self, ask: &Ask, answer: Answer, now: Now) {
        self.settle_budget(&answer, now.tick);
        self.note(&answer, now);
        let head = Head::of(&answer, now);
        match answer.result {
            Ok(body) => {
                self.health.answered(ask.route());
                match ask {
                    Ask::Session(id) => self.session_answered(id, &body, answer.request_id.as_deref(), now, head),
                    Ask::List(page) => self.page_answered(*page, &body, answer.request_id.as_deref(), now, head),
                    Ask::Agents(_) => self.agents_answered(&body, now, head),
                }
            }
            Err(error) => self.refused_or_failed(ask, &error, now),
        }
    }

    /// [`answered`](Self::answered), for a request that was sent with a configuration that is no longer in effect: what
    /// went wrong with it says nothing of the present one.
    pub fn answered_before_reload(&mut self, ask: &Ask, answer: Answer, now: Now) {
        if answer.result.is_ok() {
            return self.answered(ask, answer, now);
        }
        self.settle_budget(&answer, now.tick);
        self.put_back(ask, now.tick);
    }

    /// A request counts for a while after its answer; one that was never sent does not count at all.
    fn settle_budget(&mut self, answer: &Answer, now: Tick) {
        match answer.result {
            Err(ApiError::Credential(_) | ApiError::Id) => self.budget.give_back(now),
            _ => self.budget.finished(now),
        }
    }

    fn note(&mut self, answer: &Answer, now: Now) {
        let route = answer.route.as_str();
        let code = answer.result.as_ref().map_or_else(ApiError::code_label, |_| "200".into());
        let own = self.exposition.own();
        own.api_requests.with_label_values(&[route, &code]).inc();
        own.api_request_duration.with_label_values(&[route]).observe(answer.elapsed.as_secs_f64());
        let rate = answer.rate_limit;
        if let Some(limit) = rate.limit {
            own.api_rate_limit.with_label_values::<&str>(&[]).set(limit.into());
            self.budget.learn_limit(limit);
        }
        if let Some(remaining) = rate.remaining {
            own.api_rate_limit_remaining.with_label_values::<&str>(&[]).set(remaining.into());
        }
        if let Some(reset) = rate.reset {
            own.api_rate_limit_reset.with_label_values::<&str>(&[]).set(reset.as_millis() / 1000);
            if rate.remaining == Some(0) {
                // Somebody else has used the rest of the window; asking now would only be refused.
                let wait = reset.since(self.api_time.now(now.tick, now.local)).min(Duration::from_secs(60));
                self.budget.pause(now.tick + wait, now.tick);
            }
        }
    }

    fn refused_or_failed(&mut self, ask: &Ask, error: &ApiError, now: Now) {
        let route = ask.route();
        let random = self.rng.f64();
        match error {
            ApiError::Status { status: 403, .. } if self.is_this_sessions_refusal(ask) => {
                if let Ask::Session(id) = ask {
                    self.session_missing(id, &error.to_string(), true, error.request_id(), now);
                }
            }
            ApiError::Status { status: status @ (401 | 403), .. } => {
                if self.health.refused(route, *status, now.tick)
                    && let crate::web::ApiStatus::Down(why) = self.health.status(&self.credential, &self.host)
                {
                    tracing::error!(route = route.as_str(), %error, "{why}");
                }
                self.put_back(ask, now.tick);
            }
            ApiError::Status { status: 429, retry_after, .. } => {
                self.health.answered(route);
                let wait = retry_after.unwrap_or_else(|| backoff(4, random)) + Duration::from_secs_f64(random);
                self.budget.pause(now.tick + wait, now.tick);
                if let Some(unsaid) = self.complaints.admit(now.tick) {
                    let (wait, request_id) = (humantime::format_duration(wait), error.request_id());
                    tracing::warn!(%wait, request_id, unsaid, "Agntix asks for fewer requests (429); all of them pause");
                }
                self.put_back(ask, now.tick);
            }
            ApiError::Body(_) => {
                // It was answered, only not so that it could be used.
                self.health.answered(route);
                if let Ask::List(_) = ask {
                    self.page_unreadable(error.request_id(), &error.to_string(), now);
                } else {
                    self.put_off(ask, now.tick, |failures| backoff(failures, random));
                }
            }
            ApiError::Credential(why) => {
                if self.health.without_credential(why, now.tick)
                    && let crate::web::ApiStatus::Down(why) = self.health.status(&self.credential, &self.host)
                {
                    tracing::error!("{why}");
                }
                self.put_off(ask, now.tick, |_| Duration::ZERO);
            }
            error if error.is_transient() => {
                if self.health.failed(error, now.tick, random) {
                    tracing::error!(host = self.host, %error, "Agntix cannot be used; it is tried again with growing pauses");
                }
                tracing::debug!(route = route.as_str(), %error, "a request failed");
                self.put_off(ask, now.tick, |failures| backoff(failures, random));
            }
            error => {
                // For an id that fits into no request, none was sent.
                if *error != ApiError::Id {
                    self.health.answered(route);
                }
                match ask {
                    Ask::Session(id) => self.session_missing(id, &error.to_string(), true, error.request_id(), now),
                    Ask::List(_) => self.listing_refused(error, now),
                    Ask::Agents(_) => {
                        tracing::debug!(%error, "the agents cannot be read");
                        self.agents.failed(now.tick, |_| MISSING_CAP);
                    }
                }
            }
        }
    }

    /// A session of another organization is refused with 403, which says nothing of the rest; of a credential without the
    /// scope, nothing else is ever heard. A webhook tells also of sessions that the credential cannot read, and may have had
    /// one counted and forgotten by the time that it is refused.
    fn is_this_sessions_refusal(&mut self, ask: &Ask) -> bool {
        let Ask::Session(id) = ask else { return false };
        if self.tracker.get(id).is_none_or(|tracked| tracked.announced == Announced::Yes) {
            return true;
        }
        if !self.health.has_answered(Route::Session) {
            return false;
        }
        self.forbidden_in_row = self.forbidden_in_row.saturating_add(1);
        self.forbidden_in_row <= FORBIDDEN_SESSIONS
    }

    /// What went wrong was no fault of what was asked for: it keeps its place, and is asked for when the route may be.
    fn put_back(&mut self, ask: &Ask, now: Tick) {
        match ask {
            Ask::Session(id) => self.tracker.put_back(id, now),
            Ask::List(_) | Ask::Agents(_) => self.put_off(ask, now, |_| Duration::ZERO),
        }
    }

    fn put_off_listing(&mut self, now: Tick, after: impl Fn(u32) -> Duration) {
        self.listing_busy = false;
        self.listing.failed(now, |failures| after(u32::from(failures)));
    }

    fn put_off(&mut self, ask: &Ask, now: Tick, after: impl Fn(u32) -> Duration) {
        let look_back = self.life.look_back;
        match ask {
            Ask::Session(id) => {
                let cap = self.missing_cap(false);
                self.tracker.fail(id, now, |tracked| {
                    let (failures, persistent) = (u32::from(tracked.failures), u32::from(PERSISTENT));
                    // A session whose requests keep failing must not use up the budget of the others.
                    let is_persistent = failures > persistent;
                    let wait =
                        if is_persistent { missing_wait(failures - persistent, 0.5, cap) } else { after(failures) };
                    paced(look_back, failures, wait)
                });
            }
            Ask::List(_) => self.put_off_listing(now, |failures| paced(look_back, failures, after(failures))),
            Ask::Agents(_) => self.agents.failed(now, after),
        }
    }

    fn listing_refused(&mut self, error: &ApiError, now: Now) {
        self.listing_busy = false;
        if matches!(error, ApiError::Status { status: 404 | 405, .. }) {
            if self.listing.refused(now.tick) {
                tracing::warn!(
                    %error,
                    "this organization's gateway has no listing of sessions at api.list_path; only configured sessions \
                     are followed (set api.list_path, or sessions.listing = false)"
                );
            }
            return;
        }
        tracing::warn!(%error, "the listing of sessions was refused");
        self.listing.failed(now.tick, |_| Duration::from_secs(60));
    }

    fn session_answered(&mut self, id: &Arc<str>, body: &[u8], request: Option<&str>, now: Now, head: Head) {
        let mut api_now = self.api_time.now(now.tick, now.local);
        let facts = match JsonText::new(body).read::<wire::Session<'_>>() {
            Err(_) => Err(MalformedReason::Json),
            Ok(session) => {
                if session.id.text() == Some(&**id) {
                    api_now = self.note_time(head, now);
                    // Its end is seen now, also where it is not said since when.
                    if session.state.text().is_some_and(|state| !state.eq_ignore_ascii_case("open")) {
                        self.tracker.saw_end(id, now.tick);
                    }
                }
                match observation::observe(&session, &self.config.observation, self.moment(id, now)) {
                    Err(unusable) => Err(unusable.reason),
                    Ok(facts) if facts.id != *id => Err(MalformedReason::Id),
                    Ok(facts) => Ok(Arc::new(facts)),
                }
            }
        };
        self.forbidden_in_row = 0;
        let facts = match facts {
            Ok(facts) => facts,
            Err(reason) => {
                self.malformed(reason);
                return self.session_missing(
                    id,
                    &format!("the answer makes no sense ({})", reason.as_str()),
                    false,
                    request,
                    now,
                );
            }
        };
        self.complain_of(&facts, request, now);
        if self.tracker.get(id).is_some_and(|tracked| tracked.failures > PERSISTENT) {
            self.unreadable.read_one();
        }
        let source = self.tracker.get(id).map_or(Source::Listing, |tracked| tracked.source);
        if source != Source::Listing {
            self.succeeded(source, api_now);
        }
        let change = Change::Session { facts: Arc::clone(&facts), source, now: api_now };
        self.ready.push_back(Batch { changes: vec![change], purpose: Purpose::Session(facts) });
    }

    /// The longest wait before a session that cannot be read is asked for again. That the API does not have it is about that
    /// session alone, however many there are.
    fn missing_cap(&self, refused: bool) -> Duration {
        if !refused && self.unreadable.is_general() { GENERAL_CAP } else { MISSING_CAP }
    }

    /// The API answered, but without the session: it refused it, or gave something else.
    fn session_missing(&mut self, id: &Arc<str>, why: &str, refused: bool, request_id: Option<&str>, now: Now) {
        if self.tracker.get(id).is_none() {
            // It was counted meanwhile, and is not missing.
            return;
        }
        let (random, cap, look_back) = (self.rng.f64(), self.missing_cap(refused), self.life.look_back);
        let mut again = Duration::ZERO;
        let missing = self.tracker.miss(id, refused, now.tick, |tracked| {
            let failures = u32::from(tracked.failures);
            again = paced(look_back, failures, missing_wait(failures, random, cap));
            again
        });
        if let Some(unsaid) = self.complaints.admit(now.tick) {
            let again = humantime::format_duration(Duration::from_secs(again.as_secs()));
            tracing::warn!(session = %id, why, request_id, %again, unsaid, "a session cannot be read");
        }
        if missing >= GIVE_UP_AFTER {
            self.malformed(MalformedReason::GivenUp);
            self.tracker.take(id);
            let now = self.api_time.now(now.tick, now.local);
            let changes = vec![Change::GiveUp { id: Arc::clone(id), now }];
            self.ready.push_back(Batch { changes, purpose: Purpose::GiveUp(Arc::clone(id)) });
        }
    }

    fn page_answered(&mut self, page: ListPage, body: &[u8], request: Option<&str>, now: Now, head: Head) {
        self.listing.answered();
        let text = JsonText::new(body);
        let parsed = text.read_list::<wire::Page<'_>>().ok();
        let Some((entries_read, total_pages)) =
            parsed.as_ref().and_then(|page| Some((page.data.as_deref()?, page.total_pages())))
        else {
            return self.page_unreadable(request, "it is no list of sessions", now);
        };
        let api_now = self.note_time(head, now);
        let begin = self.recent_window_begin(now);
        if self.listing.has_no_watermark()
            && page.created_after.is_some_and(|after| after.since(begin) > CLOCK_TOLERANCE)
        {
            // The sweep was begun by a clock that is ahead of what is known of the API's by now, and would end too early.
            self.listing_busy = false;
            return self.listing.begin_anew(now.tick);
        }
        let mut seen = PageSeen { items: entries_read.len(), total_pages, descending: true, ..PageSeen::default() };
        let (mut entries, mut unusable, mut nameless) = (Vec::new(), Vec::new(), 0_usize);
        for raw in entries_read {
            let item = JsonText::new(raw.get().as_bytes());
            let entry = item.read::<wire::Session<'_>>();
            match entry.map(|entry| observation::observe_entry(&entry, &self.config.observation, api_now)) {
                Ok(Ok(facts)) => {
                    // A clock that is ahead must not carry the watermark into the future.
                    let created = facts.created.min(api_now);
                    seen.descending &= seen.oldest.is_none_or(|oldest| created <= oldest);
                    seen.newest = seen.newest.max(Some(created));
                    seen.oldest = Some(seen.oldest.map_or(created, |oldest| oldest.min(created)));
                    let is_unasked_for = page.open_only && facts.state != "open";
                    seen.not_open += usize::from(is_unasked_for);
                    if !is_unasked_for {
                        entries.push(Arc::new(facts));
                    }
                }
                Ok(Err(observation::Unusable { reason, id })) => {
                    if reason != MalformedReason::InPart {
                        self.malformed(reason);
                    }
                    match id {
                        Some(id) => unusable.push(id),
                        None => nameless += 1,
                    }
                }
                Err(_) => {
                    self.malformed(MalformedReason::Json);
                    let id_only = item.read::<wire::IdOnly<'_>>().unwrap_or_default();
                    match id_only.id.text().filter(|id| id.len() <= MAX_VALUE) {
                        Some(id) => unusable.push(id.into()),
                        None => nameless += 1,
                    }
                }
            }
        }
        if nameless > 0 && self.page_retries < PAGE_RETRIES {
            self.page_retries += 1;
            return self.reread_page(now);
        }
        if nameless > 0
            && let Some(unsaid) = self.complaints.admit(now.tick)
        {
            tracing::warn!(
                request_id = request,
                sessions = nameless,
                unsaid,
                "listed sessions without a readable id are left out"
            );
        }
        self.page_retries = 0;
        self.commit_page(seen, entries, unusable, now, api_now);
    }

    /// A page came, and cannot be read as a whole.
    fn page_unreadable(&mut self, request_id: Option<&str>, why: &str, now: Now) {
        self.malformed(MalformedReason::Json);
        let left_out = self.listing.unreadable();
        if let Some(unsaid) = self.complaints.admit(now.tick) {
            if left_out {
                tracing::warn!(request_id, why, unsaid, "a listed session cannot be read at all; it is left out");
            } else {
                tracing::warn!(request_id, why, unsaid, "a page of the listing cannot be read; it is asked for again");
            }
        }
        self.reread_page(now);
    }

    fn reread_page(&mut self, now: Now) {
        let random = self.rng.f64();
        self.put_off_listing(now.tick, |failures| backoff(failures, random));
    }

    fn commit_page(
        &mut self,
        seen: PageSeen,
        entries: Vec<Arc<Facts>>,
        mut unusable: Vec<Arc<str>>,
        now: Now,
        api_now: Timestamp,
    ) {
        // Each is asked for by itself once; the listing may go on giving it in the same broken way.
        const REMEMBERED: usize = 10_000;
        if self.asked_for_entry.len() > REMEMBERED {
            self.asked_for_entry.clear();
        }
        unusable.retain(|id| self.tracker.get(id).is_none() && self.asked_for_entry.insert(Arc::clone(id)));
        for facts in &entries {
            self.complain_of(facts, None, now);
        }
        let source = Source::Listing;
        let told = entries.iter().map(|facts| Change::Session { facts: Arc::clone(facts), source, now: api_now });
        let heard = unusable.iter().map(|id| Change::Heard { id: Arc::clone(id), source, now: api_now });
        let changes: Vec<Change> = told.chain(heard).collect();
        let batch = Batch { changes, purpose: Purpose::Page { seen, entries, unusable } };
        if batch.changes.is_empty() {
            // Nothing to make durable: an empty page is read at once.
            return self.committed(batch.purpose, &[], now);
        }
        self.ready.push_back(batch);
    }

    fn agents_answered(&mut self, body: &[u8], now: Now, head: Head) {
        let random = self.rng.f64();
        let text = JsonText::new(body);
        let Ok(page) = text.read_list::<wire::Page<'_>>() else {
            return self.agents.failed(now.tick, |failures| backoff(failures + 4, random));
        };
        if page.data.is_some() {
            self.note_time(head, now);
        }
        let interval = self.sooner_without_time(self.config.agents_interval.mul_f64(0.9 + 0.2 * random));
        if let Some(series) = self.agents.read(&page, now.tick, interval, self.config.max_agents) {
            self.exposition.set_gauges(GaugeFamily::AgentInfo, series);
        }
    }

    pub(super) fn malformed(&self, reason: MalformedReason) {
        self.own().malformed_sessions.with_label_values(&[reason.as_str()]).inc();
    }

    /// Counts what made no sense in a session, and says it once: a session is counted when it is looked at last.
    fn complain_of(&mut self, facts: &Facts, request_id: Option<&str>, now: Now) {
        if facts.malformed.is_empty() {
            return;
        }
        for reason in &facts.malformed {
            self.malformed(*reason);
        }
        let counted = self.tracker.get(&facts.id).is_some_and(|tracked| tracked.progress == Progress::Counted);
        if !counted && let Some(unsaid) = self.complaints.admit(now.tick) {
            let parts = facts.malformed.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(",");
            tracing::warn!(session = %facts.id, parts, request_id, unsaid, "parts of a session make no sense and are left out");
        }
    }
}

/// How long to wait after so many failures in a row, which would else be `wait`.
fn paced(look_back: LookBackStage, failures: u32, wait: Duration) -> Duration {
    let is_waited_for = look_back == LookBackStage::Running && failures < u32::from(LOOK_BACK_FAILURES);
    if is_waited_for { wait.min(LOOK_BACK_WAIT) } else { wait }
}

/// How long to wait, at most `cap`, for a session that the API has failed to give so often; `random` is from 0 to 1.
fn missing_wait(failures: u32, random: f64, cap: Duration) -> Duration {
    let growth = 1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(1);
    MISSING_WAIT.saturating_mul(growth).min(cap).mul_f64(0.9 + 0.2 * random)
}
