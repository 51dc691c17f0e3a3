//! Which routes the credential may read, and what is behind them: agents, listing, single sessions, event stream.

use agntix_api::ApiError;
use agntix_api::paths::ApiPath;
use agntix_api::search::{Found, Wrong};

use super::Finding;
use super::finding::{grouped, many};
use super::seen::{Agents, ApiSeen, Listing, Miss};
use crate::config::Config;

/// Judges each route that was asked.
pub(super) fn judge(seen: &ApiSeen, config: &Config) -> Vec<Finding> {
    fn of<T>(answer: Option<&Result<T, Miss>>, own: impl Fn(&Miss) -> bool) -> Option<Answer<'_, T>> {
        match answer? {
            Ok(value) => Some(Ok(value)),
            Err(miss) => own(miss).then_some(Err(miss)),
        }
    }
    // That the API does not answer, rejects the key, or is not the API at all is one finding in `api`, not one per route.
    let is_somebody_else = seen.is_somebody_else();
    let own = |miss: &Miss| match miss {
        Miss::Error(ApiError::Status { status, .. }) => !matches!(status, 401 | 408 | 425 | 429 | 500..),
        Miss::Error(_) => false,
        Miss::Wrong(_) => !is_somebody_else,
    };
    let session = seen.session.as_ref().map(|session| &session.answer);
    let exists = seen.session.as_ref().is_some_and(|session| session.exists);
    let found = |path: ApiPath| seen.found.get(path as usize).and_then(Option::as_ref);
    let mut findings: Vec<Finding> = [
        of(seen.agents.as_ref(), own).map(agents),
        of(seen.listing.as_ref(), own).map(|answer| listing(answer, seen.open, config)),
        of(session, own).map(|answer| single(answer, exists)),
        stream(seen.stream.as_ref().filter(|_| !is_somebody_else), config),
    ]
    .into_iter()
    .zip([ApiPath::Agents, ApiPath::List, ApiPath::Session, ApiPath::Stream])
    .filter_map(|(finding, path)| finding.map(|finding| at(finding, path, found(path))))
    .collect();
    // What was read of them is said nowhere else.
    let of_messages = |miss: &Miss| own(miss) || matches!(miss, Miss::Error(ApiError::Body(_)));
    findings.extend(of(seen.messages.as_ref(), of_messages).map(messages));
    let moved = ApiPath::ALL.into_iter().filter_map(|path| moved(path, found(path)?));
    findings.extend(moved);
    findings
}

/// Says under which path a route was found, where that is not the first that was asked.
fn at(mut finding: Finding, path: ApiPath, found: Option<&Found>) -> Finding {
    if let Some(found) = found.filter(|found| !found.missed.is_empty()) {
        finding.says = format!("{} (at {}; {} is auto)", finding.says, found.path, path.key());
    }
    finding
}

/// Where all routes are that were found.
pub(super) fn paths(seen: &ApiSeen) -> Option<Finding> {
    let found = ApiPath::ALL.into_iter().zip(&seen.found);
    let places = found.filter_map(|(path, found)| Some(format!("{} at {}", path.gives(), found.as_ref()?.path)));
    let places = places.collect::<Vec<_>>().join(", ");
    (!places.is_empty()).then(|| Finding::ok("paths", places))
}

/// A route that an exporter has found elsewhere before.
fn moved(path: ApiPath, found: &Found) -> Option<Finding> {
    found.has_moved.then(|| {
        Finding::warning(
            "path",
            format!(
                "{} moved to {} since an exporter with this state last found the path: GET {}",
                path.gives(),
                found.path,
                found.missed
            ),
            "nothing, if it was meant: the exporter searches the other spellings after a minute of such answers; else ask \
             who runs the gateway",
        )
    })
}

type Answer<'a, T> = Result<&'a T, &'a Miss>;

const SCOPE: &str = "give the key this scope in Agntix, or make a key that has it";

/// As in the daemon, for which the API is not up while one of its routes answers like this.
const STRANGE: &str = "the exporter does not call the API well like this: check the gateway in front of the API, and whether a login page or a proxy answers here";

