//! The table of agents on the landing page: what was counted lately, in words, and the course of each share as a small picture.

use std::fmt::Write as _;
use std::time::Duration;

use super::landing::span;
use crate::recent::{AgentRow, Lately, Share, Table, Trend};

/// How many agents the landing page has: it is read by a person.
pub(super) const MOST: usize = 50;
/// The id that stands for agents without a place of their own.
const OTHER: &str = "other";
const HOUR: Duration = Duration::from_secs(3_600);
/// The size of a course, in its own units. It is as high as a share of 1, so that rows can be compared.
const WIDTH: f64 = 76.0;
const HEIGHT: f64 = 20.0;

/// The table, ready to be written.
pub(super) struct Agents {
    /// For how long it has been counted.
    pub(super) since: String,
    pub(super) rows: Vec<Agent>,
    /// How many agents are told apart in the rows, and how many there was no room for.
    pub(super) shown: usize,
    pub(super) left_out: usize,
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
    pub(super) shares: [Column; 2],
    pub(super) median: String,
}

/// A share, and how it came about.
pub(super) struct Column {
    pub(super) share: String,
    /// What the picture shows, for whoever does not see it.
    pub(super) label: String,
    /// The corners of the picture's lines: a line ends where there is no share.
    pub(super) lines: Vec<String>,
    /// How it ends; empty if that is not said.
    pub(super) now: String,
}

impl Agents {
    pub(super) fn new(table: &Table) -> Self {
        // One agent is all agents.
        let all = (table.agents.len() > 1).then_some((&table.all, "All agents"));
        let is_older = table.since > HOUR;
        let rows = all.into_iter().chain(table.agents.iter().map(|row| (row, "Further agents")));
        Self {
            since: span(table.since.min(24 * HOUR)),
            rows: rows.map(|(row, several)| Agent::new(row, several, is_older)).collect(),
            shown: table.agents.iter().filter(|row| row.agent.is_some()).count(),
            left_out: table.left_out,
        }
    }
}

impl Agent {
    /// `several`: what the row is called if it is not one agent's. `has_day`: it is known what was before the last hour.
    fn new(row: &AgentRow, several: &str, has_day: bool) -> Self {
        let (name, id) = match (&row.agent, &row.name) {
            (Some(id), Some(name)) if **id != **name => (name.clone(), id.to_string()),
            // Into this the ledger folds the agents beyond `metrics.max_agents`.
            (Some(id), None) if **id == *OTHER => ("Agents beyond metrics.max_agents".to_owned(), id.to_string()),
            (Some(id), _) => (id.to_string(), String::new()),
            (None, _) => (several.to_owned(), String::new()),
        };
        let hour = Window::new("hour", "2 minutes", &row.hour);
        let mut day = has_day.then(|| Window::new("day", "hour", &row.day));
        // Two hours are not now.
        day.iter_mut().flat_map(|day| &mut day.shares).for_each(|column| column.now.clear());
        Self { name, id, windows: [hour].into_iter().chain(day).collect() }
    }
}

impl Window {
    /// `slot`: how long each place of a course is.
    fn new(length: &'static str, slot: &str, lately: &Lately) -> Self {
        Self {
            length,
            sessions: lately.sessions,
            shares: [("Unresolved", &lately.unresolved), ("Negative", &lately.negative)]
                .map(|(what, trend)| Column::new(what, slot, trend)),
            median: lately.median_seconds.map_or_else(|| "–".to_owned(), median),
        }
    }
}

impl Column {
    fn new(what: &str, slot: &str, trend: &Trend) -> Self {
        let texts = trend.course.iter().map(|share| share.map_or_else(|| "none".to_owned(), percent));
        Self {
            share: if trend.whole.of == 0 { "–".to_owned() } else { share(trend.whole) },
            label: format!("{what}, each {slot} up to now: {}", texts.collect::<Vec<_>>().join(", ")),
            lines: lines(&trend.course),
            now: share(trend.now),
        }
    }
}

/// The lines of a course, from left to right; what is newest is at the right edge.
#[expect(clippy::cast_precision_loss, reason = "there are two dozen places")]
fn lines(shares: &[Option<f64>]) -> Vec<String> {
    let step = WIDTH / (shares.len().max(2) - 1) as f64;
    let mut lines = Vec::new();
    for run in shares.iter().enumerate().collect::<Vec<_>>().split(|(_, share)| share.is_none()) {
        let corner = |(place, share): &(usize, &Option<f64>)| {
            let (x, y) = (*place as f64 * step, HEIGHT - share.unwrap_or(0.0) * HEIGHT);
            format!("{x:.1},{y:.1}")
        };
        let mut line = run.iter().map(corner).collect::<Vec<_>>().join(" ");
        if let [(place, share)] = run {
            // A single place is a short line, to be seen at all.
            let y = HEIGHT - share.unwrap_or(0.0) * HEIGHT;
            let _ = write!(line, " {:.1},{y:.1}", *place as f64 * step + 2.0);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// `43 % of 63`; nothing of nothing.
fn share(share: Share) -> String {
    share.ratio().map_or_else(String::new, |ratio| format!("{} of {}", percent(ratio), share.of))
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
        assert_eq!(lines(&[Some(0.0), Some(0.5), None, Some(0.25)]), ["0.0,20.0 25.3,10.0", "76.0,15.0 78.0,15.0"]);
        assert_eq!(lines(&[Some(1.0)]), ["0.0,0.0 2.0,0.0"]);
        let trend = Trend { course: vec![None, Some(0.431)], ..Trend::default() };
        let column = Column::new("Negative", "hour", &trend);
        assert_eq!(column.label, "Negative, each hour up to now: none, 43 %");
        assert_eq!((column.share.as_str(), column.now.as_str()), ("–", ""));
    }

    fn row(agent: Option<&str>, name: Option<&str>) -> AgentRow {
        let unresolved = Trend { now: Share { of: 8, part: 6 }, ..Trend::default() };
        let hour = Lately { sessions: 9, unresolved, ..Lately::default() };
        AgentRow { agent: agent.map(Into::into), name: name.map(Into::into), hour: hour.clone(), day: hour }
    }

    #[test]
    fn rows_say_whose_they_are() {
        let rows =
            [(Some("a"), Some("Desk")), (Some("b"), Some("b")), (Some("c"), None), (Some("other"), None), (None, None)];
        let agents = rows.map(|(agent, name)| row(agent, name)).into();
        let table = Table { since: 2 * HOUR, all: row(None, None), agents, left_out: 7 };
        let shown = Agents::new(&table);
        let names: Vec<_> = shown.rows.iter().map(|agent| (agent.name.as_str(), agent.id.as_str())).collect();
        let expected = [
            ("All agents", ""),
            ("Desk", "a"),
            ("b", ""),
            ("c", ""),
            ("Agents beyond metrics.max_agents", "other"),
            ("Further agents", ""),
        ];
        assert_eq!(names, expected);
        assert_eq!((shown.shown, shown.left_out), (4, 7));
        let [hour, day] = &*shown.rows[0].windows else { panic!("an hour and a day") };
        let nows = [hour, day].map(|window| (window.length, window.shares[0].now.as_str()));
        assert_eq!(nows, [("hour", "75 % of 8"), ("day", "")]);
    }

    #[test]
    fn share_of_nothing_is_no_share() {
        assert_eq!(share(Share { of: 63, part: 27 }), "43 % of 63");
        assert_eq!(share(Share::default()), "");
        assert_eq!((median(4.25), median(272.0)), ("4.2s".to_owned(), "4m 32s".to_owned()));
    }
}
