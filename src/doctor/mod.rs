//! What is right and what is wrong with an installation, judged from what was found out about it: pure functions from
//! facts to findings, each with what to do.
//!
//! Nothing in here asks the network or the disk: the command `doctor` does that.

pub mod api;
pub mod place;
pub mod series;

use std::fmt::Write as _;

use serde::Serialize;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As it should be.
    Ok,
    /// The exporter runs, but not as well as it could, or not for long.
    Warning,
    /// The exporter does not do its work.
    Failure,
}

impl Standing {
    /// As it is written in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, in a word or two.
    pub check: &'static str,
    /// How bad it is.
    pub standing: Standing,
    /// What was found, with the values; a sentence without its full stop.
    pub found: String,
    /// What to do about it; nothing if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, standing: Standing::Ok, found: found.into(), advice: None }
    }

    /// Worth a look.
    pub fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, standing: Standing::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    /// To be mended.
    pub fn failure(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, standing: Standing::Failure, found: found.into(), advice: Some(advice.into()) }
    }
}

/// All findings of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they are read best: what others depend on comes first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are of this standing.
    pub fn count(&self, standing: Standing) -> usize {
        self.findings.iter().filter(|finding| finding.standing == standing).count()
    }

    /// For a person: a line a finding, and under it what to do.
    pub fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut text = String::new();
        for Finding { check, standing, found, advice } in &self.findings {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<7}  {check:<width$}  {found}", standing.as_str());
            if let Some(advice) = advice {
                let _ = writeln!(text, "{:<7}  {:<width$}  -> {advice}", "", "");
            }
        }
        let (failures, warnings) = (self.count(Standing::Failure), self.count(Standing::Warning));
        let plural = |count: usize, what: &str| match count {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let _ = writeln!(text, "\n{}, {}", plural(failures, "failure"), plural(warnings, "warning"));
        text
    }
}

/// A span of time as people write it, without more than two units.
fn span(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let rounded = match seconds {
        0..120 => seconds,
        120..7_200 => seconds / 60 * 60,
        7_200..172_800 => seconds / 3_600 * 3_600,
        _ => seconds / 86_400 * 86_400,
    };
    humantime::format_duration(std::time::Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_what_to_do() {
        let report = Report {
            findings: vec![
                Finding::ok("credential", "it is accepted"),
                Finding::warning("clock", "it is 9 s late", "set it"),
                Finding::failure("state", "it is full", "make room"),
            ],
        };
        assert_eq!(
            report.text(),
            "ok       credential  it is accepted\n\
             warning  clock       it is 9 s late\n                     -> set it\n\
             failure  state       it is full\n                     -> make room\n\
             \n1 failure, 1 warning\n"
        );
        assert!(Report::default().text().ends_with("no failures, no warnings\n"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["findings"][0],
            serde_json::json!({"check": "credential", "standing": "ok", "found": "it is accepted"})
        );
        assert_eq!(json["findings"][2]["advice"], "make room");
    }

    #[test]
    fn spans_are_short() {
        let said = |seconds| span(std::time::Duration::from_secs(seconds));
        assert_eq!([said(0), said(119), said(150), said(9_000), said(200_000)], ["0s", "1m 59s", "2m", "2h", "2days"]);
    }
}
