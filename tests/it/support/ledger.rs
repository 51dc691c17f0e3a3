//! On which ledger the tests run: the embedded one, or PostgreSQL with `AGNTIX_TEST_LEDGER=postgres`. There all daemons with the
//! same state directory share one schema on one server.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;

use test_postgres::shared;

use super::Setup;

/// Whether the tests run on PostgreSQL.
pub fn is_postgres() -> bool {
    match std::env::var("AGNTIX_TEST_LEDGER").as_deref() {
        Err(_) | Ok("" | "sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("AGNTIX_TEST_LEDGER is `sqlite` or `postgres`, not `{other}`"),
    }
}

/// Says that a test is about something that PostgreSQL does not have, and so is to be skipped where the tests run there.
pub fn is_skipped(module: &str, test: &str, about: &str) -> bool {
    if is_postgres() {
        // Not captured, as what is printed would be.
        let _ = writeln!(std::io::stderr(), "skipped on PostgreSQL, since it is about {about}: {module}::{test}");
    }
    is_postgres()
}

/// The schema that stands for a state directory.
pub fn schema(state: &Path) -> String {
    let mut hash = DefaultHasher::new();
    state.hash(&mut hash);
    format!("test_{:016x}", hash.finish())
}

/// Keeps the state in PostgreSQL, if the tests run there.
pub fn chosen(setup: Setup, state: &Path) -> Setup {
    if !is_postgres() {
        return setup;
    }
    setup.set("STATE__URL", &shared().url()).set("STATE__SCHEMA", &schema(state)).set("HA__LEASE", "2s")
}

/// Lets the lease of a replica that was killed run out, so that the next one need not wait for it.
pub fn expire_lease(schema: &str) {
    shared().sql(&format!(
        "DO $$ BEGIN IF to_regclass('{schema}.lease') IS NOT NULL THEN \
         UPDATE {schema}.lease SET expires = to_timestamp(0); END IF; END $$"
    ));
}
