//! What follows a commit of the ledger: the pages show what has become durable, the metrics and the log say whether
//! commits succeed.

use std::sync::Arc;

use crate::catalogue::{ExporterMetrics, Exposition, Family};
use crate::ledger::{Committed, LedgerError, Observer};
use crate::status::Status;

/// Shows what a commit has made durable, and whether commits succeed. The log says when they begin to fail, no matter which
/// commit, and when they succeed again.
pub(super) fn observer(exposition: Arc<Exposition>, own: ExporterMetrics, status: Arc<Status>) -> Observer {
    let mut was_written = true;
    Box::new(move |result: Result<Committed, &LedgerError>| {
        let is_written = result.is_ok();
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
            Ok(_) if !was_written => tracing::info!("the state can be written again; nothing was lost"),
            _ => {}
        }
        was_written = is_written;
        own.state_writable.set(i64::from(is_written));
        own.state_commits.with_label_values(&[if is_written { "success" } else { "error" }]).inc();
        if status.snapshot().state_writable != is_written {
            status.update(|status| status.state_writable = is_written);
        }
        if let Ok(committed) = result {
            if committed.has_lost {
                own.ledger_regressions.with_label_values::<&str>(&[]).inc();
                own.ledger_replayed_commits.with_label_values::<&str>(&[]).inc_by(committed.replayed);
            }
            for label in &committed.overflow {
                own.label_overflow.with_label_values(&[&**label]).inc();
            }
            if committed.replaces {
                report_lost(&exposition.replace(&committed.series), &own);
            } else {
                exposition.apply(&committed.series, committed.exemplars);
            }
            for (family, series) in committed.gauges {
                exposition.set_gauges(family, series);
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
