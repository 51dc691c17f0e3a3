//! What the API said: whether it can be reached, and whether it takes the credential.

use agntix_api::{ApiError, promise};

use super::Finding;
use super::finding::many;
use super::seen::{ApiSeen, LeftOut, Miss};

/// Judges whether the API can be reached, and whether it takes the credential.
pub(super) fn judge(seen: &ApiSeen) -> Vec<Finding> {
    [proxy(seen), reached(seen), credential(seen)].into_iter().flatten().collect()
}

/// Nothing is said of none.
fn proxy(seen: &ApiSeen) -> Option<Finding> {
    let (proxy, variable) = seen.proxy.as_ref()?;
    Some(Finding::ok("proxy", format!("requests to {} go through {proxy}, as {variable} says", seen.host)))
}

fn reached(seen: &ApiSeen) -> Option<Finding> {
    const CHECK: &str = "api";
    let host = &seen.host;
    if seen.errors().any(|error| matches!(error, ApiError::Credential(_))) {
        // Nothing was sent.
        return None;
    }
    if seen.is_somebody_else() {
        return Some(somebody_else(seen));
    }
    let lost = seen.errors().find(|error| {
        matches!(error, ApiError::Connect(_) | ApiError::Timeout | ApiError::ProxyTimeout(_) | ApiError::Body(_))
    });
    Some(match (lost, seen.left_out) {
        (Some(error @ (ApiError::Connect(_) | ApiError::Timeout | ApiError::ProxyTimeout(_))), _) => Finding::failure(
            CHECK,
            format!("{host}: {error}; what needs an answer was not checked"),
            "check api.base_url, the name service, the firewall, and HTTPS_PROXY if there is a proxy; the exporter itself would try again",
        ),
        (Some(error), _) => Finding::warning(
            CHECK,
            format!("{host}: {error}"),
            "check whether api.base_url leads to the API, and not to a proxy or another program",
        ),
        (None, Some(LeftOut::Paused(pause))) => {
            let pause =
                pause.map_or_else(|| "a minute".to_owned(), |pause| humantime::format_duration(pause).to_string());
            let says = format!("{host} answers 429: the organization has no requests left, so the rest was not asked");
            Finding::warning(
                CHECK,
                says,
                format!("run this again in {pause}, and see who else uses the organization's limit"),
            )
        }
        (None, Some(LeftOut::Budget(left))) => {
            let left = many(left.into(), "request");
            let says = format!("{host} answers, but only {left} may be sent in this minute, so the rest was not asked");
            Finding::warning(CHECK, says, "run this again in a minute")
        }
        (None, Some(LeftOut::Slow)) => Finding::warning(
            CHECK,
            format!("{host} answers, but so slowly that the rest was not asked"),
            "run this again; if it stays so, check the network and any proxy, and ask the vendor",
        ),
        (None, Some(LeftOut::SameError) | None) => {
            let broken =
                seen.errors().find(|error| matches!(error, ApiError::Status { status: 408 | 425 | 500.., .. }));
            match broken {
                Some(error) => Finding::warning(
                    CHECK,
                    format!("{host}: {error}"),
                    "nothing, if it passes: the exporter tries again; else give the vendor's support the request id",
                ),
                None => Finding::ok(CHECK, format!("{host} answers")),
            }
        }
    })
}

fn somebody_else(seen: &ApiSeen) -> Finding {
    let wrong = seen.misses().filter_map(|(path, miss)| match miss {
        Miss::Wrong(wrong) => Some(format!("{}: GET {}", path.gives(), wrong.tried)),
        Miss::Error(_) => None,
    });
    let wrong = wrong.collect::<Vec<_>>().join("; ");
    let mut asks_for_a_key = seen.misses().filter_map(|(_, miss)| match miss {
        Miss::Wrong(wrong) => Some(wrong.tried.contains(promise::PROXY)),
        Miss::Error(_) => None,
    });
    let advice = if asks_for_a_key.any(|asks| asks) {
        "a proxy wants to know who is there: put its user and password into HTTPS_PROXY or HTTP_PROXY, or name the host in NO_PROXY"
    } else {
        "check api.base_url, and whether a proxy, a gateway or a login page answers in the API's place"
    };
    Finding::failure("api", format!("{} does not answer as the Agntix API does ({wrong})", seen.host), advice)
}

