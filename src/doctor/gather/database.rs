//! Asks the database that replicas share.

use std::time::Duration;

use crate::config::Config;
use crate::doctor::database::DatabaseSeen;
use crate::ledger::postgres::{PostgresError, Survey};

/// How long all of it may take: each server 3 s, all at once, and each question 5 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// What the database of `state.url` says; `None` without one.
pub(super) async fn look(config: &Config) -> Option<DatabaseSeen> {
    let state = &config.state;
    let url = state.url.as_ref()?;
    let survey = Survey::take(url.expose(), state.password_file.clone(), &state.schema);
    let survey = tokio::time::timeout(PATIENCE, survey).await.unwrap_or_else(|_| {
        let database = url.address().map(|address| address.name()).unwrap_or_default().into();
        Err(PostgresError::Unreachable { database, detail: format!("it has not answered within {PATIENCE:?}") })
    });
    Some(DatabaseSeen { survey, lease: config.ha.lease })
}
