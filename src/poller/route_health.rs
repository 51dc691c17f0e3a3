//! What one route of the API has shown lately: when it last answered as it promises, and what has come in place of that
//! since. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::{BACKOFF_CAP, backoff};
use crate::clock::Tick;

/// So many failures in a row are not one session's, but the API's.
pub(super) const BROKEN: u32 = 5;
/// From so many wrong answers in a row on, over at least [`WRONG_FOR`], the route does not work.
const WRONG: u32 = 3;
/// A few wrong answers within a moment may be a server that restarts.
const WRONG_FOR: Duration = Duration::from_secs(5);
/// A route without a good answer for so long does not work, whatever is the reason.
const SILENT_FOR: Duration = Duration::from_secs(120);
/// The other spellings of a path that has worked are tried when it has failed for so long.
const SEARCH_AFTER: Duration = Duration::from_secs(60);
/// Between two searches among the spellings at most; the wait doubles from [`SEARCH_AFTER`] on.
const SEARCH_CAP: Duration = Duration::from_secs(600);
/// So many searches follow each other without a wait of their own: a host may still be starting.
const QUICK_SEARCHES: u32 = 3;

/// An answer that was not what the route promises.
#[derive(Clone, Debug)]
pub struct WrongAnswer {
    /// What came, as a sentence.
    pub says: String,
    /// Of which session, if of one.
    pub session: Option<Arc<str>>,
    /// It says that there is nothing at this path (404, 405).
    pub is_absent: bool,
    /// Another spelling of the path is asked at once.
    pub goes_on: bool,
}

/// The evidence for and against one route.
#[derive(Clone, Debug, Default)]
pub struct RouteHealth {
    good: Option<Tick>,
    /// An earlier process has had good answers of it.
    worked_before: bool,
    wrong: Option<Wrong>,
    /// Since when nothing good has come although it was asked for, and how often it was.
    unheard: Option<(Tick, u32)>,
    last_trouble: String,
    held_until: Tick,
    search_due: Tick,
    searches: u32,
}

#[derive(Clone, Debug)]
struct Wrong {
    since: Tick,
    count: u32,
    /// Those after which the route was left alone for a while.
    ends: u32,
    session: Option<Arc<str>>,
    /// All of them were 404 or 405.
    absent_only: bool,
    does_not_work: bool,
}

impl RouteHealth {
    /// A route that an earlier process has had good answers of.
    pub fn worked_before() -> Self {
        Self { worked_before: true, ..Self::default() }
    }

    /// It answered as it promises.
    pub fn good(&mut self, now: Tick) {
        *self = Self { good: Some(now), ..Self::default() };
    }

    /// The API said in its own words that it does not have what was asked for: the route is right.
    pub fn right(&mut self) {
        *self = Self { good: self.good, worked_before: self.worked_before, ..Self::default() };
    }

    /// It is tried afresh. That it does not work stays true until it answers; that it is not there is to be found out anew.
    pub fn retry(&mut self) {
        if self.wrong.as_ref().is_none_or(|wrong| !wrong.does_not_work) || self.is_absent() {
            self.right();
        }
        self.release();
    }

    /// It is not left alone any longer.
    pub fn release(&mut self) {
        (self.held_until, self.search_due, self.searches) = (Tick::ZERO, Tick::ZERO, 0);
        if let Some(wrong) = &mut self.wrong {
            wrong.ends = 0;
        }
    }

    /// It was asked, and nothing came that is evidence for or against it; `why` it is still without a good answer.
    pub fn unheard(&mut self, why: &str, now: Tick) {
        self.count_unheard(now);
        why.clone_into(&mut self.last_trouble);
    }

    fn count_unheard(&mut self, now: Tick) {
        let (_, count) = self.unheard.get_or_insert((now, 0));
        *count = count.saturating_add(1);
    }

