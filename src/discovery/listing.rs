//! Finding recent sessions by listing them, newest first: which page to ask for next, and when a sweep is done. Pure.
//!
//! A sweep goes from the newest session back to the durable watermark, up to which every session has been heard of. The
//! watermark moves only when a sweep has reached it and all that it met is durable; so neither a crash nor a page that
//! shifts while it is read skips a session. Once in a while a sweep goes deeper, for sessions that were listed late.

use std::time::Duration;

use crate::clock::{Tick, Timestamp};

/// Sessions a page: at first the most that the API gives; fewer where a page cannot be read, so that what spoils it is
/// left out alone. Each divides the one before it.
const LIMITS: [u32; 5] = [100, 50, 25, 5, 1];
/// A page that could not be read so often is read in smaller ones.
const PAGE_FAILURES: u8 = 3;
/// The open sessions are not worth more: most gateways can list them, and one that cannot must not stop the rest.
const OPEN_FAILURES: u16 = 3;
/// A list of more pages is one without end.
const MAX_PAGES: u32 = 20_000;
/// How far behind the watermark a deep sweep looks.
const OVERLAP: Duration = Duration::from_secs(600);
/// How often a sweep is deep.
const DEEP_EVERY: Duration = Duration::from_secs(300);
/// The listing of open sessions shifts as they close; it is repeated until nothing new is found, but not for ever.
const OPEN_PASSES: u32 = 3;
/// So many 404 or 405 in a row are not one bad answer: the gateway has no listing.
const REFUSALS: u16 = 3;
/// After a 404 or 405 the listing is asked for again, at first soon, then ever later: it may come.
const REFUSED_WAIT: Duration = Duration::from_secs(2);
const REFUSED_CAP: Duration = Duration::from_secs(3600);
/// A page that shows so many sessions that are due anyway is cheaper than asking for each.
const WORTHWHILE: usize = 2;

/// What to ask the listing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Only sessions created since then.
    pub created_after: Option<Timestamp>,
    /// Only open sessions.
    pub open_only: bool,
    /// From 1.
    pub page: u32,
    /// Sessions a page.
    pub limit: u32,
}

/// What a page held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSeen {
    /// Sessions on it.
    pub items: usize,
    /// How many pages there are, if the answer says so.
    pub total_pages: Option<u32>,
    /// When the newest session on it was created.
    pub newest: Option<Timestamp>,
    /// When the oldest session on it was created.
    pub oldest: Option<Timestamp>,
    /// Each session is created no later than the one before it.
    pub descending: bool,
    /// Sessions not heard of before.
    pub fresh: usize,
    /// Tracked sessions that were due, and need not be asked for now.
    pub refreshed: usize,
    /// Sessions that are not open, which a listing of open sessions should not have.
    pub not_open: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Recent,
    Open { pass: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Sweep {
    kind: Kind,
    after: Option<Timestamp>,
    /// As it was when the sweep began.
    watermark: Option<Timestamp>,
    /// Sessions before the present page.
    position: u32,
    limit: u32,
    pages: u32,
    page_failures: u8,
    /// The last page was one session, and was given up.
    skipping: bool,
    /// What the last page held.
    last: Option<PageSeen>,
    deep: bool,
    descending: bool,
    newest: Option<Timestamp>,
    last_oldest: Option<Timestamp>,
    fresh: usize,
}

/// The state of the listing.
#[derive(Clone, Debug)]
pub struct Listing {
    watermark: Option<Timestamp>,
    sweep: Option<Sweep>,
    due: Tick,
    deep_due: Tick,
    failures: u16,
    refusals: u16,
    /// The open sessions have been listed, or need not be: only a first start asks for them.
    open_done: bool,
    first_sweep_done: bool,
    last_done: Option<Tick>,
    unavailable: bool,
}

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another page.
    Page,
    /// The listing repeats itself, or lists what it was not asked for; the sweep ends early.
    Nonsense,
    /// The sweep is done; every session created up to here has been heard of.
    Done(Option<Timestamp>),
}

