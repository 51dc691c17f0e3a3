//! Finding recent sessions by listing them, newest first: which page to ask for next, and when a sweep is done. Pure.
//!
//! A sweep goes from the newest session back to the durable watermark, up to which every session has been heard of. The
//! watermark moves only when a sweep has reached it and all that it met is durable; so neither a crash nor a page that
//! shifts while it is read skips a session. Once in a while a sweep goes deeper, for sessions that were listed late.
//!
//! The sessions that are open are listed besides, once: those from before the first start are found in no other way.

mod page;

use std::time::Duration;

use super::paging::{AfterUnreadable, Contradiction, Paging, ServerPages, Step};
use crate::clock::{Tick, Timestamp};
pub use page::{AfterPage, ListingPage, PageSeen};

/// How far behind the watermark a deep sweep looks.
const OVERLAP: Duration = Duration::from_secs(600);
/// How often a sweep is deep.
const DEEP_EVERY: Duration = Duration::from_secs(300);
/// The listing of open sessions shifts as they close; it is repeated until nothing new is found, but not for ever.
const OPEN_PASSES: u32 = 3;
/// So many 404 or 405 in a row are not one bad answer: the gateway has no listing. And so many refusals of the open sessions,
/// when all sessions are listed: it cannot list them by state.
const REFUSALS: u16 = 3;
/// After a 404 or 405 the listing is asked for again, at first soon, then ever later: it may come.
const REFUSED_WAIT: Duration = Duration::from_secs(2);
const REFUSED_CAP: Duration = Duration::from_secs(3600);
/// A page that shows so many sessions that are due anyway is cheaper than asking for each.
const WORTHWHILE: usize = 2;
/// After so many failures in a row, the first page of a first start waits for the open sessions no longer.
const OPEN_FAILURES: u16 = 3;
/// Sweeps that leave the watermark where it is, in a row, since they met entries that nobody can name.
const HELD_SWEEPS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Recent,
    Open,
}

#[derive(Clone, Debug)]
struct Sweep {
    after: Option<Timestamp>,
    /// As it was when the sweep began.
    watermark: Option<Timestamp>,
    paging: Paging,
    deep: bool,
    descending: bool,
    newest: Option<Timestamp>,
    last_oldest: Option<Timestamp>,
    fresh: usize,
    unnamed: usize,
    /// Of the open sessions: how often they have been listed from the beginning.
    pass: u32,
}

/// The sweep of one kind that is under way, and when it goes on.
#[derive(Clone, Debug, Default)]
struct Track {
    sweep: Option<Sweep>,
    due: Tick,
    failures: u16,
}

/// Whether the open sessions have been listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenSessions {
    /// They are still to be listed.
    Unlisted,
    /// They cannot be; the next start tries again.
    Refused,
    /// They have been, which is to be made durable.
    Listed,
    /// They have been, durably.
    Done,
}

/// The state of the listing.
#[derive(Clone, Debug)]
pub struct ListingSweep {
    watermark: Option<Timestamp>,
    recent: Track,
    open: Track,
    /// Which of the two was asked for last.
    asked: Kind,
    deep_due: Tick,
    refusals: u16,
    /// Refusals in a row of the open sessions alone.
    open_refusals: u16,
    /// All sessions have been listed since the last of these.
    listed_since_refusal: bool,
    open_sessions: OpenSessions,
    first_sweep_done: bool,
    last_done: Option<Tick>,
    unavailable: bool,
    /// Sweeps in a row after which the watermark stayed where it was.
    held_sweeps: u8,
    server: ServerPages,
}

impl ListingSweep {
    /// A listing that goes on from `watermark`, or begins.
    pub fn new(watermark: Option<Timestamp>) -> Self {
        Self {
            watermark,
            recent: Track::default(),
            open: Track::default(),
            asked: Kind::Recent,
            deep_due: Tick::ZERO,
            refusals: 0,
            open_refusals: 0,
            listed_since_refusal: false,
            open_sessions: if watermark.is_some() { OpenSessions::Done } else { OpenSessions::Unlisted },
            first_sweep_done: false,
            last_done: None,
            unavailable: false,
            held_sweeps: 0,
            server: ServerPages::default(),
        }
    }

    /// The open sessions were never listed to the end: that is done besides the next sweeps.
    #[must_use]
    pub fn with_open_sessions(self) -> Self {
        Self { open_sessions: OpenSessions::Unlisted, ..self }
    }

    /// Whether the first sweep since the start, and where it is needed that of the open sessions, is done or cannot be.
    pub fn is_caught_up(&self) -> bool {
        self.unavailable || (self.first_sweep_done && self.open_sessions != OpenSessions::Unlisted)
    }

    /// The same for the first page of a first start, which does not wait for open sessions that keep failing to be listed.
    pub fn is_looked_back(&self) -> bool {
        self.is_caught_up() || (self.first_sweep_done && self.open.failures >= OPEN_FAILURES)
    }

