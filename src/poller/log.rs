//! Writes the core's notices to the log: each line's level, message and fields. What is worth a line is decided elsewhere.

use std::time::Duration;

use tracing::field::display;

use super::notices::{
    ApiNotice, LimitNotice, ListNotice, LookBackEnd, Notice, PageTrouble, SessionNotice, SessionTrouble,
};
use super::standing::whole_seconds;
use crate::discovery::paging::{Contradiction, PageClaims};

/// The demo, whose simulated API has a clock of its own, silences the lines about clocks by this target.
const ABOUT_CLOCKS: &str = "agntix_exporter::poller::time";

/// Writes one line.
pub fn write(notice: &Notice) {
    match notice {
        Notice::Api(notice) => write_api(notice),
        Notice::Limit(notice) => write_limit(notice),
        Notice::Session(notice) => write_session(notice),
        Notice::List(notice) => write_list(notice),
        Notice::ClocksDiffer { ahead_of_machine_ms: ms } => tracing::warn!(
            target: ABOUT_CLOCKS,
            apart = whole_seconds(Duration::from_millis(ms.unsigned_abs())),
            machine_is = if *ms < 0 { "ahead" } else { "behind" },
            "this machine's clock and the API's differ; sessions are judged by the API's (synchronise this machine)"
        ),
        Notice::WatchedLeftOut { source, watched, left_out } => tracing::warn!(
            source = source.as_str(),
            watched,
            left_out,
            "more sessions are to be watched than sessions.max_tracked allows; those at the end are left out"
        ),
        Notice::StartUnderWay { done, left, ready_within } => {
            let ready_within = ready_within.map(whole_seconds);
            tracing::info!(done, left, ready_within = ready_within.as_deref(), "the start is under way");
        }
        Notice::LookBackOver(LookBackEnd::Complete) => {
            tracing::info!("the look-back is done; session metrics are shown from now on");
        }
        Notice::LookBackOver(LookBackEnd::AwaitingAnalysis { waiting }) => tracing::info!(
            waiting,
            "the look-back is over; session metrics are shown from now on, and sessions that wait for their analysis \
             are counted as usual"
        ),
        Notice::LookBackOver(LookBackEnd::DeadlinePassed { waiting }) => tracing::warn!(
            waiting,
            "sessions.look_back_deadline has passed; session metrics are shown, and older sessions are counted as they \
             are found"
        ),
        Notice::Ready => tracing::info!("ready: every source has been read once"),
    }
}

fn write_api(notice: &ApiNotice) {
    match notice {
        ApiNotice::Down { why } => tracing::error!("{why}"),
        ApiNotice::CredentialRefused { route, error, why } => {
            tracing::error!(route = route.as_str(), %error, "{why}");
        }
        ApiNotice::Unusable { host, error } => {
            tracing::error!(host, %error, "requests to Agntix keep failing; they are retried with growing pauses");
        }
        ApiNotice::Up { down_for, host } => {
            tracing::info!(down_for = %whole_seconds(*down_for), host, "the API answers again");
        }
        ApiNotice::RequestFailed { route, error } => {
            tracing::debug!(route = route.as_str(), %error, "a request failed");
        }
        ApiNotice::ConnectionLost { why } => {
            tracing::debug!(why, "a request failed because the connection that it shared was lost");
        }
        ApiNotice::RequestNotTaken { route } => {
            tracing::debug!(route = route.as_str(), "a request that the API had not begun with is sent again");
        }
        ApiNotice::NotAsPromised { route, path, what, after } => {
            tracing::debug!(
                route = route.as_str(),
                path = &**path,
                what,
                ?after,
                "the answer is not what the route promises"
            );
        }
        ApiNotice::PathFound { route, path, key } => {
            tracing::info!(route = route.as_str(), path = &**path, "the path of a route was found ({key} is auto)");
        }
    }
}

