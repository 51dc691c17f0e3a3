//! The runbooks in the program: the very files of `docs/runbooks`, so that an exporter without its repository has them too.

use std::fmt::Write as _;

/// The runbook of one alert.
#[derive(Clone, Copy, Debug)]
pub struct Runbook {
    /// The name of the alert, and of the page.
    pub alert: &'static str,
    /// Markdown.
    pub text: &'static str,
}

macro_rules! runbooks {
    ($($alert:ident)*) => {
        &[$(Runbook {
            alert: stringify!($alert),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks/", stringify!($alert), ".md")),
        }),*]
    };
}

/// All of them, in the order of the alphabet. A test compares them with the files.
pub const RUNBOOKS: &[Runbook] = runbooks! {
    AgntixAnalysisLate
    AgntixAnalysisTimeouts
    AgntixApiDown
    AgntixApiErrors
    AgntixBacklogGrowing
    AgntixBudgetExhausted
    AgntixBudgetNearlyExhausted
    AgntixCertificateExpires
    AgntixCommitsLost
    AgntixCommitsNotSynchronous
    AgntixConfigReloadFailed
    AgntixCredentialRefused
    AgntixExporterAbsent
    AgntixExporterDown
    AgntixHandleTimeShift
    AgntixInboxGrowing
    AgntixIntentUnresolved
    AgntixLabelOverflow
    AgntixMalformedSessions
    AgntixNegativeElevated
    AgntixNegativeSpike
    AgntixNobodyCounts
    AgntixOrganizationNegativeElevated
    AgntixOrganizationNegativeSpike
    AgntixOrganizationSessionsFlood
    AgntixOrganizationSessionsSilent
    AgntixOrganizationUnresolvedElevated
    AgntixOrganizationUnresolvedSpike
    AgntixReplicaCannotRead
    AgntixResolutionBudgetBurnFast
    AgntixResolutionBudgetBurnSlow
    AgntixSessionAlertsPaused
    AgntixSessionsFlood
    AgntixSessionsMissing
    AgntixSessionsOpenLong
    AgntixSessionsSilent
    AgntixSourceStale
    AgntixStateNotWritable
    AgntixUnresolvedElevated
    AgntixUnresolvedSpike
    AgntixWatchedSessionIdle
    AgntixWebConfigRefused
    AgntixWebhooksRefused
    AgntixWebhooksSilent
};

/// Names that are offered in place of one that does not exist.
const OFFERED: usize = 5;

impl Runbook {
    /// How urgent it is, the first word of the text, and what it is about, which may be empty.
    pub fn severity(&self) -> (&'static str, &'static str) {
        let line = self.text.lines().nth(2).unwrap_or_default().trim_end_matches('.');
        line.split_once(", ").unwrap_or((line, ""))
    }

    /// The first sentence of what it means, on one line.
    pub fn meaning(&self) -> String {
        let section = self.text.split("## What it means\n\n").nth(1).unwrap_or_default();
        let paragraph = section.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let sentence = paragraph.split(". ").next().unwrap_or_default().trim_end_matches('.');
        format!("{sentence}.")
    }
}

/// The one of this alert.
pub fn of(alert: &str) -> Option<&'static Runbook> {
    RUNBOOKS.iter().find(|runbook| runbook.alert == alert)
}

/// The names that `wrong` was probably meant to be, the most similar first.
pub fn nearest(wrong: &str) -> Vec<&'static str> {
    let likeness = |runbook: &Runbook| strsim::jaro_winkler(&wrong.to_lowercase(), &runbook.alert.to_lowercase());
    let mut likely: Vec<_> = RUNBOOKS.iter().map(|runbook| (likeness(runbook), runbook.alert)).collect();
    likely.sort_by(|a, b| b.0.total_cmp(&a.0));
    likely.into_iter().take(OFFERED).map(|(_, alert)| alert).collect()
}

/// The page that lists all of them, as Markdown.
pub fn index() -> String {
    let mut text = String::from(
        "# Runbooks\n\nOne page for each alert: what it means, what to look at first, and what to do. They belong to this version of \
         the exporter and of its alert rules, in which a critical alert wakes somebody up and a warning waits for the morning.\n",
    );
    for severity in ["Critical", "Warning"] {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {severity}\n\n");
        for runbook in RUNBOOKS.iter().filter(|runbook| runbook.severity().0 == severity) {
            let (alert, about) = (runbook.alert, runbook.severity().1);
            let about = if about.is_empty() { "the exporter" } else { about };
            let _ = writeln!(text, "- [{alert}]({alert}.md), {about}: {}", runbook.meaning());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_runbooks_is_in_the_program() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks");
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".md").to_owned())
            .collect();
        files.sort_unstable();
        let known: Vec<_> = RUNBOOKS.iter().map(|runbook| runbook.alert).collect();
        assert_eq!(known, files);
    }

    #[test]
    fn index_says_of_each_what_it_is_about_and_what_it_means() {
        let index = index();
        for runbook in RUNBOOKS {
            let (severity, about) = runbook.severity();
            assert!(["Critical", "Warning"].contains(&severity), "{}: {severity}", runbook.alert);
            assert!(!about.contains('\n'), "{}", runbook.alert);
            assert!(runbook.meaning().len() > 20, "{}: {}", runbook.alert, runbook.meaning());
            assert!(index.contains(&format!("- [{0}]({0}.md), ", runbook.alert)), "{}", runbook.alert);
        }
    }

    #[test]
    fn similar_names_come_first() {
        assert_eq!(nearest("AgntixUnresolvedSpikes").first(), Some(&"AgntixUnresolvedSpike"));
        assert_eq!(nearest("agntixapidown").first(), Some(&"AgntixApiDown"));
        assert_eq!(nearest("").len(), OFFERED);
    }
}
