//! What a page of the listing means: what it makes durable, and which page follows.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use super::contact::Came;
use super::core::{Ask, Core, Now};
use super::health::backoff;
use super::notices::{ListNotice, Notice, PageTrouble};
use super::pipeline::Purpose;
use crate::agntix::paths::PathChoice;
use crate::agntix::promise::Unkept;
use crate::agntix::{ApiError, JsonText, Route, wire};
use crate::clock::{Tick, Timestamp};
use crate::discovery::listing::{ListPage, Next, PageSeen};
use crate::discovery::paging::PageClaims;
use crate::ledger::{Change, Verdict};
use crate::observation::{self, MAX_VALUE};
use crate::session::Source;
use crate::session::{Facts, MalformedReason};

/// How far this machine's clock may be ahead of the API's before a sweep that was begun by it is begun anew.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);
/// A page of which most entries have no id is read again so often before they are given up.
const PAGE_RETRIES: u8 = 5;

/// Sessions that are remembered as asked for one by one.
const REMEMBERED: usize = 10_000;

/// What the entries of a page turned out to be.
#[derive(Default)]
struct Entries {
    seen: PageSeen,
    sessions: Vec<Arc<Facts>>,
    /// Not usable as they are; they are asked for one by one.
    unusable: Vec<Arc<str>>,
    /// Without a usable id.
    unnamed: Vec<(u64, MalformedReason)>,
}

impl Core {
    /// The API does not list the open sessions, while it lists all of them.
    pub(super) fn open_listing_refused(&mut self, error: &ApiError, now: Now) {
        self.listing_busy = false;
        let understood = matches!(error, ApiError::Status { status: 400 | 422, .. });
        if self.listing.open_refused(now.tick, understood) {
            self.updates.notice(Notice::List(ListNotice::NoOpenSessions { error: error.clone() }));
        }
    }

    pub(super) fn put_off_listing(&mut self, now: Tick, after: impl Fn(u32) -> Duration) {
        self.listing_busy = false;
        self.listing.failed(now, |failures| after(u32::from(failures)));
    }

    pub(super) fn page_answered(&mut self, ask: &Ask, page: ListPage, body: &[u8], came: &Came, now: Now) {
        let request = came.request_id.as_deref();
        let text = JsonText::new(body);
        let list = wire::Page::read(body, &text).ok();
        let is_written = list.as_ref().is_some_and(|list| came.is_written(Route::List, body, list));
        let is_good = is_written || (list.is_some() && self.is_found_empty());
        if is_good {
            self.kept(Route::List, came, now);
            self.life.pages += 1;
        }
        let is_usable = is_good || (list.is_some() && self.may_be_empty(page));
        if !is_usable && let Unkept::Foreign { came: what, is_absent } = came.unkept(Route::List, body) {
            self.updates.malformed(MalformedReason::Json);
            return self.wrong_answer(ask, came, &what, is_absent, now);
        }
        let Some(list) = list.filter(|_| is_usable) else {
            self.malformed_answer(ask, came, "JSON that is not well-formed", now);
            return self.page_unreadable(request, "it is no list of sessions", now);
        };
        self.listing.answered();
        let mut api_now = self.api_time.now(now.tick, now.local);
        // A body without a list may be anybody's, until it is known to be this server's way to write an empty one.
        if !list.is_implied() || self.listing.first_sweep_done() {
            api_now = self.note_time(came.head, now);
        }
        let begin = self.recent_window_begin(now);
        if self.listing.has_no_watermark()
            && page.created_after.is_some_and(|after| after.since(begin) > CLOCK_TOLERANCE)
        {
            // The sweep was begun by a clock that is ahead of what is known of the API's by now, and would end too early.
            self.listing_busy = false;
            return self.listing.begin_anew(now.tick);
        }
        let Entries { mut seen, sessions, mut unusable, unnamed } = self.entries(page, &list, api_now);
        let is_mostly_unnamed = unnamed.len() * 2 > seen.claims.items;
        for (entry, reason) in unnamed {
            if self.unnamed.meet(entry) {
                seen.unnamed += 1;
                self.updates.malformed(reason);
            }
        }
        if seen.unnamed > 0 {
            self.page_notice(PageTrouble::Unnamed { sessions: seen.unnamed }, request, now);
        }
        // One such entry is the session's fault; a page of them is more likely that of this one answer.
        let is_worth_another = is_mostly_unnamed && (seen.unnamed > 0 || self.page_retries > 0);
        let again = is_worth_another && self.page_retries < PAGE_RETRIES;
        self.page_retries = if again { self.page_retries + 1 } else { 0 };
        // Each is asked for by itself once; the listing may go on giving it in the same broken way.
        if self.asked_for_entry.len() > REMEMBERED {
            self.asked_for_entry.clear();
        }
        unusable.retain(|id| self.tracker.get(id).is_none() && self.asked_for_entry.insert(Arc::clone(id)));
        for facts in &sessions {
            self.complain_of(facts, None, now);
        }
        let source = Source::Listing;
        let told = sessions.iter().map(|facts| Change::Session { facts: Arc::clone(facts), source, now: api_now });
        let named = unusable.iter().map(|id| Change::Heard { id: Arc::clone(id), source, now: api_now });
        let changes: Vec<Change> = told.chain(named).collect();
        let purpose = Purpose::Page { seen, entries: sessions, unusable, again };
        if changes.is_empty() {
            // Nothing to make durable: an empty page is read at once.
            return self.committed(purpose, &[], now);
        }
        self.commits.push(changes, purpose);
    }

