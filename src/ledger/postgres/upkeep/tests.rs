//! Who is refused, what a crash leaves, and what is forgotten.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::ledger::moving::{Place, migrate};
use crate::ledger::postgres::tests::runtime;
use crate::ledger::postgres::{Inbox, Observers, PostgresLedger, Replica, StoreConfig};
use crate::ledger::sqlite::upkeep as files;
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};
use crate::ledger::tests::{at, facts, session};
use crate::ledger::{Change, CommitOutcome, Ledger as _, LedgerError, Opened};
use crate::session::{Source as HeardFrom, Stage};
use test_postgres::Server;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A server, what waits for it, and a schema.
struct OnServer {
    server: Server,
    runtime: Runtime,
}

impl OnServer {
    fn new() -> Self {
        Self { server: Server::start(), runtime: runtime() }
    }

    fn state(&self, schema: &str) -> SharedState {
        let database = Database::new(&self.server.url(), None, schema, crate::tasks::Tasks::new().0).unwrap();
        let mut config = Config::default();
        config.ha.lease = Duration::from_secs(5);
        SharedState::new(database, self.runtime.handle().clone(), &config, "test")
    }

    /// Counts in a schema, and gives what was there. The replica is killed when the ledger is dropped, but for its lease.
    fn count(&self, state: &SharedState, changes: Vec<Change>) -> (Opened, Vec<CommitOutcome>) {
        let (ledger, opened) = self.open(state).unwrap();
        let outcomes = self.runtime.block_on(ledger.commit(changes)).unwrap();
        drop(ledger);
        (opened, outcomes)
    }

    fn open(&self, state: &SharedState) -> Result<(PostgresLedger, Opened), LedgerError> {
        let config = StoreConfig { lease: Duration::from_secs(60), policy: PolicyConfig::from(&Config::default()) };
        let inbox = Inbox::new(state.database.clone(), &config.policy);
        let (counting, mut counts) = tokio::sync::mpsc::channel(1);
        self.runtime.block_on(async {
            let observers = Observers { commits: Box::new(|_| ()), news: Box::new(|_| ()), looks: Box::new(|_| ()) };
            let start = Replica::start(state.database.clone(), "replica-7", config, inbox, observers);
            let (replica, _) = start.await?;
            let count = move |ledger, opened| {
                let counting = counting.clone();
                async move {
                    assert!(counting.send((ledger, opened)).await.is_ok());
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                counts = counts.recv() => Ok(counts.unwrap()),
                () = replica.run(count, CancellationToken::new()) => unreachable!("it is never stopped"),
            }
        })
    }
}

fn filled_directory(directory: &Path) -> Config {
    let mut config = Config::default();
    config.state.path = directory.into();
    let (ledger, _) = SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| {})).unwrap();
    let counted = (0..30).map(|n| session(&facts(&format!("counted {n}"), Some(5_000), Some("Refund"))));
    let first = [Change::FirstStart(at(-1_000)), session(&facts("open", None, None))];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.commit(first.into_iter().chain(counted).collect())).unwrap();
    runtime.block_on(ledger.commit(vec![Change::LookBackDone])).unwrap();
    config
}

