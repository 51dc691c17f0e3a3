//! P7 on the database: nothing personal and no credential in any byte of its files, its write-ahead log included, in its log with
//! every statement and parameter, or on any page of any replica.

use std::path::Path;

use simulator::{DeliveryConfig, FaultKind, FaultRule, Faults};
use test_postgres::{Server, Setup as ServerSetup};

use super::{counting, receiving, replica};
use crate::personal_data::{
    CONTACTS_KEY, KEY, check, check_export, check_pages, conversations, conversations_are_counted,
};
use crate::support::{Api, NOON, WEBHOOK_SECRET, free_address, until};

/// What a server keeps that shows everything which was ever sent to it: nothing compressed, every statement with its parameters.
const TELLTALE: &str = "wal_compression = off\nfull_page_writes = on\nwal_keep_size = 1GB\nmax_wal_size = 2GB\n\
                        log_statement = all\nlog_parameter_max_length = -1\nlog_parameter_max_length_on_error = -1\n\
                        log_error_verbosity = verbose\nlog_min_messages = info";

/// Every file of the server.
fn check_server(server: &Server) {
    server.sql("CHECKPOINT");
    let mut bytes = 0;
    let mut directories = vec![server.data()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if let Ok(content) = std::fs::read(&path) {
                bytes += content.len();
                check(&path.display().to_string(), &content);
            }
        }
    }
    assert!(bytes > 10_000_000, "{bytes} bytes are no database with its log");
}

/// Every row, with its bytes as text: a large value is compressed in the files.
fn check_rows(server: &Server) {
    let tables = server
        .sql("SELECT relname FROM pg_class WHERE relnamespace = 'agntix_exporter'::regnamespace AND relkind = 'r'");
    for table in tables.lines() {
        let rows = server.sql(&format!("SET bytea_output = escape; SELECT t::text FROM agntix_exporter.{table} t"));
        check(table, rows.as_bytes());
    }
}

/// The log of the server, in which bytes are written as hexadecimal digits.
fn check_log(server: &Server) {
    let log = server.log();
    assert!(log.contains("inbox") && log.to_lowercase().contains("parameters"), "the server's log says too little");
    check("the server's log", log.as_bytes());
    for digits in log.split("\\x").skip(1) {
        let digits: Vec<u8> = digits.bytes().take_while(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        check("a parameter in the server's log", &bytes);
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn nothing_personal_gets_into_the_database_its_log_or_any_replica() {
    let server = Server::start_with(&ServerSetup { settings: TELLTALE.into(), ..ServerSetup::default() });
    let directory = tempfile::tempdir().unwrap();
    let api = Api::start(conversations());
    let kinds = [FaultKind::Garbage, FaultKind::WrongTypes, FaultKind::UnknownEnums, FaultKind::Status(500)];
    let rules = kinds.into_iter().map(|kind| FaultRule { route: None, share: 0.03, kind }).collect();
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    let webhooks = [free_address(), free_address()];
    let config = directory.path().join("exporter.toml");
    let secrets = tempfile::tempdir().unwrap();
    let table = crate::numbers::customers::table(secrets.path(), CONTACTS_KEY);
    std::fs::write(&config, format!("[metrics]\nrepeat_contacts = {table}\n")).unwrap();
    let setups = webhooks.map(|webhook| {
        receiving(replica(api.address, &server.url(), directory.path()), webhook)
            .set("STREAM__ENABLED", "true")
            .set("SESSIONS__LOOK_BACK_DEADLINE", "5m")
            .set("METRICS__WATCH_RECENT", "20")
            .set("METRICS__VARIABLES", "campaign")
            .set("MESSAGES__ENABLED", "true")
            .argument(&format!("--config.file={}", config.display()))
            .set("LOG__LEVEL", "trace")
            .env("AGNTIX_API_KEY", KEY)
    });
    let replicas = setups.each_ref().map(crate::support::Setup::start);
    let active = counting(&replicas);
    until("the look-back to be done", || (replicas[active].lines_with("the look-back is done") > 0).then_some(()));
    api.jump(NOON.plus(std::time::Duration::from_secs(7_200)));
    // The one that follows puts them into the inbox, the one that counts takes them as they are.
    for webhook in [webhooks[1 - active], webhooks[active]] {
        let hook = format!("http://{webhook}/webhooks/agntix");
        let secrets = vec![WEBHOOK_SECRET.parse().unwrap()];
        let deliveries = DeliveryConfig {
            since: Some(api.simulator.config().start),
            parallelism: 4,
            backoff_scale: 0.001,
            ..DeliveryConfig::new(&hook, secrets).unwrap()
        };
        api.simulator.set_deliveries(Some(deliveries)).unwrap();
        until("all deliveries to be acknowledged", || {
            api.simulator.delivery_progress().filter(|progress| progress.done).map(drop)
        });
    }
    let delivered: u64 = server.sql("SELECT last_value FROM agntix_exporter.inbox_number_seq").trim().parse().unwrap();
    assert!(delivered > 50, "only {delivered} deliveries went through the inbox");
    api.simulator.set_faults(Faults::default()).unwrap();
    for replica in &replicas {
        conversations_are_counted(replica);
        check_pages(replica);
        check("the log", replica.log().as_bytes());
    }
    check_rows(&server);
    check_log(&server);
    // All that is kept of a customer's number.
    let customers =
        server.sql("SELECT count(*) > 20, max(length(key)), min(length(key)) FROM agntix_exporter.contacts");
    assert_eq!(customers.trim(), "t|16|16");
    drop(replicas);
    check_export(&setups[0], directory.path(), api.sessions()[0].number);
    check_server(&server);
    check_tmp(directory.path());
}

fn check_tmp(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            check(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
}
