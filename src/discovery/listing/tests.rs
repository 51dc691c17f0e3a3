//! Sweeps against answers made by hand.

use super::*;
use crate::discovery::paging::PageClaims;

const INTERVAL: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(0).plus(Duration::from_secs(1_000_000 + seconds))
}

fn seen(items: usize, total_pages: u32, newest: u64, oldest: u64, fresh: usize) -> PageSeen {
    let fingerprint = newest * 1_000_000 + oldest;
    PageSeen {
        claims: PageClaims { items, total_pages: Some(total_pages), fingerprint, ..PageClaims::default() },
        newest: Some(at(newest)),
        oldest: Some(at(oldest)),
        descending: true,
        fresh,
        ..PageSeen::default()
    }
}

#[test]
fn a_first_start_lists_the_recent_window_and_then_what_is_open() {
    let mut listing = ListingSweep::new(None);
    let now = Tick::ZERO;
    assert_eq!(
        listing.page(now, at(0), at(9_999)),
        ListingPage { created_after: Some(at(0)), open_only: false, page: 1, limit: 100 }
    );
    assert_eq!(listing.read(&seen(100, 2, 500, 300, 100), now, INTERVAL), AfterPage::Page);
    assert_eq!(listing.page(now, at(0), at(9_999)).page, 2);
    assert!(!listing.first_sweep_done());
    assert_eq!(
        listing.read(&seen(20, 2, 310, 100, 20), now, INTERVAL),
        AfterPage::Done(None),
        "a restart still has to list the open ones"
    );
    assert!(listing.first_sweep_done() && !listing.is_caught_up());
    assert_eq!(
        listing.page(now, at(0), at(9_999)),
        ListingPage { created_after: None, open_only: true, page: 1, limit: 100 }
    );
    listing.read(&seen(3, 1, 90, 10, 3), now, INTERVAL);
    assert!(listing.page(now, at(0), at(9_999)).open_only, "repeated, because something new was found");
    assert_eq!(listing.read(&seen(3, 1, 90, 10, 0), now, INTERVAL), AfterPage::Done(Some(at(500))));
    assert!(listing.is_caught_up());
    assert_eq!(listing.due(), INTERVAL);
}

#[test]
fn a_sweep_ends_at_the_first_page_behind_the_watermark_that_brings_nothing() {
    let mut listing = ListingSweep::new(Some(at(1_000)));
    let now = Tick::ZERO;
    // The first sweep since the start is deep.
    assert_eq!(listing.page(now, at(0), at(9_999)).created_after, Some(at(400)));
    assert_eq!(listing.read(&seen(100, 9, 1_100, 990, 0), now, INTERVAL), AfterPage::Page);
    assert_eq!(listing.read(&seen(100, 9, 990, 399, 0), now, INTERVAL), AfterPage::Done(Some(at(1_100))));
    listing.page(INTERVAL, at(0), at(9_999));
    assert_eq!(listing.read(&seen(100, 9, 1_200, 1_099, 1), INTERVAL, INTERVAL), AfterPage::Page);
    let worthwhile = PageSeen { refreshed: 2, ..seen(100, 9, 1_099, 1_050, 0) };
    assert_eq!(listing.read(&worthwhile, INTERVAL, INTERVAL), AfterPage::Page);
    assert_eq!(listing.read(&seen(100, 9, 1_050, 1_000, 0), INTERVAL, INTERVAL), AfterPage::Done(Some(at(1_200))));
}

#[test]
fn a_listing_in_another_order_is_read_to_its_end() {
    let mut listing = ListingSweep::new(Some(at(1_000)));
    let ascending = PageSeen { descending: false, ..seen(100, 3, 500, 100, 0) };
    listing.page(Tick::ZERO, at(0), at(9_999));
    assert_eq!(listing.read(&ascending, Tick::ZERO, INTERVAL), AfterPage::Page);
    assert_eq!(listing.read(&seen(100, 3, 900, 500, 0), Tick::ZERO, INTERVAL), AfterPage::Page);
    assert_eq!(listing.read(&seen(7, 3, 1_300, 900, 7), Tick::ZERO, INTERVAL), AfterPage::Done(Some(at(1_300))));
}

#[test]
fn a_failed_page_is_asked_for_again_and_a_missing_listing_is_news_once() {
    let mut listing = ListingSweep::new(None);
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
    let mut listing = ListingSweep::new(Some(at(50_000)));
    assert_eq!(listing.page(Tick::ZERO, at(0), at(2_000)).created_after, Some(at(1_400)));
}

#[test]
fn open_sessions_that_cannot_be_listed_do_not_stop_the_rest() {
    for ends in ["refused", "unfiltered"] {
        let mut listing = ListingSweep::new(None);
        let now = Tick::ZERO;
        listing.page(now, at(0), at(9_999));
        listing.read(&seen(3, 1, 500, 300, 3), now, INTERVAL);
        assert!(listing.page(now, at(0), at(9_999)).open_only);
        if ends == "refused" {
            let believed = [(); 3].map(|()| listing.open_refused(now, true));
            assert_eq!(believed, [false, false, true]);
        } else {
            let unfiltered = PageSeen { not_open: 3, ..seen(3, 9, 500, 300, 0) };
            assert_eq!(listing.read(&unfiltered, now, INTERVAL), AfterPage::Nonsense);
        }
        assert!(listing.is_caught_up() && !listing.page(now, at(0), at(9_999)).open_only, "{ends}");
    }
}

#[test]
fn a_page_that_cannot_be_read_is_read_around_the_one_session_that_spoils_it() {
    const BAD: u32 = 107;
    let mut listing = ListingSweep::new(Some(at(1)));
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
        if listing.read(&seen, Tick::ZERO, INTERVAL) != AfterPage::Page {
            break;
        }
    }
    read.sort_unstable();
    assert_eq!((read, skipped), ((0..300).filter(|session| *session != BAD).collect(), 1));
}

#[test]
fn an_api_that_answers_nothing_readable_makes_a_sweep_begin_anew() {
    let mut listing = ListingSweep::new(Some(at(1)));
    let mut skipped = 0;
    for _ in 0..90 {
        listing.page(Tick::ZERO, at(0), at(9_999));
        skipped += u32::from(listing.unreadable());
    }
    assert!(skipped <= 5, "{skipped} sessions were taken for the culprit");
    listing.page(Tick::ZERO, at(0), at(9_999));
    assert_eq!(listing.read(&seen(3, 1, 500, 300, 3), Tick::ZERO, INTERVAL), AfterPage::Done(Some(at(500))));
}

#[test]
fn a_listing_that_repeats_itself_is_not_read_for_ever() {
    let mut listing = ListingSweep::new(Some(at(1)));
    let mut same = seen(100, 0, 500, 300, 0);
    same.claims.total_pages = None;
    listing.page(Tick::ZERO, at(0), at(9_999));
    assert_eq!(listing.read(&PageSeen { fresh: 7, ..same }, Tick::ZERO, INTERVAL), AfterPage::Page);
    assert_eq!(listing.read(&same, Tick::ZERO, INTERVAL), AfterPage::Nonsense);
}
