//! The API's time: what the `Date` of its good answers says, held against earlier ones and against this machine's clock,
//! and carried on by a clock that never jumps. Pure.
//!
//! Sessions are dated by the API, so that "ended long ago" is judged by its clock. One server with a wrong clock among
//! several must not decide that, and neither may the first answer, nor a wrong clock of this machine. So the latest
//! dates vote, and this machine's clock votes with the weight of a few of them. A date that this machine confirms is
//! believed at once. Against this machine, or against what is believed already, it takes a majority of two thirds in the
//! latest [`WINDOW`] answers. The invariant: while fewer than half of any [`WINDOW`] answers in a row lie, and this
//! machine's clock is right, the time is never off by more than [`TOLERANCE`].

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Tick, Timestamp};

/// A `Date` has whole seconds and travels a while; clocks this close to each other agree.
pub const TOLERANCE: Duration = Duration::from_secs(3);
/// How many of the latest dates vote.
const WINDOW: usize = 24;
/// This machine's clock counts as much as so many answers.
const MACHINE: usize = 6;
/// How many of the latest dates that agree say what the time is.
const LATEST: usize = 9;
/// Fewer dates than this move nothing: more than half of a window, and two thirds together with this machine's vote.
const MAJORITY: usize = 13;

/// The API's clock as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct ApiTime {
    /// The latest dates, as milliseconds by which the API's clock is ahead of the tick.
    dates: VecDeque<i64>,
    /// What the votes have decided, in the same unit; this machine's clock stands in until then.
    believed: Option<i64>,
    /// Good answers without a date, while none had one.
    undated: usize,
}

/// What a date has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, or the usual fraction of a second.
    Kept,
    /// The API's clock is now believed to show another time; positive if it is ahead of this machine's.
    Moved {
        /// By how many milliseconds the API's clock is ahead of this machine's.
        ahead_of_machine_ms: i64,
    },
}

impl ApiTime {
    /// The head of a good answer came at `received` with this date; this machine's clock shows `local` at `now`.
    pub fn observe(&mut self, date: Timestamp, received: Tick, now: Tick, local: Timestamp) -> Decision {
        if self.dates.len() == WINDOW {
            self.dates.pop_front();
        }
        self.dates.push_back(ahead(date, received));
        let machine = ahead(local, now);
        let present = self.believed.unwrap_or(machine);
        let (mut agree, against): (Vec<i64>, Vec<i64>) = self.dates.iter().partition(|date| agrees(**date, present));
        let for_present = agree.len() + if agrees(machine, present) { MACHINE } else { 0 };
        let other = median(against.clone());
        let for_other = against.len() + if other.is_some_and(|other| agrees(machine, other)) { MACHINE } else { 0 };
        let is_lasting = against.len() >= MAJORITY && for_other > 2 * for_present;
        if let (true, Some(other)) = (is_lasting, other) {
            self.believed = Some(other);
            return Decision::Moved { ahead_of_machine_ms: other.saturating_sub(machine) };
        }
        // The median of the latest that agree: a minority of them cannot draw it out of the range of the others.
        if !agree.is_empty() {
            let votes = for_present - agree.len();
            agree = agree.split_off(agree.len().saturating_sub(LATEST));
            agree.extend(std::iter::repeat_n(machine, votes));
            self.believed = median(agree);
        }
        Decision::Kept
    }

    /// A good answer had no date.
    pub fn observe_undated(&mut self) {
        self.undated = self.undated.saturating_add(1);
    }

    /// The API's time; this machine's, `local`, until its answers have said it.
    pub fn now(&self, now: Tick, local: Timestamp) -> Timestamp {
        self.believed.map_or(local, |ahead| at(ahead, now))
    }

    /// Whether the time may be made durable, and decide alone what is late: this machine's clock confirms it, or most of
    /// the latest answers do. Where good answers never have a date, this machine's clock is the only one there is.
    pub fn is_trusted(&self, now: Tick, local: Timestamp) -> bool {
        let Some(believed) = self.believed else { return self.dates.is_empty() && self.undated >= MAJORITY };
        let agree = self.dates.iter().filter(|date| agrees(**date, believed)).count();
        agree * 2 > self.dates.len() || (agree > 0 && agrees(ahead(local, now), believed))
    }

