//! The API without faults: listing, paging, filters, errors, credentials, limits.

use std::collections::BTreeSet;

use super::*;

/// Walks all pages and returns the ids in order, checking the pagination block on the way.
fn walk(simulator: &Simulator, query: &[(&str, &str)], limit: u64) -> Vec<String> {
    let mut ids = Vec::new();
    for page in 1.. {
        let (page_text, limit_text) = (page.to_string(), limit.to_string());
        let mut query = query.to_vec();
        query.extend([("page", page_text.as_str()), ("limit", limit_text.as_str())]);
        let answer = body(&get(simulator, Route::List, "", &query));
        let data = answer["data"].as_array().unwrap();
        ids.extend(data.iter().map(|session| session["id"].as_str().unwrap().to_owned()));
        let pagination = &answer["pagination"];
        assert_eq!((pagination["page"].as_u64(), pagination["limit"].as_u64()), (Some(page), Some(limit)));
        if page >= pagination["totalPages"].as_u64().unwrap() {
            assert_eq!(pagination["total"], ids.len());
            break;
        }
        assert_eq!(data.len() as u64, limit, "page {page} is not full");
    }
    ids
}

#[test]
fn the_pages_of_a_listing_hold_each_session_once_newest_first() {
    let (simulator, _) = frozen(|config| {
        config.agents.push(AgentProfile { id: "second".into(), ..AgentProfile::default() });
    });
    let mut expected: Vec<String> =
        simulator.sessions(simulator.config().start, simulator.now()).into_iter().map(|s| s.id).collect();
    assert!(expected.len() > 300);
    assert_eq!(walk(&simulator, &[("sort", "createdAt:asc")], 100), expected);
    expected.reverse();
    for limit in [7, 100] {
        assert_eq!(walk(&simulator, &[], limit), expected);
    }
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), expected.len());
}

#[test]
fn filters_keep_exactly_the_matching_sessions() {
    let (simulator, _) = frozen(|config| {
        config.agents.push(AgentProfile { id: "second".into(), ..AgentProfile::default() });
    });
    let now = simulator.now();
    let sessions = simulator.sessions(simulator.config().start, now);
    let expect = |query: &[(&str, &str)], keep: &dyn Fn(&Session<'_>) -> bool| {
        let mut expected: Vec<&str> = sessions.iter().filter(|s| keep(s)).map(|s| s.id.as_str()).collect();
        expected.reverse();
        assert!(!expected.is_empty(), "{query:?} is not put to the test");
        assert_eq!(walk(&simulator, query, 50), expected, "{query:?}");
    };
    expect(&[("agentId", "second")], &|s| s.agent.id == "second");
    expect(&[("platform", "WEB")], &|s| s.channel.platform == "WEB");
    expect(&[("state", "OPEN")], &|s| s.state(now) == State::Open);
    expect(&[("state", "EXPIRED"), ("agentId", "second")], &|s| {
        s.state(now) == State::Expired && s.agent.id == "second"
    });
    let middle = sessions[sessions.len() / 2].created;
    expect(&[("createdAfter", &middle.to_string())], &|s| s.created >= middle);
    expect(&[("createdAfter", &middle.to_string()), ("state", "CLOSED")], &|s| {
        s.created >= middle && s.state(now) == State::Closed
    });
    assert_eq!(walk(&simulator, &[("agentId", "nobody")], 50), Vec::<String>::new());
    assert_eq!(walk(&simulator, &[("createdAfter", &now.plus(Duration::from_secs(1)).to_string())], 50).len(), 0);
}

#[test]
fn page_and_limit_out_of_range_are_moved_into_it() {
    let (simulator, _) = frozen(|_| {});
    let page = |query: &[(&str, &str)]| {
        let answer = body(&get(&simulator, Route::List, "", query));
        let pagination = &answer["pagination"];
        let numbers = (pagination["page"].as_u64().unwrap(), pagination["limit"].as_u64().unwrap());
        (numbers, answer["data"].as_array().unwrap().len())
    };
    assert_eq!(page(&[]), ((1, 10), 10));
    assert_eq!(page(&[("limit", "5000")]), ((1, 100), 100));
    assert_eq!(page(&[("limit", "0"), ("page", "-3")]), ((1, 1), 1));
    assert_eq!(page(&[("page", "999999")]), ((999_999, 10), 0));
    assert_eq!(body(&get(&simulator, Route::Agents, "", &[]))["pagination"]["limit"], 20);
}

#[test]
fn listed_sessions_carry_their_analysis_only_when_asked_to() {
    for list_analysis in [false, true] {
        let (simulator, _) = frozen(|config| config.list_analysis = list_analysis);
        let answer = body(&get(&simulator, Route::List, "", &[("sort", "createdAt:asc"), ("limit", "100")]));
        let analysed = answer["data"].as_array().unwrap().iter().any(|session| session["analysis"].is_object());
        assert_eq!(analysed, list_analysis);
    }
}

