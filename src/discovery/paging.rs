//! Where a list ends that is read page by page, whatever its answers claim. Pure.
//!
//! `total`, `totalPages` and `limit` are the server's claims, and each of them is wrong somewhere: rounded down, reckoned with
//! another limit, 0. So a claim may say that there is more, but an end has to be seen: a page that is empty or shorter
//! than those before it. What a claim and a page disagree about is kept for one line in the log.

use std::collections::HashSet;

use agntix_api::wire;

use crate::clock::Tick;

/// Entries a page: at first the most that the API gives; fewer where a page cannot be read, so that what spoils it is
/// left out alone. Each divides the one before it.
const LIMITS: [u32; 5] = [100, 50, 25, 5, 1];
/// The API gives so many entries a page if it is not asked for another number; no server's pages are smaller.
const SMALLEST_PAGE: u64 = 10;
/// A list of more pages is one without end.
const MAX_PAGES: u32 = 20_000;
/// A page that could not be read so often is read in smaller ones.
const PAGE_FAILURES: u8 = 3;
/// An empty page where there should be more is asked for again so often before it is believed.
const EMPTY_TRIES: u8 = 2;
/// How often a list that says no more than how many pages it has is asked for one page more than that.
const PROBE_EVERY: std::time::Duration = std::time::Duration::from_secs(300);

/// What a page says of its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageClaims {
    /// Entries on it, usable or not.
    pub items: usize,
    /// How many pages there are, if the answer says so.
    pub total_pages: Option<u32>,
    /// How many entries there are, if the answer says so.
    pub total: Option<u64>,
    /// How many entries a page has at most, if the answer says so.
    pub limit: Option<u32>,
    /// Two pages with the same entries in the same order have the same one.
    pub fingerprint: u64,
    /// The answer had no list: nothing at all, as with 204, or `{}`. Some gateways write an empty list so.
    pub implied: bool,
}

impl PageClaims {
    /// Those of `list`, whose entries have this fingerprint.
    pub fn of(list: &wire::Page<'_>, fingerprint: u64) -> Self {
        Self {
            items: list.items().len(),
            total_pages: list.total_pages(),
            total: list.total(),
            limit: list.limit(),
            fingerprint,
            implied: list.is_implied(),
        }
    }
}

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next page.
    More,
    /// The same page once more, later: it is empty, and there should be something.
    Again,
    /// The list is at its end.
    End,
    /// The list repeats itself, and its end is not to be seen.
    Repeats,
}

/// What follows a page that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterUnreadable {
    /// It is asked for again, in smaller pages perhaps.
    Again,
    /// The one entry that spoils it is left out.
    LeftOut,
    /// What cannot be read on either side of an entry is no entry's fault: the list is to be begun anew.
    Everything,
}

/// A claim that a page contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Which page, from 1.
    pub page: u32,
    /// What it claims.
    pub claims: PageClaims,
    /// Entries on this page and those before it.
    pub read: u64,
}

/// What is known of a server's pages from the lists that were read before.
#[derive(Clone, Debug, Default)]
pub struct ServerPages {
    /// The largest page that another one followed.
    size: Option<u32>,
    /// `totalPages` was too low once.
    distrusts_pages: bool,
    /// An empty page was the end although there should have been more.
    believes_empty: bool,
    probe_due: Tick,
    contradiction: Option<Contradiction>,
    is_reported: bool,
}

/// A list that is being read.
#[derive(Clone, Debug)]
pub struct Paging {
    limit: u32,
    /// Entries before the present page.
    position: u32,
    /// Pages are smaller than at first, after one that could not be read.
    reduced: bool,
    /// Not more than the server gives a page, where pages are smaller than at first.
    cap: u32,
    pages: u32,
    read: u64,
    largest: u32,
    /// The largest page of this list that another one followed.
    size: Option<u32>,
    seen: HashSet<u64>,
    repeats: u32,
    empties: u8,
    claims: PageClaims,
    failures: u8,
    /// The last page was one entry, and was given up.
    skipping: bool,
}

