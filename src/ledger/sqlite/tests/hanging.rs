//! A writer that hangs, as on a disk that does not answer: what its callers give up does not pile up and is not applied.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::super::*;
use super::{commit, configuration, open, totals};
use crate::ledger::tests::{facts, session};
use crate::ledger::*;

/// A ledger whose writer stands still after each commit until it is allowed to go on.
fn hanging(config: &crate::config::Config) -> (SqliteLedger, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (reached, hangs) = mpsc::channel();
    let (go_on, allowed) = mpsc::channel::<()>();
    let allowed = Mutex::new(allowed);
    let observer = Box::new(move |_: Result<Committed, &LedgerError>| {
        let _ = reached.send(());
        // An error: the test lets it run on.
        let _ = allowed.lock().unwrap().recv();
    });
    let (ledger, _) = SqliteLedger::open(LedgerConfig::from(config), observer).unwrap();
    (ledger, hangs, go_on)
}

#[test]
fn changes_that_are_given_up_on_a_hanging_disk_do_not_pile_up_and_are_not_applied() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (ledger, hangs, go_on) = hanging(&config);
    let begun = ledger.commit(vec![session(&facts("begun", Some(1), None))]);
    hangs.recv().unwrap();
    let kept = ledger.commit(vec![session(&facts("kept", Some(1), None)), session(&facts("kept too", Some(1), None))]);
    for round in 0..5 {
        let deliveries: Vec<_> = (0..512)
            .map(|number| {
                let id = format!("given up {round} {number}");
                // A start and an end, of which neither may be applied without the other.
                ledger.commit(vec![session(&facts(&id, None, None)), session(&facts(&id, Some(1), None))])
            })
            .collect();
        assert_eq!(ledger.waiting(), 2 + 2 * 512);
        runtime.block_on(async {
            for delivery in deliveries {
                assert!(tokio::time::timeout(Duration::ZERO, delivery).await.is_err());
            }
        });
        assert_eq!(ledger.waiting(), 2, "only what somebody waits for is kept");
    }
    drop(go_on);
    assert_eq!(runtime.block_on(begun).unwrap().len(), 1);
    assert_eq!(runtime.block_on(kept).unwrap().len(), 2);
    drop(ledger);
    let (ledger, opened) = open(&config).unwrap();
    let mut pending: Vec<_> = opened.pending.iter().map(|pending| &*pending.id).collect();
    pending.sort_unstable();
    assert_eq!(pending, ["begun", "kept", "kept too"]);
    // None of it was counted either: Svix delivers again, and then it is.
    commit(&ledger, vec![session(&facts("given up 0 0", Some(1), Some("Refund")))]);
    drop(ledger);
    let totals = totals(&config);
    let sum =
        |name: &str| totals.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, cells)| cells[0]).sum::<u64>();
    assert_eq!((sum("agntix_sessions_started_total"), sum("agntix_sessions_ended_total")), (4, 4));
}

#[test]
fn a_change_that_was_begun_is_durable_although_its_caller_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, hangs, go_on) = hanging(&config);
    let begun = ledger.commit(vec![session(&facts("s", Some(1), None))]);
    hangs.recv().unwrap();
    drop(begun);
    drop(go_on);
    drop(ledger);
    assert_eq!(open(&config).unwrap().1.pending.len(), 1);
}

/// What was accepted before the end is answered, not dropped.
#[test]
fn a_ledger_that_is_closed_finishes_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (ledger, hangs, go_on) = hanging(&config);
    let commits: Vec<_> =
        (0..10).map(|n| ledger.commit(vec![session(&facts(&n.to_string(), Some(1), None))])).collect();
    hangs.recv().unwrap();
    drop(go_on);
    drop(ledger);
    let answered = commits.into_iter().map(|commit| runtime.block_on(commit));
    assert!(answered.into_iter().all(|answer: Result<Vec<CommitOutcome>, Arc<LedgerError>>| answer.is_ok()));
    assert_eq!(open(&config).unwrap().1.pending.len(), 10);
}
