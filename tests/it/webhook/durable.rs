//! P4: what is answered 2xx is on disk, and while nothing can be saved nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Command;

use super::delivery::{Sent, session};
use super::{outcomes, quiet, shows};
use crate::support::{number, until};

#[test]
#[ignore = "needs root, to mount a small disk"]
fn while_nothing_can_be_saved_it_says_so_and_a_later_retry_counts() {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!("mount -t tmpfs -o size=24m none {} && exec \"$0\" \"$@\"", disk.display());
    let (_api, _state, daemon, webhook) = quiet(|setup| {
        setup
            .set("STATE__PATH", &disk.join("state").display().to_string())
            .through(&["unshare", "--mount", "sh", "-c", &script])
    });
    assert_eq!(Sent::new(session("session.ended", "s-0", true)).send(webhook).status, 200);
    let ballast = format!("/proc/{}/root{}/ballast", daemon.id(), disk.display());
    let fill = || {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0x55; size]).is_ok() {}
        }
    };
    let sent = Sent::new(session("session.ended", "s-full", true));
    let refusal = until("a refusal", || {
        fill();
        let id = format!("s-{}", fastrand::u64(..));
        let reply = Sent::new(session("session.ended", &id, true)).send(webhook);
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(refusal.header("retry-after"), Some("5"), "{refusal:?}");
    let counted = outcomes(&daemon)[r#"event="session.ended",outcome="counted""#];
    assert!(outcomes(&daemon)[r#"event="session.ended",outcome="failed""#] >= 1.0);
    std::fs::remove_file(&ballast).unwrap();
    until("the retry to be taken", || (sent.send(webhook).status == 200).then_some(()));
    // What was answered 2xx is counted, and nothing else.
    shows(&daemon, "agntix_session_outcomes_total", counted + 1.0);
}

/// P4, as the kernel saw it: between the arrival of a delivery and its acknowledgement a sync begins and ends.
#[test]
#[ignore = "needs strace"]
fn no_delivery_is_acknowledged_before_a_sync_that_began_after_it_arrived() {
    const DELIVERIES: usize = 500;
    assert!(
        Command::new("strace").arg("-V").output().is_ok(),
        "this test needs strace: install the Debian package strace"
    );
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    let trace = trace.to_str().unwrap();
    let calls = "trace=fdatasync,fsync,recvfrom,read,sendto,write,writev,sendmsg";
    let (_api, _state, daemon, webhook) = quiet(|setup| {
        setup.set("LOG__LEVEL", "info").through(&["strace", "-D", "-f", "-s", "200", "-o", trace, "-e", calls])
    });
    let ids: Vec<String> = (0..DELIVERIES).map(|number| format!("traced-{number:05}-")).collect();
    std::thread::scope(|scope| {
        for part in ids.chunks(DELIVERIES / 10) {
            scope.spawn(move || {
                for id in part {
                    let sent = Sent { first: id.clone(), ..Sent::new(session("session.ended", id, true)) };
                    assert_eq!(sent.send(webhook).status, 200);
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
    check_trace(&trace, &ids);
}

/// Each line is `PID CALL(...) = RESULT`, or the two halves of one that others came between.
fn check_trace(trace: &str, ids: &[String]) {
    let (mut syncing, mut syncs) = (BTreeMap::<&str, usize>::new(), Vec::new());
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
                syncs.extend(syncing.remove(process).map(|began| (began, number)));
            }
        } else if (first.starts_with("recvfrom(") || first.starts_with("read(")) && ends {
            if let Some(id) = ids.iter().find(|id| call.contains(id.as_str())) {
                arrivals.insert(id);
                connections.insert(file(), number);
            }
        } else if !resumed && call.contains("HTTP/1.1 200 OK") && call.contains("Counted.") {
            let arrived = connections.remove(&file());
            let arrived = arrived.unwrap_or_else(|| panic!("nothing arrived before {line}"));
            assert!(syncs.iter().rev().any(|(began, _)| *began > arrived), "no sync before {line}");
            acknowledged += 1;
        }
    }
    assert_eq!((arrivals.len(), acknowledged), (ids.len(), ids.len()), "the trace does not show everything");
}
