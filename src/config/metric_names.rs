//! The rules of `metrics.disabled`: which metrics there are to be left off the page.

use super::error::{Violation, shown};
use super::{keys, rules};

const KEY: &str = "metrics.disabled";

/// Every metric of the page, in the order of the alphabet. A test of the catalogue keeps the list current.
pub const METRIC_NAMES: [&str; 74] = [
    "agntix_agent_info",
    "agntix_exporter_active",
    "agntix_exporter_api_rate_limit",
    "agntix_exporter_api_rate_limit_remaining",
    "agntix_exporter_api_rate_limit_reset_timestamp_seconds",
    "agntix_exporter_api_request_duration_seconds",
    "agntix_exporter_api_requests_total",
    "agntix_exporter_api_throttled_seconds_total",
    "agntix_exporter_build_info",
    "agntix_exporter_catching_up",
    "agntix_exporter_config_last_reload_success_timestamp_seconds",
    "agntix_exporter_config_last_reload_successful",
    "agntix_exporter_count_delay_seconds",
    "agntix_exporter_inbox_deliveries",
    "agntix_exporter_label_overflow_total",
    "agntix_exporter_ledger_lost_sessions_total",
    "agntix_exporter_ledger_read_seconds",
    "agntix_exporter_ledger_regressions_total",
    "agntix_exporter_ledger_replayed_commits_total",
    "agntix_exporter_ledger_synchronous",
    "agntix_exporter_malformed_sessions_total",
    "agntix_exporter_messages_skipped_total",
    "agntix_exporter_oldest_pending_timestamp_seconds",
    "agntix_exporter_repeat_contacts_skipped_total",
    "agntix_exporter_replicas",
    "agntix_exporter_sessions_discovered_total",
    "agntix_exporter_sessions_tracked",
    "agntix_exporter_source_last_success_timestamp_seconds",
    "agntix_exporter_state_commits_total",
    "agntix_exporter_state_writable",
    "agntix_exporter_web_certificate_not_after_timestamp_seconds",
    "agntix_exporter_web_config_last_reload_successful",
    "agntix_exporter_web_info",
    "agntix_exporter_webhook_deliveries_total",
    "agntix_exporter_webhook_missed_sessions_total",
    "agntix_session_analysis_timeouts_total",
    "agntix_session_duration_seconds",
    "agntix_session_extracted_value",
    "agntix_session_extracted_values_total",
    "agntix_session_first_response_seconds",
    "agntix_session_intent_confidence",
    "agntix_session_intents_total",
    "agntix_session_languages_total",
    "agntix_session_messages_total",
    "agntix_session_outcome_duration_seconds_total",
    "agntix_session_outcomes_total",
    "agntix_session_reclassifications_total",
    "agntix_session_repeat_contacts_total",
    "agntix_session_resolution_confidence",
    "agntix_session_response_seconds",
    "agntix_session_sentiment_score",
    "agntix_session_sentiment_score_negative_total",
    "agntix_session_sentiment_score_positive_total",
    "agntix_session_turns",
    "agntix_session_variables_total",
    "agntix_sessions_awaiting_analysis",
    "agntix_sessions_ended_total",
    "agntix_sessions_open",
    "agntix_sessions_silent_total",
    "agntix_sessions_started_total",
    "agntix_sessions_unanswered_total",
    "agntix_up",
    "agntix_watched_session_duration_seconds",
    "agntix_watched_session_info",
    "agntix_watched_session_last_activity_timestamp_seconds",
    "agntix_watched_session_resolution_confidence",
    "agntix_watched_session_sentiment_score",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// Rejects names of which no metric is.
pub(super) fn validate(disabled: &[String]) -> Result<(), Violation> {
    let Some(wrong) = disabled.iter().find(|name| !METRIC_NAMES.contains(&name.as_str())) else { return Ok(()) };
    let rule = format!("must name metrics of this exporter; {}", advice(wrong));
    rules::check(false, KEY, format!("a list with {} in it", shown(wrong)), rule)
}

/// Which metrics may be meant by a name that no metric has.
fn advice(wrong: &str) -> String {
    if let Some(near) = keys::nearest_of(wrong, METRIC_NAMES) {
        return format!("did you mean {near}?");
    }
    let is_near =
        |name: &&str| !wrong.is_empty() && wrong.split('_').all(|word| name.split('_').any(|part| part == word));
    let mut near: Vec<&str> = METRIC_NAMES.into_iter().filter(is_near).collect();
    // The shorter ones have less in them that was not said.
    near.sort_by_key(|name| name.len());
    near.truncate(MOST_NEAR);
    match near.split_last() {
        None => "docs/metrics.md lists them".into(),
        Some((only, [])) => format!("did you mean {only}?"),
        Some((last, others)) => format!("near are {} and {last}", others.join(", ")),
    }
}

/// Names that an error shows at most.
const MOST_NEAR: usize = 5;
