//! The sessions of one agent, minute by minute, where life is not constant: shares that follow the hour or wander, deployments, campaigns, clocks.
//!
//! It knows no rule and no series, and takes nothing from the simulator, whose shares are constant.

use fastrand::Rng;

/// Minutes of a day.
pub const DAY: usize = 1_440;
/// Minutes of a week. Minute 0 is a Monday, 00:00.
pub const WEEK: usize = 7 * DAY;
/// The share in which the nuisances are given; other shares have all of it in proportion.
const GIVEN_SHARE: f64 = 0.15;
/// However much is added up, so many sessions end well, and badly.
const SHARES: std::ops::RangeInclusive<f64> = 0.005..=0.92;
/// An incident leaves one session in twenty.
const WORST_INCIDENT: f64 = 0.95;
/// How long a wandering share remembers where it was, in minutes.
const WANDER_MINUTES: f64 = 180.0;

/// What is not constant without anything being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nuisance {
    /// Nothing: the volume follows the hour and the weekday, the share is constant.
    None,
    /// A share of 12 % by day and 20 % at night.
    Rhythm,
    /// A share of 10 % by day and 30 % at night.
    StrongRhythm,
    /// Mondays are a third worse, weekends a quarter.
    Weekdays,
    /// From 15 to 20 % within a week, for good.
    Drift,
    /// The share wanders around its mean: a standard deviation of 2 points, a correlation of three hours.
    Wander,
    /// The same with 4 points.
    StrongWander,
    /// From 15 to 18 % from one minute to the next, for good.
    Deployment,
    /// Three days with twice the sessions, of which a third more end badly.
    Campaign,
    /// A day with a tenth of the sessions.
    Holiday,
    /// Opening hours only, Monday to Friday from 8 to 18, and the clocks go forward or back.
    Clocks,
    /// Opening hours only.
    OpeningHours,
    /// `Rhythm`, `Weekdays`, `Drift`, `Wander`, `Deployment`, `Campaign` and `Holiday` together.
    Everything,
}

impl Nuisance {
    /// All kinds, in the order of the tables.
    pub const ALL: [Self; 13] = [
        Self::None,
        Self::Rhythm,
        Self::StrongRhythm,
        Self::Weekdays,
        Self::Drift,
        Self::Wander,
        Self::StrongWander,
        Self::Deployment,
        Self::Campaign,
        Self::Holiday,
        Self::Clocks,
        Self::OpeningHours,
        Self::Everything,
    ];

    /// As the tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rhythm => "12 % by day, 20 % at night",
            Self::StrongRhythm => "10 % by day, 30 % at night",
            Self::Weekdays => "weekdays differ",
            Self::Drift => "drift, 15 to 20 % in a week",
            Self::Wander => "wanders by 2 points",
            Self::StrongWander => "wanders by 4 points",
            Self::Deployment => "deployment, 15 to 18 %",
            Self::Campaign => "campaign",
            Self::Holiday => "holiday",
            Self::Clocks => "opening hours, clocks change",
            Self::OpeningHours => "opening hours",
            Self::Everything => "everything",
        }
    }
}

/// From `from` on, for `minutes`, the share is so many `times` what it would be.
#[derive(Clone, Copy, Debug)]
pub struct Incident {
    pub from: usize,
    pub minutes: usize,
    pub times: f64,
}

/// An agent's life.
#[derive(Clone, Debug)]
pub struct Life {
    pub nuisance: Nuisance,
    /// The usual share.
    pub share: f64,
    pub sessions_per_day: f64,
    /// How long it is, in minutes.
    pub minutes: usize,
    /// What happens once (a deployment, a campaign, …) does so after this.
    pub calm: usize,
    pub incident: Option<Incident>,
}

/// What is to be expected of a minute.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Sessions a minute.
    pub rate: f64,
    /// The share of them that ends badly.
    pub share: f64,
}

/// What came of it: so many sessions in each minute, and so many of them bad.
#[derive(Debug)]
pub struct Counts {
    pub judged: Vec<u32>,
    pub bad: Vec<u32>,
}

/// When what happens once happens, in minutes.
struct Events {
    deployment: usize,
    drift: usize,
    campaign: usize,
    holiday: usize,
    clocks: usize,
    /// Forward if true.
    forward: bool,
}

impl Events {
    fn draw(life: &Life, rng: &mut Rng) -> Self {
        let mut within = |length: usize| {
            let span = life.minutes.saturating_sub(life.calm + length).max(1);
            life.calm + rng.usize(0..span)
        };
        Self {
            deployment: within(0),
            drift: within(WEEK),
            campaign: within(3 * DAY),
            holiday: within(DAY) / DAY * DAY,
            // A Sunday, 01:00.
            clocks: within(WEEK) / WEEK * WEEK + 6 * DAY + 60,
            forward: rng.bool(),
        }
    }
}