    /// Whether the first sweep since the start is done.
    pub fn first_sweep_done(&self) -> bool {
        self.first_sweep_done
    }

    /// Whether the open sessions have just all been listed, so that no later start needs to.
    pub fn take_open_listed(&mut self) -> bool {
        let is_news = self.open_sessions == OpenSessions::Listed;
        if is_news {
            self.open_sessions = OpenSessions::Done;
        }
        is_news
    }

    /// Whether this organization's gateway has no listing.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }

    /// Whether the open sessions are to be listed still, which needs a sweep of all sessions first.
    fn lists_open(&self) -> bool {
        self.first_sweep_done && self.open_sessions == OpenSessions::Unlisted
    }

    /// When a page is due.
    pub fn due(&self) -> Tick {
        if self.lists_open() { self.recent.due.min(self.open.due) } else { self.recent.due }
    }

    /// The page to ask for now; a new sweep is begun if none is under way. `begin` is how far back a sweep without a
    /// watermark goes; `latest` is the API's time, since a watermark in its future (sessions can claim to be created then)
    /// would find nothing any more.
    pub fn page(&mut self, now: Tick, begin: Timestamp, latest: Timestamp) -> ListingPage {
        self.asked = if self.lists_open() && self.open.due <= self.recent.due { Kind::Open } else { Kind::Recent };
        let is_open = self.asked == Kind::Open;
        let track = if is_open { &mut self.open } else { &mut self.recent };
        let sweep = track.sweep.get_or_insert_with(|| {
            let deep = !is_open && now >= self.deep_due;
            if deep {
                self.deep_due = now + DEEP_EVERY;
            }
            let watermark = self.watermark.map(|watermark| watermark.min(latest));
            let after = watermark.map_or(begin, |watermark| watermark.minus(OVERLAP));
            Sweep {
                after: (!is_open).then_some(after),
                watermark,
                paging: Paging::default(),
                deep,
                descending: true,
                newest: None,
                last_oldest: None,
                fresh: 0,
                unnamed: 0,
                pass: 1,
            }
        });
        ListingPage {
            created_after: sweep.after,
            open_only: is_open,
            page: sweep.paging.page(),
            limit: sweep.paging.limit(),
        }
    }

    fn track(&mut self) -> &mut Track {
        match self.asked {
            Kind::Recent => &mut self.recent,
            Kind::Open => &mut self.open,
        }
    }

    /// A page was read, and what it held is durable.
    pub fn read(&mut self, seen: &PageSeen, now: Tick, interval: Duration) -> AfterPage {
        let is_open = self.asked == Kind::Open;
        let track = self.track();
        track.failures = 0;
        let Some(mut sweep) = track.sweep.take() else { return AfterPage::Done(self.watermark) };
        // Sessions that come while a sweep is under way push others to the next page, so that one may repeat.
        let in_order = match (sweep.last_oldest, seen.newest) {
            (Some(last), Some(newest)) => newest <= last.plus(Duration::from_secs(60)),
            _ => true,
        };
        sweep.descending &= seen.descending && in_order;
        sweep.newest = sweep.newest.max(seen.newest);
        sweep.last_oldest = seen.oldest.or(sweep.last_oldest);
        sweep.fresh += seen.fresh;
        sweep.unnamed += seen.unnamed;
        // One that has closed a moment ago may be among the open ones; where most are not open, the filter is ignored.
        let is_unfiltered = is_open && seen.not_open * 2 > seen.claims.items;
        let step = sweep.paging.read(&seen.claims, &mut self.server, now);
        let nonsense = is_unfiltered || step == Step::Repeats;
        let is_far_enough = !is_open && sweep.is_far_enough(seen);
        if !nonsense && !is_far_enough && step != Step::End {
            let track = self.track();
            (track.sweep, track.due) = (Some(sweep), now);
            return if step == Step::Again { AfterPage::Again } else { AfterPage::Page };
        }
        if is_open {
            self.open_swept(&sweep, nonsense, now);
        } else {
            self.first_sweep_done = true;
            self.last_done = Some(now);
            // The sessions behind entries that nobody can name may be named the next time.
            let is_held = sweep.unnamed > 0 && self.held_sweeps < HELD_SWEEPS;
            self.held_sweeps = if sweep.unnamed > 0 { self.held_sweeps.saturating_add(1) } else { 0 };
            if !nonsense && !is_held {
                self.watermark = self.watermark.max(sweep.newest);
            }
            self.recent.due = now + interval;
        }
        if nonsense {
            return AfterPage::Nonsense;
        }
        // Until the open sessions are listed too, a restart must list them: it has to find no watermark.
        AfterPage::Done(self.watermark.filter(|_| self.open_sessions != OpenSessions::Unlisted))
    }