impl Listing {
    /// A listing that goes on from `watermark`, or begins.
    pub fn new(watermark: Option<Timestamp>) -> Self {
        Self {
            watermark,
            sweep: None,
            due: Tick::ZERO,
            deep_due: Tick::ZERO,
            failures: 0,
            refusals: 0,
            open_done: watermark.is_some(),
            first_sweep_done: false,
            last_done: None,
            unavailable: false,
        }
    }

    /// Whether the first sweep since the start, and on a first start that of the open sessions, is done or cannot be.
    pub fn is_caught_up(&self) -> bool {
        self.unavailable || (self.first_sweep_done && self.open_done)
    }

    /// Whether the first sweep since the start is done.
    pub fn first_sweep_done(&self) -> bool {
        self.first_sweep_done
    }

    /// Whether this organization's gateway has no listing.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }

    /// When a page is due.
    pub fn due(&self) -> Tick {
        self.due
    }

    /// The page to ask for now; a new sweep is begun if none is under way. `begin` is how far back a sweep without a
    /// watermark goes; `latest` is the API's time, since a watermark in its future (sessions can claim to be created then)
    /// would find nothing any more.
    pub fn page(&mut self, now: Tick, begin: Timestamp, latest: Timestamp) -> ListPage {
        let sweep = self.sweep.get_or_insert_with(|| {
            let kind = if self.first_sweep_done && !self.open_done { Kind::Open { pass: 1 } } else { Kind::Recent };
            let deep = kind == Kind::Recent && now >= self.deep_due;
            if deep {
                self.deep_due = now + DEEP_EVERY;
            }
            let watermark = self.watermark.map(|watermark| watermark.min(latest));
            let after = watermark.map_or(begin, |watermark| watermark.minus(OVERLAP));
            Sweep {
                kind,
                after: (kind == Kind::Recent).then_some(after),
                watermark,
                position: 0,
                limit: LIMITS[0],
                pages: 0,
                page_failures: 0,
                skipping: false,
                last: None,
                deep,
                descending: true,
                newest: None,
                last_oldest: None,
                fresh: 0,
            }
        });
        ListPage {
            created_after: sweep.after,
            open_only: sweep.kind != Kind::Recent,
            page: sweep.position / sweep.limit.max(1) + 1,
            limit: sweep.limit,
        }
    }

    /// A page was read, and what it held is durable.
    pub fn read(&mut self, seen: &PageSeen, now: Tick, interval: Duration) -> Next {
        self.failures = 0;
        let Some(mut sweep) = self.sweep.take() else { return Next::Done(self.watermark) };
        // Sessions that come while a sweep is under way push others to the next page, so that one may repeat.
        let in_order = match (sweep.last_oldest, seen.newest) {
            (Some(last), Some(newest)) => newest <= last.plus(Duration::from_secs(60)),
            _ => true,
        };
        sweep.descending &= seen.descending && in_order;
        sweep.newest = sweep.newest.max(seen.newest);
        sweep.last_oldest = seen.oldest.or(sweep.last_oldest);
        sweep.fresh += seen.fresh;
        sweep.pages += 1;
        let is_open_sweep = sweep.kind != Kind::Recent;
        let repeats = seen.newest != seen.oldest && sweep.last.replace(PageSeen { fresh: 0, ..*seen }) == Some(*seen);
        let nonsense = repeats || sweep.pages >= MAX_PAGES || (is_open_sweep && seen.not_open > 0);
        let page = sweep.position / sweep.limit.max(1) + 1;
        // Without a number of pages the end is where nothing comes: the gateway may give fewer a page than asked for.
        let last_page = seen.items == 0 || seen.total_pages.is_some_and(|total| page >= total);
        let done = nonsense || last_page || sweep.is_far_enough(seen);
        if !done {
            sweep.advance();
            self.sweep = Some(sweep);
            self.due = now;
            return Next::Page;
        }
        self.due = now + interval;
        match sweep.kind {
            Kind::Open { pass } if sweep.fresh > 0 && pass < OPEN_PASSES && !nonsense => {
                let (position, limit, last) = (0, LIMITS[0], None);
                self.sweep =
                    Some(Sweep { kind: Kind::Open { pass: pass + 1 }, position, limit, last, fresh: 0, ..sweep });
                self.due = now;
            }
            Kind::Open { .. } => self.open_done = true,
            Kind::Recent => {
                self.first_sweep_done = true;
                self.last_done = Some(now);
                if !nonsense {
                    self.watermark = self.watermark.max(sweep.newest);
                }
                if !self.open_done {
                    self.due = now;
                }
            }
        }
        if nonsense {
            return Next::Nonsense;
        }
        // Until the open sessions are listed too, a restart must list them: it has to find no watermark.
        Next::Done(self.watermark.filter(|_| self.open_done))
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
        (self.sweep, self.due) = (None, now);
    }

