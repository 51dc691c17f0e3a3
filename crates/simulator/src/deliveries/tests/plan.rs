//! What a session's deliveries are, and how they look.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::body::body;
use super::super::plan::{UNKNOWN_TYPES, plan};
use super::*;
use crate::{Faults, State};

fn json(generator: &Generator, config: &DeliveryConfig, delivery: &Delivery) -> Value {
    serde_json::from_slice(&body(generator, config, &Faults::default(), delivery)).unwrap()
}

fn at(delivered: &[(Timestamp, Delivery)], event: Event) -> Option<Timestamp> {
    delivered.iter().find(|(_, delivery)| delivery.event == event).map(|(at, _)| *at)
}

fn end(session: &Session<'_>) -> Timestamp {
    session.analysis_at.unwrap_or(session.ended)
}

#[test]
fn a_session_is_announced_as_it_is_created_and_with_its_analysis() {
    let generator = generator(|config| config.no_analysis_share = 0.2);
    let mut without_analysis = 0;
    for outline in outlines(&generator) {
        let session = generator.session(outline).unwrap();
        let delivered = plan(&generator, &config(), outline);
        assert_eq!(delivered.len(), 2);
        assert_eq!(at(&delivered, Event::Created), Some(session.created));
        assert_eq!(at(&delivered, Event::Ended), Some(end(&session)));
        let created = json(&generator, &config(), &delivered[0].1);
        assert_eq!((created["eventType"].as_str(), created["state"].as_str()), (Some("session.created"), Some("OPEN")));
        assert!(created["endedAt"].is_null() && created["analysis"].is_null());
        let ended = json(&generator, &config(), &delivered[1].1);
        assert_eq!((ended["id"].as_str(), ended["eventType"].as_str()), (Some(&*session.id), Some("session.ended")));
        assert_eq!(ended["state"], if session.expired { State::Expired } else { State::Closed }.as_str());
        assert_eq!(ended["analysis"].is_object(), session.analysis_at.is_some());
        without_analysis += usize::from(session.analysis_at.is_none());
        // Flat: nothing but the event type stands beside the session's own fields.
        let mut fields = ended.clone();
        fields.as_object_mut().unwrap().remove("eventType");
        let polled: Value = serde_json::from_slice(&crate::json::session(&session, end(&session), true)).unwrap();
        assert_eq!(fields, polled);
    }
    assert!(without_analysis > 10);
}

#[test]
fn events_can_be_left_out_renamed_and_followed_by_a_change() {
    let generator = generator(|config| config.reclassified_share = 0.5);
    let config = DeliveryConfig { created: false, ended_type: "session.closed".into(), changes: true, ..config() };
    let mut changed = 0;
    for outline in outlines(&generator) {
        let session = generator.session(outline).unwrap();
        let delivered = plan(&generator, &config, outline);
        assert_eq!(at(&delivered, Event::Created), None);
        assert_eq!(delivered[0].1.event_type(&config), "session.closed");
        assert_eq!(at(&delivered, Event::Changed), session.change.as_ref().map(|(at, _)| *at));
        if let [(_, first), (_, second)] = &delivered[..] {
            changed += 1;
            assert_eq!(second.event_type(&config), "session.closed");
            assert_ne!(first.svix_id(&generator), second.svix_id(&generator));
            assert_ne!(json(&generator, &config, first)["updatedAt"], json(&generator, &config, second)["updatedAt"]);
        }
    }
    assert!(changed > 50, "{changed}");
}

