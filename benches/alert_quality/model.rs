//! What `agntix-recording.yml` says of shares, in Rust and minute by minute, so that hundreds of agents can be judged for weeks within seconds.
//!
//! Thresholds are those of the rule files. `replay` holds it against the rules in a real Prometheus.

use super::nuisance::{Counts, DAY, WEEK};
use super::rules::Rule;

/// Which baseline a window is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Fast,
    Medium,
    Slow,
}

impl Pace {
    const ALL: [Self; 3] = [Self::Fast, Self::Medium, Self::Slow];

    fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
        }
    }

    /// The window of which past weeks are asked, in minutes.
    fn past_window(self) -> usize {
        match self {
            Self::Fast => 60,
            Self::Medium => 360,
            Self::Slow => DAY,
        }
    }
}

const WINDOWS: [(&str, usize, Pace); 7] = [
    ("5m", 5, Pace::Fast),
    ("15m", 15, Pace::Fast),
    ("1h", 60, Pace::Fast),
    ("2h", 120, Pace::Fast),
    ("6h", 360, Pace::Medium),
    ("1d", DAY, Pace::Slow),
    ("3d", 3 * DAY, Pace::Slow),
];
/// What is expected is evaluated at this distance, in minutes.
const BASELINES: usize = 5;

struct Window {
    minutes: usize,
    pace: Pace,
    z: f64,
    least: f64,
    ratio: f64,
}

/// The rules with their thresholds.
pub struct Model {
    windows: Vec<Window>,
    most: f64,
    at_least: f64,
    floor: f64,
    prior: f64,
    prior_sessions: f64,
    past_sessions: f64,
    settled_sessions: f64,
    unsettled_share: f64,
    unsettled_ratio: f64,
}

/// The minutes in which some window is in excess.
#[derive(Debug, Default)]
pub struct Excess {
    /// Of the windows that raise critical alerts.
    pub critical: Vec<usize>,
    /// Of those that raise warnings.
    pub warning: Vec<usize>,
}

/// Running totals of an agent.
struct Totals {
    judged: Vec<f64>,
    bad: Vec<f64>,
}

impl Totals {
    fn new(counts: &Counts) -> Self {
        let sum = |counts: &[u32]| {
            let add = |sum: &mut f64, count: &u32| {
                *sum += f64::from(*count);
                Some(*sum)
            };
            std::iter::once(0.0).chain(counts.iter().scan(0.0, add)).collect()
        };
        Self { judged: sum(&counts.judged), bad: sum(&counts.bad) }
    }

    /// Sessions, and bad ones, in the `minutes` before `end`.
    fn within(&self, end: usize, minutes: usize) -> (f64, f64) {
        let (end, start) = (end.min(self.judged.len() - 1), end.saturating_sub(minutes));
        (self.judged[end] - self.judged[start], self.bad[end] - self.bad[start])
    }

    /// The same of what ended `offset` minutes ago.
    fn before(&self, now: usize, minutes: usize, offset: usize) -> (f64, f64) {
        self.within(now.saturating_sub(offset), minutes)
    }
}

/// An average over the last week, of what was there an hour ago.
struct WeeklyMean {
    sums: Vec<f64>,
    counts: Vec<f64>,
}

impl WeeklyMean {
    fn new() -> Self {
        Self { sums: vec![0.0], counts: vec![0.0] }
    }

    fn push(&mut self, value: Option<f64>) {
        self.sums.push(self.sums.last().unwrap() + value.unwrap_or(0.0));
        self.counts.push(self.counts.last().unwrap() + f64::from(u8::from(value.is_some())));
    }

    fn get(&self) -> Option<f64> {
        let end = self.sums.len().saturating_sub(61);
        let start = end.saturating_sub(WEEK);
        let count = self.counts[end] - self.counts[start];
        (count > 0.0).then(|| (self.sums[end] - self.sums[start]) / count)
    }
}

impl Model {
    /// With the thresholds of these rules, for unresolved sessions; those for negative ones are the same.
    pub fn new(rules: &[Rule]) -> Self {
        let value = |record: &str, label: Option<(&str, &str)>| -> f64 {
            let has = |rule: &&Rule| {
                rule.name == format!("agntix:threshold:{record}")
                    && label.is_none_or(|(name, value)| rule.labels.get(name).is_some_and(|is| is == value))
            };
            let rule = rules.iter().find(has).unwrap_or_else(|| panic!("no threshold {record} {label:?}"));
            let number = rule.query.trim_start_matches("vector(").trim_end_matches(')');
            number.parse().unwrap_or_else(|e| panic!("{}: {e}", rule.query))
        };
        let window = |(name, minutes, pace): (&str, usize, Pace)| Window {
            minutes,
            pace,
            z: value("z", Some(("pace", pace.name()))),
            least: value("min_sessions", Some(("window", name))),
            ratio: value("ratio", Some(("window", name))),
        };
        Self {
            windows: WINDOWS.into_iter().map(window).collect(),
            most: value("effective_sessions", Some(("limit", "most"))),
            at_least: value("effective_sessions", Some(("limit", "least"))),
            floor: value("share_floor", Some(("signal", "unresolved"))),
            prior: value("prior_share", Some(("signal", "unresolved"))),
            prior_sessions: value("prior_sessions", None),
            past_sessions: value("past_sessions", None),
            settled_sessions: value("settled_sessions", None),
            unsettled_share: value("unsettled_share", None),
            unsettled_ratio: value("unsettled_ratio", None),
        }
    }

