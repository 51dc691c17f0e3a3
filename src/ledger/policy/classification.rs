//! With which classifications a session was counted, and when those were made, in one integer: enough to see that an analysis
//! has changed, and that one that is delivered again is an older one. Pure.
//!
//! Bits 61 down: hashes of resolution (10), sentiment (10) and intent (17), 0 where absent; then either when the analysis was
//! made, in seconds since midnight of the day of the session (24), or, where the API's times do not tell, which
//! classifications were seen (24 bits, of which each sets two). Bit 62 tells this from what format 2 wrote: three hashes of 20
//! bits, of which the ones here are the ends.

use crate::clock::Timestamp;
use crate::session::{Facts, Outcome};

/// Parts of a session that an operator has had forgotten before it was wholly counted. Real ones are not negative.
pub(in crate::ledger) const UNKNOWN_PARTS: i64 = -1;
/// Parts of a session of which only the start was counted when the API gave it no more.
pub(in crate::ledger) const STARTED_ONLY: i64 = -2;
/// This layout, and not that of format 2.
const LAYOUT: i64 = 1 << 62;
/// The low bits say what was seen, and not when.
const UNDATED: i64 = 1 << 61;
const LOW: i64 = (1 << 24) - 1;
/// Name, bits and place of each hash, and its place in format 2.
const PARTS: [(&str, i64, u32, u32); 3] =
    [("resolution", (1 << 10) - 1, 51, 40), ("sentiment", (1 << 10) - 1, 41, 20), ("intent", (1 << 17) - 1, 24, 0)];

/// What an analysis means for a session that has been counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is the one that stands, or an older one.
    Stands,
    /// The classifications that stand were confirmed later, which is to be remembered.
    Confirmed(i64),
    /// It replaces the one that stands.
    Replaced {
        /// The names of the parts that differ.
        parts: Vec<&'static str>,
        /// What is to be remembered from now on.
        remember: i64,
    },
}

/// What is remembered of a session that is counted with this outcome.
pub(super) fn remember(facts: &Facts, outcome: &Outcome) -> i64 {
    let hashes = hashes(outcome);
    seconds(facts).map_or_else(|| undated(hashes, 0), |seconds| LAYOUT | hashes | seconds)
}

/// Judges an analysis that comes after the session was counted. The later one by the API's own times stands. Where these do
/// not tell, a classification that was seen before is no news; one in a hundred that was not is taken for one that was.
pub(super) fn judge(remembered: i64, facts: &Facts, outcome: &Outcome) -> Judgement {
    if remembered == UNKNOWN_PARTS {
        return Judgement::Stands;
    }
    let (standing, now) = (hashes_of(remembered), hashes(outcome));
    let before = (remembered & LAYOUT != 0 && remembered & UNDATED == 0).then_some(remembered & LOW);
    let is_undated = remembered & LAYOUT != 0 && before.is_none();
    let at = seconds(facts).filter(|_| !is_undated);
    let is_same = standing == now;
    let remember = match (before, at) {
        (Some(before), Some(at)) if at < before || is_same && at == before => return Judgement::Stands,
        (Some(before), Some(at)) if at > before => LAYOUT | now | at,
        // The first word since format 2, which did not remember when.
        (None, Some(at)) if !is_undated => LAYOUT | now | at,
        _ if is_same => return Judgement::Stands,
        _ => {
            let seen = if is_undated { remembered & LOW } else { mark(standing) };
            if seen & mark(now) == mark(now) {
                return Judgement::Stands;
            }
            undated(now, seen)
        }
    };
    if is_same {
        return Judgement::Confirmed(remember);
    }
    let differs = |(_, mask, place, _): &(&str, i64, u32, u32)| (standing >> place) & mask != (now >> place) & mask;
    Judgement::Replaced { parts: PARTS.iter().filter(|part| differs(part)).map(|part| part.0).collect(), remember }
}

fn undated(hashes: i64, seen: i64) -> i64 {
    LAYOUT | UNDATED | hashes | seen | mark(hashes)
}

/// The two bits that stand for classifications among those that were seen.
fn mark(hashes: i64) -> i64 {
    let spread = hashes.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()).cast_unsigned();
    let (first, step) = ((spread >> 40) % 24, 1 + (spread >> 20) % 23);
    (1 << first) | (1 << ((first + step) % 24))
}

fn hashes_of(remembered: i64) -> i64 {
    let (is_new, all) = (remembered & LAYOUT != 0, PARTS.iter());
    all.fold(0, |hashes, (_, mask, place, former)| {
        hashes | ((remembered >> if is_new { *place } else { *former }) & mask) << place
    })
}

fn hashes(outcome: &Outcome) -> i64 {
    let values = [&outcome.resolution, &outcome.sentiment, &outcome.intent];
    PARTS
        .iter()
        .zip(values)
        .fold(0, |hashes, ((_, mask, place, _), value)| hashes | (hash(value.as_deref()) & mask) << place)
}

/// 20 bits, 0 where absent.
fn hash(value: Option<&str>) -> i64 {
    value.map_or(0, |value| {
        let digest = ring::digest::digest(&ring::digest::SHA256, value.as_bytes());
        digest.as_ref().iter().take(3).fold(0, |hash, byte| (hash << 8) | i64::from(*byte)) & 0xF_FFFF
    })
}