fn start_in(config: &Config) -> Result<Opened, LedgerError> {
    SqliteLedger::open(LedgerConfig::from(config), Box::new(|_| {})).map(|(_, opened)| opened)
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn move_is_refused_while_a_side_is_in_use_or_the_new_one_is_not_empty() {
    let (place, directory) = (OnServer::new(), tempfile::tempdir().unwrap());
    let config = filled_directory(directory.path());
    let (from, state) = (Place::Directory(directory.path()), place.state("one"));
    let said = |from: Place<'_>, to: Place<'_>| migrate(&config, from, to, &mut |_| ()).unwrap_err().to_string();
    let nothing = place.state("nothing");
    let error = said(Place::Database(&nothing), from);
    assert!(error.contains("there is no state in 127.0.0.1") && error.contains("schema \"nothing\""), "{error}");
    assert!(said(from, from).contains("is where the state is"));

    // A replica counts there.
    let (ledger, _) = place.open(&state).unwrap();
    for error in [
        said(from, Place::Database(&state)),
        state.import(&mut &b""[..], &mut |_| ()).unwrap_err().to_string(),
        state.compact().unwrap_err().to_string(),
        state.forget("open", false).unwrap_err().to_string(),
    ] {
        assert!(error.starts_with("replica-7 counts in 127.0.0.1") && error.contains("stop all replicas"), "{error}");
    }
    place.runtime.block_on(ledger.commit(vec![session(&facts("x", None, None))])).unwrap();
    // What only reads may be done beside it.
    let inspection = state.inspect().unwrap();
    assert_eq!((inspection.is_held, &*inspection.holder), (true, "replica-7"));
    assert_eq!((inspection.sequence, &inspection.remembered.pending[..]), (2, &[(Stage::Open, 1)][..]));
    assert!(state.verify().unwrap().0 > 1);
    drop(ledger);
    let error = said(from, Place::Database(&state));
    assert!(error.contains("is not empty (") && error.contains("1 rows of pending"), "{error}");
    assert!(error.contains("DROP SCHEMA \"one\" CASCADE"), "{error}");
    // One that takes deliveries is there, and one of the embedded store.
    place.server.sql("INSERT INTO one.replicas VALUES ('replica-9', now())");
    let to = tempfile::tempdir().unwrap();
    let error = said(Place::Database(&state), Place::Directory(to.path()));
    assert!(error.contains("replicas use the state in") && error.contains("(replica-9)"), "{error}");
    place.server.sql("DELETE FROM one.replicas");
    assert!(said(Place::Database(&state), from).contains("there is a state in"));
    let daemon = SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| {})).unwrap();
    assert!(said(from, Place::Database(&place.state("two"))).contains("is in use by another process"));
    drop(daemon);
    // Nothing of all this has changed anything.
    migrate(&config, from, Place::Database(&place.state("two")), &mut |_| ()).unwrap();
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn state_that_was_moved_lets_nobody_count_until_it_is_taken_into_use_again() {
    let (place, directory) = (OnServer::new(), tempfile::tempdir().unwrap());
    let config = filled_directory(directory.path());
    let (file, one, two) = (Place::Directory(directory.path()), place.state("one"), place.state("two"));
    let report = migrate(&config, file, Place::Database(&one), &mut |_| ()).unwrap();
    assert!(report.contents.contains("30 counted and 1 pending sessions"), "{report:?}");
    let said = start_in(&config).unwrap_err().to_string();
    assert!(said.contains("was moved to 127.0.0.1") && said.contains("schema \"one\""), "{said}");
    assert!(files::glance(directory.path()).unwrap_err().to_string().contains("was moved to"));
    let again = migrate(&config, file, Place::Database(&one), &mut |_| ()).unwrap_err().to_string();
    assert!(again.contains("already, and is there"), "{again}");
    assert!(
        migrate(&config, file, Place::Database(&two), &mut |_| ()).unwrap_err().to_string().contains("schema \"one\"")
    );

    // From a database it is the same. A replica that follows meanwhile serves no page and takes no delivery any more.
    migrate(&config, Place::Database(&one), Place::Database(&two), &mut |_| ()).unwrap();
    let inbox = Inbox::new(one.database.clone(), &PolicyConfig::from(&Config::default()));
    let put = place.runtime.block_on(inbox.put(&[session(&facts("later", None, None))]));
    assert!(matches!(put, Err(PostgresError::Gone { .. })), "{put:?}");
    let mut follower = crate::ledger::postgres::follower::Follower::new(
        one.database.clone(),
        Duration::from_secs(10),
        PolicyConfig::from(&config),
    );
    let read = place.runtime.block_on(follower.read(false)).map(drop);
    assert!(matches!(read, Err(PostgresError::Gone { .. })), "{read:?}");
    let error = place.open(&one).unwrap_err().to_string();
    assert!(error.contains("was moved to") && error.contains("schema \"two\""), "{error}");
    assert!(one.forget("open", false).unwrap_err().to_string().contains("was moved to"));
    assert_eq!(one.inspect().unwrap().moved.unwrap().to, two.place());

    assert_eq!(one.reactivate().unwrap().unwrap().to, two.place());
    assert_eq!(one.reactivate().unwrap(), None);
    assert_eq!(place.open(&one).unwrap().1.pending.len(), 1);
    assert_eq!(files::reactivate(directory.path()).unwrap().unwrap().to, one.place());
    assert_eq!(start_in(&config).unwrap().pending.len(), 1);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn move_that_was_broken_off_leaves_the_old_state_or_is_finished_by_the_same_command() {
    let (place, directory) = (OnServer::new(), tempfile::tempdir().unwrap());
    let config = filled_directory(directory.path());
    let (file, one) = (Place::Directory(directory.path()), place.state("one"));
    // In the middle of the lines.
    let state = files::State::open(directory.path()).unwrap();
    let mut arriving = one.arrive().unwrap();
    let mut lines = 0;
    state
        .lines(&mut |line| {
            lines += 1;
            if lines < 20 { arriving.take(line).map_err(|_| unreachable!()) } else { Ok(()) }
        })
        .unwrap();
    drop((arriving, state));
    assert_eq!(place.server.sql("SELECT count(*) FROM one.series").trim(), "0");
    assert_eq!(start_in(&config).unwrap().pending.len(), 1);

    // Between the record and the new state.
    let state = files::State::open(directory.path()).unwrap();
    let mut arriving = one.arrive().unwrap();
    state.lines(&mut |line| arriving.take(line).map_err(|_| unreachable!())).unwrap();
    let arrived = arriving.check().unwrap();
    state.set_moved(Some(&Moved { to: one.place(), at: at(0) })).unwrap();
    drop((arrived, state));
    assert!(matches!(start_in(&config), Err(LedgerError::Moved { .. })));
    assert_eq!(place.server.sql("SELECT count(*) FROM one.series").trim(), "0");
    migrate(&config, file, Place::Database(&one), &mut |_| ()).unwrap();

    // The same from a database: the record is there, the directory is not.
    let to = tempfile::tempdir().unwrap();
    let name = Place::Directory(to.path()).name();
    let mut departing = one.depart(&name).unwrap();
    departing.lines(&mut |_| Ok(())).unwrap();
    departing.record(&name).unwrap();
    assert!(matches!(place.open(&one), Err(LedgerError::Postgres(PostgresError::Moved { .. }))));
    migrate(&config, Place::Database(&one), Place::Directory(to.path()), &mut |_| ()).unwrap();
    let mut back = Config::default();
    back.state.path = to.path().into();
    assert_eq!(start_in(&back).unwrap().pending.len(), 1);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn move_changes_nothing_if_a_replica_has_begun_to_count_meanwhile() {
    let (place, directory) = (OnServer::new(), tempfile::tempdir().unwrap());
    let config = filled_directory(directory.path());
    let one = place.state("one");
    let taken = |schema: &str| format!("UPDATE {schema}.lease SET holder = 'replica-3', epoch = epoch + 1");
    let mut arriving = one.arrive().unwrap();
    files::State::open(directory.path())
        .unwrap()
        .lines(&mut |line| arriving.take(line).map_err(|_| unreachable!()))
        .unwrap();
    let arrived = arriving.check().unwrap();
    place.server.sql(&taken("one"));
    let error = arrived.commit().unwrap_err();
    assert!(matches!(error, UpkeepError::Ledger(LedgerError::Postgres(PostgresError::Superseded))), "{error}");
    assert_eq!(place.server.sql("SELECT count(*) FROM one.series").trim(), "0");

    place.server.sql("UPDATE one.lease SET expires = now()");
    migrate(&config, Place::Directory(directory.path()), Place::Database(&one), &mut |_| ()).unwrap();
    // A delivery that comes while it goes must not be left behind, either.
    for change in [&*taken("one"), "INSERT INTO one.inbox (delivery) VALUES ('x')"] {
        let departing = one.depart("elsewhere").unwrap();
        place.server.sql(change);
        let error = departing.record("elsewhere").unwrap_err();
        assert!(matches!(error, UpkeepError::Replicas { .. }), "{error}");
        assert_eq!(one.inspect().unwrap().moved, None);
        place.server.sql("UPDATE one.lease SET expires = now(); DELETE FROM one.inbox");
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn deliveries_that_wait_are_moved_as_sessions_that_are_to_be_asked_for() {
    let (place, directory) = (OnServer::new(), tempfile::tempdir().unwrap());
    let one = place.state("one");
    place.count(&one, vec![session(&facts("open", None, None)), session(&facts("counted", Some(5), Some("Refund")))]);
    let inbox = Inbox::new(one.database.clone(), &PolicyConfig::from(&Config::default()));
    let delivered = ["open", "counted", "new"].map(|id| session(&facts(id, Some(9), Some("Order"))));
    place.runtime.block_on(inbox.put(&delivered)).unwrap();
    let mut config = Config::default();
    config.state.path = directory.path().into();
    migrate(&config, Place::Database(&one), Place::Directory(directory.path()), &mut |_| ()).unwrap();
    let mut pending: Vec<_> =
        start_in(&config).unwrap().pending.into_iter().map(|p| (p.id.to_string(), p.stage, p.source)).collect();
    pending.sort();
    let listing = HeardFrom::Listing;
    assert_eq!(pending, [("new".into(), Stage::Known, listing), ("open".into(), Stage::Open, listing)]);
}

/// Whether the files of the tables have this text anywhere in them.
fn tables_hold(server: &Server, text: &str) -> bool {
    server.sql("CHECKPOINT");
    let files = walkdir(&server.data().join("base"));
    files.iter().any(|file| {
        std::fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

fn walkdir(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walkdir(&path) } else { vec![path] }).collect()
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn forgotten_session_is_in_no_byte_of_the_tables_and_is_not_counted_anew() {
    let place = OnServer::new();
    let one = place.state("one");
    let whole = |id: &str| session(&facts(id, Some(9), Some("Complaint")));
    let heard = Change::Heard { id: "heard".into(), source: HeardFrom::File, now: at(1) };
    let first =
        vec![Change::FirstStart(at(-1_000)), session(&facts("3f9e-this-one", None, None)), whole("counted"), heard];
    place.count(&one, first);
    let inbox = Inbox::new(one.database.clone(), &PolicyConfig::from(&Config::default()));
    let deliveries = [whole("3f9e-this-one"), whole("3f9e-this-one-not"), whole("7a-delivered")];
    place.runtime.block_on(inbox.put(&deliveries)).unwrap();
    let shown = "UPDATE one.gauges SET page = 'session_id=\"3f9e-this-one\"'; \
                 UPDATE one.commits SET news = news || 'x'::bytea WHERE false";
    place.server.sql(shown);
    assert!(tables_hold(&place.server, "3f9e-this-one"), "what follows would find nothing");

    // One that follows has it in memory.
    place.server.sql("INSERT INTO one.replicas (name, seen) VALUES ('follower', now())");
    let refused = one.forget("3f9e-this-one", false).unwrap_err();
    assert!(refused.to_string().contains("(follower), and their pages may name the session"), "{refused}");
    place.server.sql("DELETE FROM one.replicas");
    let forgotten = one.forget("3f9e-this-one", false).unwrap();
    let expected =
        Forgotten { pending: true, counted: false, keeps_hash: true, deliveries: 1, shown: 1, is_rewritten: true };
    assert_eq!(forgotten, expected);
    assert_eq!(one.forget("3f9e-this-one-not", false).unwrap().deliveries, 1);
    assert!(!tables_hold(&place.server, "3f9e-this-one"));
    let delivered = one.forget("7a-delivered", false).unwrap();
    assert_eq!((delivered.pending, delivered.deliveries, delivered.keeps_hash), (false, 1, true));
    let heard = one.forget("heard", false).unwrap();
    assert_eq!((heard.pending, heard.keeps_hash), (true, false));
    assert_eq!(one.forget("never heard", true).unwrap(), Forgotten { is_rewritten: true, ..Forgotten::default() });
    let counted = one.forget("counted", false).unwrap();
    assert_eq!((counted.counted, counted.keeps_hash), (true, true));

    let all = ["3f9e-this-one", "3f9e-this-one-not", "7a-delivered", "counted"].map(whole);
    let (opened, outcomes) = place.count(&one, all.to_vec());
    assert_eq!(opened.pending, []);
    assert_eq!(outcomes, vec![CommitOutcome::AlreadyCounted; 4]);
    assert!(one.forget("counted", true).unwrap().counted);
    let (_, outcomes) = place.count(&one, vec![whole("counted")]);
    assert!(matches!(outcomes[..], [CommitOutcome::Counted { .. }]), "{outcomes:?}");
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn tables_of_another_version_and_broken_exports_are_refused_and_nothing_is_changed() {
    let (place, directory) = (OnServer::new(), tempfile::tempdir().unwrap());
    filled_directory(directory.path());
    let mut text = Vec::new();
    files::export(directory.path(), &mut text, &mut |_| ()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let one = place.state("one");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (what, broken, says) in [
        ("nothing", String::new(), "without its closing line"),
        ("no end", lines[..lines.len() - 1].concat(), "without its closing line"),
        ("a changed byte", text.replacen("\"cells\":[", "\"cells\":[1", 1), "its checksum is not"),
        ("a newer format", text.replacen("\"format\":4", "\"format\":99", 1), "line 1"),
    ] {
        let error = one.import(&mut broken.as_bytes(), &mut |_| ()).expect_err(what).to_string();
        assert!(error.contains(says), "{what}: {error}");
        assert_eq!(place.server.sql("SELECT count(*) FROM one.counted, one.series").trim(), "0", "{what}");
    }
    one.import(&mut text.as_bytes(), &mut |_| ()).unwrap();
    assert_eq!(one.verify().unwrap().1, 30);
    let before = one.inspect().unwrap();
    assert!(before.tables.iter().any(|table| (&*table.name, table.rows) == ("counted", 30) && table.bytes > 0));
    one.compact().unwrap();
    assert_eq!(one.inspect().unwrap().remembered, before.remembered);

    place.server.sql("UPDATE one.format SET version = 9, compatible = 9");
    for error in [one.inspect().unwrap_err(), one.import(&mut text.as_bytes(), &mut |_| ()).unwrap_err()] {
        assert!(error.to_string().contains("are of a newer version (format 9"), "{error}");
    }
}
