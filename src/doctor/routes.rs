//! Which routes the credential may read, and what is behind them: agents, listing, single sessions, event stream.

use std::sync::Arc;

use super::Finding;
use super::api::ApiSeen;
use super::finding::{grouped, many};
use crate::agntix::ApiError;
use crate::agntix::paths::ApiPath;
use crate::config::Config;

/// A page of agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agents {
    /// How many there are in all, as far as the answer says.
    pub total: u64,
    /// Pages that hold them.
    pub pages: u32,
}

/// A page of the sessions of the last day, newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Listing {
    /// How many there are in all, if the answer says so.
    pub total: Option<u64>,
    /// Sessions on the page.
    pub items: u64,
    /// Of those, the ones that have ended.
    pub ended: u64,
    /// Of those, the ones that carry their analysis.
    pub analysed: u64,
    /// Starts a minute: of the whole day, or of the page, whichever are more.
    pub starts_per_minute: f64,
    /// Agents, channels, intents and languages on the page.
    pub agents: u64,
    /// Combinations of agent, type, platform and direction.
    pub channels: u64,
    /// Combinations of agent and intent.
    pub intents: u64,
    /// Combinations of agent and language.
    pub languages: u64,
}

/// One session that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionSeen {
    /// Whether the API or the operator has named it; else there is none of this id.
    pub exists: bool,
    /// What came.
    pub answer: Result<(), ApiError>,
}