    /// Reads the entries of a page one by one.
    fn entries(&mut self, page: ListPage, list: &wire::Page<'_>, api_now: Timestamp) -> Entries {
        let seen = PageSeen { descending: true, ..PageSeen::default() };
        let mut read = Entries { seen, ..Entries::default() };
        let (mut whole, mut unnamed_before) = (DefaultHasher::new(), 0_u32);
        for raw in list.items() {
            let item = JsonText::new(raw.get().as_bytes());
            let entry = item.read::<wire::Session<'_>>();
            let observed =
                entry.as_ref().map(|entry| observation::observe_entry(entry, &self.config.observation, api_now));
            let (reason, id) = match observed {
                Ok(Ok(facts)) => {
                    facts.id.hash(&mut whole);
                    let seen = &mut read.seen;
                    // A clock that is ahead must not carry the watermark into the future.
                    let created = facts.created.min(api_now);
                    seen.descending &= seen.oldest.is_none_or(|oldest| created <= oldest);
                    seen.newest = seen.newest.max(Some(created));
                    seen.oldest = Some(seen.oldest.map_or(created, |oldest| oldest.min(created)));
                    let is_unasked_for = page.open_only && facts.state != "open";
                    seen.not_open += usize::from(is_unasked_for);
                    if !is_unasked_for {
                        read.sessions.push(Arc::new(facts));
                    }
                    continue;
                }
                Ok(Err(observation::Unusable { reason, id })) => (reason, id),
                Err(_) => {
                    let id_only = item.read::<wire::IdOnly<'_>>().unwrap_or_default();
                    (MalformedReason::Json, id_only.id.text().filter(|id| id.len() <= MAX_VALUE).map(Arc::from))
                }
            };
            if let Some(id) = id {
                id.hash(&mut whole);
                if reason != MalformedReason::InPart {
                    self.updates.malformed(reason);
                }
                read.unusable.push(id);
                continue;
            }
            let mut hasher = DefaultHasher::new();
            // What else it says may change while the session goes on; when it began does not.
            match entry.as_ref().ok().and_then(|entry| Some((entry.created_at.text()?, entry.agent_id.text()))) {
                Some(session) => session.hash(&mut hasher),
                // Two that are the same, such as two nulls, are two.
                None => (raw.get(), unnamed_before).hash(&mut hasher),
            }
            unnamed_before += 1;
            let hash = hasher.finish();
            hash.hash(&mut whole);
            read.unnamed.push((hash, reason));
        }
        read.seen.claims = PageClaims {
            items: list.items().len(),
            total_pages: list.total_pages(),
            total: list.total(),
            limit: list.limit(),
            fingerprint: whole.finish(),
            implied: list.is_implied(),
        };
        read
    }

