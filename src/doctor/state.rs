//! The state directory: whether it can be used, who uses it, and how much room there is.

use std::path::PathBuf;

use super::Finding;
use super::finding::{grouped, many};
use crate::ledger::sqlite::neighbours::Place;
use crate::ledger::sqlite::upkeep::Glance;
use crate::session::Stage;

const CHECK: &str = "state";
const DISK: &str = "disk";
/// The write-ahead log alone may grow to this size between two commits.
const LEAST_ROOM: u64 = 64 << 20;
/// A busy organization uses this much in weeks.
const LITTLE_ROOM: u64 = 1 << 30;

/// What was found in the state directory.
#[derive(Debug)]
pub(super) struct StateSeen {
    /// `state.path`
    pub directory: PathBuf,
    /// Whether the directory is there.
    pub exists: bool,
    /// Whether this user may write to it, or to where it would be made, and to the files in it; else why not.
    pub writable: Result<(), String>,
    /// What is in it; else why that cannot be used.
    pub glance: Result<Option<Glance>, String>,
    /// Bytes that this user may still write.
    pub room: Option<u64>,
    /// Where the directory lies, and what is nearby.
    pub place: Place,
    /// A process that has a state open which was removed from the directory.
    pub removed_under: Option<i32>,
}

/// What is known of the exporter that answers on the configured listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    /// Whether there is one, if that can be known.
    pub answers: Option<bool>,
    /// Whether it can save its counts, if it says.
    pub saves: Option<bool>,
}

/// Judges the state, which will take `expected` bytes in time, if that is known.
pub(super) fn judge(seen: &StateSeen, running: Running, expected: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(unsaved(seen, running));
    // Each remark on the directory is made once.
    if findings.is_empty() {
        findings.push(directory(seen, running.answers));
    }
    findings.extend(disk(seen, expected));
    findings
}

/// A process whose counts the next start would not find.
fn unsaved(seen: &StateSeen, running: Running) -> Option<Finding> {
    let path = seen.directory.display();
    let advice = "put the state back where it was, or stop the exporter, put a whole state there, and start it: what it has open is lost when it ends";
    if let Some(process) = seen.removed_under {
        let says = format!("process {process} has a state open that was removed from {path}");
        return Some(Finding::failure(CHECK, says, advice));
    }
    (running.saves == Some(false)).then(|| {
        let says = format!("the exporter that answers cannot save its counts in {path}");
        Finding::failure(CHECK, says, "its log says why: a full disk, or a state that was removed, moved or replaced")
    })
}

fn directory(seen: &StateSeen, answers: Option<bool>) -> Finding {
    let path = seen.directory.display();
    if let Err(why) = &seen.writable {
        return Finding::failure(
            CHECK,
            format!("{path} cannot be written by this user ({why})"),
            "give it to the exporter's user, on a local disk that is mounted read-write, or set another state.path; run doctor as that user",
        );
    }
    let glance = match &seen.glance {
        Ok(glance) => glance,
        Err(why) => {
            let advice = "the exporter will not start on it, and changes nothing: do as the sentence says";
            return Finding::failure(CHECK, why.clone(), advice);
        }
    };
    let Some(glance) = glance else {
        let made = if seen.exists { "is there, and the state will begin in it" } else { "will be made" };
        if let Some(other) = &seen.place.other {
            return Finding::warning(
                CHECK,
                format!("{path} {made} at the first start, but there is an earlier state in {}", other.display()),
                "set state.path to that one if it is meant; counting begins anew otherwise",
            );
        }
        return Finding::ok(CHECK, format!("{path} {made} at the first start"));
    };
    let format = glance.format.map_or(String::new(), |format| format!(", format {format}"));
    let size = size(glance.bytes + glance.log_bytes);
    if let Some(holder) = &glance.holder {
        let process = holder.process.map_or_else(|| "a process".to_owned(), |id| format!("process {id}"));
        return match answers {
            Some(false) => Finding::failure(
                CHECK,
                format!("{path} is held by {process}, but no exporter answers on web.listen_address"),
                "stop that process, or give this exporter another state.path: two must never share one",
            ),
            _ => Finding::ok(CHECK, format!("{path} is held by {process}, as by a running exporter: {size}{format}")),
        };
    }
    if answers == Some(true) {
        return Finding::warning(
            CHECK,
            format!("an exporter answers on web.listen_address, but does not hold {path}"),
            "check that doctor reads the configuration of that exporter (--config.file, working directory)",
        );
    }
    if seen.place.is_ephemeral {
        return Finding::warning(
            CHECK,
            format!("{path} lies in the container's own layer or in memory: {size}{format}"),
            "mount a volume there: all counts are lost with it",
        );
    }
    let held = glance.contents.as_ref().map_or_else(
        || "; it was not closed, so the next start first reads in what was left in its log".to_owned(),
        |contents| {
            let pending = contents.pending.iter().filter(|(stage, _)| *stage != Stage::Known).map(|(_, count)| count);
            format!(
                ", {} of {}, {} in progress",
                many(contents.series.iter().map(|(_, _, rows)| rows).sum(), "label set"),
                many(contents.agents, "agent"),
                many(pending.sum(), "session")
            )
        },
    );
    Finding::ok(CHECK, format!("{path} can be used: {size}{format}{held}"))
}

