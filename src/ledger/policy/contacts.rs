//! Whether the same customer came back: what is remembered of a customer's sessions, and which of them are repeat contacts.
//! Pure.
//!
//! A customer is 16 bytes of a keyed hash. Of each of their sessions the end, the length, the resolution, where it took place and
//! which windows it was counted for are remembered, for the longest window only. Sessions come out of order, so that one that
//! comes late may be the earlier contact of one that is counted already, which is then counted for the windows that are new.

use std::time::Duration;

use crate::clock::Timestamp;

/// A customer: the first 16 bytes of the HMAC-SHA-256 of what identifies them.
pub(in crate::ledger) type ContactKey = [u8; 16];

/// A customer with more sessions on a day is a number that many share: a switchboard, or a withheld one.
pub(super) const MOST_A_DAY: u8 = 50;
/// Sessions of a customer that are remembered at most. Most have one.
const MOST_SESSIONS: usize = 16;
/// Windows that can be told apart.
pub(super) const MOST_WINDOWS: usize = 4;
/// 2020-01-01, in seconds since 1970: earlier sessions are not remembered.
const EPOCH: i64 = 1_577_836_800;
const DAY: u32 = 86_400;
/// Bytes before the sessions, and of each session.
const HEADER: usize = 3;
const SESSION: usize = 10;
/// The longest length that is told apart, in seconds.
const LONGEST: u32 = (1 << 24) - 1;

/// A session of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    /// Seconds since 2020 at its end.
    ended: u32,
    /// Seconds from its creation to its end.
    length: u32,
    /// The place of its resolution among the known ones; 7 for any other.
    pub(super) resolution: u8,
    /// The windows for which it was counted, a bit each.
    windows: u8,
    /// The number of its agent and type.
    pub(super) place: u16,
}

impl Contact {
    /// A session; `None` if its times make no sense.
    pub(super) fn new(created: Timestamp, ended: Timestamp, resolution: u8, place: u16) -> Option<Self> {
        let seconds = |at: Timestamp| u32::try_from(at.as_millis().div_euclid(1000) - EPOCH).ok();
        let (created, ended) = (seconds(created)?, seconds(ended)?);
        let length = ended.checked_sub(created)?.min(LONGEST);
        Some(Self { ended, length, resolution: resolution & 7, windows: 0, place })
    }

    fn created(self) -> u32 {
        self.ended - self.length
    }

    /// When it ended.
    pub(super) fn ended(self) -> Timestamp {
        Timestamp::from_millis((i64::from(self.ended) + EPOCH) * 1000)
    }
}

/// A session that is a repeat contact, or one for further windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    /// The later session.
    pub(super) later: Contact,
    /// The resolution of the earlier one, as in [`Contact::resolution`].
    pub(super) previous_resolution: u8,
    /// The windows for which it is to be counted, a bit each.
    pub(super) windows: u8,
}

/// What a session of a customer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// These are repeat contacts.
    Repeats(Vec<Repeat>),
    /// Many share the number: it is left out.
    Shared,
}

/// What is remembered of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Customer {
    /// Days since 2020 on which a session began last.
    day: u16,
    /// Sessions that began on that day, up to one more than may.
    count: u8,
    /// Many share the number.
    is_shared: bool,
    sessions: Vec<Contact>,
}