    fn open_swept(&mut self, sweep: &Sweep, nonsense: bool, now: Tick) {
        self.open_refusals = 0;
        if sweep.fresh > 0 && sweep.pass < OPEN_PASSES && !nonsense {
            let again = Sweep { paging: Paging::default(), pass: sweep.pass + 1, fresh: 0, ..sweep.clone() };
            (self.open.sweep, self.open.due) = (Some(again), now);
            return;
        }
        // Another gateway, or a later version of this one, may do as it is asked: the next start tries again.
        self.open_sessions = if nonsense { OpenSessions::Refused } else { OpenSessions::Listed };
    }

    /// When the last sweep was done.
    pub fn last_done(&self) -> Option<Tick> {
        self.last_done
    }

    /// Whether no sweep has met a session yet, so that it is the clock that says how far one goes.
    pub fn has_no_watermark(&self) -> bool {
        self.watermark.is_none()
    }

    /// Forgets the sweep that is under way; the next one is due at once.
    pub fn begin_anew(&mut self, now: Tick) {
        let track = self.track();
        (track.sweep, track.due) = (None, now);
    }

    /// A page could not be read; it is asked for again `after` from now. What was read of the sweep stays read, and the other
    /// kind of sweep goes on meanwhile.
    pub fn failed(&mut self, now: Tick, after: impl FnOnce(u16) -> Duration) {
        let track = self.track();
        track.failures = track.failures.saturating_add(1);
        track.due = now + after(track.failures);
    }

    /// The answer to a page made no sense. After a few tries the page is read in smaller ones, down to the one session
    /// that spoils it, which is left out; whether that has just happened. What cannot be read on either side of it is no
    /// session's fault, and the sweep begins anew.
    pub fn unreadable(&mut self) -> bool {
        let track = if self.asked == Kind::Open { &mut self.open } else { &mut self.recent };
        let Some(sweep) = &mut track.sweep else { return false };
        match sweep.paging.unreadable(&self.server) {
            AfterUnreadable::Again => false,
            AfterUnreadable::LeftOut => true,
            AfterUnreadable::Everything => {
                track.sweep = None;
                false
            }
        }
    }

    /// The gateway says that it knows no listing (404 or 405): whether it has just been believed.
    pub fn refused(&mut self, now: Tick) -> bool {
        if self.asked == Kind::Open {
            self.open_refused(now, false);
            return false;
        }
        let growth = 1_u32.checked_shl(self.refusals.into()).unwrap_or(u32::MAX);
        self.recent.due = now + REFUSED_WAIT.saturating_mul(growth).min(REFUSED_CAP);
        self.refusals = self.refusals.saturating_add(1);
        self.refusals >= REFUSALS && !std::mem::replace(&mut self.unavailable, true)
    }

    /// The next page of all sessions is due then at the latest.
    pub fn due_by(&mut self, latest: Tick) {
        self.recent.due = self.recent.due.min(latest);
    }

    /// The gateway refused to list the open sessions, and `understood` what it was asked for (400 or 422) or not. Whether it
    /// has just been believed that it cannot list them; the next start tries again.
    ///
    /// A route that is not there at all answers so as well. It refuses the sweeps of all sessions then too.
    pub fn open_refused(&mut self, now: Tick, understood: bool) -> bool {
        if self.asked != Kind::Open {
            return false;
        }
        self.failed(now, |_| REFUSED_WAIT);
        if understood || self.open_refusals == 0 || std::mem::take(&mut self.listed_since_refusal) {
            self.open_refusals = self.open_refusals.saturating_add(1);
            self.listed_since_refusal = false;
        }
        if self.open_refusals < REFUSALS {
            return false;
        }
        (self.open, self.open_refusals, self.open_sessions) = (Track::default(), 0, OpenSessions::Refused);
        true
    }

    /// The configuration was reloaded: the next page is due at once, and what was refused or believed is tried again.
    pub fn retry(&mut self, now: Tick) {
        self.recent.due = self.recent.due.min(now);
        self.open.due = self.open.due.min(now);
        self.unavailable = false;
        self.open_refusals = 0;
        if self.open_sessions == OpenSessions::Refused {
            self.open_sessions = OpenSessions::Unlisted;
        }
        self.server = ServerPages::default();
    }

    /// The gateway answered after all.
    pub fn answered(&mut self) {
        (self.refusals, self.unavailable) = (0, false);
        if self.asked == Kind::Recent {
            self.listed_since_refusal = true;
        }
    }

    /// The first contradiction between what the listing's pages claim and what they hold; once.
    pub fn take_contradiction(&mut self) -> Option<Contradiction> {
        self.server.take_contradiction()
    }
}

impl Sweep {
    fn is_far_enough(&self, seen: &PageSeen) -> bool {
        // Where the order cannot be trusted, only the last page is the end.
        if !self.descending {
            return false;
        }
        let Some(oldest) = seen.oldest else { return false };
        if self.after.is_some_and(|after| oldest < after) {
            return true;
        }
        let past_watermark = self.watermark.is_some_and(|watermark| oldest < watermark);
        past_watermark && seen.fresh == 0 && !self.deep && seen.refreshed < WORTHWHILE
    }
}

#[cfg(test)]
mod tests;