/// When the API last changed what it says of the session; `None` where it does not say, or half a year late.
fn seconds(facts: &Facts) -> Option<i64> {
    const DAY: i64 = 86_400;
    let at = facts.updated.max(facts.last_activity).map(Timestamp::as_millis)?;
    let seconds = at.div_euclid(1000) - facts.created.day() * DAY;
    (0..=LOW).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::session::Channel;

    const DAY_START: i64 = 1_775_606_400_000;

    fn facts(at: Option<u64>) -> Facts {
        let created = Timestamp::from_millis(DAY_START + 1_500);
        Facts {
            id: "s".into(),
            created,
            channel: Channel {
                agent_id: "A".into(),
                session_type: String::new(),
                platform: String::new(),
                direction: String::new(),
            },
            state: "closed".into(),
            last_activity: None,
            updated: at.map(|seconds| created.plus(Duration::from_secs(seconds))),
            ended: None,
            outcome: None,
            contact: None,
            parts: crate::session::Parts::counted(false),
            malformed: Vec::new(),
        }
    }

    fn outcome(resolution: &str, intent: &str) -> Outcome {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Outcome { resolution: text(resolution), intent: text(intent), ..Outcome::default() }
    }

    /// Judges analyses one after the other; how often each part was reclassified.
    fn judged(first: i64, analyses: &[(Option<u64>, Outcome)]) -> (i64, [usize; 2]) {
        let mut count = [0, 0];
        let remembered =
            analyses.iter().fold(first, |remembered, (at, outcome)| match judge(remembered, &facts(*at), outcome) {
                Judgement::Stands => remembered,
                Judgement::Confirmed(remember) => remember,
                Judgement::Replaced { parts, remember } => {
                    count[0] += usize::from(parts.contains(&"resolution"));
                    count[1] += usize::from(parts.contains(&"intent"));
                    remember
                }
            });
        (remembered, count)
    }

    #[test]
    fn of_two_analyses_that_are_replayed_again_and_again_the_later_stands() {
        let (old, new) = (outcome("unresolved", "Refund"), outcome("resolved", "Refund"));
        for (first, at, then) in [(&old, 10, [1, 0]), (&new, 20, [0, 0])] {
            let counted = remember(&facts(Some(at)), first);
            let replays: Vec<_> =
                std::iter::repeat_n([(Some(20), new.clone()), (Some(10), old.clone())], 20).flatten().collect();
            let (remembered, count) = judged(counted, &replays);
            assert_eq!(count, then);
            assert_eq!(remembered, remember(&facts(Some(20)), &new));
        }
    }

    #[test]
    fn without_times_what_was_seen_before_is_no_change() {
        let versions = ["a", "b", "c"].map(|intent| outcome("resolved", intent));
        // No time at all, the same one for all of them, and one that is out of range.
        for at in [None, Some(5), Some(20_000_000)] {
            let counted = remember(&facts(at), &versions[0]);
            let replays: Vec<_> =
                std::iter::repeat_n(&versions, 20).flatten().map(|version| (at, version.clone())).collect();
            assert_eq!(judged(counted, &replays).1, [0, 2], "{at:?}");
        }
    }

    #[test]
    fn a_session_counted_by_format_2_is_judged_by_what_it_remembered() {
        let first = outcome("resolved", "Refund");
        let former = |outcome: &Outcome| (hash(outcome.resolution.as_deref()) << 40) | hash(outcome.intent.as_deref());
        assert_eq!(judged(former(&first), &[(Some(10), first.clone()), (None, first.clone())]).1, [0, 0]);
        let second = outcome("resolved", "Complaint");
        let replays: Vec<_> =
            std::iter::repeat_n([(Some(20), second.clone()), (Some(10), first.clone())], 20).flatten().collect();
        assert_eq!(judged(former(&first), &replays).1, [0, 1]);
        assert_eq!(judge(UNKNOWN_PARTS, &facts(Some(10)), &second), Judgement::Stands);
    }

    #[test]
    fn an_outcome_that_timed_out_is_replaced_once() {
        let nothing = Outcome { timed_out: true, ..Outcome::default() };
        for at in [None, Some(5)] {
            let counted = remember(&facts(at), &nothing);
            let analysis = outcome("resolved", "Refund");
            assert_eq!(judged(counted, &[(at, analysis.clone()), (at, analysis)]).1, [1, 1]);
        }
    }

    #[test]
    fn the_classifications_of_the_api_are_told_apart() {
        let known =
            ["resolved", "partially_resolved", "unresolved", "not_applicable", "positive", "neutral", "negative"];
        let hashes: std::collections::BTreeSet<i64> = known.iter().map(|value| hash(Some(value)) & 0x3FF).collect();
        assert!(hashes.len() == known.len() && !hashes.contains(&0));
    }

    proptest! {
        #[test]
        fn replayed_analyses_settle_after_a_few_rounds(
            versions in proptest::collection::vec((proptest::option::of(0_u64..30), "[rs]{0,1}", "[a-d]{0,1}"), 1..6)
        ) {
            let versions: Vec<_> = versions.iter().map(|(at, r, i)| (*at, outcome(r, i))).collect();
            let (at, first) = &versions[0];
            let mut remembered = remember(&facts(*at), first);
            for _ in 0..3 {
                (remembered, _) = judged(remembered, &versions);
                prop_assert!(remembered >= 0);
            }
            prop_assert_eq!(judged(remembered, &versions), (remembered, [0, 0]));
        }
    }
}