impl Customer {
    /// What [`bytes`](Self::bytes) has made; `None` if it is nothing such.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let [low, high, count] = *header;
        let (sessions, left) = rest.as_chunks::<SESSION>();
        let session = |bytes: &[u8; SESSION]| {
            let [e0, e1, e2, e3, l0, l1, l2, flags, p0, p1] = *bytes;
            let (ended, length) = (u32::from_le_bytes([e0, e1, e2, e3]), u32::from_le_bytes([l0, l1, l2, 0]));
            let (resolution, windows, place) = (flags & 7, flags >> 3 & 15, u16::from_le_bytes([p0, p1]));
            (length <= ended).then_some(Contact { ended, length, resolution, windows, place })
        };
        let sessions = sessions.iter().map(session).collect::<Option<_>>()?;
        let day = u16::from_le_bytes([low, high]);
        left.is_empty().then_some(Self { day, count: count & 127, is_shared: count & 128 > 0, sessions })
    }

    /// As it is stored.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + SESSION * self.sessions.len());
        bytes.extend(self.day.to_le_bytes());
        bytes.push(self.count & 127 | if self.is_shared { 128 } else { 0 });
        for Contact { ended, length, resolution, windows, place } in &self.sessions {
            bytes.extend(ended.to_le_bytes());
            bytes.extend(length.to_le_bytes().into_iter().take(3));
            bytes.push(resolution & 7 | (windows & 15) << 3);
            bytes.extend(place.to_le_bytes());
        }
        bytes
    }

    /// Takes in a session, which is held against the nearest earlier one that is known; and those that are later against it.
    pub(super) fn hold(&mut self, mut session: Contact, windows: &[Duration]) -> Held {
        let longest = windows.iter().max().copied().unwrap_or_default();
        if self.count(session.created()) {
            // One is enough to know for how long the number was in use.
            let newest = self.sessions.iter().copied().chain([session]).max_by_key(|known| known.ended);
            self.sessions = newest.into_iter().collect();
            return Held::Shared;
        }
        let fitting = |earlier: Contact, later: Contact| {
            let gap = later.created().checked_sub(earlier.ended).map(|gap| Duration::from_secs(gap.into()));
            let fits = |window: &Duration| gap.is_some_and(|gap| gap <= *window);
            let bits = windows.iter().take(MOST_WINDOWS).zip(0..).filter(|(window, _)| fits(window));
            bits.fold(0_u8, |bits, (_, place)| bits | 1 << place)
        };
        let mut repeats = Vec::new();
        let earlier = self.sessions.iter().filter(|known| known.ended <= session.created());
        if let Some(nearest) = earlier.max_by_key(|known| known.ended) {
            session.windows = fitting(*nearest, session);
            if session.windows != 0 {
                let previous_resolution = nearest.resolution;
                repeats.push(Repeat { later: session, previous_resolution, windows: session.windows });
            }
        }
        // What another one between them has been counted for is counted; a nearer one fits into more.
        for later in self.sessions.iter_mut().filter(|known| known.created() >= session.ended) {
            let windows = fitting(session, *later) & !later.windows;
            if windows != 0 {
                later.windows |= windows;
                repeats.push(Repeat { later: *later, previous_resolution: session.resolution, windows });
            }
        }
        self.sessions.push(session);
        // By the sessions' own times: a clock that is wrong forgets none.
        self.forget(longest, session.ended());
        Held::Repeats(repeats)
    }

    /// Counts a session that began then. Whether many share the number: until a day on which it is used by no more than one
    /// customer can.
    fn count(&mut self, created: u32) -> bool {
        let day = u16::try_from(created / DAY).unwrap_or(u16::MAX);
        match day.cmp(&self.day) {
            std::cmp::Ordering::Greater => {
                (self.is_shared, self.day, self.count) = (self.count > MOST_A_DAY, day, 1);
            }
            std::cmp::Ordering::Equal => self.count = self.count.saturating_add(1).min(MOST_A_DAY + 1),
            std::cmp::Ordering::Less => {}
        }
        self.is_shared |= self.count > MOST_A_DAY;
        self.is_shared
    }

    /// Forgets what is older than the longest window, and what is too much.
    fn forget(&mut self, longest: Duration, now: Timestamp) {
        self.sessions.sort_unstable_by_key(|session| (session.ended, session.length));
        let now = now.as_millis().div_euclid(1000) - EPOCH;
        let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
        self.sessions.retain(|session| i64::from(session.ended).saturating_add(longest) >= now);
        // The newest ones and the oldest.
        let over = self.sessions.len().saturating_sub(MOST_SESSIONS);
        if over > 0 {
            self.sessions.drain(1..=over);
        }
    }

    /// Until when anything of it can matter; `None`: nothing can.
    pub(in crate::ledger) fn newest(&self) -> Option<Timestamp> {
        self.sessions.iter().map(|session| session.ended()).max()
    }
}

