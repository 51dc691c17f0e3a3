//! A page of the listing: what is asked for, what it held, and what follows. Values only.

use crate::clock::Timestamp;
use crate::discovery::paging::PageClaims;

/// What to ask the listing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingPage {
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
    /// What it says of the list.
    pub claims: PageClaims,
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
    /// Entries without a usable id that were not met before.
    pub unnamed: usize,
}

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPage {
    /// Another page.
    Page,
    /// The same page once more, later: it is empty, and there should be something.
    Again,
    /// The listing repeats itself, or lists what it was not asked for; the sweep ends early.
    Nonsense,
    /// The sweep is done; every session created up to here has been heard of.
    Done(Option<Timestamp>),
}
