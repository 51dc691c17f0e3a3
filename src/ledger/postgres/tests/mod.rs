//! The ledger on a real PostgreSQL: what is about the database. What is about counting is tested for all backends at once.

mod failover;
mod faults;
mod fences;
mod lease;
mod replicas;
mod retention;
mod tls;
mod upgrade;

use agntix_api::install_crypto_provider;

use super::Database;
use crate::tasks::Tasks;

/// A runtime that goes on while a test waits for something else.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    install_crypto_provider();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The database at `url`, with the schema that is the default.
pub(super) fn database(url: &str) -> Database {
    install_crypto_provider();
    Database::new(url, None, "agntix_exporter", Tasks::new().0).unwrap()
}
