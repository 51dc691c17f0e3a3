//! Lists of made-up servers, honest and not.

use proptest::prelude::*;

use super::*;

/// What a server claims of its pages.
#[derive(Clone, Copy, Debug)]
enum Pages {
    Honest,
    Absent,
    Zero,
    RoundedDown,
    Of(u32),
}

/// What a server says of its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Absent,
    Given,
    AskedFor,
}

/// What a server gives behind its last page.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behind {
    Empty,
    Implied,
    LastAgain,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    entries: u32,
    /// Entries a page at most, whatever is asked for.
    clamp: u32,
    pages: Pages,
    total: bool,
    limit: Limit,
    behind: Behind,
}

impl Server {
    /// The page, and which entries are on it.
    fn page(&self, number: u32, limit: u32) -> (PageClaims, std::ops::Range<u32>) {
        let size = limit.min(self.clamp);
        let last = self.entries.div_ceil(size).max(1);
        let is_behind = number > last;
        let number = if self.behind == Behind::LastAgain { number.min(last) } else { number };
        let begin = ((number - 1) * size).min(self.entries);
        let range = begin..(begin + size).min(self.entries);
        let implied = self.behind == Behind::Implied && range.is_empty();
        let total_pages = match self.pages {
            Pages::Honest => Some(self.entries.div_ceil(size)),
            Pages::Absent => None,
            Pages::Zero => Some(0),
            Pages::RoundedDown => Some(self.entries / size),
            Pages::Of(other) => Some(self.entries.div_ceil(other)),
        };
        let claims = PageClaims {
            items: range.len(),
            total_pages: total_pages.filter(|_| !(implied && is_behind)),
            total: Some(u64::from(self.entries)).filter(|_| self.total && !(implied && is_behind)),
            limit: match self.limit {
                Limit::Absent => None,
                Limit::Given => Some(size),
                Limit::AskedFor => Some(limit),
            },
            fingerprint: u64::from(range.start) * 1_000 + range.len() as u64,
            implied,
        };
        (claims, range)
    }

    /// Reads the list to its end: which entries were read, and in how many requests.
    fn walk(&self, known: &mut ServerPages, now: Tick) -> (HashSet<u32>, u32) {
        let (mut paging, mut read, mut requests) = (Paging::default(), HashSet::new(), 0);
        loop {
            let (claims, entries) = self.page(paging.page(), paging.limit());
            read.extend(entries);
            requests += 1;
            assert!(requests < 500, "no end: {self:?}");
            match paging.read(&claims, known, now) {
                Step::More | Step::Again => {}
                Step::End | Step::Repeats => return (read, requests),
            }
        }
    }
}

fn any_server() -> impl Strategy<Value = Server> {
    let pages = prop_oneof![
        Just(Pages::Honest),
        Just(Pages::Absent),
        Just(Pages::Zero),
        Just(Pages::RoundedDown),
        (1..200_u32).prop_map(Pages::Of),
    ];
    let behind = prop_oneof![Just(Behind::Empty), Just(Behind::Implied), Just(Behind::LastAgain)];
    let limit = prop_oneof![Just(Limit::Absent), Just(Limit::Given), Just(Limit::AskedFor)];
    (0..350_u32, 10..120_u32, pages, any::<bool>(), limit, behind).prop_map(
        |(entries, clamp, pages, total, limit, behind)| Server { entries, clamp, pages, total, limit, behind },
    )
}

proptest! {
    /// Whatever a server claims, no entry of its list is missed, and not many more pages are asked for than there are.
    #[test]
    fn every_entry_is_read_whatever_is_claimed(server in any_server(), later in 0..1_000_u64) {
        let mut known = ServerPages::default();
        let all: HashSet<u32> = (0..server.entries).collect();
        let pages = server.entries.div_ceil(server.clamp.min(100));
        let (read, requests) = server.walk(&mut known, Tick::ZERO);
        prop_assert_eq!(&read, &all);
        prop_assert!(requests <= pages + 5, "{} requests for {} pages", requests, pages);
        // And as well with what was learned of it.
        let (read, requests) = server.walk(&mut known, Tick::from_secs(300 + later));
        prop_assert_eq!(&read, &all);
        prop_assert!(requests <= pages + 3, "{} requests for {} pages the second time", requests, pages);
    }

    /// Pages of any size with an honest total are read to the end as well.
    #[test]
    fn total_is_enough_to_go_on(entries in 0..200_u32, clamp in 1..10_u32) {
        let server =
            Server { entries, clamp, pages: Pages::Zero, total: true, limit: Limit::AskedFor, behind: Behind::Empty };
        let (read, _) = server.walk(&mut ServerPages::default(), Tick::ZERO);
        prop_assert_eq!(read.len(), entries as usize);
    }

    /// An entry that spoils its page is left out alone, whatever the server's pages are like.
    #[test]
    fn only_the_entry_that_spoils_its_page_is_left_out(entries in 1..300_u32, clamp in 1..120_u32, bad in 0..300_u32) {
        let server =
            Server { entries, clamp, pages: Pages::Honest, total: true, limit: Limit::Given, behind: Behind::Empty };
        let (mut paging, mut known) = (Paging::default(), ServerPages::default());
        let (mut read, mut left_out) = (HashSet::new(), 0);
        for requests in 0.. {
            prop_assert!(requests < 3_000, "no end");
            let (claims, range) = server.page(paging.page(), paging.limit());
            if range.contains(&bad) {
                match paging.unreadable(&known) {
                    AfterUnreadable::Again => {}
                    AfterUnreadable::LeftOut => left_out += 1,
                    AfterUnreadable::Everything => prop_assert!(false, "begun anew"),
                }
                continue;
            }
            read.extend(range);
            if matches!(paging.read(&claims, &mut known, Tick::ZERO), Step::End | Step::Repeats) {
                break;
            }
        }
        let expected: HashSet<u32> = (0..entries).filter(|entry| *entry != bad).collect();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(left_out, u32::from(bad < entries));
    }
}