    /// Judges an agent from its first minute on.
    pub fn judge(&self, counts: &Counts) -> Excess {
        let totals = Totals::new(counts);
        let mut excess = Excess::default();
        let mut expected = [0.0; 3];
        let mut following: [Vec<Option<f64>>; 3] = Default::default();
        let mut dispersion = vec![1.0; self.windows.len()];
        let mut deviations: Vec<WeeklyMean> = self.windows.iter().map(|_| WeeklyMean::new()).collect();
        let (mut settled, mut known) = (false, false);
        for now in 1..=counts.judged.len() {
            if now % BASELINES == 0 || now == 1 {
                expected = self.expected(&totals, now, &mut following);
                let recent = totals.before(now, WEEK, 60).0;
                settled = now >= DAY && recent >= self.settled_sessions;
                known = recent > self.prior_sessions;
                for (dispersion, deviations) in dispersion.iter_mut().zip(&deviations) {
                    *dispersion = deviations.get().map_or(1.0, |mean| (2.0 * mean).max(1.0));
                }
            }
            for ((window, dispersion), deviations) in self.windows.iter().zip(&dispersion).zip(&mut deviations) {
                let (judged, bad) = totals.within(now, window.minutes);
                let expected = expected[window.pace as usize];
                // A window is recorded once it is full.
                let counts = now >= window.minutes && judged >= window.least;
                deviations.push((counts && window.pace != Pace::Slow).then(|| self.deviation(judged, bad, expected)));
                if !counts || bad / judged < self.floor {
                    continue;
                }
                let lower = self.lower(window, judged, bad, *dispersion);
                let is_sure = lower > self.unsettled_share && lower / self.unsettled_ratio > expected;
                if lower / window.ratio > expected && (settled || is_sure || known && window.pace == Pace::Slow) {
                    let minutes = if window.pace == Pace::Fast { &mut excess.critical } else { &mut excess.warning };
                    if minutes.last() != Some(&now) {
                        minutes.push(now);
                    }
                }
            }
        }
        excess
    }

    fn expected(&self, totals: &Totals, now: usize, following: &mut [Vec<Option<f64>>; 3]) -> [f64; 3] {
        let drawn = |(judged, bad): (f64, f64), sessions: f64, to: f64| (bad + sessions * to) / (judged + sessions);
        let (week, weeks) = (totals.before(now, WEEK, 60), totals.before(now, 2 * WEEK, 3 * DAY));
        let fast = drawn(week, self.prior_sessions, self.prior);
        let slow = drawn(weeks, self.prior_sessions, self.prior);
        Pace::ALL.map(|pace| {
            let recent = if pace == Pace::Slow { slow } else { fast };
            let followed = past(totals, now, pace.past_window()).map(|past| drawn(past, self.past_sessions, recent));
            let following = &mut following[pace as usize];
            following.push(followed);
            let hours_ago = |hours: usize| following.iter().rev().nth(hours * 60 / BASELINES).copied().flatten();
            let basis = if pace == Pace::Slow && weeks.0 < self.prior_sessions { fast } else { recent };
            let yesterday = (pace != Pace::Slow && now > 360)
                .then(|| drawn(totals.before(now, DAY, 360), self.past_sessions, recent));
            [yesterday, followed, hours_ago(1), hours_ago(2)].into_iter().flatten().fold(basis, f64::max)
        })
    }

    fn deviation(&self, judged: f64, bad: f64, expected: f64) -> f64 {
        let above = (bad / judged - expected).max(0.0);
        (above * above / (expected * (1.0 - expected)) / (1.0 / judged + 1.0 / self.most)).min(16.0)
    }

    fn lower(&self, window: &Window, judged: f64, bad: f64, dispersion: f64) -> f64 {
        let divisor = ((1.0 + judged / self.most) * dispersion).min(1.0 + judged / self.at_least);
        lower_bound(judged, bad, judged / divisor, window.z)
    }
}

/// The lower Wilson bound with a continuity correction, of a share that is worth `effective` sessions.
pub fn lower_bound(judged: f64, bad: f64, effective: f64, z: f64) -> f64 {
    let (share, square) = ((bad - 0.5).max(0.0) / judged, z * z);
    let spread = (share * effective * (1.0 - share) + square / 4.0).sqrt();
    (share * effective + square / 2.0 - z * spread) / (effective + square)
}

/// The window that begins now, in past weeks; on past days where there is no such week.
fn past(totals: &Totals, now: usize, minutes: usize) -> Option<(f64, f64)> {
    let sum = |count: usize, apart: usize| {
        // The window has to be full in its time.
        let recorded = (1..=count).map(|n| n * apart - 60).filter(|offset| now >= offset + minutes);
        let add = |(judged, bad): (f64, f64), (more, worse)| (judged + more, bad + worse);
        recorded.map(|offset| totals.before(now, minutes, offset)).reduce(add)
    };
    sum(4, WEEK).or_else(|| sum(6, DAY))
}