fn agents(answer: Answer<'_, Agents>) -> Finding {
    const CHECK: &str = "agents";
    match answer {
        Ok(agents) => Finding::ok(CHECK, format!("{} can be read", many(agents.total, "agent"))),
        Err(Miss::Error(error)) => Finding::warning(
            CHECK,
            format!("the credential lacks the scope to read agents, so that agntix_agent_info is missing: {error}"),
            SCOPE,
        ),
        Err(Miss::Wrong(Wrong { tried, is_absent: true })) => Finding::warning(
            CHECK,
            format!("agents cannot be read, so that agntix_agent_info is missing: GET {tried}"),
            "set api.agents_path, if the gateway has them elsewhere; without it only the names of the agents are missing",
        ),
        Err(Miss::Wrong(Wrong { tried, is_absent: false })) => {
            Finding::failure(CHECK, format!("agents cannot be read: GET {tried}"), STRANGE)
        }
    }
}

fn listing(answer: Answer<'_, Listing>, open: Option<u64>, config: &Config) -> Finding {
    const CHECK: &str = "listing";
    let is_on = config.sessions.listing;
    let elsewhere = config.webhook.enabled || config.stream.enabled;
    let named = !config.sessions.ids.is_empty() || !config.sessions.files.is_empty();
    match answer {
        Ok(listing) => {
            let off = if is_on { "" } else { "; sessions.listing is off, so they are not" };
            if listing.items == 0 && listing.total.is_none_or(|total| total == 0) && open.is_none_or(|open| open == 0) {
                let open = if open.is_some() { ", and none is open" } else { "" };
                let says = format!("sessions can be listed; there is none: the last 24 h have brought none{open}{off}");
                return Finding::ok(CHECK, says);
            }
            let day = listing.total.map_or_else(
                || "sessions can be listed".to_owned(),
                |total| format!("{} of the last 24 h can be listed", many(total, "session")),
            );
            let open = open.map_or(String::new(), |open| format!(", {} open now", grouped(open)));
            Finding::ok(CHECK, format!("{day}{open}{off}"))
        }
        Err(miss) if !is_on => {
            let says = match miss {
                Miss::Error(error) => error.to_string(),
                Miss::Wrong(wrong) => format!("GET {}", wrong.tried),
            };
            Finding::ok(CHECK, format!("sessions cannot be listed, and sessions.listing is off: {says}"))
        }
        Err(Miss::Error(error)) => {
            Finding::failure(CHECK, format!("the credential lacks the scope to list sessions: {error}"), SCOPE)
        }
        Err(Miss::Wrong(Wrong { tried, is_absent: true })) if elsewhere || named => Finding::warning(
            CHECK,
            format!(
                "the gateway has no listing; sessions are heard of in the other ways that are configured: GET {tried}"
            ),
            "set api.list_path, if the gateway has it elsewhere, or sessions.listing = false",
        ),
        Err(Miss::Wrong(Wrong { tried, is_absent: true })) => Finding::failure(
            CHECK,
            format!("the gateway has no listing, and no other way to hear of sessions is configured: GET {tried}"),
            "set api.list_path, if the gateway has it elsewhere; without a listing enable the webhook (docs/webhooks.md), or name sessions in sessions.ids or sessions.files",
        ),
        Err(Miss::Wrong(Wrong { tried, is_absent: false })) => {
            Finding::failure(CHECK, format!("sessions cannot be listed: GET {tried}"), STRANGE)
        }
    }
}

fn single(answer: Answer<'_, ()>, exists: bool) -> Finding {
    const CHECK: &str = "session";
    match answer {
        Ok(()) => Finding::ok(CHECK, "a single session can be read"),
        Err(Miss::Error(error @ ApiError::Status { status: 403, .. })) => {
            Finding::failure(CHECK, format!("the credential lacks the scope to read a session: {error}"), SCOPE)
        }
        // The id was invented: that the API does not know it shows that the route is right.
        Err(Miss::Error(_)) if !exists => Finding::ok(
            CHECK,
            "single sessions can be read (there was none to try; one that does not exist was asked for)",
        ),
        Err(Miss::Error(error)) => Finding::failure(
            CHECK,
            format!(
                "the route for single sessions is there, but does not know a session that was named to it: {error}"
            ),
            "check sessions.ids, if sessions are configured by hand; else run this again, and ask the vendor if it stays so",
        ),
        Err(Miss::Wrong(Wrong { tried, is_absent: true })) => Finding::failure(
            CHECK,
            format!("a single session cannot be read: GET {tried}"),
            "set api.session_path to where the gateway has single sessions, or let it pass this route: without it nothing but what the listing carries can be counted",
        ),
        Err(Miss::Wrong(Wrong { tried, is_absent: false })) => {
            Finding::failure(CHECK, format!("a single session cannot be read: GET {tried}"), STRANGE)
        }
    }
}

