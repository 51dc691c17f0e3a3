//! The listing as it is driven: one page at a time, from the question until what came of it is durable; pages that are read
//! again, and entries that have to be asked for one by one. Which page is next is the sweep's to say. Pure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::entries::Entries;
use crate::clock::{Tick, Timestamp};
use crate::discovery::listing::{AfterPage, ListingPage, ListingSweep, PageSeen};
use crate::discovery::unnamed::Unnamed;
use crate::session::{Facts, MalformedReason};

/// A page of which most entries have no id is read again so often before they are given up.
const PAGE_RETRIES: u8 = 5;
/// Sessions that are remembered as asked for one by one.
const REMEMBERED: usize = 10_000;

/// The listing, and the page of it that is under way.
#[derive(Debug)]
pub(super) struct ListingDriver {
    pub(super) sweep: ListingSweep,
    /// A page is being asked for or committed.
    is_busy: bool,
    /// How often the present page was read again because most of its entries had no id.
    retries: u8,
    /// Entries without a usable id.
    unnamed: Unnamed,
    /// Sessions asked for one by one because their entry could not be used; bounded.
    asked_alone: HashSet<Arc<str>>,
}

/// What is to be done about the entries of a page.
#[derive(Debug)]
pub(super) struct PageTaken {
    /// What the page held.
    pub(super) seen: PageSeen,
    /// Sessions to be made durable.
    pub(super) sessions: Vec<Arc<Facts>>,
    /// Sessions to be asked for one by one.
    pub(super) unusable: Vec<Arc<str>>,
    /// What made no sense, and was not seen before.
    pub(super) malformed: Vec<MalformedReason>,
    /// The page is to be read again.
    pub(super) again: bool,
}

impl ListingDriver {
    pub(super) fn new(sweep: ListingSweep) -> Self {
        let (unnamed, asked_alone) = (Unnamed::default(), HashSet::new());
        Self { sweep, is_busy: false, retries: 0, unnamed, asked_alone }
    }

    /// When a page is due; `None` while one is under way.
    pub(super) fn due(&self) -> Option<Tick> {
        (!self.is_busy).then(|| self.sweep.due())
    }

    /// The page to ask for now, which is under way from here on. See [`ListingSweep::page`].
    pub(super) fn ask(&mut self, now: Tick, begin: Timestamp, latest: Timestamp) -> ListingPage {
        self.is_busy = true;
        self.sweep.page(now, begin, latest)
    }

    /// The page is under way no longer, and due as it was.
    pub(super) fn put_back(&mut self) {
        self.is_busy = false;
    }

    /// The page could not be read, and is due again `after(failures)` from now.
    pub(super) fn put_off(&mut self, now: Tick, after: impl Fn(u32) -> Duration) {
        self.is_busy = false;
        self.sweep.failed(now, |failures| after(u32::from(failures)));
    }

    /// The gateway says that it has no listing; it is asked for again after `cap` at the latest.
    pub(super) fn absent(&mut self, now: Tick, cap: Duration) {
        self.is_busy = false;
        self.sweep.refused(now);
        self.sweep.due_by(now + cap);
    }

    /// The open sessions were refused; see [`ListingSweep::open_refused`].
    pub(super) fn open_refused(&mut self, now: Tick, understood: bool) -> bool {
        self.is_busy = false;
        self.sweep.open_refused(now, understood)
    }

    /// The sweep is begun anew.
    pub(super) fn begin_anew(&mut self, now: Tick) {
        self.is_busy = false;
        self.sweep.begin_anew(now);
    }

    /// Takes in the entries of the page that was asked for.
    pub(super) fn take(&mut self, entries: Entries, is_tracked: impl Fn(&str) -> bool) -> PageTaken {
        let Entries { mut seen, sessions, mut unusable, unnamed, mut malformed } = entries;
        let is_mostly_unnamed = unnamed.len() * 2 > seen.claims.items;
        for (entry, reason) in unnamed {
            if self.unnamed.meet(entry) {
                seen.unnamed += 1;
                malformed.push(reason);
            }
        }
        // One such entry is the session's fault; a page of them is more likely that of this one answer.
        let is_worth_another = is_mostly_unnamed && (seen.unnamed > 0 || self.retries > 0);
        let again = is_worth_another && self.retries < PAGE_RETRIES;
        self.retries = if again { self.retries + 1 } else { 0 };
        // Each is asked for by itself once; the listing may go on giving it in the same broken way.
        if self.asked_alone.len() > REMEMBERED {
            self.asked_alone.clear();
        }
        unusable.retain(|id| !is_tracked(id) && self.asked_alone.insert(Arc::clone(id)));
        PageTaken { seen, sessions, unusable, malformed, again }
    }

    /// What the page held is durable. What follows; see [`ListingSweep::read`].
    pub(super) fn read(&mut self, seen: &PageSeen, now: Tick, interval: Duration) -> AfterPage {
        self.is_busy = false;
        self.sweep.read(seen, now, interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::paging::PageClaims;

    const S: Duration = Duration::from_secs(1);

    fn driver() -> ListingDriver {
        ListingDriver::new(ListingSweep::new(None))
    }

    fn page_of(items: usize) -> Entries {
        let claims = PageClaims { items, ..PageClaims::default() };
        Entries { seen: PageSeen { claims, ..PageSeen::default() }, ..Entries::default() }
    }

    #[test]
    fn one_page_is_under_way_at_a_time() {
        let mut driver = driver();
        assert_eq!(driver.due(), Some(Tick::ZERO));
        let (begin, latest) = (Timestamp::from_millis(0), Timestamp::from_millis(9));
        let page = driver.ask(S, begin, latest);
        assert_eq!(driver.due(), None);
        driver.put_off(S, |failures| S * failures);
        assert_eq!((driver.due(), driver.ask(S * 2, begin, latest)), (Some(S * 2), page), "it is the same page");
        driver.put_back();
        assert_eq!(driver.due(), Some(S * 2), "it is due as it was");
        driver.ask(S * 2, begin, latest);
        let seen = page_of(0).seen;
        assert_eq!(driver.read(&seen, S * 3, S * 30), AfterPage::Done(None));
        assert!(driver.due().is_some() && driver.sweep.first_sweep_done());
    }

    #[test]
    fn a_page_of_nameless_entries_is_read_again_a_few_times_and_each_entry_is_counted_once() {
        let mut driver = driver();
        let nameless = |from: u64| Entries {
            unnamed: (from..from + 3).map(|entry| (entry, MalformedReason::Id)).collect(),
            ..page_of(4)
        };
        let first = driver.take(nameless(0), |_| false);
        assert_eq!((first.seen.unnamed, first.malformed.len(), first.again), (3, 3, true));
        for _ in 1..PAGE_RETRIES {
            let again = driver.take(nameless(0), |_| false);
            assert_eq!((again.seen.unnamed, again.again), (0, true));
        }
        assert!(!driver.take(nameless(0), |_| false).again, "it is given up");
        let few = Entries { unnamed: vec![(9, MalformedReason::Id)], ..page_of(4) };
        assert!(!driver.take(few, |_| false).again, "one is the session's own fault");
    }

    #[test]
    fn a_session_is_asked_for_alone_once_and_only_if_nothing_is_known_of_it() {
        let mut driver = driver();
        let broken = || Entries { unusable: vec!["a".into(), "tracked".into()], ..page_of(2) };
        let alone = |driver: &mut ListingDriver| driver.take(broken(), |id| id == "tracked").unusable;
        assert_eq!(alone(&mut driver), ["a".into()]);
        assert!(alone(&mut driver).is_empty());
    }
}