fn disk(seen: &StateSeen, expected: Option<u64>) -> Option<Finding> {
    let room = seen.room?;
    let taken = seen.glance.as_ref().ok().and_then(Option::as_ref).map_or(0, |glance| glance.bytes);
    let grows = expected.filter(|expected| *expected > taken).map_or(String::new(), |expected| {
        format!("; at the pace of the listed sessions it will take about {} (sessions.retention)", size(expected))
    });
    let says = format!("{} are free for the state{grows}", size(room));
    if room < LEAST_ROOM {
        let advice = "make room: a full disk pauses the counting (nothing is lost, and it goes on by itself)";
        return Some(Finding::failure(DISK, format!("only {says}"), advice));
    }
    if room < LITTLE_ROOM || room < taken {
        let advice = "make room, or lower sessions.retention; `state compact` needs as much room as the state is large";
        return Some(Finding::warning(DISK, format!("only {says}; it takes {} now", size(taken)), advice));
    }
    if expected.is_some_and(|expected| expected > taken.saturating_add(room)) {
        let advice = "give the state a larger disk, or lower sessions.retention; a full disk pauses the counting";
        return Some(Finding::warning(DISK, format!("only {says}"), advice));
    }
    Some(Finding::ok(DISK, says))
}

/// Bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 10 << 20 { format!("{} KiB", grouped(bytes >> 10)) } else { format!("{} MiB", grouped(bytes >> 20)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use crate::ledger::sqlite::upkeep::{Contents, Holder};

    fn glance(holder: Option<Holder>, contents: Option<Contents>) -> Glance {
        Glance { bytes: 40_960, log_bytes: 0, format: Some(2), holder, contents }
    }

    fn seen(glance: Result<Option<Glance>, String>) -> StateSeen {
        StateSeen {
            directory: "data".into(),
            exists: true,
            writable: Ok(()),
            glance,
            room: Some(50 << 30),
            place: Place::default(),
            removed_under: None,
        }
    }

    fn state(seen: &StateSeen, answers: Option<bool>) -> (Status, String) {
        let finding = judge(seen, Running { answers, saves: None }, None).remove(0);
        (finding.status, finding.says)
    }

    #[test]
    fn usable_state_reports_its_contents() {
        let contents = Contents {
            agents: 3,
            series: Vec::new(),
            pending: vec![(Stage::Known, 5), (Stage::Open, 2)],
            paths: [None; 4],
        };
        let (status, says) = state(&seen(Ok(Some(glance(None, Some(contents))))), Some(false));
        assert_eq!(status, Status::Ok);
        assert_eq!(says, "data can be used: 40 KiB, format 2, 0 label sets of 3 agents, 2 sessions in progress");
        assert!(state(&seen(Ok(Some(glance(None, None)))), None).1.contains("was not closed"));
        assert_eq!(state(&seen(Ok(None)), None).0, Status::Ok);
    }

    #[test]
    fn lock_must_belong_to_the_exporter_that_answers() {
        let held = seen(Ok(Some(glance(Some(Holder { process: Some(7) }), None))));
        assert_eq!(
            state(&held, Some(true)),
            (Status::Ok, "data is held by process 7, as by a running exporter: 40 KiB, format 2".into())
        );
        assert_eq!((state(&held, None).0, state(&held, Some(false)).0), (Status::Ok, Status::Failure));
        assert_eq!(state(&seen(Ok(Some(glance(None, None)))), Some(true)).0, Status::Warning);
    }

    #[test]
    fn state_that_a_restart_would_not_find_fails() {
        let held = || seen(Ok(Some(glance(Some(Holder { process: Some(7) }), None))));
        let status =
            |seen: &StateSeen, saves| judge(seen, Running { answers: Some(true), saves }, None).remove(0).status;
        assert_eq!(status(&held(), Some(true)), Status::Ok);
        assert_eq!(status(&held(), Some(false)), Status::Failure);
        let removed = StateSeen { removed_under: Some(8), ..held() };
        let finding = judge(&removed, Running::default(), None).remove(0);
        assert_eq!(finding.says, "process 8 has a state open that was removed from data");
    }

    #[test]
    fn new_state_beside_an_earlier_one_is_worth_a_warning() {
        let place = Place { other: Some("/old/data".into()), ..Place::default() };
        let (status, says) = state(&StateSeen { place, ..seen(Ok(None)) }, Some(false));
        assert_eq!(status, Status::Warning);
        assert!(says.contains("an earlier state in /old/data"), "{says}");
        let place = Place { is_ephemeral: true, ..Place::default() };
        let seen = StateSeen { place, ..seen(Ok(Some(glance(None, None)))) };
        assert_eq!(state(&seen, Some(false)).0, Status::Warning);
    }

    #[test]
    fn unwritable_or_unreadable_state_fails() {
        let refused = StateSeen { writable: Err("Permission denied".into()), ..seen(Ok(None)) };
        assert_eq!(
            state(&refused, None),
            (Status::Failure, "data cannot be written by this user (Permission denied)".into())
        );
        assert_eq!(state(&seen(Err("damaged".into())), None), (Status::Failure, "damaged".into()));
    }

    #[test]
    fn free_space_is_compared_with_the_size_of_the_state() {
        let disk = |room| {
            judge(&StateSeen { room, ..seen(Ok(None)) }, Running::default(), None).into_iter().nth(1).map(|f| f.status)
        };
        assert_eq!(disk(None), None);
        assert_eq!(disk(Some(60 << 20)), Some(Status::Failure));
        assert_eq!(disk(Some(1 << 29)), Some(Status::Warning));
        assert_eq!(disk(Some(2 << 30)), Some(Status::Ok));
        let large = Glance { bytes: 3 << 30, ..glance(None, None) };
        let seen = StateSeen { room: Some(2 << 30), ..seen(Ok(Some(large))) };
        let finding = judge(&seen, Running::default(), None).remove(1);
        assert_eq!(finding.status, Status::Warning, "{finding:?}");
    }

    #[test]
    fn free_space_is_compared_with_the_state_that_is_to_come() {
        let judged = |expected| {
            let seen = StateSeen { room: Some(4 << 30), ..seen(Ok(Some(glance(None, None)))) };
            judge(&seen, Running::default(), Some(expected)).remove(1)
        };
        let grows = judged(1 << 30);
        assert_eq!(grows.status, Status::Ok);
        assert!(
            grows
                .says
                .ends_with("at the pace of the listed sessions it will take about 1,024 MiB (sessions.retention)")
        );
        assert!(!judged(1_000).says.contains("pace"), "it takes more now");
        let too_large = judged(5 << 30);
        assert_eq!(too_large.status, Status::Warning);
        assert!(too_large.says.starts_with("only 4,096 MiB are free"), "{}", too_large.says);
        assert!(too_large.advice.unwrap().contains("sessions.retention"));
    }
}
