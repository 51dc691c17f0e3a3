//! All findings together, as text for a person and as JSON for a program.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::many;
use super::{Finding, Status};

/// The result of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// Requests that were sent to the API, the opening of the stream included; not those for which there was no connection.
    pub requests: u32,
}

/// Resets the colour.
const PLAIN: &str = "\x1b[0m";

impl Report {
    /// How many findings are like this.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// One line per finding, a second one with advice if there is any, and a last line with the totals.
    pub fn text(&self, coloured: bool) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { check, status, says, advice } in &self.findings {
            let (begin, end) = if coloured { (colour(*status), PLAIN) } else { ("", "") };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{begin}{:<7}{end}  {check:<width$}  {says}", status.as_str());
            if let Some(advice) = advice {
                let _ = writeln!(text, "{:<7}  {:<width$}  -> {advice}", "", "");
            }
        }
        let [ok, warnings, failures] =
            [Status::Ok, Status::Warning, Status::Failure].map(|status| self.count(status) as u64);
        let (warnings, failures) = (many(warnings, "warning"), many(failures, "failure"));
        let requests = many(self.requests.into(), "request");
        let _ = writeln!(text, "\n{ok} ok, {warnings}, {failures}; {requests} sent to the API.");
        text
    }

    /// The same findings as JSON.
    pub fn json(&self) -> String {
        let summary = serde_json::json!({
            "ok": self.count(Status::Ok),
            "warning": self.count(Status::Warning),
            "failure": self.count(Status::Failure),
        });
        let whole = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "findings": self.findings,
            "requests": self.requests,
            "summary": summary,
        });
        format!("{whole:#}\n")
    }
}

const fn colour(status: Status) -> &'static str {
    match status {
        Status::Ok => "\x1b[32m",
        Status::Warning => "\x1b[33m",
        Status::Failure => "\x1b[1;31m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let findings = vec![
            Finding::ok("credential", "the API accepts AGNTIX_API_KEY"),
            Finding::failure("disk", "1 MiB is free", "make room"),
        ];
        Report { findings, requests: 1 }
    }

    #[test]
    fn text_report_has_aligned_columns() {
        assert_eq!(
            report().text(false),
            "ok       credential  the API accepts AGNTIX_API_KEY\n\
             failure  disk        1 MiB is free\n                     -> make room\n\
             \n1 ok, 0 warnings, 1 failure; 1 request sent to the API.\n"
        );
    }

    #[test]
    fn colours_surround_only_the_status() {
        let (plain, coloured) = (report().text(false), report().text(true));
        assert!(!plain.contains('\x1b') && coloured.contains("\x1b[1;31mfailure\x1b[0m  disk"), "{coloured:?}");
        let codes = ["\x1b[32m", "\x1b[33m", "\x1b[1;31m", PLAIN];
        assert_eq!(codes.iter().fold(coloured, |text, code| text.replace(code, "")), plain);
    }

    #[test]
    fn json_report_has_the_same_findings() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(json["summary"]["failure"], 1);
        assert_eq!(json["findings"][1]["advice"], "make room");
        assert_eq!(json["findings"][0]["status"], "ok");
    }
}