/// When what is stored as `bytes` ended last; `None` if it says nothing.
pub(in crate::ledger) fn newest(bytes: &[u8]) -> Option<Timestamp> {
    Customer::read(bytes)?.newest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const WINDOWS: [Duration; 2] = [Duration::from_secs(86_400), Duration::from_secs(7 * 86_400)];
    /// 2026-04-08T00:00:00Z
    const T0: i64 = 1_775_606_400_000;

    fn at(hours: u32) -> Timestamp {
        Timestamp::from_millis(T0).plus(HOUR * hours)
    }

    /// From this hour to the next; its place is the hour.
    fn session(hour: u32) -> Contact {
        let place = u16::try_from(hour).unwrap();
        Contact::new(at(hour), at(hour + 1), (hour % 4) as u8, place).unwrap()
    }

    /// Takes sessions in, in this order: hour of the later one, of the earlier one's resolution, windows.
    fn repeats(customer: &mut Customer, hours: &[u32]) -> Vec<(u16, u8, u8)> {
        let mut all = Vec::new();
        for hour in hours {
            let Held::Repeats(found) = customer.hold(session(*hour), &WINDOWS) else { panic!("shared") };
            all.extend(found.iter().map(|repeat| (repeat.later.place, repeat.previous_resolution, repeat.windows)));
            *customer = Customer::read(&customer.bytes()).unwrap();
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn session_is_held_against_the_nearest_earlier_one_and_longer_windows_hold_shorter_ones() {
        let mut customer = Customer::default();
        assert_eq!(repeats(&mut customer, &[0]), []);
        assert!(16 + customer.bytes().len() <= 40);
        assert_eq!(repeats(&mut customer, &[10]), [(10, 0, 0b11)]);
        assert!(16 + customer.bytes().len() <= 40);
        assert_eq!(repeats(&mut customer, &[100]), [(100, 2, 0b10)]);
        assert_eq!(repeats(&mut customer, &[269]), [(269, 0, 0b10)], "168 hours are still seven days");
        assert_eq!(repeats(&mut customer, &[439]), [], "169 are not");
    }

    #[test]
    fn order_of_arrival_does_not_matter_for_how_many_come_back() {
        let hours = [100, 105, 130, 131, 190, 250, 251];
        let count = |order: &[u32]| {
            let mut windows = [0; 2];
            for (_, _, bits) in repeats(&mut Customer::default(), order) {
                (0..2).for_each(|window| windows[window] += u32::from(bits >> window & 1));
            }
            windows
        };
        let newest_first: Vec<u32> = hours.iter().rev().copied().collect();
        assert_eq!(repeats(&mut Customer::default(), &newest_first), repeats(&mut Customer::default(), &hours));
        assert_eq!(count(&hours), [4, 6]);
        assert_eq!(count(&[131, 250, 100, 190, 251, 105, 130]), [4, 6]);
    }

    #[test]
    fn sessions_that_overlap_are_one_contact() {
        let mut customer = Customer::default();
        let overlapping = Contact::new(at(0).plus(HOUR / 2), at(2), 0, 9).unwrap();
        customer.hold(session(0), &WINDOWS);
        assert_eq!(customer.hold(overlapping, &WINDOWS), Held::Repeats(vec![]));
    }

    #[test]
    fn shared_number_is_left_out_until_a_day_on_which_it_is_used_as_by_one() {
        let mut customer = Customer::default();
        let mut hold = |day: u32, minute: u32| {
            let created = at(24 * day).plus(Duration::from_secs(60 * u64::from(minute)));
            let contact = Contact::new(created, created.plus(Duration::from_secs(30)), 0, 0).unwrap();
            let held = customer.hold(contact, &WINDOWS);
            customer = Customer::read(&customer.bytes()).unwrap();
            (held == Held::Shared, customer.bytes().len())
        };
        let of_a_day = |hold: &mut dyn FnMut(u32, u32) -> (bool, usize), day, sessions| {
            (0..sessions).filter(|minute| hold(day, *minute).0).count()
        };
        assert_eq!(of_a_day(&mut hold, 0, 80), 30, "it is known by the 51st");
        assert_eq!(hold(0, 81).1, HEADER + SESSION);
        assert_eq!(of_a_day(&mut hold, 1, 10), 10);
        assert_eq!(of_a_day(&mut hold, 2, 60), 10);
    }

    #[test]
    fn what_is_older_than_the_longest_window_is_forgotten() {
        let mut customer = Customer::default();
        (0..12).for_each(|day| drop(customer.hold(session(24 * day), &WINDOWS)));
        assert_eq!(customer.sessions.len(), 8, "{customer:?}");
        assert!(customer.sessions.iter().all(|session| session.place >= 24 * 4), "{customer:?}");
        assert_eq!(customer.newest(), Some(at(24 * 11 + 1)));
        customer.forget(WINDOWS[1], at(24 * 30));
        assert_eq!(customer.newest(), None);
    }

    proptest! {
        #[test]
        fn bytes_are_read_as_they_were_written(hours in prop::collection::vec(0..500_u32, 0..40)) {
            let mut customer = Customer::default();
            for hour in hours {
                let _ = customer.hold(session(hour), &WINDOWS);
                prop_assert_eq!(Customer::read(&customer.bytes()), Some(customer.clone()));
                prop_assert!(customer.bytes().len() <= HEADER + SESSION * MOST_SESSIONS);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(mut customer) = Customer::read(&bytes) {
                let _ = customer.hold(session(5), &WINDOWS);
                customer.bytes();
            }
        }

        /// However they come in, each session is counted once for each window in which it has an earlier one.
        #[test]
        fn every_session_with_an_earlier_one_is_counted_once(order in prop::collection::vec(0..60_u32, 1..14)) {
            let mut hours = order.clone();
            hours.sort_unstable();
            hours.dedup();
            let mut seen = std::collections::BTreeSet::new();
            let order: Vec<u32> = order.into_iter().filter(|hour| seen.insert(*hour)).collect();
            let found = repeats(&mut Customer::default(), &order);
            for (window, length) in (0..2).zip([24, 168]) {
                let expected = hours.windows(2).filter(|pair| pair[1] - pair[0] - 1 <= length).count();
                let counted = found.iter().filter(|(_, _, bits)| bits >> window & 1 == 1).count();
                prop_assert_eq!(counted, expected);
            }
        }
    }
}
