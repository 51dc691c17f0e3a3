//! The database that replicas share: whether it can be used, what its settings make of a commit, and who counts.

use std::time::Duration;

use super::Finding;
use super::finding::many;
use super::state::StateSeen;
use crate::config::SslMode;
use crate::ledger::postgres::{
    Durability, Facts, MOST_CONNECTIONS, PostgresError, ServerFault, Shared, Survey, Tables,
};

const CHECK: &str = "database";
const SERVER: &str = "database-server";
const TLS: &str = "database-tls";
const TABLES: &str = "database-tables";
const DURABILITY: &str = "database-durability";
const POOLER: &str = "database-pooler";
const CLOCK: &str = "database-clock";
const LATENCY: &str = "database-latency";
const CONNECTIONS: &str = "database-connections";
const REPLICAS: &str = "replicas";

/// A clock that is kept by NTP is far closer.
const FINE_CLOCK: Duration = Duration::from_secs(5);
/// Of a lease: a machine that is busy for a moment answers as late as a hundredth of the usual lease.
const SLOW: u32 = 50;
/// Of a lease: two round trips then take more than the third of it that is left for a renewal to be tried again.
const TOO_SLOW: u32 = 6;

/// What was found of the database.
pub(super) struct DatabaseSeen {
    /// What it says; else why it could not be asked.
    pub survey: Result<Survey, PostgresError>,
    /// `ha.lease`
    pub lease: Duration,
}

/// Judges the database.
pub(super) fn judge(seen: &DatabaseSeen) -> Vec<Finding> {
    let survey = match &seen.survey {
        Ok(survey) => survey,
        Err(error) => return vec![Finding::failure(CHECK, error.to_string(), "correct state.url")],
    };
    let mut findings = vec![];
    match &survey.facts {
        None => findings.extend(unusable(survey)),
        Some(Err(error)) => findings.push(refused(error)),
        Some(Ok(facts)) => findings.push(database(survey, facts)),
    }
    if survey.facts.is_some() {
        findings.extend(survey.servers.iter().filter_map(|(_, fault)| fault.as_ref()).map(other_server));
    }
    if let Some(Ok(facts)) = &survey.facts {
        findings.extend(pooler(facts));
        findings.push(tls(survey, facts));
        findings.push(tables(facts));
        findings.extend(durability(&facts.durability));
        findings.push(clock(facts.clock_ahead_ms, facts.round_trip));
        findings.push(latency(facts.round_trip, seen.lease));
        findings.push(connections(facts));
        if let Tables::There(shared) = &facts.tables {
            findings.push(replicas(shared));
        }
    }
    findings
}

/// What is left of a state in a directory, which is not used with a database.
pub(super) fn judge_directory(state: Option<&StateSeen>, seen: &DatabaseSeen) -> Option<Finding> {
    const STATE: &str = "state";
    let state = state.filter(|state| matches!(state.glance, Ok(Some(_))))?;
    let path = state.directory.display();
    let is_empty = match seen.survey.as_ref().ok()?.facts.as_ref()?.as_ref().ok()?.tables {
        Tables::Missing => true,
        Tables::There(Shared { sequence, .. }) => sequence == 0,
        Tables::NoRights(_) => return None,
    };
    Some(if is_empty {
        Finding::warning(
            STATE,
            format!("{path} (state.path) holds counts, and the database holds none yet: counters would begin anew"),
            "move them with agntix-exporter state migrate before the first start, or remove the directory",
        )
    } else {
        Finding::ok(STATE, format!("{path} (state.path) holds an earlier state, which is not used beside state.url"))
    })
}

/// A password in the configuration file, which more people read than a file of its own.
pub(super) fn judge_password(is_in_file: bool) -> Option<Finding> {
    is_in_file.then(|| {
        Finding::warning(
            "database-password",
            "the password of the database stands in the configuration file, in state.url",
            "put it into a file of its own and name that in state.password_file: a new password then needs no restart",
        )
    })
}

/// Every server with what is wrong with it; it is a standby only if another one is the primary.
fn unusable(survey: &Survey) -> Vec<Finding> {
    let faults = survey.servers.iter().filter_map(|(_, fault)| fault.as_ref());
    faults.map(|fault| Finding::failure(CHECK, fault.to_string(), fault.advice())).collect()
}

