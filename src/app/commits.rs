//! What follows a commit of the ledger: the pages show what has become durable, the metrics and the log say whether
//! commits succeed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::catalogue::{ExporterMetrics, Exposition, Family};
use crate::ledger::{Committed, LedgerError, Observer};
use crate::status::Status;

/// For which reasons the database could not be used since it could be used last: the log says each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Outage(Arc<Mutex<Vec<String>>>);

impl Outage {
    /// Whether the log has not said this since the database could be used last.
    fn is_new(&self, error: &LedgerError) -> bool {
        let LedgerError::Postgres(error) = error else { return false };
        let Some(reason) = error.reason() else { return false };
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = reasons.len() < MOST_REASONS && !reasons.contains(&reason);
        if is_new {
            reasons.push(reason);
        }
        is_new
    }

    fn ends(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Reasons of one outage that the log says.
const MOST_REASONS: usize = 16;

/// Counts the commits of this process, and shows what they have made durable.
pub(super) fn observer(
    exposition: Arc<Exposition>,
    own: ExporterMetrics,
    status: Arc<Status>,
    outage: Outage,
) -> Observer {
    let commits = own.state_commits.clone();
    let mut show = news_observer(exposition, own, status, outage);
    Box::new(move |result: Result<Committed, &LedgerError>| {
        commits.with_label_values(&[if result.is_ok() { "success" } else { "error" }]).inc();
        show(result);
    })
}

/// Shows what commits have made durable, whoever made them, and whether the state can be used. The log says when it no longer can,
/// of a database also each further reason, and when it can again.
pub(super) fn news_observer(
    exposition: Arc<Exposition>,
    own: ExporterMetrics,
    status: Arc<Status>,
    outage: Outage,
) -> Observer {
    Box::new(move |result: Result<Committed, &LedgerError>| {
        let was_written = status.snapshot().state_writable;
        let is_written = match &result {
            Ok(committed) => was_written || !committed.is_read_only,
            Err(_) => false,
        };
        let is_new = result.as_ref().is_err_and(|error| outage.is_new(error));
        match &result {
            Err(error @ LedgerError::Postgres(_)) if was_written => tracing::error!(
                %error,
                "the database cannot be used; deliveries are deferred, requests to Agntix pause, and /metrics answers 503"
            ),
            Err(error) if was_written => tracing::error!(
                %error,
                "counts cannot be saved; deliveries are deferred, requests to Agntix pause, and the last saved counts stay on \
                 /metrics"
            ),
            Err(error) if is_new => tracing::error!(%error, "the database cannot be used for another reason now"),
            Ok(_) if is_written && !was_written => {
                outage.ends();
                tracing::info!("the state can be written again; nothing was lost");
            }
            _ => {}
        }
        own.state_writable.set(i64::from(is_written));
        if was_written != is_written {
            status.update(|status| status.state_writable = is_written);
        }
        if let Ok(committed) = result {
            if committed.has_lost {
                own.ledger_regressions.with_label_values::<&str>(&[]).inc();
                own.ledger_replayed_commits.with_label_values::<&str>(&[]).inc_by(committed.replayed);
            }
            own.repeat_contacts_skipped.with_label_values(&["shared"]).inc_by(committed.shared_contacts);
            for label in &committed.overflow {
                own.label_overflow.with_label_values(&[&**label]).inc();
            }
            if committed.replaces {
                report_lost(&exposition.replace(&committed.series), &own);
            } else {
                exposition.apply(&committed.series, committed.exemplars);
            }
            for released in &committed.released {
                exposition.release(released);
            }
        }
    })
}

/// Says by how much the page had to decrease since the database has lost commits for good: how many sessions had ended.
fn report_lost(decreased: &[(Family, u64)], own: &ExporterMetrics) {
    let ended = decreased.iter().find(|(family, _)| *family == Family::SessionsEnded).map_or(0, |(_, by)| *by);
    own.ledger_lost_sessions.with_label_values::<&str>(&[]).inc_by(ended);
    if !decreased.is_empty() {
        tracing::error!(
            sessions = ended,
            "sessions that were on the page are not in the database any more, and are not counted; /metrics shows less than before"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::postgres::PostgresError;

    #[test]
    fn each_reason_of_an_outage_is_new_once() {
        let outage = Outage::default();
        let unreachable = |detail: &str| PostgresError::Unreachable { database: "db".into(), detail: detail.into() };
        let password =
            PostgresError::Unusable { database: "db".into(), detail: "it does not accept the password".into() };
        let is_new = |error: PostgresError| outage.is_new(&LedgerError::Postgres(error));
        assert!(is_new(unreachable("connection closed")));
        assert!(!is_new(unreachable("nothing listens there")), "the details change with every attempt");
        assert!(!is_new(PostgresError::Superseded), "it passes by itself");
        assert!(is_new(password.clone()));
        assert!(!is_new(unreachable("connection closed")) && !is_new(password.clone()));
        outage.ends();
        assert!(is_new(password));
    }
}