#[test]
fn the_configured_share_of_deliveries_is_late_or_out_of_order() {
    let generator = generator(|_| {});
    let delay = Duration::from_secs(9);
    let config = DeliveryConfig { out_of_order_share: 0.4, delayed_share: 0.5, longest_delay: delay, ..config() };
    let (mut swapped, mut late, mut all) = (0, 0, 0);
    for outline in outlines(&generator) {
        let session = generator.session(outline).unwrap();
        let delivered = plan(&generator, &config, outline);
        let (created, ended) = (at(&delivered, Event::Created).unwrap(), at(&delivered, Event::Ended).unwrap());
        assert!(created >= session.created && ended >= end(&session) && ended <= end(&session).plus(delay));
        all += 1;
        if created > end(&session) {
            swapped += 1;
            assert_eq!(ended, end(&session));
            assert!(created <= ended.plus(delay).plus(Duration::from_millis(1)));
        } else {
            late += usize::from(created > session.created);
        }
    }
    assert!((all * 3 / 10..all / 2).contains(&swapped), "{swapped} of {all}");
    assert!((all / 5..all * 2 / 5).contains(&late), "{late} of {all}");
}

#[test]
fn repeats_come_under_the_same_id_or_a_new_one() {
    let generator = generator(|_| {});
    let config = DeliveryConfig { repeated_share: 0.5, most_repeats: 3, ..config() };
    let (mut same, mut other, mut all) = (0, 0, BTreeSet::new());
    for outline in outlines(&generator) {
        let delivered = plan(&generator, &config, outline);
        assert_eq!(delivered, plan(&generator, &config, outline), "it repeats");
        assert!((2..=8).contains(&delivered.len()));
        let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
        for (_, delivery) in &delivered {
            let id = delivery.svix_id(&generator);
            assert!(id.len() == 31 && id.starts_with("msg_"), "{id}");
            other += usize::from(delivery.sending > 0);
            let content = json(&generator, &config, delivery);
            match bodies.insert(id.clone(), content.clone()) {
                Some(before) => {
                    same += 1;
                    assert_eq!(before, content);
                }
                None => assert!(all.insert(id), "two events share an id"),
            }
        }
    }
    assert!(same > 50 && other > 50, "{same} {other}");
}

#[test]
fn a_truncated_end_lacks_what_the_session_has_but_never_that_of_a_hidden_one() {
    let generator = generator(|config| config.hidden_share = 0.5);
    let config = DeliveryConfig { truncated_share: 1.0, ..config() };
    let (mut hidden, mut lacking) = (0, BTreeMap::<String, usize>::new());
    for outline in outlines(&generator) {
        let session = generator.session(outline).unwrap();
        let delivered = plan(&generator, &config, outline);
        let delivery = delivered.iter().map(|(_, delivery)| delivery).find(|d| d.event == Event::Ended).unwrap();
        let sent = json(&generator, &config, delivery);
        let whole = json(&generator, &config, &Delivery { truncated: false, ..*delivery });
        if generator.is_hidden(outline.place) || session.analysis_at.is_none() {
            hidden += 1;
            assert_eq!(sent, whole);
            continue;
        }
        let parts = whole["analysis"].as_object().unwrap();
        let gone: Vec<&String> =
            parts.keys().filter(|key| !parts[*key].is_null() && sent["analysis"][*key].is_null()).collect();
        assert!(!gone.is_empty(), "{sent}");
        for part in gone {
            *lacking.entry(part.clone()).or_default() += 1;
        }
    }
    assert!(hidden > 50 && lacking.len() == 5 && lacking.values().all(|count| *count > 20), "{hidden} {lacking:?}");
}

#[test]
fn unknown_events_and_bad_sessions() {
    let generator = generator(|_| {});
    let config = DeliveryConfig { unknown_share: 0.5, ..config() };
    let mut names = BTreeSet::new();
    for outline in outlines(&generator) {
        for (_, delivery) in plan(&generator, &config, outline) {
            if let Event::Unknown(name) = delivery.event {
                assert_eq!(json(&generator, &config, &delivery)["eventType"], name);
                names.insert(name);
            }
        }
    }
    assert_eq!(names.len(), UNKNOWN_TYPES.len());
    let outline = outlines(&generator)[0];
    let faults = Faults { bad_sessions: [generator.id(outline)].into(), ..Faults::default() };
    let (_, delivery) = plan(&generator, &config, outline)[0];
    assert!(serde_json::from_slice::<Value>(&body(&generator, &config, &faults, &delivery)).is_err());
}