fn claims(items: usize, total: Option<u64>, total_pages: Option<u32>, fingerprint: u64) -> PageClaims {
    PageClaims { items, total_pages, total, fingerprint, ..PageClaims::default() }
}

#[test]
fn honest_list_costs_no_request_more_than_it_has_pages() {
    for (items, total) in [(0, 0), (3, 3), (99, 99)] {
        let (mut paging, mut known) = (Paging::default(), ServerPages::default());
        let page = claims(items, Some(total), Some(u32::from(total > 0)), 1);
        assert_eq!(paging.read(&page, &mut known, Tick::ZERO), Step::End, "{total}");
        assert_eq!(known.take_contradiction(), None);
    }
    let (mut paging, mut known) = (Paging::default(), ServerPages::default());
    assert_eq!(paging.read(&claims(100, Some(145), Some(2), 1), &mut known, Tick::ZERO), Step::More);
    assert_eq!(paging.read(&claims(45, Some(145), Some(2), 2), &mut known, Tick::ZERO), Step::End);
    assert_eq!(known.take_contradiction(), None);
}

#[test]
fn contradiction_is_reported_once() {
    let mut known = ServerPages::default();
    for _ in 0..3 {
        let mut paging = Paging::default();
        assert_eq!(paging.read(&claims(10, Some(25), Some(0), 1), &mut known, Tick::ZERO), Step::More);
        assert_eq!(paging.read(&claims(10, Some(25), Some(0), 2), &mut known, Tick::ZERO), Step::More);
        assert_eq!(paging.read(&claims(5, Some(25), Some(0), 3), &mut known, Tick::ZERO), Step::End);
    }
    let reported = known.take_contradiction().unwrap();
    assert_eq!((reported.page, reported.claims.total, reported.claims.total_pages), (1, Some(25), Some(0)));
    assert_eq!(known.take_contradiction(), None);
}

#[test]
fn empty_page_where_there_should_be_more_is_asked_for_again_before_it_is_believed() {
    let mut known = ServerPages::default();
    let implied = PageClaims { implied: true, ..PageClaims::default() };
    let mut paging = Paging::default();
    paging.read(&claims(100, Some(145), Some(2), 1), &mut known, Tick::ZERO);
    assert_eq!([(); 2].map(|()| paging.read(&implied, &mut known, Tick::ZERO)), [Step::Again; 2]);
    assert_eq!(
        paging.read(&claims(45, Some(145), Some(2), 2), &mut known, Tick::ZERO),
        Step::End,
        "it was an accident"
    );
    let mut paging = Paging::default();
    paging.read(&claims(100, Some(145), Some(2), 1), &mut known, Tick::ZERO);
    let steps = [(); 3].map(|()| paging.read(&implied, &mut known, Tick::ZERO));
    assert_eq!(steps, [Step::Again, Step::Again, Step::End]);
    assert!(known.take_contradiction().is_some());
    let mut paging = Paging::default();
    assert_eq!(
        paging.read(&implied, &mut known, Tick::ZERO),
        Step::End,
        "this server is known to write empty lists so"
    );
}

#[test]
fn server_that_knows_no_pages_is_not_read_for_ever_nor_believed() {
    let page = claims(100, Some(4_500), Some(45), 1);
    let (mut paging, mut known) = (Paging::default(), ServerPages::default());
    assert_eq!(paging.read(&page, &mut known, Tick::ZERO), Step::More);
    assert_eq!(paging.read(&page, &mut known, Tick::ZERO), Step::Repeats);
    // Sessions that come while small pages are read push the same one on.
    let mut paging = Paging { limit: 1, reduced: true, cap: 1, ..Paging::default() };
    let one = claims(1, Some(4_500), Some(4_500), 1);
    let steps: Vec<_> = (0..9).map(|_| paging.read(&one, &mut known, Tick::ZERO)).collect();
    assert_eq!((steps[..8].iter().all(|step| *step == Step::More), steps[8]), (true, Step::Repeats));
}
