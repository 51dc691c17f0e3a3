//! The table of agents on the landing page: what was counted lately, in words, and its course as a small picture.

use std::fmt::Write as _;
use std::time::Duration;

use super::landing::span;
use crate::recent::{AgentRow, Lately, Share, Table};

/// How many agents the landing page has: it is read by a person.
pub(super) const MOST: usize = 50;
const HOUR: Duration = Duration::from_secs(3_600);
/// The size of a course, in its own units.
const WIDTH: f64 = 96.0;
const HEIGHT: f64 = 20.0;
/// A course is drawn up to this share at least, so that what is small looks small.
const TOP: f64 = 0.5;

/// The table, ready to be written.
pub(super) struct Agents {
    /// For how long it has been counted.
    pub(super) since: String,
    pub(super) rows: Vec<Agent>,
}

/// An agent, or all of them.
pub(super) struct Agent {
    pub(super) name: String,
    /// What tells it from others of the same name; empty if that is the name.
    pub(super) id: String,
    pub(super) windows: Vec<Window>,
}

/// What was counted in a length of time.
pub(super) struct Window {
    pub(super) length: &'static str,
    pub(super) sessions: u64,
    pub(super) unresolved: String,
    pub(super) negative: String,
    pub(super) median: String,
    pub(super) course: Course,
}

/// A share over time.
pub(super) struct Course {
    /// What it shows, for whoever does not see it.
    pub(super) label: String,
    /// The corners of its lines: a line ends where there is no share.
    pub(super) lines: Vec<String>,
}

impl Agents {
    pub(super) fn new(table: &Table) -> Self {
        // One agent is all agents.
        let all = (table.agents.len() > 1).then_some(&table.all);
        let is_older = table.since > HOUR;
        let rows = all.into_iter().chain(&table.agents).map(|row| Agent::new(row, is_older)).collect();
        Self { since: span(table.since.min(24 * HOUR)), rows }
    }
}

impl Agent {
    /// `has_day`: it is known what was before the last hour.
    fn new(row: &AgentRow, has_day: bool) -> Self {
        let (name, id) = match (&row.agent, &row.name) {
            (Some(id), Some(name)) if **id != **name => (name.clone(), id.to_string()),
            (Some(id), _) => (id.to_string(), String::new()),
            (None, _) => ("All agents".to_owned(), String::new()),
        };
        let day = has_day.then(|| Window::new("day", "hour", &row.day));
        let windows = [Window::new("hour", "2 minutes", &row.hour)].into_iter().chain(day).collect();
        Self { name, id, windows }
    }
}

impl Window {
    fn new(length: &'static str, slot: &str, lately: &Lately) -> Self {
        Self {
            length,
            sessions: lately.sessions,
            unresolved: share(lately.unresolved),
            negative: share(lately.negative),
            median: lately.median_seconds.map_or_else(|| "–".to_owned(), median),
            course: Course::new(slot, &lately.course),
        }
    }
}

impl Course {
    fn new(slot: &str, shares: &[Option<f64>]) -> Self {
        let texts: Vec<String> = shares.iter().map(|share| share.map_or_else(|| "none".to_owned(), percent)).collect();
        Self { label: format!("Unresolved, each {slot} up to now: {}", texts.join(", ")), lines: lines(shares) }
    }
}

/// The lines of a course, from left to right; what is newest is at the right edge.
#[expect(clippy::cast_precision_loss, reason = "there are two dozen places")]
fn lines(shares: &[Option<f64>]) -> Vec<String> {
    let top = shares.iter().flatten().fold(TOP, |top, share| top.max(*share));
    let step = WIDTH / (shares.len().max(2) - 1) as f64;
    let mut lines = Vec::new();
    for run in shares.iter().enumerate().collect::<Vec<_>>().split(|(_, share)| share.is_none()) {
        let corner = |(place, share): &(usize, &Option<f64>)| {
            let (x, y) = (*place as f64 * step, HEIGHT - share.unwrap_or(0.0) / top * HEIGHT);
            format!("{x:.1},{y:.1}")
        };
        let mut line = run.iter().map(corner).collect::<Vec<_>>().join(" ");
        if let [(place, share)] = run {
            // A single place is a short line, to be seen at all.
            let y = HEIGHT - share.unwrap_or(0.0) / top * HEIGHT;
            let _ = write!(line, " {:.1},{y:.1}", *place as f64 * step + 2.0);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// `43 % of 63`
fn share(share: Share) -> String {
    share.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{} of {}", percent(ratio), share.of))
}

fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

fn median(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1}s") } else { span(Duration::from_secs_f64(seconds.min(1e9))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn course_has_a_line_for_each_run_of_shares_and_stays_in_its_frame() {
        assert_eq!(lines(&[]), Vec::<String>::new());
        assert_eq!(lines(&[None, None]), Vec::<String>::new());
        assert_eq!(lines(&[Some(0.0), Some(0.5), None, Some(0.25)]), ["0.0,20.0 32.0,0.0", "96.0,10.0 98.0,10.0"]);
        assert_eq!(lines(&[Some(1.0)]), ["0.0,0.0 2.0,0.0"]);
        let course = Course::new("hour", &[None, Some(0.431)]);
        assert_eq!(course.label, "Unresolved, each hour up to now: none, 43 %");
    }

    #[test]
    fn share_of_nothing_is_no_share() {
        assert_eq!(share(Share { of: 63, part: 27 }), "43 % of 63");
        assert_eq!(share(Share::default()), "–");
        assert_eq!((median(4.25), median(272.0)), ("4.2s".to_owned(), "4m 32s".to_owned()));
    }
}