    /// A page could not be read; it is asked for again `after` from now. What was read of the sweep stays read.
    pub fn failed(&mut self, now: Tick, after: impl FnOnce(u16) -> Duration) {
        self.failures = self.failures.saturating_add(1);
        self.due = now + after(self.failures);
        let is_open_sweep = self.sweep.is_some_and(|sweep| sweep.kind != Kind::Recent);
        if is_open_sweep && self.failures >= OPEN_FAILURES {
            (self.sweep, self.open_done, self.failures) = (None, true, 0);
        }
    }

    /// The answer to a page made no sense. After a few tries the page is read in smaller ones, down to the one session
    /// that spoils it, which is left out; whether that has just happened. What cannot be read on either side of it is no
    /// session's fault, and the sweep begins anew.
    pub fn unreadable(&mut self) -> bool {
        let Some(sweep) = &mut self.sweep else { return false };
        sweep.page_failures += 1;
        if sweep.page_failures < PAGE_FAILURES {
            return false;
        }
        sweep.page_failures = 0;
        if let Some(smaller) = LIMITS.into_iter().find(|limit| *limit < sweep.limit) {
            sweep.limit = smaller;
            return false;
        }
        if sweep.skipping {
            self.sweep = None;
            return false;
        }
        sweep.skipping = true;
        sweep.position += 1;
        true
    }

    /// The gateway says that it knows no listing (404 or 405): whether it has just been believed.
    pub fn refused(&mut self, now: Tick) -> bool {
        let growth = 1_u32.checked_shl(self.refusals.into()).unwrap_or(u32::MAX);
        self.due = now + REFUSED_WAIT.saturating_mul(growth).min(REFUSED_CAP);
        self.refusals = self.refusals.saturating_add(1);
        self.refusals >= REFUSALS && !std::mem::replace(&mut self.unavailable, true)
    }

    /// The configuration was reloaded: the next page is due at once.
    pub fn retry(&mut self, now: Tick) {
        (self.due, self.unavailable) = (self.due.min(now), false);
    }

    /// The gateway answered after all.
    pub fn answered(&mut self) {
        (self.refusals, self.unavailable) = (0, false);
    }
}

impl Sweep {
    /// Goes to the next page, as large a one as begins there.
    fn advance(&mut self) {
        self.position = self.position.saturating_add(self.limit);
        self.limit = LIMITS.into_iter().find(|limit| self.position.is_multiple_of(*limit)).unwrap_or(1);
        (self.page_failures, self.skipping) = (0, false);
    }

    fn is_far_enough(&self, seen: &PageSeen) -> bool {
        // Where the order cannot be trusted, only the last page is the end.
        if !self.descending || self.kind != Kind::Recent {
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
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(1_000_000 + seconds))
    }

    fn seen(items: usize, total_pages: u32, newest: u64, oldest: u64, fresh: usize) -> PageSeen {
        PageSeen {
            items,
            total_pages: Some(total_pages),
            newest: Some(at(newest)),
            oldest: Some(at(oldest)),
            descending: true,
            fresh,
            refreshed: 0,
            not_open: 0,
        }
    }

