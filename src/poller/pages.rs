//! What a page of the listing means: what it makes durable, and which page follows.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::promise::Unexpected;
use agntix_api::{ApiError, JsonText, Route, wire};

use super::answer_head::AnswerHead;
use super::backoff::backoff;
use super::core::{Ask, Core, Now};
use super::entries::Entries;
use super::listing_driver::PageTaken;
use super::notices::{ListNotice, Notice, PageTrouble};
use super::pipeline::Purpose;
use crate::discovery::listing::{AfterPage, ListingPage, PageSeen};
use crate::ledger::{Change, CommitOutcome};
use crate::session::{Facts, MalformedReason, Source};

/// How far this machine's clock may be ahead of the API's before a sweep that was begun by it is begun anew.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

impl Core {
    /// The API does not list the open sessions, while it lists all of them.
    pub(super) fn open_listing_refused(&mut self, error: &ApiError, now: Now) {
        let understood = matches!(error, ApiError::Status { status: 400 | 422, .. });
        if self.listing.open_refused(now.tick, understood) {
            self.updates.notice(Notice::List(ListNotice::NoOpenSessions { error: error.clone() }));
        }
    }

    pub(super) fn page_answered(&mut self, ask: &Ask, page: ListingPage, body: &[u8], head: &AnswerHead, now: Now) {
        let request = head.request_id.as_deref();
        let text = JsonText::new(body);
        let list = wire::Page::read(body, &text).ok();
        let is_written = list.as_ref().is_some_and(|list| head.is_written(Route::List, body, list));
        let is_good = is_written || (list.is_some() && self.is_found_empty());
        if is_good {
            self.promise_kept(Route::List, head, now);
            self.startup.pages += 1;
        }
        let is_usable = is_good || (list.is_some() && self.may_be_empty(page));
        if !is_usable && let Unexpected::Foreign { came: what, is_absent } = head.unexpected(Route::List, body) {
            self.updates.malformed(MalformedReason::Json);
            return self.wrong_answer(ask, head, &what, is_absent, now);
        }
        let Some(list) = list.filter(|_| is_usable) else {
            self.malformed_answer(ask, head, "JSON that is not well-formed", now);
            return self.page_unreadable(request, "it is no list of sessions", now);
        };
        self.listing.sweep.answered();
        let mut api_now = self.api_time.now(now.tick, now.local);
        // A body without a list may be anybody's, until it is known to be this server's way to write an empty one.
        if !list.is_implied() || self.listing.sweep.first_sweep_done() {
            api_now = self.note_time(head.time, now);
        }
        let begin = self.recent_window_begin(now);
        if self.listing.sweep.has_no_watermark()
            && page.created_after.is_some_and(|after| after.since(begin) > CLOCK_TOLERANCE)
        {
            // The sweep was begun by a clock that is ahead of what is known of the API's by now, and would end too early.
            return self.listing.begin_anew(now.tick);
        }
        let entries = Entries::read(page, &list, &self.config.observation, api_now);
        let PageTaken { seen, sessions, unusable, malformed, again } =
            self.listing.take(entries, |id| self.tracker.get(id).is_some());
        for reason in malformed {
            self.updates.malformed(reason);
        }
        if seen.unnamed > 0 {
            self.page_notice(PageTrouble::Unnamed { sessions: seen.unnamed }, request, now);
        }
        for facts in &sessions {
            self.report_malformed(facts, None, now);
        }
        let source = Source::Listing;
        let read = sessions.iter().map(|facts| Change::Session { facts: Arc::clone(facts), source, now: api_now });
        let named = unusable.iter().map(|id| Change::Heard { id: Arc::clone(id), source, now: api_now });
        let changes: Vec<Change> = read.chain(named).collect();
        let purpose = Purpose::Page { seen, entries: sessions, unusable, again };
        if changes.is_empty() {
            // Nothing to make durable: an empty page is read at once.
            return self.committed(purpose, &[], now);
        }
        self.commits.push(changes, purpose);
    }

