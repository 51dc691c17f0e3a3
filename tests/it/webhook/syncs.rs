//! P4, as the kernel saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::delivery::{Sender, Sent, session};
use super::{quiet, shows};
use crate::support::{number, until};

/// What the ids of the sessions begin with; five digits follow.
const TRACED: &str = "traced-";

/// Between the arrival of a delivery and its acknowledgement a sync begins and ends.
#[test]
#[ignore = "needs strace"]
fn no_delivery_is_acknowledged_before_a_sync_that_began_after_it_arrived() {
    const DELIVERIES: usize = 10_000;
    const SENDERS: usize = 8;
    assert!(
        Command::new("strace").arg("-V").output().is_ok(),
        "this test needs strace: install the Debian package strace"
    );
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    let trace = trace.to_str().unwrap();
    let calls = "trace=fdatasync,fsync,recvfrom,read,sendto,write,writev,sendmsg";
    let (_api, _state, daemon, webhook) = quiet(|setup| {
        setup.set("LOG__LEVEL", "info").through(&[
            "strace",
            "-D",
            "-f",
            "--seccomp-bpf",
            "-s",
            "200",
            "-o",
            trace,
            "-e",
            calls,
        ])
    });
    let ids: Vec<String> = (0..DELIVERIES).map(|number| format!("{TRACED}{number:05}")).collect();
    std::thread::scope(|scope| {
        for part in ids.chunks(DELIVERIES / SENDERS) {
            scope.spawn(move || {
                let mut sender = Sender::new(webhook);
                for id in part {
                    let sent = Sent { first: id.clone(), ..Sent::new(session("session.ended", id, true)) };
                    assert_eq!(sender.send(&sent).unwrap().status, 200);
                }
            });
        }
    });
    shows(&daemon, "agntix_session_outcomes_total", number(DELIVERIES));
    drop(daemon);
    let trace = until("the trace to be whole", || {
        let trace = std::fs::read_to_string(trace).unwrap();
        trace.contains("+++ killed by SIGKILL").then_some(trace)
    });
    check_trace(&trace, ids.len());
}

/// Each line is `PID CALL(...) = RESULT`, or the two halves of one that others came between.
fn check_trace(trace: &str, deliveries: usize) {
    let (mut syncing, mut last_sync) = (BTreeMap::<&str, usize>::new(), None);
    let mut connections = BTreeMap::<String, usize>::new();
    let (mut arrivals, mut acknowledged) = (BTreeSet::new(), 0);
    let mut halves = BTreeMap::<&str, &str>::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let resumed = call.starts_with("<...");
        if call.contains("<unfinished ...>") {
            halves.insert(process, call);
        }
        let first = if resumed { halves.remove(process).unwrap_or(call) } else { call };
        let ends = !call.contains("<unfinished ...>");
        let file = || first.split(['(', ',', ')']).nth(1).unwrap_or_default().trim().to_owned();
        if first.starts_with("fdatasync(") || first.starts_with("fsync(") {
            if !resumed {
                syncing.insert(process, number);
            }
            if ends && call.ends_with("= 0") {
                // Of those that are over, the one that began last.
                last_sync = last_sync.max(syncing.remove(process));
            }
        } else if (first.starts_with("recvfrom(") || first.starts_with("read(")) && ends {
            if let Some(at) = call.find(TRACED) {
                arrivals.insert(&call[at..at + TRACED.len() + 5]);
                connections.insert(file(), number);
            }
        } else if !resumed && call.contains("HTTP/1.1 200 OK") && call.contains("Counted.") {
            let arrived = connections.remove(&file());
            let arrived = arrived.unwrap_or_else(|| panic!("nothing arrived before {line}"));
            assert!(last_sync > Some(arrived), "no sync before {line}");
            acknowledged += 1;
        }
    }
    assert_eq!((arrivals.len(), acknowledged), (deliveries, deliveries), "the trace does not show everything");
}
