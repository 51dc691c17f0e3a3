//! A changed row, or a changed checksum, is noticed.

use super::*;

fn database() -> (Connection, Checksums) {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(tables::TABLES).unwrap();
    let checksums = Checksums::of(&connection).unwrap();
    checksums.begin(&connection).unwrap();
    (connection, checksums)
}

fn meta(connection: &Connection, key: &str, value: i64) {
    let insert = "INSERT INTO meta VALUES (?1, ?2, row_added('meta', ?1, ?2))";
    connection.execute(insert, (key, value)).unwrap();
}

fn reloaded(connection: &Connection) -> Checksums {
    let checksums = Checksums::default();
    checksums.load(connection, tables::FORMAT).unwrap();
    checksums
}

#[test]
fn rows_that_are_added_changed_and_removed_leave_a_table_sound() {
    let (connection, checksums) = database();
    for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
        meta(&connection, key, value);
    }
    let update =
        "UPDATE meta SET value = value * 10, hash = row_changed('meta', hash, key, value * 10) WHERE value > 1";
    connection.execute(update, []).unwrap();
    let gone = "DELETE FROM meta WHERE key < ?1 RETURNING row_removed('meta', hash)";
    assert_eq!(delete(&connection, gone, ["c"]).unwrap(), 2);
    checksums.write(&connection).unwrap();
    let checksums = reloaded(&connection);
    checksums.verify_rows(&connection, tables::FORMAT).unwrap();
    delete(&connection, "DELETE FROM meta RETURNING row_removed('meta', hash)", []).unwrap();
    assert_eq!(checksums.damage_in(&connection, "meta").unwrap(), Some(Damage::Missing { there: 0, written: 1 }));
}

#[test]
fn a_row_that_was_changed_taken_away_or_put_in_elsewhere_is_noticed() {
    let (connection, checksums) = database();
    meta(&connection, "a", 1);
    meta(&connection, "b", 1);
    checksums.write(&connection).unwrap();
    let found = |statement: &str| {
        connection.execute_batch(&format!("SAVEPOINT s; {statement}")).unwrap();
        let found = reloaded(&connection).damage_in(&connection, "meta").unwrap();
        connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
        found
    };
    assert_eq!(found(""), None);
    assert_eq!(found("UPDATE meta SET value = 2 WHERE key = 'a'"), Some(Damage::Rows(1)));
    assert_eq!(found("UPDATE meta SET key = 'c' WHERE key = 'a'"), Some(Damage::Rows(1)));
    assert_eq!(found("UPDATE meta SET hash = hash + 1"), Some(Damage::Rows(2)));
    assert_eq!(found("DELETE FROM meta WHERE key = 'a'"), Some(Damage::Missing { there: 1, written: 2 }));
}

#[test]
fn a_damaged_checksum_is_no_checksum() {
    let (connection, _) = database();
    for statement in [
        "UPDATE checksums SET sum = sum + 1 WHERE name = 'meta'",
        "UPDATE checksums SET rows = 7 WHERE name = 'commits'",
        "DELETE FROM checksums WHERE name = 'series'",
        "DELETE FROM checksums WHERE name = 'commits'",
        "UPDATE checksums SET name = 'mete' WHERE name = 'meta'",
    ] {
        connection.execute_batch(&format!("SAVEPOINT s; {statement}")).unwrap();
        assert!(Checksums::default().load(&connection, tables::FORMAT).is_err(), "{statement}");
        connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
    }
}

#[test]
fn values_of_other_types_and_other_borders_have_other_hashes() {
    let text = |text: &'static str| ValueRef::Text(text.as_bytes());
    let rows = [
        row_hash("t", [text("ab"), text("c")]),
        row_hash("t", [text("a"), text("bc")]),
        row_hash("t", [text("abc")]),
        row_hash("t", [ValueRef::Blob(b"abc")]),
        row_hash("t", [ValueRef::Null, text("abc")]),
        row_hash("u", [text("abc")]),
        row_hash("t", [ValueRef::Integer(0)]),
        row_hash("t", [ValueRef::Null]),
    ];
    let distinct: std::collections::BTreeSet<_> = rows.into_iter().collect();
    assert_eq!(distinct.len(), rows.len());
}

#[test]
fn only_a_transaction_that_changes_something_is_a_commit() {
    let (connection, checksums) = database();
    checksums.write_counting(&connection).unwrap();
    let before = checksums.commit();
    checksums.write_counting(&connection).unwrap();
    assert_eq!(checksums.commit(), before);
    meta(&connection, "a", 1);
    checksums.write_counting(&connection).unwrap();
    assert_eq!(checksums.commit(), CommitNumber { number: before.number + 1, ..before });
    assert_eq!(reloaded(&connection).commit(), checksums.commit());
}