fn refused(error: &PostgresError) -> Finding {
    let advice = match error {
        PostgresError::TooOld { .. } => "upgrade the server, or use a newer one",
        PostgresError::Standby { .. } => {
            "let the pooler send all statements of this user to the primary: with reads from a standby a page would be behind one \
             that was served before"
        }
        PostgresError::Newer { .. } => "run the version of the exporter that the other replicas have",
        _ => "look at the log of the server",
    };
    Finding::failure(CHECK, error.to_string(), advice)
}

fn database(survey: &Survey, facts: &Facts) -> Finding {
    let primary = survey.servers.iter().find(|(_, fault)| fault.is_none()).map_or("", |(server, _)| server);
    let Durability { user, database, .. } = &facts.durability;
    let version = facts.version.split_whitespace().next().unwrap_or_default();
    let says = format!("the counts are in database {database} of PostgreSQL {version} at {primary}, as user {user}");
    Finding::ok(CHECK, says)
}

/// Of a server that is not the one in use.
fn other_server(fault: &ServerFault) -> Finding {
    use crate::ledger::postgres::Fault;
    match fault.fault {
        Fault::Standby => Finding::ok(SERVER, format!("{fault}, ready to take over")),
        _ => Finding::warning(SERVER, format!("{fault}; it could not take over"), fault.advice()),
    }
}

fn pooler(facts: &Facts) -> Option<Finding> {
    if facts.reads_standby {
        return Some(Finding::failure(
            POOLER,
            "some reads come to a standby, though writes do not: what they show may be older than what was served before",
            "let the pooler send all statements of this user to the primary",
        ));
    }
    let why = facts.no_transactions.as_ref()?;
    Some(Finding::failure(
        POOLER,
        format!("a transaction of several statements is not possible: {why}"),
        "set pool_mode = transaction in the pooler",
    ))
}

fn tls(survey: &Survey, facts: &Facts) -> Finding {
    let is_near = survey
        .servers
        .iter()
        .all(|(server, _)| ["127.", "localhost:", "[::1]:", "/"].iter().any(|near| server.starts_with(near)));
    let mode = survey.sslmode;
    match &facts.tls {
        Some(version) if matches!(mode, SslMode::VerifyFull | SslMode::VerifyCa) => {
            Finding::ok(TLS, format!("{version}, and the server's certificate is checked (sslmode={mode})"))
        }
        Some(version) if is_near => Finding::ok(TLS, format!("{version} (sslmode={mode})")),
        Some(version) => Finding::warning(
            TLS,
            format!("{version}, but nobody checks who the server is (sslmode={mode})"),
            "set sslmode=verify-full in state.url, and sslrootcert to the file with its authority",
        ),
        None if is_near => Finding::ok(TLS, "without TLS, on this machine"),
        None => Finding::warning(
            TLS,
            format!(
                "the connection to the database is not encrypted (sslmode={mode}), or a pooler in between ends TLS"
            ),
            "set sslmode=verify-full in state.url if the server has TLS",
        ),
    }
}

fn tables(facts: &Facts) -> Finding {
    match &facts.tables {
        Tables::Missing => Finding::ok(TABLES, "the tables will be made at the first start"),
        Tables::NoRights(statements) => {
            let Durability { user, .. } = &facts.durability;
            Finding::failure(
                TABLES,
                format!("user {user} may not make the tables, or may not use those that are there"),
                format!("run the following in this database as its owner:\n{statements}"),
            )
        }
        Tables::There(Shared { format, known, .. }) if format < known => Finding::ok(
            TABLES,
            format!("the tables are of format {format}, and will be brought to format {known} at the next start"),
        ),
        Tables::There(Shared { format, sequence, .. }) => {
            Finding::ok(TABLES, format!("format {format}, {} so far", many(sequence.unsigned_abs(), "commit")))
        }
    }
}

fn durability(durability: &Durability) -> Vec<Finding> {
    let dangers = durability.dangers().into_iter();
    let mut findings: Vec<_> = dangers.map(|danger| Finding::failure(DURABILITY, danger.says, danger.advice)).collect();
    findings.push(Finding::ok(DURABILITY, durability.says()));
    findings
}