fn messages(answer: Answer<'_, ()>) -> Finding {
    const CHECK: &str = "messages";
    match answer {
        Ok(()) => Finding::ok(CHECK, "the messages of a session can be read"),
        Err(Miss::Error(error @ ApiError::Status { status: 403, .. })) => Finding::warning(
            CHECK,
            format!(
                "the credential lacks the scope to read the messages of a session, so that their metrics are missing: {error}"
            ),
            SCOPE,
        ),
        Err(Miss::Error(error)) => Finding::warning(
            CHECK,
            format!("the messages of a session cannot be read, so that their metrics are missing: {error}"),
            "run this again, and ask the vendor if it stays so",
        ),
        Err(Miss::Wrong(Wrong { tried, .. })) => Finding::warning(
            CHECK,
            format!("the messages of a session cannot be read, so that their metrics are missing: GET {tried}"),
            "let the gateway pass this route, or set messages.enabled = false",
        ),
    }
}

fn stream(answer: Option<&Result<(), Miss>>, config: &Config) -> Option<Finding> {
    const CHECK: &str = "stream";
    let is_on = config.stream.enabled;
    Some(match answer? {
        Ok(()) if is_on => Finding::ok(CHECK, "the event stream can be opened"),
        Ok(()) => Finding::ok(CHECK, "the event stream can be opened; stream.enabled = true would bring news sooner"),
        Err(Miss::Error(ApiError::Status { status: 401, .. })) => return None,
        Err(Miss::Error(error)) if !is_on => {
            Finding::ok(CHECK, format!("the event stream cannot be opened, and stream.enabled is off: {error}"))
        }
        Err(Miss::Wrong(wrong)) if !is_on => Finding::ok(
            CHECK,
            format!("the event stream cannot be opened, and stream.enabled is off: GET {}", wrong.tried),
        ),
        Err(Miss::Error(error @ ApiError::Status { status: 403, .. })) => Finding::warning(
            CHECK,
            format!("the credential lacks the scope to read the event stream: {error}; polling goes on without it"),
            "give the key this scope in Agntix, or set stream.enabled = false",
        ),
        Err(Miss::Error(error @ ApiError::Status { status: 429, .. })) => Finding::warning(
            CHECK,
            format!("all of the organization's streams are in use, perhaps one by the running exporter: {error}"),
            "nothing, if agntix_exporter_source_last_success_timestamp_seconds{source=\"stream\"} of the exporter is fresh; else close another stream",
        ),
        Err(Miss::Error(error)) => Finding::warning(
            CHECK,
            format!("the event stream cannot be opened: {error}; polling goes on without it"),
            "nothing, if it passes: the exporter tries again; else set stream.enabled = false",
        ),
        Err(Miss::Wrong(wrong)) => Finding::warning(
            CHECK,
            format!("there is no event stream (GET {}); polling goes on without it", wrong.tried),
            "check api.stream_path, and whether a proxy lets text/event-stream pass; or set stream.enabled = false",
        ),
    })
}

#[cfg(test)]
mod tests {
    use agntix_api::Route;
    use agntix_api::promise::{self, Unexpected};

    use super::*;
    use crate::doctor::Status::{self, Failure, Ok as Fine, Warning};
    use crate::doctor::seen::SessionSeen;

    fn status(status: u16, code: Option<&str>) -> Miss {
        let error = ApiError::Status { status, code: code.map(Into::into), request_id: None, retry_after: None };
        match promise::of_error(Route::Session, &error, None) {
            Unexpected::Foreign { came, is_absent } => {
                Miss::Wrong(Wrong { tried: format!("/x was answered {came}"), is_absent })
            }
            _ => Miss::Error(error),
        }
    }

