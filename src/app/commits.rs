//! What follows a commit of the ledger: the pages show what has become durable, the metrics and the log say whether
//! commits succeed.

use std::sync::Arc;

use crate::catalogue::{ExporterMetrics, Exposition, Family};
use crate::ledger::{Committed, LedgerError, Observer};
use crate::status::Status;

/// Counts the commits of this process, and shows what they have made durable.
pub(super) fn observer(exposition: Arc<Exposition>, own: ExporterMetrics, status: Arc<Status>) -> Observer {
    let commits = own.state_commits.clone();
    let mut show = news_observer(exposition, own, status);
    Box::new(move |result: Result<Committed, &LedgerError>| {
        commits.with_label_values(&[if result.is_ok() { "success" } else { "error" }]).inc();
        show(result);
    })
}

/// Shows what commits have made durable, whoever made them, and whether the state can be used. The log says when it no longer can,
/// and when it can again.
pub(super) fn news_observer(exposition: Arc<Exposition>, own: ExporterMetrics, status: Arc<Status>) -> Observer {
    Box::new(move |result: Result<Committed, &LedgerError>| {
        let was_written = status.snapshot().state_writable;
        let is_written = match &result {
            Ok(committed) => was_written || !committed.is_read_only,
            Err(_) => false,
        };
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
            Ok(_) if is_written && !was_written => tracing::info!("the state can be written again; nothing was lost"),
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
