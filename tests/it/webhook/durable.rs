//! P4: what is answered 2xx is on disk, and while nothing can be saved nothing is.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::delivery::{Sender, Sent, session};
use super::{no_sessions, outcomes, quiet, receiving, shows};
use crate::support::disk::{FailingSyncs, fill};
use crate::support::{Daemon, Setup, free_address, ledger, number, total, until};

#[test]
#[ignore = "needs root, to mount a small disk"]
fn while_nothing_can_be_saved_it_says_so_and_a_later_retry_counts() {
    if ledger::is_skipped(
        module_path!(),
        "while_nothing_can_be_saved_it_says_so_and_a_later_retry_counts",
        "SQLite's files",
    ) {
        return;
    }
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
    let sent = Sent::new(session("session.ended", "s-full", true));
    let refusal = until("a refusal", || {
        fill(Path::new(&ballast));
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

const OUTCOMES: &str = "agntix_session_outcomes_total";

/// What the senders have seen.
#[derive(Default)]
struct Told {
    taken: Vec<String>,
    refused: usize,
}

/// Delivers until each is taken, four at a time, and so often that the daemon is never done with the disk. With
/// `kill_after`, the daemon is killed when so many are taken; what is answered by then is told.
fn deliver(daemon: Daemon, to: SocketAddr, ids: &[String], kill_after: Option<usize>) -> (Told, Option<Daemon>) {
    let (taken, killed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let daemon = Mutex::new(Some(daemon));
    let send_all = |ids: &[String]| {
        let (mut sender, mut told) = (Sender::new(to), Told::default());
        for id in ids {
            let sent = Sent::new(session("session.ended", id, true));
            loop {
                let Some(reply) = sender.send(&sent) else {
                    if killed.load(Ordering::SeqCst) {
                        return told;
                    }
                    continue;
                };
                match reply.status {
                    200 => break,
                    503 => {
                        assert_eq!(reply.header("retry-after"), Some("5"), "{reply:?}");
                        told.refused += 1;
                    }
                    _ => panic!("{reply:?}"),
                }
            }
            told.taken.push(id.clone());
            if Some(taken.fetch_add(1, Ordering::SeqCst) + 1) == kill_after {
                killed.store(true, Ordering::SeqCst);
                daemon.lock().unwrap().take().unwrap().kill();
            }
        }
        told
    };
    let mut all = Told::default();
    std::thread::scope(|scope| {
        let senders: Vec<_> = ids.chunks(ids.len() / 4).map(|part| scope.spawn(move || send_all(part))).collect();
        for sender in senders {
            let told = sender.join().unwrap();
            all.taken.extend(told.taken);
            all.refused += told.refused;
        }
    });
    (all, daemon.into_inner().unwrap())
}

/// One sync in twenty fails.
#[test]
#[ignore = "needs fiu-utils"]
fn deliveries_whose_sync_fails_are_put_off_and_counted_once() {
    if ledger::is_skipped(module_path!(), "deliveries_whose_sync_fails_are_put_off_and_counted_once", "SQLite's files")
    {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let syncs = FailingSyncs::new(place.path());
    let (api, state, webhook) = (no_sessions(), tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let setup = syncs.possible_in(receiving(setup, Some(webhook)));
    let ids: Vec<String> = (0..1_200).map(|number| format!("s-{number}")).collect();
    let mut taken: Vec<String> = Vec::new();
    let (mut refused, mut rest) = (0, ids.clone());
    for kill_after in [Some(200), Some(300), None] {
        let daemon = setup.start();
        // What was answered 2xx is there after the kill, each of it.
        let mut sender = Sender::new(webhook);
        for id in &taken {
            let reply = sender.send(&Sent::new(session("session.ended", id, true))).unwrap();
            assert_eq!((reply.status, reply.text().as_str()), (200, "Known already.\n"), "{id}");
        }
        let counted = until("the counts to be shown", || {
            let counted = total(&daemon.samples(), OUTCOMES);
            (counted >= number(taken.len())).then_some(counted)
        });
        // One more for each sender may have been made durable and not answered.
        assert!(counted <= number(taken.len() + 8), "{counted} of {}", taken.len());

        syncs.begin(&daemon, 0.05);
        let (told, daemon) = deliver(daemon, webhook, &rest, kill_after);
        taken.extend(told.taken);
        refused += told.refused;
        rest.retain(|id| !taken.contains(id));
        let Some(daemon) = daemon else { continue };
        assert!(rest.is_empty());
        syncs.end(&daemon);
        shows(&daemon, OUTCOMES, number(ids.len()));
        shows(&daemon, "agntix_sessions_ended_total", number(ids.len()));
        let failed = daemon.sample(r#"agntix_exporter_state_commits_total{outcome="error"}"#);
        assert!(failed > Some(0.0), "{failed:?}");
    }
    assert!(refused > 10, "only {refused} were put off");
    assert_eq!(taken.len(), ids.len());
}
