//! What the rules say of the number of sessions (silent, missing, flooded), in Rust and minute by minute, so that many agents can be judged for weeks within seconds.
//!
//! Thresholds are those of `agntix-settings.yml`. `replay` holds it against the rules in a real Prometheus.

use std::collections::VecDeque;

use super::nuisance::WEEK;
use super::spans::{Spans, firing};

const Z: f64 = 3.75;
const SILENCE_RATIO: f64 = 0.25;
const FLOOD_RATIO: f64 = 2.5;
const FLOOD_SESSIONS: f64 = 50.0;
/// Past weeks are asked from so many minutes before to so many minutes after.
const AROUND: usize = 60;

/// When the volume alerts of an agent fire, in minutes.
#[derive(Debug, Default)]
pub struct Volume {
    /// `AgntixSessionsSilent`, critical.
    pub silent: Spans,
    /// `AgntixSessionsMissing`, a warning.
    pub missing: Spans,
    /// `AgntixSessionsFlood`, a warning.
    pub flood: Spans,
}

/// Judges an agent from `from` on.
pub fn judge(started: &[u32], from: usize) -> Volume {
    let windows = [30, 120, 360, 2_880].map(|minutes| Window::new(started, minutes));
    let [half_hour, two_hours, six_hours, two_days] = &windows;
    let when = |is: &dyn Fn(usize) -> bool| (from..started.len()).filter(|minute| is(*minute)).collect::<Vec<_>>();
    Volume {
        silent: firing(&when(&|at| half_hour.is_silent(at) || two_hours.is_silent(at)), 2, 10),
        missing: firing(&when(&|at| six_hours.is_silent(at) || two_days.is_silent(at)), 10, 60),
        flood: firing(&when(&|at| half_hour.is_flooded(at) || two_hours.is_flooded(at)), 2, 10),
    }
}

struct Window {
    /// Sessions in the window that ends with each minute.
    sessions: Vec<f64>,
    /// The fewest and the most of the two hours that end with each minute.
    fewest: Vec<f64>,
    most: Vec<f64>,
}

impl Window {
    fn new(started: &[u32], minutes: usize) -> Self {
        let mut sessions = Vec::with_capacity(started.len());
        let mut sum = 0.0;
        for (minute, count) in started.iter().enumerate() {
            sum += f64::from(*count);
            if minute >= minutes {
                sum -= f64::from(started[minute - minutes]);
            }
            sessions.push(sum);
        }
        let fewest = extremes(&sessions, |a, b| a <= b);
        let most = extremes(&sessions, |a, b| a >= b);
        Self { sessions, fewest, most }
    }

    fn is_silent(&self, at: usize) -> bool {
        let (sum, weeks) = past(&self.fewest, at).fold((0.0, 0.0), |(sum, weeks), fewest| (sum + fewest, weeks + 1.0));
        weeks > 0.0 && ((self.sessions[at] + 1.0).sqrt() + Z / 2.0).powi(2) < SILENCE_RATIO * sum / weeks
    }

    fn is_flooded(&self, at: usize) -> bool {
        if self.sessions[at] < FLOOD_SESSIONS || at < 2 * WEEK {
            return false;
        }
        let most = past(&self.most, at).fold(0.0, f64::max);
        (self.sessions[at].sqrt() - Z / 2.0).max(0.0).powi(2) > FLOOD_RATIO * most
    }
}

/// The values of past weeks, an hour before and after included.
fn past(of: &[f64], at: usize) -> impl Iterator<Item = f64> {
    (1..=4).filter_map(move |week| Some(of[(at + AROUND).checked_sub(week * WEEK)?]))
}

/// Of each minute the best of the two hours that end with it.
fn extremes(values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> Vec<f64> {
    let mut best: VecDeque<usize> = VecDeque::new();
    let mut found = Vec::with_capacity(values.len());
    for (minute, value) in values.iter().enumerate() {
        while best.back().is_some_and(|last| is_better(*value, values[*last])) {
            best.pop_back();
        }
        best.push_back(minute);
        while best.front().is_some_and(|first| first + 2 * AROUND <= minute) {
            best.pop_front();
        }
        found.push(best.front().map_or(*value, |first| values[*first]));
    }
    found
}