    /// Something else came. `random` is from 0 to 1.
    pub fn wrong(&mut self, answer: WrongAnswer, now: Tick, random: f64) {
        let WrongAnswer { says, session, is_absent, goes_on } = answer;
        let is_first = self.wrong.is_none();
        let wrong = self.wrong.get_or_insert(Wrong {
            since: now,
            count: 0,
            ends: 0,
            session: None,
            absent_only: true,
            does_not_work: false,
        });
        // Of a route that has worked, one session's answers are that session's.
        if self.good.is_some() && !is_first && session.is_some() && wrong.session == session {
            return;
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.session = session;
        wrong.absent_only &= is_absent;
        wrong.does_not_work |= wrong.count >= WRONG && now.saturating_sub(wrong.since) >= WRONG_FOR;
        wrong.ends = wrong.ends.saturating_add(u32::from(!goes_on));
        if wrong.ends >= BROKEN {
            self.held_until = if goes_on { now } else { now + backoff(wrong.ends - BROKEN + 1, random) };
        }
        self.last_trouble = says;
        self.count_unheard(now);
    }

    /// Whether it may be asked at `now`; else from when on.
    ///
    /// # Errors
    /// The moment from which on it may be asked.
    pub fn may_ask(&self, now: Tick) -> Result<(), Tick> {
        if self.held_until > now { Err(self.held_until) } else { Ok(()) }
    }

    /// A request is sent: while wrong answers come, it is the only one for a while.
    pub fn asked(&mut self, now: Tick) {
        if self.wrong.as_ref().is_some_and(|wrong| wrong.ends >= BROKEN) {
            self.held_until = now + BACKOFF_CAP;
        }
    }

    /// Whether the spellings of its path may be searched now; the next search is put off if so. `is_known`: the present
    /// path is one that has worked.
    pub fn may_search(&mut self, is_known: bool, now: Tick) -> bool {
        let since = self.wrong.as_ref().map_or(now, |wrong| wrong.since);
        if now < self.search_due || (is_known && now.saturating_sub(since) < SEARCH_AFTER) {
            return false;
        }
        self.searches = self.searches.saturating_add(1);
        let slow = self.searches.saturating_sub(QUICK_SEARCHES);
        let growth = 1_u32.checked_shl(slow.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = if slow == 0 { Duration::ZERO } else { SEARCH_AFTER.saturating_mul(growth).min(SEARCH_CAP) };
        self.search_due = now + wait;
        true
    }

    /// Whether it has ever answered as it promises.
    pub fn has_been_good(&self) -> bool {
        self.good.is_some()
    }

    /// When it last did.
    pub fn last_good(&self) -> Option<Tick> {
        self.good
    }

    /// Whether it has never answered otherwise than with 404 or 405.
    pub fn is_absent(&self) -> bool {
        self.good.is_none() && !self.worked_before && self.wrong.as_ref().is_some_and(|wrong| wrong.absent_only)
    }

    /// Whether it was asked several times in a row without a good answer.
    pub fn has_failed(&self) -> bool {
        self.wrong.is_some() || self.unheard.is_some_and(|(_, count)| count >= WRONG)
    }

    /// Whether something else has come since the last good answer.
    pub fn is_doubtful(&self) -> bool {
        self.wrong.is_some()
    }

    /// Why it does not work, if it does not. `counts_silence`: getting no answer at all is evidence against it.
    pub fn does_not_work(&self, counts_silence: bool, now: Tick) -> Option<&str> {
        let is_wrong = self.wrong.as_ref().is_some_and(|wrong| wrong.does_not_work);
        let is_silent = counts_silence
            && self.unheard.is_some_and(|(since, count)| count >= WRONG && now.saturating_sub(since) >= SILENT_FOR);
        (is_wrong || is_silent).then_some(self.last_trouble.as_str())
    }

    /// What came last in place of a good answer; empty if nothing did.
    pub fn last_trouble(&self) -> &str {
        &self.last_trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn html() -> WrongAnswer {
        WrongAnswer { says: "302 (text/html)".into(), session: None, is_absent: false, goes_on: false }
    }

    #[test]
    fn wrong_answers_in_a_row_say_that_a_route_does_not_work_and_a_good_one_that_it_does() {
        let mut route = RouteHealth::default();
        route.good(S);
        for second in [10, 11, 12, 14] {
            route.wrong(html(), S * second, 1.0);
            assert!(route.is_doubtful());
            assert_eq!(route.does_not_work(true, S * second), None, "{second}");
        }
        route.wrong(html(), S * 15, 1.0);
        assert_eq!(route.does_not_work(true, S * 15), Some("302 (text/html)"));
        route.good(S * 16);
        assert_eq!((route.does_not_work(true, S * 16), route.is_doubtful()), (None, false));
    }

    #[test]
    fn one_sessions_answers_are_its_own_where_the_route_has_worked_before() {
        let of = |id: &str| WrongAnswer { session: Some(id.into()), ..html() };
        for has_worked in [true, false] {
            let mut route = RouteHealth::default();
            if has_worked {
                route.good(S);
            }
            (2..60).for_each(|second| route.wrong(of("typo"), S * second, 1.0));
            assert_eq!(route.does_not_work(true, S * 60).is_none(), has_worked);
            for id in ["a", "b", "c"] {
                route.wrong(of(id), S * 61, 1.0);
            }
            assert!(route.does_not_work(true, S * 61).is_some());
        }
    }

    #[test]
    fn silence_counts_after_two_minutes_where_it_is_evidence_against_the_route() {
        let mut route = RouteHealth::default();
        for second in [1, 60, 120] {
            route.unheard("503", S * second);
        }
        assert_eq!(route.does_not_work(true, S * 120), None);
        assert_eq!((route.does_not_work(true, S * 121), route.does_not_work(false, S * 121)), (Some("503"), None));
        route.right();
        assert_eq!(route.does_not_work(true, S * 300), None);
    }

    #[test]
    fn a_route_that_answers_wrongly_is_asked_by_one_request_at_a_time() {
        let mut route = RouteHealth::default();
        (0..4).for_each(|_| route.wrong(html(), S, 1.0));
        assert_eq!(route.may_ask(S), Ok(()));
        route.wrong(html(), S, 1.0);
        assert_eq!(route.may_ask(S), Err(S * 3));
        route.asked(S * 3);
        assert_eq!(route.may_ask(S * 4), Err(S * 63));
        route.good(S * 4);
        assert_eq!(route.may_ask(S * 4), Ok(()));
    }

    #[test]
    fn the_spellings_are_searched_at_once_and_again_ever_more_rarely() {
        let mut route = RouteHealth::default();
        let mut searches = Vec::new();
        for second in 0..3_600 {
            route.wrong(html(), S * second, 1.0);
            if route.may_search(false, S * second) {
                searches.push(second);
            }
        }
        assert_eq!(searches[..7], [0, 1, 2, 3, 63, 183, 423]);
        assert!(searches.last() >= Some(&3_000), "every ten minutes in the end: {searches:?}");
        let mut route = RouteHealth::default();
        route.good(S);
        route.wrong(html(), S * 10, 1.0);
        assert!(!route.may_search(true, S * 69) && route.may_search(true, S * 70), "it has worked under this spelling");
    }
}