#[test]
fn refusals_come_in_the_error_envelope() {
    let (simulator, _) = frozen(|_| {});
    let envelope = |answer: &Answer| {
        let error = body(answer)["error"].clone();
        assert_eq!(error["requestId"].as_str(), header(answer, "x-request-id"));
        assert!(!error["message"].as_str().unwrap().is_empty());
        (answer.status, error["code"].as_str().unwrap().to_owned())
    };
    let unknown = "4981804c-2658-4893-84ff-9c2fa90fb3c2";
    for route in [Route::Session, Route::Messages] {
        assert_eq!(envelope(&get(&simulator, route, unknown, &[])), (404, "SESSION_NOT_FOUND".into()));
    }
    assert_eq!(envelope(&get(&simulator, Route::Campaign, unknown, &[])), (404, "CAMPAIGN_NOT_FOUND".into()));
    assert_eq!(envelope(&get(&simulator, Route::Other, "", &[])), (404, "NOT_FOUND".into()));
    for query in [("createdAfter", "noon"), ("state", "ASLEEP"), ("sort", "mood:asc"), ("limit", "many")] {
        assert_eq!(envelope(&get(&simulator, Route::List, "", &[query])), (400, "INVALID_REQUEST".into()));
    }
    for credential in [None, Some("pk_live_wrong")] {
        let answer = ask(&simulator, Route::Agents, "", &[], credential);
        assert_eq!(envelope(&answer), (401, "UNAUTHORIZED".into()));
        assert_eq!(header(&answer, "x-ratelimit-limit"), None);
    }
    let answer = ask(&simulator, Route::Agents, "", &[], Some(NO_SCOPE_KEY));
    assert_eq!(envelope(&answer), (403, "FORBIDDEN".into()));
    assert!(header(&answer, "x-ratelimit-limit").is_some());
}

#[test]
fn listing_can_be_refused_while_the_rest_goes_on() {
    for status in [404, 405] {
        let (simulator, _) = frozen(|config| config.listing_refused = Some(status));
        assert_eq!(get(&simulator, Route::List, "", &[]).status, status);
        assert_eq!(get(&simulator, Route::Agents, "", &[]).status, 200);
    }
}

#[test]
fn the_rate_limit_is_per_minute_of_real_time() {
    let (simulator, clock) = frozen(|config| {
        config.rate_limit = Some(2);
        config.speed = 1000.0;
    });
    let real = clock.now();
    let ask = || get(&simulator, Route::Agents, "", &[]);
    assert_eq!((ask().status, ask().status), (200, 200));
    clock.set(real.plus(Duration::from_secs(59)));
    let refused = ask();
    assert_eq!((refused.status, header(&refused, "retry-after")), (429, Some("1")));
    assert_eq!(header(&refused, "x-ratelimit-remaining"), Some("0"));
    assert_eq!(header(&refused, "x-ratelimit-reset"), Some("1800000060"));
    clock.set(real.plus(Duration::from_secs(60)));
    assert_eq!(header(&ask(), "x-ratelimit-remaining"), Some("1"));
    let statuses: Vec<u16> = simulator.requests().iter().map(|record| record.status).collect();
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[test]
fn the_date_is_the_simulated_one() {
    let (simulator, _) = frozen(|_| {});
    let answer = get(&simulator, Route::Agents, "", &[]);
    assert_eq!(simulator.now().to_string(), "2026-04-08T06:00:00.000Z");
    assert_eq!(header(&answer, "date"), Some("Wed, 08 Apr 2026 06:00:00 GMT"));
}

#[test]
fn agents_messages_and_campaigns_are_there() {
    let (simulator, _) = frozen(|_| {});
    let config = simulator.config();
    let agents = body(&get(&simulator, Route::Agents, "", &[]));
    assert_eq!(agents["data"][0]["fullName"], "Delivery Desk");
    assert_eq!(agents["data"][0]["voiceEnabled"], true);

    let sessions = simulator.sessions(config.start, simulator.now());
    let session = sessions.iter().find(|s| s.ended.since(s.created) > Duration::from_secs(30)).unwrap();
    let page = body(&get(&simulator, Route::Messages, &session.id, &[("limit", "4"), ("page", "2")]));
    assert_eq!(page["data"].as_array().unwrap().len().min(1), 1);
    assert_eq!(page["data"][0]["role"], "ASSISTANT");

    simulator.set_clock(Some(simulator.now().minus(Duration::from_secs(600))), None).unwrap();
    let campaign = body(&get(&simulator, Route::Campaign, &simulator.campaign_id(&config.agents[0].id), &[]));
    let number = |name: &str| campaign[name].as_u64().unwrap();
    let hour = simulator.sessions(config.start, after(config, 3599));
    let outbound = hour.iter().filter(|s| s.channel.direction.as_deref() == Some("OUTBOUND")).count();
    let parts = number("queued") + number("inFlight") + number("completed") + number("failed");
    assert!(parts.abs_diff(outbound as u64) <= 1, "{parts} {outbound}");
    assert!(number("queued") > 0 && number("completed") > number("failed"));
}