    #[test]
    fn a_first_start_lists_the_recent_window_and_then_what_is_open() {
        let mut listing = Listing::new(None);
        let now = Tick::ZERO;
        assert_eq!(
            listing.page(now, at(0), at(9_999)),
            ListPage { created_after: Some(at(0)), open_only: false, page: 1, limit: 100 }
        );
        assert_eq!(listing.read(&seen(100, 2, 500, 300, 100), now, INTERVAL), Next::Page);
        assert_eq!(listing.page(now, at(0), at(9_999)).page, 2);
        assert!(!listing.first_sweep_done());
        assert_eq!(
            listing.read(&seen(20, 2, 310, 100, 20), now, INTERVAL),
            Next::Done(None),
            "a restart still has to list the open ones"
        );
        assert!(listing.first_sweep_done() && !listing.is_caught_up());
        assert_eq!(
            listing.page(now, at(0), at(9_999)),
            ListPage { created_after: None, open_only: true, page: 1, limit: 100 }
        );
        listing.read(&seen(3, 1, 90, 10, 3), now, INTERVAL);
        assert!(listing.page(now, at(0), at(9_999)).open_only, "repeated, because something new was found");
        assert_eq!(listing.read(&seen(3, 1, 90, 10, 0), now, INTERVAL), Next::Done(Some(at(500))));
        assert!(listing.is_caught_up());
        assert_eq!(listing.due(), INTERVAL);
    }

    #[test]
    fn a_sweep_ends_at_the_first_page_behind_the_watermark_that_brings_nothing() {
        let mut listing = Listing::new(Some(at(1_000)));
        let now = Tick::ZERO;
        // The first sweep since the start is deep.
        assert_eq!(listing.page(now, at(0), at(9_999)).created_after, Some(at(400)));
        assert_eq!(listing.read(&seen(100, 9, 1_100, 990, 0), now, INTERVAL), Next::Page);
        assert_eq!(listing.read(&seen(100, 9, 990, 399, 0), now, INTERVAL), Next::Done(Some(at(1_100))));
        listing.page(INTERVAL, at(0), at(9_999));
        assert_eq!(listing.read(&seen(100, 9, 1_200, 1_099, 1), INTERVAL, INTERVAL), Next::Page);
        let worthwhile = PageSeen { refreshed: 2, ..seen(100, 9, 1_099, 1_050, 0) };
        assert_eq!(listing.read(&worthwhile, INTERVAL, INTERVAL), Next::Page);
        assert_eq!(listing.read(&seen(100, 9, 1_050, 1_000, 0), INTERVAL, INTERVAL), Next::Done(Some(at(1_200))));
    }

    #[test]
    fn a_listing_in_another_order_is_read_to_its_end() {
        let mut listing = Listing::new(Some(at(1_000)));
        let ascending = PageSeen { descending: false, ..seen(100, 3, 500, 100, 0) };
        listing.page(Tick::ZERO, at(0), at(9_999));
        assert_eq!(listing.read(&ascending, Tick::ZERO, INTERVAL), Next::Page);
        assert_eq!(listing.read(&seen(100, 3, 900, 500, 0), Tick::ZERO, INTERVAL), Next::Page);
        assert_eq!(listing.read(&seen(7, 3, 1_300, 900, 7), Tick::ZERO, INTERVAL), Next::Done(Some(at(1_300))));
    }

