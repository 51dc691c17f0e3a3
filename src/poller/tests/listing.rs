//! What the listing says that it should not, and what is found all the same.

use super::*;

/// `count` sessions, the first of them the newest, each closed and analysed.
fn sessions(count: u32) -> Vec<String> {
    (0..count).map(|n| session(&format!("s{n}"), S * (60 + n), true)).collect()
}

fn lists(asked: &[Ask]) -> Vec<crate::discovery::listing::ListingPage> {
    asked.iter().filter_map(|ask| if let Ask::List(page) = ask { Some(*page) } else { None }).collect()
}

/// A page of all entries that there are.
fn page_of(entries: &[String], total: usize) -> String {
    format!(r#"{{"data":[{}],"pagination":{{"total":{total},"totalPages":1}}}}"#, entries.join(","))
}

fn listed(ask: &Ask, listed: &str) -> Result<String, ApiError> {
    match ask {
        Ask::List(page) if !page.open_only => Ok(listed.to_owned()),
        ask => nothing(ask),
    }
}

fn malformed(world: &World, reason: &str) -> f64 {
    let sample = format!("agntix_exporter_malformed_sessions_total{{reason=\"{reason}\"}}");
    world.value(&sample).unwrap_or_default()
}

#[test]
fn entry_without_a_usable_id_costs_itself_once_and_delays_nothing() {
    let nameless = session("x", S * 65, true).replace(r#""id":"x""#, r#""id":null"#);
    let number = session("x", S * 65, true).replace(r#""id":"x""#, r#""id":42"#);
    let no_json = r#"{"id": , "createdAt"}"#.to_owned();
    for (bad, reason) in [("null".to_owned(), "json"), (nameless, "id"), (number, "id"), (no_json, "json")] {
        let mut world = World::new(|_| {});
        let mut page = sessions(10);
        page.insert(5, bad.clone());
        let body = page_of(&page, 11);
        assert_eq!(lists(&world.serve(|ask| listed(ask, &body))).len(), 2, "{bad}");
        world.advance(S);
        world.serve(|ask| listed(ask, &body));
        assert_eq!((world.value(OUTCOME), malformed(&world, reason)), (Some(10.0), 1.0), "{bad}");
        // A session that comes later is found by the next sweep, which costs one request.
        page.insert(0, session("later", S * 30, true));
        let body = page_of(&page, 12);
        let mut requests = 0;
        for _ in 0..5 {
            world.advance(S * 33);
            requests += lists(&world.serve(|ask| listed(ask, &body))).len();
            world.advance(S / 2);
            world.serve(|ask| listed(ask, &body));
            assert_eq!(world.value(OUTCOME), Some(11.0), "{bad}");
        }
        assert_eq!((requests, malformed(&world, reason)), (5, 1.0), "{bad}");
        // It moves the watermark all the same, or each sweep would begin at the beginning.
        world.advance(S * 33);
        let after = lists(&world.serve(|ask| listed(ask, &body))).first().and_then(|page| page.created_after);
        assert!(after > Some(Timestamp::from_millis(T0).minus(S * 700)), "{bad}: {after:?}");
    }
}

#[test]
fn open_sweep_keeps_the_good_entries_beside_one_without_an_id() {
    let mut world = World::new(|_| {});
    let open = list(&[session("a", S * 9_000, false), "null".into(), session("b", S * 9_100, false)]);
    world.serve(|ask| match ask {
        Ask::List(page) if page.open_only => Ok(open.clone()),
        ask => nothing(ask),
    });
    assert!(world.core.tracker.get("a").is_some() && world.core.tracker.get("b").is_some());
    assert!(world.core.listing.sweep.is_caught_up());
}

#[test]
fn failures_do_not_end_the_sweep_of_open_sessions() {
    let unavailable = [Err(ApiError::Timeout), Err(status(503)), Err(status(500)), Err(status(404)), Err(status(410))];
    for failure in unavailable {
        let mut world = World::new(|_| {});
        let (mut recent, mut looked_back) = (0, None);
        for second in 0..600 {
            let asked = world.serve(|ask| match ask {
                Ask::List(page) if page.open_only => {
                    // A route that is gone is gone for all sessions as well.
                    if second < 400 { failure.clone() } else { Ok(list(&[session("old", S * 9_000, false)])) }
                }
                Ask::List(_)
                    if second < 400
                        && matches!(&failure, Err(ApiError::Status { status: 404 | 410, .. }))
                        && second > 1 =>
                {
                    failure.clone()
                }
                ask => nothing(ask),
            });
            recent += lists(&asked).iter().filter(|page| !page.open_only).count();
            world.advance(S);
            if world.exposition.is_published() {
                looked_back = looked_back.or(Some(second));
            }
        }
        assert!(world.core.tracker.get("old").is_some(), "{failure:?}");
        assert!(world.core.listing.sweep.is_caught_up() && recent >= 5, "{failure:?}: {recent}");
        assert!(looked_back < Some(60), "{failure:?}: the first page waited for {looked_back:?} s");
    }
}

#[test]
fn refused_state_filter_ends_the_open_sweep_until_the_next_start_or_reload() {
    let refusing = |ask: &Ask| match ask {
        Ask::List(page) if page.open_only => Err(status(400)),
        Ask::List(_) => Ok(list(&sessions(3))),
        ask => nothing(ask),
    };
    let mut world = World::new(|_| {});
    let open_asked = |world: &mut World, api: &dyn Fn(&Ask) -> Result<String, ApiError>| {
        let mut open = 0;
        for _ in 0..90 {
            open += lists(&world.serve(api)).iter().filter(|page| page.open_only).count();
            world.advance(S);
        }
        open
    };
    assert_eq!(open_asked(&mut world, &refusing), 3);
    assert!(world.core.listing.sweep.is_caught_up() && world.exposition.is_published());
    assert_eq!(open_asked(&mut world, &refusing), 0);
    world.core.reconfigure(&Config::default(), "AGNTIX_API_KEY".into(), "api.agntix.ai".into(), world.now());
    assert_eq!(open_asked(&mut world, &refusing), 3, "a reload tries again");
    let mut world = world.restarted(|_| {});
    assert_eq!(open_asked(&mut world, &refusing), 3, "and so does a start");
    let mut world = world.restarted(|_| {});
    let listing = |ask: &Ask| match ask {
        Ask::List(page) if page.open_only => Ok(list(&[session("old", S * 9_000, false)])),
        ask => refusing(ask),
    };
    assert_ne!(open_asked(&mut world, &listing), 0);
    assert!(world.core.tracker.get("old").is_some());
    let mut world = world.restarted(|_| {});
    assert_eq!(open_asked(&mut world, &listing), 0, "they have been listed");
}

#[test]
fn outage_before_the_first_watermark_hides_nothing() {
    for restarts in [false, true] {
        let mut world = World::new(|_| {});
        world.serve(nothing);
        world.advance(S);
        world.serve(nothing);
        for _ in 0..30 {
            world.serve(|_| Err(ApiError::Timeout));
            world.advance(S * 600);
        }
        if restarts {
            world = world.restarted(|_| {});
        }
        // It began and ended four hours ago, an hour after the first start.
        let ended = session("s", S * 60, true).replace("T05:59", "T07:00");
        let mut after = Vec::new();
        for _ in 0..180 {
            after.extend(lists(&world.serve(|ask| match ask {
                Ask::List(page) if !page.open_only => {
                    let created = Timestamp::parse_rfc3339("2026-04-08T07:00:00Z");
                    let is_asked_for = page.created_after <= created;
                    Ok(list(if is_asked_for { std::slice::from_ref(&ended) } else { &[] }))
                }
                ask => nothing(ask),
            })));
            world.advance(S);
        }
        assert_eq!(world.value(OUTCOME), Some(1.0), "restarts: {restarts}, {:?}", after.first());
    }
}

#[test]
fn no_watermark_reaches_back_no_further_than_what_is_remembered() {
    let mut world = World::new(|_| {});
    world.serve(nothing);
    world.advance(S);
    world.serve(nothing);
    let retention = Config::default().sessions.retention;
    world.advance(retention + S * 86_400);
    let asked = lists(&world.serve(nothing));
    assert_eq!(asked.first().and_then(|page| page.created_after), Some(world.now().local.minus(retention)));
}

#[test]
fn pages_that_claim_to_be_the_last_ones_hide_no_session() {
    let all = sessions(45);
    for total_pages in [0, 1, 4, 9] {
        let mut world = World::new(|config| config.api.requests_per_minute = 10_000);
        let api = |ask: &Ask| match ask {
            Ask::List(page) if !page.open_only => {
                // Ten a page, whatever is asked for.
                let entries: Vec<_> = all.iter().skip((page.page as usize - 1) * 10).take(10).cloned().collect();
                let pagination = format!(r#""pagination":{{"total":45,"totalPages":{total_pages}}}"#);
                Ok(format!(r#"{{"data":[{}],{pagination}}}"#, entries.join(",")))
            }
            ask => nothing(ask),
        };
        world.serve(api);
        world.advance(S);
        world.serve(api);
        assert_eq!(world.value(OUTCOME), Some(45.0), "totalPages {total_pages}");
    }
}