fn credential(seen: &ApiSeen) -> Option<Finding> {
    const CHECK: &str = "credential";
    let name = &seen.credential;
    let refused = seen.errors().find(|error| matches!(error, ApiError::Status { status: 401, .. }));
    let unusable = seen.errors().find_map(|error| match error {
        ApiError::Credential(why) => Some(why),
        _ => None,
    });
    if let Some(why) = unusable {
        let advice = "write the key, and nothing else, into that file, and let the exporter's user read it";
        return Some(Finding::failure(CHECK, why.clone(), advice));
    }
    if let Some(error) = refused {
        let says = format!("{} does not accept the credential in {name}: {error}", seen.host);
        let advice = "it is wrong, expired or deleted: make a new key in Agntix and put it there; a file is read again by itself, a variable needs a restart";
        return Some(Finding::failure(CHECK, says, advice));
    }
    // A key that is known but lacks a scope is answered 403; `routes` reports which routes it may read.
    let known = seen.found.iter().any(Option::is_some)
        || seen.any_good()
        || seen.errors().any(|error| matches!(error, ApiError::Status { status: 403, .. }));
    (known && !seen.is_somebody_else())
        .then(|| Finding::ok(CHECK, format!("{} accepts the credential in {name}", seen.host)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agntix_api::paths::ApiPath;
    use agntix_api::search::{Found, Wrong};

    use super::*;
    use crate::doctor::Status;
    use crate::doctor::seen::{Agents, SessionSeen};

    fn status(status: u16) -> ApiError {
        ApiError::Status { status, code: None, request_id: Some("req_1".into()), retry_after: None }
    }

    fn seen(agents: Result<Agents, ApiError>, left_out: Option<LeftOut>) -> ApiSeen {
        let agents = agents.map_err(Miss::Error);
        let (host, credential) = ("api.example".into(), "AGNTIX_API_KEY".into());
        ApiSeen { host, credential, requests: 1, agents: Some(agents), left_out, ..ApiSeen::default() }
    }

    fn judged(seen: &ApiSeen) -> Vec<(&'static str, Status)> {
        judge(seen).iter().map(|finding| (finding.check, finding.status)).collect()
    }

    #[test]
    fn accepted_key_is_ok_even_without_a_scope() {
        let all_well = [("api", Status::Ok), ("credential", Status::Ok)];
        assert_eq!(judged(&seen(Ok(Agents::default()), None)), all_well);
        assert_eq!(judged(&seen(Err(status(403)), None)), all_well);
    }

    #[test]
    fn rejected_key_fails_and_names_the_request() {
        let refused = seen(Err(status(401)), Some(LeftOut::SameError));
        assert_eq!(judged(&refused), [("api", Status::Ok), ("credential", Status::Failure)]);
        assert!(judge(&refused)[1].says.ends_with("AGNTIX_API_KEY: the API answered 401, request id req_1"));
        let empty = seen(Err(ApiError::Credential("api.key_file k is empty".into())), Some(LeftOut::SameError));
        assert_eq!(judged(&empty), [("credential", Status::Failure)]);
        assert_eq!(judge(&empty)[0].says, "api.key_file k is empty");
    }

    #[test]
    fn unreachable_api_gives_no_finding_on_the_credential() {
        let dead = seen(Err(ApiError::Connect("connection refused".into())), Some(LeftOut::SameError));
        assert_eq!(judged(&dead), [("api", Status::Failure)]);
        assert_eq!(judged(&seen(Err(ApiError::Timeout), Some(LeftOut::SameError))), [("api", Status::Failure)]);
        assert_eq!(judged(&seen(Err(status(503)), None)), [("api", Status::Warning)]);
        assert_eq!(judged(&seen(Err(ApiError::Body("cut off".into())), None)), [("api", Status::Warning)]);
    }

    #[test]
    fn foreign_server_is_one_failure_that_lists_all_attempts() {
        let miss = |tried: &str| Miss::Wrong(Wrong { tried: tried.into(), is_absent: false });
        let mut seen = seen(Ok(Agents::default()), None);
        seen.agents = Some(Err(miss("/a was answered 302, a redirect")));
        seen.listing = Some(Err(miss("/l was answered 200 with text/html in place of JSON")));
        assert_eq!(judged(&seen), [("api", Status::Failure)]);
        let says = "api.example does not answer as the Agntix API does (the agents: GET /a was answered 302, a redirect; \
                    the listing of sessions: GET /l was answered 200 with text/html in place of JSON)";
        assert_eq!(judge(&seen)[0].says, says);
        assert!(judge(&seen)[0].advice.as_ref().unwrap().contains("api.base_url"));
        seen.session =
            Some(SessionSeen { exists: false, answer: Err(miss(&format!("/s was answered 407, {}", promise::PROXY))) });
        assert!(judge(&seen)[0].advice.as_ref().unwrap().contains("HTTPS_PROXY"));
        // One route that answers as promised shows that the host is the API.
        seen.found[ApiPath::Session as usize] = Some(Found::default());
        assert_eq!(judged(&seen), [("api", Status::Ok), ("credential", Status::Ok)]);
    }

    #[test]
    fn requests_that_were_not_sent_are_reported() {
        for left_out in [LeftOut::Budget(2), LeftOut::Paused(Some(Duration::from_secs(7))), LeftOut::Slow] {
            let findings = judge(&seen(Ok(Agents::default()), Some(left_out)));
            assert_eq!(findings[0].status, Status::Warning, "{left_out:?}");
            assert!(findings[0].says.contains("the rest was not asked"), "{findings:?}");
        }
    }
}