    #[test]
    fn a_failed_page_is_asked_for_again_and_a_missing_listing_is_news_once() {
        let mut listing = Listing::new(None);
        listing.page(Tick::ZERO, at(0), at(9_999));
        listing.read(&seen(100, 2, 500, 300, 100), Tick::ZERO, INTERVAL);
        listing.failed(Tick::ZERO, |failures| Duration::from_secs(failures.into()));
        assert_eq!((listing.due(), listing.page(Tick::ZERO, at(0), at(9_999)).page), (Duration::from_secs(1), 2));
        assert_eq!([(); 4].map(|()| listing.refused(Tick::ZERO)), [false, false, true, false]);
        assert!(listing.is_caught_up());
        assert_eq!(listing.due(), Duration::from_secs(16));
        listing.answered();
        assert!(!listing.refused(Tick::ZERO) && !listing.is_caught_up());
    }

    #[test]
    fn a_session_created_in_the_future_does_not_blind_the_listing() {
        let mut listing = Listing::new(Some(at(50_000)));
        assert_eq!(listing.page(Tick::ZERO, at(0), at(2_000)).created_after, Some(at(1_400)));
    }

    #[test]
    fn open_sessions_that_cannot_be_listed_do_not_stop_the_rest() {
        for ends in ["refused", "unfiltered"] {
            let mut listing = Listing::new(None);
            let now = Tick::ZERO;
            listing.page(now, at(0), at(9_999));
            listing.read(&seen(3, 1, 500, 300, 3), now, INTERVAL);
            assert!(listing.page(now, at(0), at(9_999)).open_only);
            if ends == "refused" {
                (0..3).for_each(|_| listing.failed(now, |_| INTERVAL));
            } else {
                let unfiltered = PageSeen { not_open: 3, ..seen(3, 9, 500, 300, 0) };
                assert_eq!(listing.read(&unfiltered, now, INTERVAL), Next::Nonsense);
            }
            assert!(listing.is_caught_up() && !listing.page(now, at(0), at(9_999)).open_only, "{ends}");
        }
    }

    #[test]
    fn a_page_that_cannot_be_read_is_read_around_the_one_session_that_spoils_it() {
        const BAD: u32 = 107;
        let mut listing = Listing::new(Some(at(1)));
        let (mut read, mut skipped) = (Vec::new(), 0);
        for _ in 0..1_000 {
            let page = listing.page(Tick::ZERO, at(0), at(9_999));
            let first = (page.page - 1) * page.limit;
            let sessions = first..(first + page.limit).min(300);
            if sessions.contains(&BAD) {
                skipped += u32::from(listing.unreadable());
                continue;
            }
            let newest = 5_000 - u64::from(first);
            let pages = 300_u32.div_ceil(page.limit);
            let seen = seen(sessions.len(), pages, newest, newest - u64::from(page.limit), 1);
            read.extend(sessions);
            if listing.read(&seen, Tick::ZERO, INTERVAL) != Next::Page {
                break;
            }
        }
        read.sort_unstable();
        assert_eq!((read, skipped), ((0..300).filter(|session| *session != BAD).collect(), 1));
    }

    #[test]
    fn an_api_that_answers_nothing_readable_makes_a_sweep_begin_anew() {
        let mut listing = Listing::new(Some(at(1)));
        let mut skipped = 0;
        for _ in 0..90 {
            listing.page(Tick::ZERO, at(0), at(9_999));
            skipped += u32::from(listing.unreadable());
        }
        assert!(skipped <= 5, "{skipped} sessions were taken for the culprit");
        listing.page(Tick::ZERO, at(0), at(9_999));
        assert_eq!(listing.read(&seen(3, 1, 500, 300, 3), Tick::ZERO, INTERVAL), Next::Done(Some(at(500))));
    }

    #[test]
    fn a_listing_that_repeats_itself_is_not_read_for_ever() {
        let mut listing = Listing::new(Some(at(1)));
        let same = PageSeen { total_pages: None, ..seen(100, 0, 500, 300, 0) };
        listing.page(Tick::ZERO, at(0), at(9_999));
        assert_eq!(listing.read(&PageSeen { fresh: 7, ..same }, Tick::ZERO, INTERVAL), Next::Page);
        assert_eq!(listing.read(&same, Tick::ZERO, INTERVAL), Next::Nonsense);
    }
}