fn write_limit(notice: &LimitNotice) {
    match notice {
        LimitNotice::Stated { stated, may_send } => tracing::info!(stated, may_send, "the API stated its limit"),
        LimitNotice::Zero { stated } => tracing::warn!(
            stated,
            "the API states a limit of no requests; one a minute is sent until it states another"
        ),
        LimitNotice::NotStated => {
            tracing::warn!("the API does not state its limit any more; api.requests_per_minute is in effect");
        }
        LimitNotice::RetryAfter { status, wait, request_id, suppressed } => tracing::warn!(
            status,
            wait = %whole_seconds(*wait),
            request_id,
            suppressed,
            "Agntix asks for a pause (Retry-After); all requests wait"
        ),
        LimitNotice::TooManyRequests { wait, request_id, suppressed } => tracing::warn!(
            wait = %whole_seconds(*wait),
            request_id,
            suppressed,
            "Agntix asks for fewer requests (429); all of them pause"
        ),
    }
}

fn write_session(notice: &SessionNotice) {
    let SessionNotice { session, trouble, request_id, suppressed } = notice;
    match trouble {
        SessionTrouble::Unreadable { why, again } => {
            let again = again.map(|again| display(whole_seconds(again)));
            tracing::warn!(%session, why, request_id, again, suppressed, "a session cannot be read");
        }
        SessionTrouble::PartsLeftOut { parts } => tracing::warn!(
            %session, parts, request_id, suppressed,
            "parts of a session are malformed and are left out"
        ),
        SessionTrouble::NoMessages { why } => tracing::warn!(
            %session, why, request_id, suppressed,
            "the messages of a session cannot be read; they are asked for once a minute, and sessions are counted without them"
        ),
        SessionTrouble::TooOld => tracing::warn!(
            %session, suppressed,
            "a session is older than sessions.retention and may have been counted before; it is not counted"
        ),
    }
}

fn write_list(notice: &ListNotice) {
    match notice {
        ListNotice::Page { trouble, request_id, suppressed } => match trouble {
            PageTrouble::Unnamed { sessions } => {
                tracing::warn!(
                    request_id,
                    sessions,
                    suppressed,
                    "listed sessions have no readable id and are left out"
                );
            }
            PageTrouble::EntryLeftOut { why } => {
                tracing::warn!(request_id, why, suppressed, "a listed session cannot be read at all; it is left out");
            }
            PageTrouble::Unreadable { why } => {
                tracing::warn!(
                    request_id,
                    why,
                    suppressed,
                    "a page of the listing cannot be read; it is asked for again"
                );
            }
        },
        ListNotice::PageEmpty => {
            tracing::debug!("a page of the listing is empty where there should be more; it is asked for again");
        }
        ListNotice::Contradicts(Contradiction { page, claims, read }) => {
            let PageClaims { items, total, total_pages, limit, .. } = claims;
            tracing::warn!(
                page,
                items,
                read,
                total,
                total_pages,
                limit,
                "the listing's total or totalPages contradicts what its pages hold; pages are read until one is short or empty"
            );
        }
        ListNotice::Repeats { suppressed } => tracing::warn!(
            suppressed,
            "the listing repeats itself or ignores its parameters; only its first pages are used"
        ),
        ListNotice::NoOpenSessions { error } => tracing::warn!(
            %error,
            "the API does not list open sessions by state; those that were open before the first start are found \
             only if sessions.ids, a delivery or the event stream names them. It is tried again at the next start"
        ),
        ListNotice::Absent { tried, hears_elsewhere: true } => tracing::warn!(
            tried,
            "the gateway has no listing of sessions; only sessions that are heard of in other ways are counted \
             (set api.list_path, or sessions.listing = false)"
        ),
        ListNotice::Absent { tried, hears_elsewhere: false } => tracing::error!(
            tried,
            "the gateway has no listing of sessions, and nothing else is configured that tells of them (set \
             api.list_path, or sessions.listing = false and sessions.ids, sessions.files, webhook.enabled or \
             stream.enabled)"
        ),
        ListNotice::NoAgents { tried } => tracing::warn!(
            tried,
            "the agents cannot be read, so that agntix_agent_info is missing (set api.agents_path)"
        ),
        ListNotice::AgentsContradict(Contradiction { page, claims, .. }) => {
            let PageClaims { items, total, total_pages, .. } = claims;
            tracing::warn!(
                page,
                items,
                total,
                total_pages,
                "the agents' total or totalPages contradicts what their pages hold"
            );
        }
    }
}