fn clock(ahead_ms: i64, round_trip: Duration) -> Finding {
    let (apart, side) =
        (Duration::from_millis(ahead_ms.unsigned_abs()), if ahead_ms >= 0 { "ahead of" } else { "behind" });
    if apart.saturating_sub(round_trip) <= FINE_CLOCK {
        return Finding::ok(CLOCK, "the database's clock is within 5s of this machine's");
    }
    Finding::warning(
        CLOCK,
        format!("the database's clock is {} {side} this machine's", humantime::format_duration(whole(apart))),
        "synchronise both, with systemd-timesyncd or chrony; the lease goes by the database's clock alone and is not affected",
    )
}

fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().max(1))
}

fn latency(round_trip: Duration, lease: Duration) -> Finding {
    let lease_text = humantime::format_duration(lease);
    let says = format!("a round trip to the database takes {:.1} ms", round_trip.as_secs_f64() * 1000.0);
    if round_trip * TOO_SLOW >= lease {
        return Finding::failure(
            LATENCY,
            format!("{says}, more than a sixth of ha.lease = {lease_text}: the lease is lost again and again"),
            "move the exporter nearer to the database, or raise ha.lease on all replicas",
        );
    }
    if round_trip * SLOW >= lease {
        return Finding::warning(
            LATENCY,
            format!(
                "{says}, more than a fiftieth of ha.lease = {lease_text}: each delivery and each scrape of a replica that does not \
                 count waits for one, and each commit for two"
            ),
            "if it does on an idle machine as well, move the exporter nearer to the database",
        );
    }
    Finding::ok(LATENCY, format!("{says}, and ha.lease is {lease_text}"))
}

fn connections(facts: &Facts) -> Finding {
    let Facts { connections, most_connections: most, .. } = facts;
    let says = format!("{connections} of {most} connections are open; a replica has at most {MOST_CONNECTIONS}");
    if most - connections < i64::from(MOST_CONNECTIONS) {
        let advice = "raise max_connections or the limit of role or database, or put PgBouncer in between (pool_mode = transaction)";
        return Finding::warning(CONNECTIONS, says, advice);
    }
    Finding::ok(CONNECTIONS, says)
}