    /// A page came, and cannot be read as a whole.
    pub(super) fn page_unreadable(&mut self, request_id: Option<&str>, why: &str, now: Now) {
        self.updates.malformed(MalformedReason::Json);
        let why = why.to_owned();
        let trouble =
            if self.listing.unreadable() { PageTrouble::EntryLeftOut { why } } else { PageTrouble::Unreadable { why } };
        self.page_notice(trouble, request_id, now);
        self.reread_page(now);
    }

    fn page_notice(&mut self, trouble: PageTrouble, request_id: Option<&str>, now: Now) {
        if let Some(suppressed) = self.complaints.admit(now.tick) {
            let request_id = request_id.map(ToOwned::to_owned);
            self.updates.notice(Notice::List(ListNotice::Page { trouble, request_id, suppressed }));
        }
    }

    /// Whether an answer without a list may be how this server writes an empty one. Where nothing but such answers was seen
    /// under a path that is still to be found, it is not; nor where there is a session to be listed.
    fn may_be_empty(&self, page: ListPage) -> bool {
        let is_listed = page.page == 1 && !page.open_only && !self.listing.has_no_watermark();
        self.path_is_known(Route::List) && !is_listed
    }

    /// Whether an answer without a list is the listing of an organization without sessions: none of the spellings gives more,
    /// and another route shows that the API itself is there.
    fn is_found_empty(&self) -> bool {
        let others_work = [Route::Session, Route::Agents].into_iter().any(|route| self.health.has_answered(route));
        let has_tried_all = self.paths.get(Route::List as usize).is_some_and(PathChoice::has_tried_all);
        !self.path_is_known(Route::List) && has_tried_all && others_work && self.listing.has_no_watermark()
    }

    pub(super) fn reread_page(&mut self, now: Now) {
        let random = self.rng.f64();
        self.put_off_listing(now.tick, |failures| backoff(failures, random));
    }

    pub(super) fn page_committed(
        &mut self,
        mut seen: PageSeen,
        entries: &[Arc<Facts>],
        unusable: &[Arc<str>],
        verdicts: &[Verdict],
        again: bool,
        now: Now,
    ) {
        self.listing_busy = false;
        let api_now = self.api_time.now(now.tick, now.local);
        let next_sweep = now.tick + self.config.listing_interval;
        for (facts, verdict) in entries.iter().zip(verdicts) {
            // Open sessions that would have to be asked for before the next sweep are what makes a page worth it.
            seen.refreshed += usize::from(facts.state == "open" && self.tracker.is_due(&facts.id, next_sweep));
            seen.fresh += usize::from(self.session_committed(facts, verdict, Some(Source::Listing), now, api_now));
        }
        for id in unusable {
            seen.fresh += usize::from(self.tracker.hear(id, Source::Listing, api_now, now.tick));
            self.updates.discovered(Source::Listing, 1);
        }
        if again {
            return self.reread_page(now);
        }
        let random = self.rng.f64();
        let interval = self.sooner_without_time(self.config.listing_interval.mul_f64(0.9 + 0.2 * random));
        let next = self.listing.read(&seen, now.tick, interval);
        if let Some(contradiction) = self.listing.take_contradiction() {
            self.updates.notice(Notice::List(ListNotice::Contradicts(contradiction)));
        }
        match next {
            Next::Page => {}
            Next::Again => {
                self.updates.notice(Notice::List(ListNotice::PageEmpty));
                self.reread_page(now);
            }
            Next::Nonsense => {
                if let Some(suppressed) = self.complaints.admit(now.tick) {
                    self.updates.notice(Notice::List(ListNotice::Repeats { suppressed }));
                }
            }
            Next::Done(watermark) => {
                self.succeeded(Source::Listing, api_now);
                let mut changes: Vec<Change> = watermark.map(Change::Watermark).into_iter().collect();
                if self.listing.take_open_listed() {
                    changes.push(Change::OpenListed);
                }
                if !changes.is_empty() {
                    self.commits.push(changes, Purpose::Note);
                }
            }
        }
    }
}