impl Default for Paging {
    /// At the beginning of a list.
    fn default() -> Self {
        Self {
            limit: LIMITS[0],
            position: 0,
            reduced: false,
            cap: LIMITS[0],
            pages: 0,
            read: 0,
            largest: 0,
            size: None,
            seen: HashSet::new(),
            repeats: 0,
            empties: 0,
            claims: PageClaims::default(),
            failures: 0,
            skipping: false,
        }
    }
}

impl Paging {
    /// A list whose pages before `page`, of the usual size, were read by an earlier process.
    pub fn resumed(page: u32) -> Self {
        let position = page.saturating_sub(1).saturating_mul(LIMITS[0]);
        Self { position, read: position.into(), ..Self::default() }
    }

    /// The page of the usual size that holds the present one.
    pub fn whole_page(&self) -> u32 {
        self.position / LIMITS[0] + 1
    }

    /// The page to ask for, from 1.
    pub fn page(&self) -> u32 {
        self.position / self.limit.max(1) + 1
    }

    /// How many entries to ask for.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The present page was read.
    pub fn read(&mut self, page: &PageClaims, server: &mut ServerPages, now: Tick) -> Step {
        self.failures = 0;
        self.pages += 1;
        if self.pages >= MAX_PAGES {
            return Step::Repeats;
        }
        let mut claims = *page;
        if page.implied {
            // Such an answer claims nothing, so that the claims of the page before it stand.
            claims.total = page.total.or(self.claims.total);
            claims.total_pages = page.total_pages.or(self.claims.total_pages);
        }
        self.claims = claims;
        let step = if page.items == 0 { self.after_empty(&claims, server) } else { self.after(&claims, server, now) };
        if step == Step::More {
            self.advance(page.items);
        }
        step
    }

    fn after_empty(&mut self, claims: &PageClaims, server: &mut ServerPages) -> Step {
        let number = self.page();
        let claims_more = match claims.total {
            Some(total) => total > self.read,
            // An empty list has one page for some and none for others.
            None => number > 1 && !server.distrusts_pages && claims.total_pages.is_some_and(|pages| pages >= number),
        };
        let is_doubtful = (claims_more || (claims.implied && number == 1)) && !server.believes_empty;
        if is_doubtful && self.empties < EMPTY_TRIES {
            self.empties += 1;
            return Step::Again;
        }
        server.believes_empty |= is_doubtful;
        if claims_more {
            server.contradicts(number, claims, self.read);
        }
        Step::End
    }

    fn after(&mut self, claims: &PageClaims, server: &mut ServerPages, now: Tick) -> Step {
        let number = self.page();
        let items = claims.items as u64;
        self.empties = 0;
        if !self.seen.insert(claims.fingerprint) {
            return self.after_repeat(claims, server);
        }
        self.repeats = 0;
        if self.seen.len() > 1 && !self.reduced {
            self.size = self.size.max(Some(self.largest));
            server.size = server.size.max(self.size);
        }
        self.largest = self.largest.max(u32::try_from(items).unwrap_or(u32::MAX));
        self.read += items.min(self.limit.into());
        // A server that clamps what it was asked for may say so, or say what it was asked for.
        let stated = claims.limit.filter(|limit| (1..self.limit).contains(limit) && u64::from(*limit) >= items);
        let size = stated.or(self.size).or(server.size).unwrap_or(self.limit).min(self.limit);
        let total = claims.total.filter(|total| *total >= self.read);
        let pages = claims.total_pages.filter(|pages| *pages >= number);
        if pages != claims.total_pages || total != claims.total {
            server.distrusts_pages |= pages != claims.total_pages;
            server.contradicts(number, claims, self.read);
        }
        let pages = pages.filter(|_| !server.distrusts_pages);
        if items >= size.into() {
            // Whatever is claimed, a full page is not seen to be the last one.
            return Step::More;
        }
        match (total, pages) {
            (Some(total), _) if total > self.read => Step::More,
            (Some(_), _) => {
                if pages.is_some_and(|pages| pages > number) {
                    server.contradicts(number, claims, self.read);
                }
                Step::End
            }
            (None, Some(pages)) if pages > number => Step::More,
            (None, Some(_)) => {
                // It may be a full page of a server that gives fewer than it is asked for, and reckons its pages otherwise.
                let may_be_full = stated.is_none() && self.largest < self.limit && items >= SMALLEST_PAGE;
                if may_be_full && now >= server.probe_due {
                    server.probe_due = now + PROBE_EVERY;
                    return Step::More;
                }
                Step::End
            }
            (None, None) if stated.is_some() || self.size.is_some() => Step::End,
            (None, None) => Step::More,
        }
    }

