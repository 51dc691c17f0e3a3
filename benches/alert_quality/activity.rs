//! What an agent's sessions add to the series of the exporter, minute by minute: outcomes, handle times, intents.
//!
//! The number of sessions and their usual share are those of [`Life`]. Handle time follows the share in proportion: where a fifth more sessions end badly, sessions
//! also take a fifth longer, so that each kind of nuisance is one for handle time, too. It knows no rule.

use fastrand::Rng;

use super::nuisance::{Life, Moment, normal, poisson};

/// Handle times and intents are counted in slots of so many minutes, the interval of their rules.
pub const SLOT: usize = 3;
/// Upper bounds of the handle time's buckets in seconds, as in `metrics.duration_buckets`; what is longer is in one more.
pub const BOUNDS: [f64; 14] =
    [5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0, 7200.0];
/// Half of the sessions take longer than this many seconds, at the usual share.
const MEDIAN: f64 = 200.0;
/// Of the logarithm of the handle time.
const DEVIATION: f64 = 0.7;
/// By how much the intents of an agent are worse than its mean.
const WORSE: [f64; 8] = [0.8, 1.3, 1.1, 0.9, 1.0, 0.7, 1.2, 1.0];

/// What is really wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// So many times the usual share stays unresolved.
    Unresolved(f64),
    /// So many times the usual sessions.
    Volume(f64),
    /// So many times the usual handle time.
    Slow(f64),
    /// One intent, this one, is unresolved in so many of its sessions.
    Intent(usize, f64),
}

/// Something is wrong from a minute on, for so many minutes.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub trouble: Trouble,
    pub from: usize,
    pub minutes: usize,
}

impl Fault {
    fn is_on(&self, minute: usize) -> bool {
        (self.from..self.from + self.minutes).contains(&minute)
    }
}

/// An agent's sessions.
#[derive(Debug)]
pub struct Activity {
    /// Sessions started (and judged) in each minute.
    pub started: Vec<u32>,
    pub unresolved: Vec<u32>,
    pub negative: Vec<u32>,
    /// Both unresolved and negative; the other outcomes follow.
    pub both: Vec<u32>,
    /// Sessions by bucket of their handle time, in each slot.
    pub durations: Vec<[u32; BOUNDS.len() + 1]>,
    /// Of each intent, in each slot: sessions, and how many of them are unresolved.
    pub intents: Vec<Vec<[u32; 2]>>,
}

impl Activity {
    /// The sessions of this life, with so many intents and these faults.
    pub fn draw(life: &Life, intents: usize, faults: &[Fault], rng: &mut Rng) -> Self {
        Self::of(&life.moments(rng), life.share, life.share, intents, faults, rng)
    }

    /// The sessions of these moments, whose share is usually `usual`; `negative` of the sessions are usually negative, and more where more are unresolved.
    pub fn of(moments: &[Moment], usual: f64, negative: f64, intents: usize, faults: &[Fault], rng: &mut Rng) -> Self {
        let slots = moments.len().div_ceil(SLOT);
        let mut activity = Self {
            started: vec![0; moments.len()],
            unresolved: vec![0; moments.len()],
            negative: vec![0; moments.len()],
            both: vec![0; moments.len()],
            durations: vec![[0; BOUNDS.len() + 1]; slots],
            intents: vec![vec![[0; 2]; slots]; intents],
        };
        for (minute, moment) in moments.iter().enumerate() {
            let on = || faults.iter().filter(|fault| fault.is_on(minute)).map(|fault| fault.trouble);
            let times = |of: &dyn Fn(Trouble) -> Option<f64>| on().filter_map(of).product::<f64>();
            let rate = moment.rate * times(&|trouble| if let Trouble::Volume(x) = trouble { Some(x) } else { None });
            let worse = times(&|trouble| if let Trouble::Unresolved(x) = trouble { Some(x) } else { None });
            let slower = times(&|trouble| if let Trouble::Slow(x) = trouble { Some(x) } else { None });
            let broken = on().find_map(|trouble| if let Trouble::Intent(n, x) = trouble { Some((n, x)) } else { None });
            let median = MEDIAN * slower * moment.share / usual;
            let unhappy = (moment.share / usual * negative).min(0.95);
            for _ in 0..poisson(rate, rng) {
                let intent = pick_intent(intents, minute, rng);
                let share = match broken {
                    Some((number, share)) if number == intent => share,
                    _ => (moment.share * worse * WORSE[intent % WORSE.len()]).min(0.95),
                };
                let (unresolved, negative) = (rng.f64() < share, rng.f64() < unhappy);
                let seconds = median * (DEVIATION * normal(rng)).exp();
                activity.started[minute] += 1;
                activity.unresolved[minute] += u32::from(unresolved);
                activity.negative[minute] += u32::from(negative);
                activity.both[minute] += u32::from(unresolved && negative);
                activity.durations[minute / SLOT][BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
                let [all, bad] = &mut activity.intents[intent][minute / SLOT];
                (*all, *bad) = (*all + 1, *bad + u32::from(unresolved));
            }
        }
        activity
    }
}

/// Each intent is half as frequent as the one before it, and at night the order is the other way round.
fn pick_intent(intents: usize, minute: usize, rng: &mut Rng) -> usize {
    let last = intents - 1;
    let mut picked = 0;
    while picked < last && rng.f64() < 0.5 {
        picked += 1;
    }
    let by_day = (8..20).contains(&(minute / 60 % 24));
    if by_day { picked } else { last - picked }
}
