//! When the history has samples, and which sample shows an event first. Pure.
//!
//! A history that ends where live counters begin has two epochs. The first one counts the sessions that are not in the live
//! counters. Then every series falls to 0, and the second one rises by the sessions that are in the live starting values, up to
//! these. So no session is counted twice, and the live counters go on without a reset.

use super::step::Step;
use crate::clock::Timestamp;

/// One millisecond before a fall is the last sample before it.
const JUST_BEFORE_MS: i64 = 1;
/// All that is left is shown so long before a fall, so that each recording rule is evaluated once before it: their intervals are three minutes at most.
const SETTLED_MS: i64 = 240_000;

/// The times of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampleTimes {
    /// The first sample.
    pub begin: Timestamp,
    pub step: Step,
    /// Where every series falls to 0.
    pub fall: Timestamp,
    /// The last sample of the second epoch: the first start of the daemon. `None` where there is no second epoch.
    pub end: Option<Timestamp>,
}

/// A sample, and which events it shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub at: Timestamp,
    pub kind: MomentKind,
    /// Events before it are shown by earlier samples.
    pub since: Option<Timestamp>,
    /// Events from here on are shown by later samples; `None`: there are none.
    pub until: Option<Timestamp>,
}

/// What happens at a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MomentKind {
    /// Sessions that are not in the live counters are counted.
    Past,
    /// Every series is 0.
    Fall,
    /// Sessions that are in the live starting values are counted.
    LookBack,
    /// Every series has its live starting value.
    Junction,
}

impl SampleTimes {
    /// Times for a history from `from` until `fall`, and a second epoch until `end`.
    pub(super) fn new(from: Timestamp, step: Step, fall: Timestamp, end: Option<Timestamp>) -> Self {
        let begin = step.before(from);
        Self { begin, step, fall: fall.max(step.next(begin)), end: end.filter(|end| *end > fall) }
    }

    /// Every sample, in order.
    pub(super) fn moments(self) -> impl Iterator<Item = Moment> {
        let last_of_past = Timestamp::from_millis(self.fall.as_millis() - JUST_BEFORE_MS);
        let past = self.grid(self.begin).take_while(move |at| *at < last_of_past).chain([last_of_past]);
        let end = self.end;
        let look_back = self.grid(self.step.next(self.step.before(self.fall)));
        let look_back = look_back.take_while(move |at| end.is_some_and(|end| *at < end)).chain(end);
        let fall = Moment { at: self.fall, kind: MomentKind::Fall, since: None, until: None };
        let settled = Timestamp::from_millis(self.fall.as_millis() - SETTLED_MS);
        let mut is_settled = false;
        let past = epoch(past, MomentKind::Past, None).map(move |mut moment| {
            if is_settled {
                (moment.since, moment.until) = (Some(moment.at), Some(moment.at));
            } else if moment.since.is_some() && moment.at >= settled {
                (is_settled, moment.until) = (true, None);
            }
            moment
        });
        past.chain([fall]).chain(epoch(look_back, MomentKind::LookBack, end))
    }

    fn grid(self, from: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(Some(from), move |at| Some(self.step.next(*at)))
    }
}

/// The samples of an epoch. The first one of the past shows what happened before it, as 0; the last one shows all that is left.
fn epoch(
    times: impl Iterator<Item = Timestamp>,
    kind: MomentKind,
    end: Option<Timestamp>,
) -> impl Iterator<Item = Moment> {
    let mut times = times.peekable();
    let mut since = None;
    std::iter::from_fn(move || {
        let at = times.next()?;
        let is_last = times.peek().is_none();
        let (from, to) = (since.replace(at), if is_last { end } else { Some(at) });
        let kind = if is_last && end.is_some() { MomentKind::Junction } else { kind };
        Some(Moment { at, kind, since: from, until: to })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_775_606_400_000 + seconds * 1_000)
    }

    fn moments(from: i64, fall: i64, end: Option<i64>) -> Vec<(i64, MomentKind, Option<i64>, Option<i64>)> {
        let step = Step::new(Duration::from_secs(60)).unwrap();
        let times = SampleTimes::new(at(from), step, at(fall), end.map(at));
        let seconds = |time: Timestamp| time.as_millis() - at(0).as_millis();
        times.moments().map(|m| (seconds(m.at), m.kind, m.since.map(seconds), m.until.map(seconds))).collect()
    }

    #[test]
    fn past_falls_to_0_and_the_look_back_rises_to_the_first_start() {
        use MomentKind::{Fall, Junction, LookBack, Past};
        assert_eq!(
            moments(5, 120, Some(200)),
            [
                (0, Past, None, Some(0)),
                (60_000, Past, Some(0), None),
                (119_999, Past, Some(119_999), Some(119_999)),
                (120_000, Fall, None, None),
                (180_000, LookBack, None, Some(180_000)),
                (200_000, Junction, Some(180_000), Some(200_000)),
            ]
        );
    }

    #[test]
    fn past_is_complete_four_minutes_before_it_falls() {
        let all = moments(0, 600, None);
        let last = all.iter().find(|moment| moment.2.is_some() && moment.3.is_none()).unwrap();
        assert_eq!((last.0, last.2), (360_000, Some(300_000)));
        assert!(
            all.iter().filter(|moment| moment.0 > 360_000 && moment.0 < 600_000).all(|moment| moment.2 == moment.3)
        );
    }

    #[test]
    fn history_without_a_junction_ends_at_0() {
        use MomentKind::{Fall, Past};
        assert_eq!(
            moments(0, 90, None),
            [
                (0, Past, None, Some(0)),
                (60_000, Past, Some(0), None),
                (89_999, Past, Some(89_999), Some(89_999)),
                (90_000, Fall, None, None),
            ]
        );
    }
}