fn replicas(shared: &Shared) -> Finding {
    let Shared { holder, is_held, held_for, replicas, inbox, .. } = shared;
    let there = match replicas.as_slice() {
        [] => "no replica is there".to_owned(),
        [one] => format!("1 replica is there ({one})"),
        several => format!("{} are there ({})", many(several.len() as u64, "replica"), several.join(", ")),
    };
    let waiting = if *inbox > 0 {
        format!("; {} in the inbox", many(inbox.unsigned_abs(), "delivery").replace("deliverys", "deliveries"))
    } else {
        String::new()
    };
    if *is_held {
        let since = humantime::format_duration(Duration::from_secs(held_for.unsigned_abs()));
        return Finding::ok(REPLICAS, format!("{there}; {holder} counts, for {since}{waiting}"));
    }
    if replicas.is_empty() {
        return Finding::ok(REPLICAS, format!("{there}, so that nobody counts{waiting}"));
    }
    Finding::warning(
        REPLICAS,
        format!("{there}, and none of them counts at this moment{waiting}"),
        "run doctor again: within ha.lease one of them has to; else look at their logs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use crate::ledger::postgres::Fault;

    fn durability_of(synchronous_commit: &str) -> Durability {
        Durability {
            fsync: true,
            full_page_writes: true,
            synchronous_commit: synchronous_commit.into(),
            source: "user".into(),
            standbys: String::new(),
            user: "exporter".into(),
            database: "agntix".into(),
        }
    }

    fn facts() -> Facts {
        Facts {
            version: "15.8 (Debian)".into(),
            tls: None,
            durability: durability_of("on"),
            connections: 3,
            most_connections: 97,
            clock_ahead_ms: 40,
            round_trip: Duration::from_millis(1),
            reads_standby: false,
            no_transactions: None,
            tables: Tables::There(Shared {
                format: 1,
                known: 1,
                holder: "a/1".into(),
                is_held: true,
                held_for: 61,
                replicas: vec!["a/1".into(), "b/2".into()],
                inbox: 0,
                sequence: 7,
            }),
        }
    }

    fn fault(fault: Fault) -> ServerFault {
        ServerFault { server: "db2:5432".into(), user: "exporter".into(), database: "agntix".into(), fault }
    }

    fn judged(
        servers: Vec<(String, Option<ServerFault>)>,
        facts: Option<Facts>,
    ) -> Vec<(&'static str, Status, String)> {
        let survey = Survey {
            database: "db1:5432,db2:5432/agntix".into(),
            sslmode: SslMode::Prefer,
            servers,
            facts: facts.map(Ok),
        };
        let seen = DatabaseSeen { survey: Ok(survey), lease: Duration::from_secs(10) };
        judge(&seen).into_iter().map(|finding| (finding.check, finding.status, finding.says)).collect()
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, Status, String)> {
        let mut facts = facts();
        change(&mut facts);
        judged(vec![("127.0.0.1:5432".into(), None)], Some(facts))
    }

    fn wrong(found: &[(&'static str, Status, String)]) -> Vec<(&'static str, Status)> {
        found
            .iter()
            .filter(|(_, status, _)| *status != Status::Ok)
            .map(|(check, status, _)| (*check, *status))
            .collect()
    }

    #[test]
    fn database_as_it_should_be_names_primary_standbys_and_who_counts() {
        let servers = vec![("127.0.0.1:5432".into(), None), ("127.0.0.1:5433".into(), Some(fault(Fault::Standby)))];
        let found = judged(servers, Some(facts()));
        assert_eq!(wrong(&found), []);
        let says = |check| found.iter().find(|(name, ..)| *name == check).unwrap().2.clone();
        assert_eq!(
            says(CHECK),
            "the counts are in database agntix of PostgreSQL 15.8 at 127.0.0.1:5432, as user exporter"
        );
        assert!(says(SERVER).ends_with("ready to take over"));
        assert_eq!(says(REPLICAS), "2 replicas are there (a/1, b/2); a/1 counts, for 1m 1s");
        assert!(says(DURABILITY).starts_with("commits are asynchronous"));
    }

    #[test]
    fn each_thing_that_is_wrong_is_a_finding_of_its_own() {
        use Status::{Failure, Warning};
        assert_eq!(wrong(&with(|f| f.durability = durability_of("off"))), [(DURABILITY, Failure)]);
        assert_eq!(wrong(&with(|f| f.durability.fsync = false)), [(DURABILITY, Failure)]);
        assert_eq!(wrong(&with(|f| f.reads_standby = true)), [(POOLER, Failure)]);
        assert_eq!(wrong(&with(|f| f.no_transactions = Some("no".into()))), [(POOLER, Failure)]);
        assert_eq!(wrong(&with(|f| f.clock_ahead_ms = -61_000)), [(CLOCK, Warning)]);
        assert_eq!(wrong(&with(|f| f.round_trip = Duration::from_millis(190))), []);
        assert_eq!(wrong(&with(|f| f.round_trip = Duration::from_millis(210))), [(LATENCY, Warning)]);
        assert_eq!(wrong(&with(|f| f.round_trip = Duration::from_secs(2))), [(LATENCY, Failure)]);
        assert_eq!(wrong(&with(|f| f.connections = 95)), [(CONNECTIONS, Warning)]);
        assert_eq!(wrong(&with(|f| f.tables = Tables::NoRights("CREATE".into()))), [(TABLES, Failure)]);
        let nobody = Shared { replicas: vec!["a/1".into()], ..Shared::default() };
        assert_eq!(wrong(&with(|f| f.tables = Tables::There(nobody))), [(REPLICAS, Warning)]);
        let far =
            judged(vec![("db1:5432".into(), None), ("db2:5432".into(), Some(fault(Fault::Refused)))], Some(facts()));
        assert_eq!(wrong(&far), [(SERVER, Warning), (TLS, Warning)]);
        let none = judged(
            vec![("db2:5432".into(), Some(fault(Fault::Standby))), ("db2:5432".into(), Some(fault(Fault::Password)))],
            None,
        );
        assert_eq!(wrong(&none), [(CHECK, Failure), (CHECK, Failure)]);
    }
}