    /// A page came, and cannot be read as a whole.
    pub(super) fn page_unreadable(&mut self, request_id: Option<&str>, why: &str, now: Now) {
        self.updates.malformed(MalformedReason::Json);
        let why = why.to_owned();
        let trouble = if self.listing.sweep.unreadable() {
            PageTrouble::EntryLeftOut { why }
        } else {
            PageTrouble::Unreadable { why }
        };
        self.page_notice(trouble, request_id, now);
        self.reread_page(now);
    }

    fn page_notice(&mut self, trouble: PageTrouble, request_id: Option<&str>, now: Now) {
        if let Some(suppressed) = self.log_limit.admit(now.tick) {
            let request_id = request_id.map(ToOwned::to_owned);
            self.updates.notice(Notice::List(ListNotice::Page { trouble, request_id, suppressed }));
        }
    }

    /// Whether an answer without a list may be how this server writes an empty one. Where nothing but such answers was seen
    /// under a path that is still to be found, it is not; nor where there is a session to be listed.
    fn may_be_empty(&self, page: ListingPage) -> bool {
        let is_listed = page.page == 1 && !page.open_only && !self.listing.sweep.has_no_watermark();
        self.contact.path_is_known(Route::List) && !is_listed
    }

    /// Whether an answer without a list is the listing of an organization without sessions: none of the spellings gives more,
    /// and another route shows that the API itself is there.
    fn is_found_empty(&self) -> bool {
        let others_work =
            [Route::Session, Route::Agents].into_iter().any(|route| self.contact.health.has_answered(route));
        let has_tried_all = self.contact.has_tried_all(Route::List);
        !self.contact.path_is_known(Route::List)
            && has_tried_all
            && others_work
            && self.listing.sweep.has_no_watermark()
    }

    pub(super) fn reread_page(&mut self, now: Now) {
        let random = self.rng.f64();
        self.listing.put_off(now.tick, |failures| backoff(failures, random));
    }

    pub(super) fn page_committed(
        &mut self,
        mut seen: PageSeen,
        entries: &[Arc<Facts>],
        unusable: &[Arc<str>],
        outcomes: &[CommitOutcome],
        again: bool,
        now: Now,
    ) {
        let api_now = self.api_time.now(now.tick, now.local);
        let next_sweep = now.tick + self.config.listing_interval;
        for (facts, outcome) in entries.iter().zip(outcomes) {
            // Open sessions that would have to be asked for before the next sweep are what makes a page worth it.
            seen.refreshed += usize::from(facts.state == "open" && self.tracker.is_due(&facts.id, next_sweep));
            seen.fresh += usize::from(self.session_committed(facts, outcome, Some(Source::Listing), now, api_now));
        }
        for id in unusable {
            seen.fresh += usize::from(self.tracker.hear(id, Source::Listing, api_now, now.tick));
            self.updates.discovered(Source::Listing, 1);
        }
        if again {
            // Not before what it held is durable.
            return self.reread_page(now);
        }
        let random = self.rng.f64();
        let interval = self.sooner_without_time(self.config.listing_interval.mul_f64(0.9 + 0.2 * random));
        let next = self.listing.read(&seen, now.tick, interval);
        if let Some(contradiction) = self.listing.sweep.take_contradiction() {
            self.updates.notice(Notice::List(ListNotice::Contradicts(contradiction)));
        }
        match next {
            AfterPage::Page => {}
            AfterPage::Again => {
                self.updates.notice(Notice::List(ListNotice::PageEmpty));
                self.reread_page(now);
            }
            AfterPage::Nonsense => {
                if let Some(suppressed) = self.log_limit.admit(now.tick) {
                    self.updates.notice(Notice::List(ListNotice::Repeats { suppressed }));
                }
            }
            AfterPage::Done(watermark) => {
                self.succeeded(Source::Listing, api_now);
                let mut changes: Vec<Change> = watermark.map(Change::Watermark).into_iter().collect();
                if self.listing.sweep.take_open_listed() {
                    changes.push(Change::OpenListed);
                }
                if !changes.is_empty() {
                    self.commits.push(changes, Purpose::Note);
                }
            }
        }
    }
}