    /// One route that was found shows that the host is the API.
    fn of_the_api() -> ApiSeen {
        let mut seen = ApiSeen::default();
        seen.found[ApiPath::Agents as usize] = Some(Found::default());
        seen
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
    fn readable_routes_are_reported_and_unasked_ones_are_not() {
        let listing = Listing { total: Some(1_200), ..Listing::default() };
        let seen = ApiSeen {
            agents: Some(Ok(Agents { total: 1, pages: 1 })),
            listing: Some(Ok(listing)),
            open: Some(3),
            ..ApiSeen::default()
        };
        let told: Vec<_> = judge(&seen, &Config::default()).into_iter().map(|finding| finding.says).collect();
        assert_eq!(told, ["1 agent can be read", "1,200 sessions of the last 24 h can be listed, 3 open now"]);
        let dead = ApiSeen { agents: Some(Err(Miss::Error(ApiError::Timeout))), ..ApiSeen::default() };
        assert_eq!(judge(&dead, &Config::default()), []);
        let refused = ApiSeen { agents: Some(Err(status(401, None))), ..ApiSeen::default() };
        assert_eq!(judge(&refused, &Config::default()), []);
    }

    #[test]
    fn missing_listing_fails_unless_sessions_are_found_otherwise() {
        let seen = |code| ApiSeen { listing: Some(Err(status(code, None))), ..of_the_api() };
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
    fn unknown_session_proves_the_scope_only_with_the_error_code_of_the_api() {
        let seen = |exists, answer| ApiSeen { session: Some(SessionSeen { exists, answer }), ..of_the_api() };
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
    fn messages_that_cannot_be_read_are_a_warning_that_says_why() {
        let judged = |answer| judge(&ApiSeen { messages: Some(answer), ..of_the_api() }, &Config::default()).remove(0);
        assert_eq!((judged(Ok(())).check, judged(Ok(())).status), ("messages", Fine));
        for (answer, says) in [
            (status(403, Some("FORBIDDEN")), "lacks the scope"),
            (status(404, None), "GET /x was answered 404"),
            (Miss::Error(ApiError::Body("no page of messages".into())), "no page of messages"),
        ] {
            let found = judged(Err(answer));
            assert!(found.status == Warning && found.says.contains(says), "{found:?}");
        }
    }

    #[test]
    fn missing_stream_warns_only_if_it_is_enabled() {
        let (on, off) = (config(|c| c.stream.enabled = true), Config::default());
        let seen = |answer| ApiSeen { stream: Some(answer), ..of_the_api() };
        let html = || {
            Err(Miss::Wrong(Wrong {
                tried: "/s was answered with text/html, and no event stream".into(),
                is_absent: false,
            }))
        };
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

    #[test]
    fn wrong_answer_fails_and_missing_agents_are_a_warning() {
        let miss = |is_absent| Miss::Wrong(Wrong { tried: "/a was answered 302, /b 404".into(), is_absent });
        for (is_absent, agents, listing, session) in
            [(true, Warning, Failure, Failure), (false, Failure, Failure, Failure)]
        {
            let seen = ApiSeen {
                agents: Some(Err(miss(is_absent))),
                listing: Some(Err(miss(is_absent))),
                session: Some(SessionSeen { exists: false, answer: Err(miss(is_absent)) }),
                ..of_the_api()
            };
            let expected = [("agents", agents), ("listing", listing), ("session", session)];
            assert_eq!(statuses(&seen, &Config::default()), expected);
            for finding in judge(&seen, &Config::default()) {
                assert!(finding.says.contains("GET /a was answered 302, /b 404"), "{finding:?}");
            }
            assert_eq!(statuses(&ApiSeen { found: ApiSeen::default().found, ..seen }, &Config::default()), []);
        }
    }

    #[test]
    fn organization_without_sessions_is_ok_and_says_so() {
        let seen = ApiSeen {
            listing: Some(Ok(Listing { total: Some(0), ..Listing::default() })),
            open: Some(0),
            ..of_the_api()
        };
        let says = "sessions can be listed; there is none: the last 24 h have brought none, and none is open";
        assert_eq!(judge(&seen, &Config::default()), [Finding::ok("listing", says)]);
    }

    #[test]
    fn route_under_another_path_is_ok_and_moved_route_is_a_warning() {
        let found = |has_moved| Found { path: "/b".into(), missed: "/a was answered 404".into(), has_moved };
        let mut seen = ApiSeen { agents: Some(Ok(Agents { total: 2, pages: 1 })), ..ApiSeen::default() };
        seen.found[ApiPath::Agents as usize] = Some(found(false));
        let says = "2 agents can be read (at /b; api.agents_path is auto)";
        assert_eq!(judge(&seen, &Config::default()), [Finding::ok("agents", says)]);
        seen.found[ApiPath::Agents as usize] = Some(found(true));
        assert_eq!(statuses(&seen, &Config::default()), [("agents", Fine), ("path", Warning)]);
        let says = &judge(&seen, &Config::default())[1].says;
        assert!(says.contains("the agents moved to /b") && says.contains("GET /a was answered 404"), "{says}");
    }
}