/// Judges each route that was asked.
pub(super) fn judge(seen: &ApiSeen, config: &Config) -> Vec<Finding> {
    // That the API as a whole does not answer, or not to this key, is told once.
    fn own<T>(answer: Option<&Result<T, ApiError>>) -> Option<Told<'_, T>> {
        match answer? {
            Ok(value) => Some(Ok(value)),
            Err(error @ ApiError::Status { status, .. }) if !matches!(status, 401 | 429 | 500..) => {
                Some(Err((*status, error)))
            }
            Err(_) => None,
        }
    }
    let session = seen.session.as_ref().map(|session| &session.answer);
    let exists = seen.session.as_ref().is_some_and(|session| session.exists);
    [
        own(seen.agents.as_ref()).map(|answer| agents(answer, config)),
        own(seen.listing.as_ref()).map(|answer| listing(answer, seen.open, config)),
        own(session).map(|answer| single(answer, exists, config)),
        stream(seen.stream.as_ref(), config),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The path that was asked: the configured one, or the first of the spellings.
fn asked(path: ApiPath, config: &Config) -> Arc<str> {
    path.candidates(&config.api).into_iter().next().unwrap_or_default()
}

type Told<'a, T> = Result<&'a T, (u16, &'a ApiError)>;

const SCOPE: &str = "give the key this scope in Agntix, or make a key that has it";

fn agents(answer: Told<'_, Agents>, config: &Config) -> Finding {
    const CHECK: &str = "agents";
    match answer {
        Ok(agents) => Finding::ok(CHECK, format!("{} can be read", many(agents.total, "agent"))),
        Err((403, error)) => Finding::warning(
            CHECK,
            format!("the credential lacks the scope to read agents, so that agntix_agent_info is missing: {error}"),
            SCOPE,
        ),
        Err((_, error)) => Finding::warning(
            CHECK,
            format!("agents cannot be read at {}: {error}", asked(ApiPath::Agents, config)),
            "check api.agents_path; without it only the names of the agents are missing",
        ),
    }
}

fn listing(answer: Told<'_, Listing>, open: Option<u64>, config: &Config) -> Finding {
    const CHECK: &str = "listing";
    let is_on = config.sessions.listing;
    let elsewhere = config.webhook.enabled || config.stream.enabled;
    let named = !config.sessions.ids.is_empty() || !config.sessions.files.is_empty();
    match answer {
        Ok(listing) => {
            let day = listing.total.map_or_else(
                || "sessions can be listed".to_owned(),
                |total| format!("{} of the last 24 h can be listed", many(total, "session")),
            );
            let open = open.map_or(String::new(), |open| format!(", {} open now", grouped(open)));
            let off = if is_on { "" } else { "; sessions.listing is off, so they are not" };
            Finding::ok(CHECK, format!("{day}{open}{off}"))
        }
        Err((status, error)) if !is_on => {
            let says = format!("sessions cannot be listed ({status}), and sessions.listing is off: {error}");
            Finding::ok(CHECK, says)
        }
        Err((403, error)) => {
            Finding::failure(CHECK, format!("the credential lacks the scope to list sessions: {error}"), SCOPE)
        }
        Err((404 | 405, error)) if elsewhere || named => Finding::warning(
            CHECK,
            format!(
                "there is no listing at {}: {error}; sessions are heard of in the other ways that are configured",
                asked(ApiPath::List, config)
            ),
            "check api.list_path, or set sessions.listing = false",
        ),
        Err((404 | 405, error)) => Finding::failure(
            CHECK,
            format!(
                "there is no listing at {}, and no other way to hear of sessions is configured: {error}",
                asked(ApiPath::List, config)
            ),
            "check api.list_path; without a listing enable the webhook (docs/webhooks.md), or name sessions in sessions.ids or sessions.files",
        ),
        Err((_, error)) => Finding::failure(
            CHECK,
            format!("sessions cannot be listed at {}: {error}", asked(ApiPath::List, config)),
            "check api.list_path, and whether a proxy on the way changes the query",
        ),
    }
}

fn single(answer: Told<'_, ()>, exists: bool, config: &Config) -> Finding {
    const CHECK: &str = "session";
    match answer {
        Ok(()) => Finding::ok(CHECK, "a single session can be read"),
        // Asked for an id that no session has: that the API says so is an answer of the right route.
        Err((400 | 404 | 422, ApiError::Status { code: Some(_), .. })) if !exists => Finding::ok(
            CHECK,
            "single sessions can be read (there was none to try; one that does not exist was asked for)",
        ),
        Err((403, error)) => {
            Finding::failure(CHECK, format!("the credential lacks the scope to read a session: {error}"), SCOPE)
        }
        Err((_, error)) => Finding::failure(
            CHECK,
            format!("a single session cannot be read at {}: {error}", asked(ApiPath::Session, config)),
            "check api.session_path, and if sessions are configured by hand, sessions.ids",
        ),
    }
}

fn stream(answer: Option<&Result<(), ApiError>>, config: &Config) -> Option<Finding> {
    const CHECK: &str = "stream";
    let is_on = config.stream.enabled;
    let path = asked(ApiPath::Stream, config);
    Some(match answer? {
        Ok(()) if is_on => Finding::ok(CHECK, "the event stream can be opened"),
        Ok(()) => Finding::ok(CHECK, "the event stream can be opened; stream.enabled = true would bring news sooner"),
        Err(ApiError::Status { status: 401, .. }) => return None,
        Err(error) if !is_on => {
            Finding::ok(CHECK, format!("the event stream cannot be opened, and stream.enabled is off: {error}"))
        }
        Err(error @ ApiError::Status { status: 403, .. }) => Finding::warning(
            CHECK,
            format!("the credential lacks the scope to read the event stream: {error}; polling goes on without it"),
            "give the key this scope in Agntix, or set stream.enabled = false",
        ),
        Err(error @ ApiError::Status { status: 429, .. }) => Finding::warning(
            CHECK,
            format!("all of the organization's streams are in use, perhaps one by the running exporter: {error}"),
            "nothing, if agntix_exporter_source_last_success_timestamp_seconds{source=\"stream\"} of the exporter is fresh; else close another stream",
        ),
        Err(error) => Finding::warning(
            CHECK,
            format!("there is no event stream at {path}: {error}; polling goes on without it"),
            "check api.stream_path, and whether a proxy lets text/event-stream pass; or set stream.enabled = false",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{self, Failure, Ok as Fine, Warning};

    fn status(status: u16, code: Option<&str>) -> ApiError {
        ApiError::Status { status, code: code.map(Into::into), request_id: None, retry_after: None }
    }

    fn statuses(seen: &ApiSeen, config: &Config) -> Vec<(&'static str, Status)> {
        judge(seen, config).iter().map(|finding| (finding.check, finding.status)).collect()
    }

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        change(&mut config);
        config
    }

    #[test]
    fn what_can_be_read_is_told_and_what_was_not_asked_is_not() {
        let listing = Listing { total: Some(1_200), ..Listing::default() };
        let seen = ApiSeen {
            agents: Some(Ok(Agents { total: 1, pages: 1 })),
            listing: Some(Ok(listing)),
            open: Some(3),
            ..ApiSeen::default()
        };
        let told: Vec<_> = judge(&seen, &Config::default()).into_iter().map(|finding| finding.says).collect();
        assert_eq!(told, ["1 agent can be read", "1,200 sessions of the last 24 h can be listed, 3 open now"]);
        let dead = ApiSeen { agents: Some(Err(ApiError::Timeout)), ..ApiSeen::default() };
        assert_eq!(judge(&dead, &Config::default()), []);
        let refused = ApiSeen { agents: Some(Err(status(401, None))), ..ApiSeen::default() };
        assert_eq!(judge(&refused, &Config::default()), []);
    }

    #[test]
    fn a_listing_that_is_missing_fails_only_where_nothing_else_finds_sessions() {
        let seen = |code| ApiSeen { listing: Some(Err(status(code, None))), ..ApiSeen::default() };
        let all = [
            (403, config(|_| ()), Failure),
            (404, config(|_| ()), Failure),
            (500, config(|_| ()), Fine),
            (405, config(|c| c.webhook.enabled = true), Warning),
            (404, config(|c| c.sessions.ids = vec!["s".into()]), Warning),
            (403, config(|c| c.sessions.listing = false), Fine),
            (400, config(|_| ()), Failure),
        ];
        for (code, config, expected) in all {
            let found = statuses(&seen(code), &config);
            let expected = if code == 500 { Vec::new() } else { vec![("listing", expected)] };
            assert_eq!(found, expected, "{code}");
        }
    }

    #[test]
    fn a_session_that_does_not_exist_proves_the_scope_only_by_the_apis_own_code() {
        let seen = |exists, answer| ApiSeen { session: Some(SessionSeen { exists, answer }), ..ApiSeen::default() };
        let not_found = || Err(status(404, Some("SESSION_NOT_FOUND")));
        for (seen, expected) in [
            (seen(true, Ok(())), Fine),
            (seen(false, not_found()), Fine),
            (seen(true, not_found()), Failure),
            (seen(false, Err(status(404, None))), Failure),
            (seen(false, Err(status(403, Some("FORBIDDEN")))), Failure),
        ] {
            assert_eq!(statuses(&seen, &Config::default()), [("session", expected)], "{:?}", seen.session);
        }
    }

    #[test]
    fn a_stream_matters_only_where_it_is_wanted() {
        let (on, off) = (config(|c| c.stream.enabled = true), Config::default());
        let seen = |answer| ApiSeen { stream: Some(answer), ..ApiSeen::default() };
        let html = || Err(ApiError::Body("text/html, and no event stream".into()));
        for (answer, wanted) in [
            (Ok(()), Fine),
            (Err(status(404, None)), Warning),
            (Err(status(403, None)), Warning),
            (Err(status(429, None)), Warning),
            (html(), Warning),
        ] {
            assert_eq!(statuses(&seen(answer.clone()), &on), [("stream", wanted)], "{answer:?}");
            assert_eq!(statuses(&seen(answer), &off), [("stream", Fine)]);
        }
        assert_eq!(statuses(&seen(Err(status(401, None))), &on), []);
    }
}