impl Life {
    /// What is to be expected of each minute.
    pub fn moments(&self, rng: &mut Rng) -> Vec<Moment> {
        let events = Events::draw(self, rng);
        let remembered = (-1.0 / WANDER_MINUTES).exp();
        let mut wander = normal(rng);
        (0..self.minutes)
            .map(|minute| {
                wander = remembered * wander + (1.0 - remembered * remembered).sqrt() * normal(rng);
                self.moment(minute, wander, &events)
            })
            .collect()
    }

    fn moment(&self, minute: usize, wander: f64, events: &Events) -> Moment {
        let is = |nuisance| self.nuisance == nuisance;
        let all = is(Nuisance::Everything);
        let local = match (is(Nuisance::Clocks) && minute >= events.clocks, events.forward) {
            (false, _) => minute,
            (true, true) => minute + 60,
            (true, false) => minute - 60,
        };
        let (hour, weekday) = (local % DAY / 60, local / DAY % 7);
        let weekend = weekday >= 5;

        let mut rate = self.sessions_per_day / DAY_F;
        if is(Nuisance::Clocks) || is(Nuisance::OpeningHours) {
            rate *= if !weekend && (8..18).contains(&hour) { 2.4 } else { 0.0 };
        } else {
            rate *= (1.0 + 0.85 * day_curve(local)) * if weekend { 0.6 } else { 1.0 };
        }
        let by_day = (8..20).contains(&hour);
        let mut share = match self.nuisance {
            Nuisance::Rhythm | Nuisance::Everything => {
                if by_day {
                    0.12
                } else {
                    0.20
                }
            }
            Nuisance::StrongRhythm => {
                if by_day {
                    0.10
                } else {
                    0.30
                }
            }
            _ => GIVEN_SHARE,
        };
        if is(Nuisance::Weekdays) || all {
            share *= WEEKDAYS.get(weekday).copied().unwrap_or(1.0);
        }
        if is(Nuisance::Drift) || all {
            share += 0.05 * (since(minute, events.drift) / WEEK_F).min(1.0);
        }
        if is(Nuisance::Wander) || all {
            share += 0.02 * wander;
        }
        if is(Nuisance::StrongWander) {
            share += 0.04 * wander;
        }
        if (is(Nuisance::Deployment) || all) && minute >= events.deployment {
            share += 0.03;
        }
        if (is(Nuisance::Campaign) || all) && (events.campaign..events.campaign + 3 * DAY).contains(&minute) {
            (rate, share) = (rate * 2.0, share * 1.3);
        }
        if (is(Nuisance::Holiday) || all) && (events.holiday..events.holiday + DAY).contains(&minute) {
            rate *= 0.1;
        }
        share = (share * self.share / GIVEN_SHARE).clamp(*SHARES.start(), *SHARES.end());
        if let Some(incident) = self.incident
            && (incident.from..incident.from + incident.minutes).contains(&minute)
        {
            share = (share * incident.times).min(WORST_INCIDENT);
        }
        Moment { rate, share }
    }

    /// Its sessions.
    pub fn counts(&self, rng: &mut Rng) -> Counts {
        let moments = self.moments(rng);
        let judged: Vec<u32> = moments.iter().map(|moment| poisson(moment.rate, rng)).collect();
        let bad = moments.iter().zip(&judged).map(|(moment, judged)| binomial(*judged, moment.share, rng)).collect();
        Counts { judged, bad }
    }
}

const DAY_F: f64 = 1_440.0;
const WEEK_F: f64 = 10_080.0;
/// How much worse than usual Monday to Sunday are.
const WEEKDAYS: [f64; 7] = [1.3, 1.0, 0.9, 0.9, 1.0, 1.2, 1.25];

/// From -1 at two in the morning to 1 at two in the afternoon.
fn day_curve(minute: usize) -> f64 {
    let hours = since(minute % DAY, 0) / 60.0;
    (std::f64::consts::TAU * (hours - 14.0) / 24.0).cos()
}

/// Minutes from `then` to `now`, or 0 before.
fn since(now: usize, then: usize) -> f64 {
    f64::from(u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX))
}

/// Randomness of a case of a seed: cases that differ in anything have nothing in common.
pub fn seeded(seed: u64, case: [usize; 3]) -> Rng {
    let mixed = case.iter().fold(seed, |mixed, part| mixed.wrapping_mul(1_000_003).wrapping_add(*part as u64 + 1));
    Rng::with_seed(mixed)
}

/// From a standard normal distribution (Box and Muller).
pub fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * rng.f64().max(f64::MIN_POSITIVE).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// From a Poisson distribution (Knuth), which is quick enough for the sessions of a minute.
pub fn poisson(rate: f64, rng: &mut Rng) -> u32 {
    let least = (-rate).exp();
    let (mut count, mut product) = (0, rng.f64());
    while product > least {
        count += 1;
        product *= rng.f64();
    }
    count
}

/// How many of `n` are so.
pub fn binomial(n: u32, share: f64, rng: &mut Rng) -> u32 {
    u32::try_from((0..n).filter(|_| rng.f64() < share).count()).unwrap_or(n)
}