    /// The server gave a page that it has given before: there is none behind it, or it knows no pages, or entries came while
    /// the list was read and pushed others back.
    fn after_repeat(&mut self, claims: &PageClaims, server: &ServerPages) -> Step {
        self.repeats += 1;
        let pages_read = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        let is_claimed_end = match claims.total {
            Some(total) if total > 0 => self.read >= total,
            _ => !server.distrusts_pages && claims.total_pages.is_some_and(|pages| (1..=pages_read).contains(&pages)),
        };
        if is_claimed_end {
            return Step::End;
        }
        let knows_pages = pages_read > 1;
        let tries = match (self.limit, knows_pages) {
            (1, _) => 8,
            (_, true) => 2,
            (_, false) => 1,
        };
        if self.repeats < tries {
            return Step::More;
        }
        let is_short = (claims.items as u64) < SMALLEST_PAGE.min(self.limit.into());
        if claims.total.is_none_or(|total| total <= self.read) && (is_short || knows_pages) {
            Step::End
        } else {
            Step::Repeats
        }
    }

    /// Goes to the next page, as large a one as begins there.
    fn advance(&mut self, items: usize) {
        self.skipping = false;
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        if self.reduced && items < self.limit {
            // The server gives no more than that, so that the page began elsewhere than was meant: it is read again in
            // pages that it does give.
            self.cap = self.cap.min(items.max(1));
        } else {
            self.position = self.position.saturating_add(self.limit);
        }
        if self.reduced {
            self.limit = self.largest_limit(self.cap);
        }
    }

    fn largest_limit(&self, at_most: u32) -> u32 {
        let fits = |limit: &u32| *limit <= at_most && self.position.is_multiple_of(*limit);
        LIMITS.into_iter().find(fits).unwrap_or(1)
    }

    /// The present page could not be read. After a few tries it is read in smaller ones, down to the one entry that spoils
    /// it, which is left out.
    pub fn unreadable(&mut self, server: &ServerPages) -> AfterUnreadable {
        self.failures += 1;
        if self.failures < PAGE_FAILURES {
            return AfterUnreadable::Again;
        }
        self.failures = 0;
        if self.limit > 1 {
            // What the pages before held is as much as the server is known to give.
            let size = if self.largest > 0 { self.largest } else { server.size.unwrap_or(self.limit) };
            if size < self.limit && !self.reduced {
                // Where the page begins is reckoned with as many as the server gives.
                self.position = (self.page() - 1).saturating_mul(size);
                self.cap = size;
            }
            self.reduced = true;
            self.limit = self.largest_limit(self.cap.min(self.limit - 1));
            return AfterUnreadable::Again;
        }
        if self.skipping {
            return AfterUnreadable::Everything;
        }
        self.skipping = true;
        self.position += 1;
        self.read += 1;
        AfterUnreadable::LeftOut
    }
}

impl ServerPages {
    fn contradicts(&mut self, page: u32, claims: &PageClaims, read: u64) {
        self.contradiction.get_or_insert(Contradiction { page, claims: *claims, read });
    }

    /// The first contradiction between what was claimed and what was there; once.
    pub fn take_contradiction(&mut self) -> Option<Contradiction> {
        let contradiction = self.contradiction.filter(|_| !self.is_reported);
        self.is_reported |= contradiction.is_some();
        contradiction
    }
}

#[cfg(test)]
mod tests;