    /// Whether the answers have said the time.
    pub fn is_known(&self) -> bool {
        self.believed.is_some()
    }

    /// What the median of the latest dates says, believed or not.
    pub fn latest(&self, now: Tick) -> Option<Timestamp> {
        median(self.dates.iter().copied().collect()).map(|ahead| at(ahead, now))
    }
}

/// By how many milliseconds a clock that showed `time` at `tick` is ahead of the tick.
fn ahead(time: Timestamp, tick: Tick) -> i64 {
    time.as_millis().saturating_sub(i64::try_from(tick.as_millis()).unwrap_or(i64::MAX))
}

fn at(ahead: i64, tick: Tick) -> Timestamp {
    Timestamp::from_millis(ahead).plus(tick)
}

fn agrees(one: i64, other: i64) -> bool {
    u128::from(one.abs_diff(other)) <= TOLERANCE.as_millis()
}

/// The middle one; of two, the earlier.
fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);
    const T0: i64 = 1_775_628_000_000;
    const LIE: i64 = 20 * 60_000;

    /// What a right clock shows at `tick`.
    fn truth(tick: Tick) -> Timestamp {
        Timestamp::from_millis(T0).plus(tick)
    }

    fn off(time: Timestamp, by: i64) -> Timestamp {
        Timestamp::from_millis(time.as_millis() + by)
    }

    /// Answers of these errors, in ms, a second apart, to a machine whose clock is wrong by `machine`; the error of the
    /// time after each.
    fn errors(time: &mut ApiTime, from: u32, machine: i64, answers: &[i64]) -> Vec<i64> {
        let mut errors = Vec::new();
        for (second, answer) in (from..).zip(answers) {
            let now = S * second;
            time.observe(off(truth(now), *answer), now, now, off(truth(now), machine));
            errors.push(time.now(now, off(truth(now), machine)).as_millis() - truth(now).as_millis());
        }
        errors
    }

    fn is_trusted(time: &ApiTime, machine: i64) -> bool {
        time.is_trusted(S * 1_000, off(truth(S * 1_000), machine))
    }

    #[test]
    fn date_that_this_machine_confirms_is_believed_at_once() {
        let mut time = ApiTime::default();
        assert_eq!(time.now(S, truth(S)), truth(S));
        assert!(!is_trusted(&time, 0));
        errors(&mut time, 1, 0, &[-400]);
        assert!(is_trusted(&time, 0));
        assert_eq!(time.latest(S * 9), Some(off(truth(S * 9), -400)));
    }

    #[test]
    fn wrong_first_date_is_neither_believed_nor_trusted() {
        let mut time = ApiTime::default();
        assert_eq!(errors(&mut time, 1, 0, &[LIE]), [0]);
        assert!(!is_trusted(&time, 0));
        assert_eq!(errors(&mut time, 2, 0, &[0, LIE, LIE]), [0, 0, 0]);
        assert!(is_trusted(&time, 0));
    }

    #[test]
    fn every_other_answer_20_minutes_ahead_never_moves_the_clock() {
        let mut time = ApiTime::default();
        let answers: Vec<i64> = (0..10_000).map(|n| if n % 2 == 0 { LIE } else { -500 }).collect();
        assert!(errors(&mut time, 1, 0, &answers).iter().all(|error| error.abs() <= 500));
        assert!(is_trusted(&time, 0));
    }

    #[test]
    fn wrong_machine_clock_is_overruled_by_answers_that_agree() {
        for machine in [-86_400_000, LIE] {
            let mut time = ApiTime::default();
            let errors = errors(&mut time, 1, machine, &[-300; 20]);
            assert_eq!(errors[..12], [machine; 12]);
            assert_eq!(errors[12..], [-300; 8]);
            assert!(is_trusted(&time, machine));
        }
    }

    #[test]
    fn real_change_of_the_api_clock_is_followed_and_reported_once() {
        let mut time = ApiTime::default();
        errors(&mut time, 1, 0, &[0; 40]);
        let moved = errors(&mut time, 41, 0, &[LIE; 30]);
        assert_eq!(moved.iter().filter(|error| **error == 0).count(), 20);
        assert!(moved.ends_with(&[LIE; 10]) && is_trusted(&time, 0));
        let mut time = ApiTime::default();
        let decisions = (1..60).map(|n| time.observe(truth(S * n), S * n, S * n, off(truth(S * n), LIE)));
        let moved: Vec<_> = decisions.filter(|decision| *decision != Decision::Kept).collect();
        assert_eq!(moved, [Decision::Moved { ahead_of_machine_ms: -LIE }]);
    }

    #[test]
    fn clock_that_runs_sixty_times_as_fast_is_followed_without_being_trusted() {
        let mut time = ApiTime::default();
        let answers: Vec<i64> = (0..2_000).map(|n| n * 59_000).collect();
        let errors = errors(&mut time, 0, 0, &answers);
        let behind = answers.iter().zip(errors).map(|(answer, error)| answer - error).max();
        assert!(behind < Some(26 * 59_000), "{behind:?}");
        assert!(!is_trusted(&time, 0));
    }

    #[test]
    fn machine_clock_is_trusted_where_no_answer_has_a_date() {
        let mut time = ApiTime::default();
        for _ in 0..MAJORITY {
            assert!(!is_trusted(&time, 0));
            time.observe_undated();
        }
        assert!(is_trusted(&time, 0));
        errors(&mut time, 1, 0, &[LIE]);
        assert!(!is_trusted(&time, 0));
    }

    #[test]
    fn time_of_an_answer_is_that_of_its_head() {
        let mut time = ApiTime::default();
        time.observe(truth(S), S, S * 9, truth(S * 9));
        assert_eq!(time.now(S * 9, truth(S * 9)), truth(S * 9));
    }

    /// Errors of answers, of which fewer than half in any window lie: honest ones are up to two seconds late.
    fn mixture() -> impl Strategy<Value = Vec<i64>> {
        let lie = prop_oneof![-200_000_000_000..200_000_000_000_i64, Just(LIE), 3_000..9_000_i64, -9_000..-3_000_i64];
        let answer = (any::<bool>(), lie, -2_000..=0_i64);
        prop::collection::vec(answer, 1..400).prop_map(|answers| {
            let mut lies: VecDeque<bool> = VecDeque::new();
            let mut errors = Vec::new();
            for (lies_now, lie, late) in answers {
                if lies.len() == WINDOW {
                    lies.pop_front();
                }
                let may_lie = lies.iter().filter(|lies| **lies).count() + 1 < WINDOW / 2;
                lies.push_back(lies_now && may_lie);
                errors.push(if lies_now && may_lie { lie } else { late });
            }
            errors
        })
    }

    proptest! {
        #[test]
        fn liars_below_half_never_move_the_clock_by_more_than_the_tolerance(
            answers in mixture(),
            machine in -500..=500_i64,
        ) {
            let mut time = ApiTime::default();
            for error in errors(&mut time, 1, machine, &answers) {
                prop_assert!(u128::from(error.unsigned_abs()) <= TOLERANCE.as_millis(), "{error} ms");
            }
        }

        #[test]
        fn any_dates_and_any_clock_are_survived(
            dates in prop::collection::vec((any::<i64>(), any::<u64>()), 0..80),
            local in any::<i64>(),
        ) {
            let mut time = ApiTime::default();
            for (date, ms) in dates {
                let tick = Duration::from_millis(ms);
                let local = Timestamp::from_millis(local);
                time.observe(Timestamp::from_millis(date), tick, tick, local);
                time.now(tick, local);
                time.is_trusted(tick, local);
            }
        }
    }
}
