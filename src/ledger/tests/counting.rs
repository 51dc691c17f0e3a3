//! What is counted when, on each backend: step by step, once, and with what starting value.

use std::sync::Arc;
use std::time::Duration;

use super::properties::LEASES_MEASURED_TO_MS;
use super::{Backend, at, facts, session, totals};
use crate::catalogue::Family;
use crate::catalogue::SeriesState;
use crate::clock::Timestamp;
use crate::config::{Config, RepeatContacts};
use crate::ledger::{Change, CommitOutcome, Lease, Opened};
use crate::session::{Ended, Facts, MessageTally, Source, Stage};

pub(super) fn a_session_is_counted_step_by_step_and_once<B: Backend>() {
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![Change::FirstStart(at(-1_000))]);
    let outcomes = ledger.commit(vec![session(&facts("s", None, None)), session(&facts("s", Some(5_000), None))]);
    assert!(matches!(outcomes[0], CommitOutcome::Pending { stage: Stage::Open, .. }));
    assert!(matches!(outcomes[1], CommitOutcome::Pending { stage: Stage::Ended, .. }));
    let opened = ledger.reopen();

    assert_eq!(opened.pending.len(), 1);
    assert_eq!((opened.pending[0].stage, opened.pending[0].ended), (Stage::Ended, Some(at(5_000))));
    let whole = facts("s", Some(5_000), Some("Refund"));
    let outcomes = ledger.commit(vec![session(&whole), session(&whole), session(&facts("s", None, None))]);
    assert_eq!(
        outcomes,
        [
            CommitOutcome::Counted { historic: false, new: false },
            CommitOutcome::AlreadyCounted,
            CommitOutcome::AlreadyCounted
        ]
    );
    let totals = totals(&ledger.reopen().series);
    assert_eq!(totals.len(), 8, "{totals:?}");
    assert!(totals.values().all(|counts| counts.iter().filter(|bucket| **bucket == 1).count() <= 1));
}

pub(super) fn messages_are_counted_once_and_only_of_sessions_that_wait_for_them<B: Backend>() {
    let mut config = Config::default();
    config.messages.enabled = true;
    let mut ledger = B::begin(config);
    ledger.commit(vec![Change::FirstStart(at(0)), Change::LookBackDone]);
    let whole = session(&facts("s", Some(5_000), Some("Refund")));
    ledger.commit(vec![session(&facts("s", None, None)), whole.clone()]);
    let tally = MessageTally {
        roles: vec![("assistant".into(), 2), ("user".into(), 3)],
        turns: 3,
        first_response_ms: Some(1_250),
        responses_ms: vec![1_250, 3_000],
        unanswered: true,
    };
    let messages = |id: &str, tally: Option<&MessageTally>| Change::Messages {
        id: id.into(),
        tally: tally.cloned().map(Arc::new),
    };
    let opened = ledger.reopen();
    assert_eq!(opened.pending.len(), 1);
    assert_eq!((opened.pending[0].stage, opened.pending[0].ended), (Stage::Messages, Some(at(5_000))));
    // That it waits for its messages changes nothing of how it is counted.
    let changed = session(&facts("s", Some(5_000), Some("Complaint")));
    let again = ledger.commit(vec![whole, changed, Change::GiveUp { id: "s".into(), now: at(6_000) }]);
    assert_eq!(again[..2], [CommitOutcome::AwaitsMessages, CommitOutcome::AwaitsMessages]);
    ledger.commit(vec![messages("stranger", Some(&tally)), messages("s", Some(&tally)), messages("s", Some(&tally))]);
    ledger.commit(vec![messages("s", Some(&tally))]);
    let again = ledger.commit(vec![session(&facts("s", Some(5_000), Some("Complaint")))]);
    assert_eq!(again, [CommitOutcome::AlreadyCounted]);
    ledger.commit(vec![session(&facts("given up", Some(7_000), Some("Refund"))), messages("given up", None)]);
    let before = session(&facts("before", Some(-5_000), Some("Refund")));
    assert!(matches!(ledger.commit(vec![before])[..], [CommitOutcome::Counted { historic: true, .. }]));
    let opened = ledger.reopen();
    assert!(opened.pending.is_empty(), "{:?}", opened.pending);
    let totals = totals(&opened.series);
    let channel = r#"agent_id="A",session_type="voice",platform="phone",direction="inbound""#;
    let value = |name: &str, more: &str| totals[&format!("{name}{{{channel}{more}}}")].clone();
    assert_eq!(value("agntix_session_messages_total", r#",role="user""#), [3]);
    assert_eq!(value("agntix_session_messages_total", r#",role="assistant""#), [2]);
    assert_eq!(value("agntix_sessions_unanswered_total", ""), [1]);
    assert_eq!(value("agntix_session_turns", "").iter().sum::<u64>(), 1 + 3);
    assert_eq!(value("agntix_session_response_seconds", "").last(), Some(&4_250));
    assert_eq!(value("agntix_session_first_response_seconds", "").last(), Some(&1_250));
    assert_eq!(value("agntix_sessions_started_total", ""), [3]);
    assert!(!totals.keys().any(|key| key.starts_with("agntix_sessions_silent_total")));
}

pub(super) fn customers_who_come_back_are_counted_once_for_each_window_whatever_the_order<B: Backend>() {
    let mut config = Config::default();
    let windows = ["24h", "7d"].map(str::to_owned).to_vec();
    config.metrics.repeat_contacts =
        Some(RepeatContacts { field: "phone".into(), windows, key_file: "key".into(), key: None });
    let mut ledger = B::begin(config);
    ledger.commit(vec![Change::FirstStart(at(-1_000_000_000)), Change::LookBackDone]);
    let visit = |id: &str, customer: u8, hour: i64, resolution: &str| {
        let (created, ended) = (at(hour * 3_600_000), at(hour * 3_600_000 + 60_000));
        let mut facts = Facts::clone(&facts(id, Some(0), Some("Refund")));
        (facts.created, facts.contact) = (created, Some([customer; 16]));
        facts.ended = Some(Ended { at: ended, duration_ms: Some(60_000) });
        facts.outcome.as_mut().unwrap().resolution = Some(resolution.into());
        Change::Session { facts: Arc::new(facts), source: Source::Listing, now: at(100 * 3_600_000) }
    };
    // The newest first, as a listing has them, in one batch; and one that came back before it was known of an earlier one.
    let newest_first = [visit("c", 1, 60, "resolved"), visit("b", 1, 30, "unresolved"), visit("a", 1, 20, "resolved")];
    ledger.commit(newest_first.to_vec());
    ledger.commit(newest_first.to_vec());
    ledger.commit(vec![visit("other", 2, 21, "resolved"), visit("later", 3, 99, "resolved")]);
    ledger.reopen();
    ledger.commit(vec![visit("late", 3, 98, "partially_resolved"), visit("stranger", 4, 50, "resolved")]);
    let totals = totals(&ledger.reopen().series);
    let value = |resolution: &str, within: &str| {
        let labels =
            format!(r#"agent_id="A",session_type="voice",previous_resolution="{resolution}",within="{within}""#);
        totals.get(&format!("agntix_session_repeat_contacts_total{{{labels}}}")).map(|counts| counts[0])
    };
    assert_eq!((value("resolved", "24h"), value("resolved", "7d")), (Some(1), Some(1)));
    assert_eq!((value("unresolved", "24h"), value("unresolved", "7d")), (None, Some(1)));
    assert_eq!((value("partially_resolved", "24h"), value("partially_resolved", "7d")), (Some(1), Some(1)));
}

pub(super) fn a_changed_analysis_is_a_reclassification_and_nothing_else<B: Backend>() {
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![session(&facts("s", Some(1), Some("Refund")))]);
    let changed = facts("s", Some(1), Some("Complaint"));
    ledger.commit(vec![session(&changed), session(&changed)]);
    let totals = totals(&ledger.reopen().series);
    let reclassified = r#"agntix_session_reclassifications_total{agent_id="A",part="intent"}"#;
    assert_eq!(totals[reclassified], [1]);
    assert!(!totals.keys().any(|key| key.contains("Complaint")));
}

pub(super) fn sessions_before_the_first_start_are_starting_values_and_later_ones_open_an_initial_zero_window<
    B: Backend,
>() {
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![Change::FirstStart(at(10_000))]);
    ledger.commit(vec![session(&facts("before", Some(5_000), Some("Refund")))]);
    // The last page of the look-back and its end may come in one commit.
    let late = session(&facts("before, heard late", Some(6_000), Some("Refund")));
    ledger.commit(vec![late, session(&facts("after", Some(15_000), Some("Refund"))), Change::LookBackDone]);
    let opened = ledger.reopen();
    let ended = |opened: &Opened| {
        let of = |s: &&SeriesState| s.key.family == Family::SessionsEnded && s.key.labels.as_str().contains("closed");
        opened.series.iter().find(of).cloned().unwrap()
    };
    let state = ended(&opened);
    assert_eq!((&state.counts[..], state.held_counts.as_deref()), (&[3][..], Some(&[2][..])));
    assert_eq!(state.created_ms, at(5_000).as_millis());
    ledger.commit(vec![Change::Release([state.key].into())]);
    assert_eq!(ended(&ledger.reopen()).held_counts, None);
}

pub(super) fn old_session_counted_after_the_look_back_makes_its_new_series_rise_from_zero<B: Backend>() {
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![Change::FirstStart(at(10_000))]);
    ledger.commit(vec![session(&facts("before", Some(5_000), Some("Refund"))), Change::LookBackDone]);
    ledger.commit(vec![session(&facts("unlucky", Some(6_000), Some("Order")))]);
    let series = ledger.reopen().series;
    let of = |intent: &str| {
        let labels = format!("intent=\"{intent}\"");
        let found = series.iter().find(|s| s.key.family == Family::Intents && s.key.labels.as_str().contains(&labels));
        found.map(|s| (s.counts[0], s.held_counts.as_ref().map(|held| held[0]), s.created_ms)).unwrap()
    };
    assert_eq!(of("Refund"), (1, Some(1), at(5_000).as_millis()));
    assert_eq!(
        of("Order"),
        (1, Some(0), at(3_600_000).as_millis()),
        "it is shown at zero first, and begins when it is first shown"
    );
}

pub(super) fn session_older_than_the_retention_is_counted_only_if_it_is_pending<B: Backend>() {
    let mut config = Config::default();
    config.sessions.retention = Duration::from_secs(2 * 86_400);
    let day = Duration::from_secs(86_400);
    let mut ledger = B::begin(config);
    let created = |id: &str, created: Timestamp, done: bool| {
        let mut facts = Facts::clone(&facts(id, done.then_some(0), done.then_some("x")));
        facts.created = created;
        facts.ended = done.then_some(Ended { at: created, duration_ms: Some(0) });
        Change::Session { facts: Arc::new(facts), source: Source::Listing, now: created.plus(day) }
    };
    ledger.commit(vec![Change::FirstStart(at(0)), created("long", at(0), false), created("a", at(0), true)]);
    for days in 1..=9 {
        ledger.commit(vec![created(&format!("d{days}"), at(0).plus(day * days), true)]);
    }
    assert_eq!(ledger.commit(vec![created("a", at(0), true)]), [CommitOutcome::TooOld]);
    assert_eq!(
        ledger.commit(vec![created("long", at(0), true), created("long", at(0), true)]),
        [CommitOutcome::Counted { historic: true, new: false }, CommitOutcome::AlreadyCounted]
    );
    // Older than anything that was ever remembered by day: kept for good.
    let ancient = created("ancient", at(0).minus(day * 400), true);
    assert_eq!(
        ledger.commit(vec![ancient.clone(), ancient]),
        [CommitOutcome::Counted { historic: true, new: true }, CommitOutcome::AlreadyCounted]
    );
}

pub(super) fn sessions_counted_before_the_first_start_is_known_are_not_counted_again<B: Backend>() {
    let day = Duration::from_secs(86_400);
    let old = |id: &str, days: u32| {
        let mut facts = Facts::clone(&facts(id, Some(0), Some("x")));
        facts.created = at(0).minus(day * days);
        facts.ended = Some(Ended { at: facts.created, duration_ms: Some(0) });
        session(&Arc::new(facts))
    };
    let mut ledger = B::begin(Config::default());
    // One is older than the retention, which is not known before the first start is dated.
    let sessions = [old("s", 1), old("ancient", 400)];
    let counted = CommitOutcome::Counted { historic: true, new: true };
    assert_eq!(ledger.commit(sessions.to_vec()), [counted.clone(), counted]);
    assert_eq!(ledger.reopen().first_start, None);
    ledger.commit(vec![Change::FirstStart(at(0)), Change::FirstStart(at(9))]);
    assert_eq!(ledger.commit(sessions.to_vec()), [CommitOutcome::AlreadyCounted, CommitOutcome::AlreadyCounted]);
    assert_eq!(ledger.reopen().first_start, Some(at(0)));
    assert_eq!(ledger.commit(sessions.to_vec()), [CommitOutcome::AlreadyCounted, CommitOutcome::AlreadyCounted]);
}

pub(super) fn without_a_first_start_nothing_is_a_starting_value_after_the_look_back<B: Backend>() {
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![Change::LookBackDone]);
    let outcomes = ledger.commit(vec![session(&facts("s", Some(5), Some("x")))]);
    assert_eq!(outcomes, [CommitOutcome::Counted { historic: false, new: true }]);
    let opened = ledger.reopen();
    assert!(opened.look_back_done && opened.first_start.is_none());
}

pub(super) fn ended_session_that_is_given_up_is_counted_as_an_analysis_timeout<B: Backend>() {
    let mut ledger = B::begin(Config::default());
    let heard = Change::Heard { id: "only-heard".into(), source: Source::File, now: at(0) };
    ledger.commit(vec![heard, session(&facts("ended", Some(5), None))]);
    let give_up = |id: &str| Change::GiveUp { id: id.into(), now: at(10) };
    ledger.commit(vec![give_up("only-heard"), give_up("ended"), give_up("ended")]);
    let opened = ledger.reopen();
    assert!(opened.pending.is_empty());
    let timeouts = r#"agntix_session_analysis_timeouts_total{agent_id="A"}"#;
    assert_eq!(totals(&opened.series)[timeouts], [1]);
}

/// It is forgotten, and yet its start is not counted again, nor anything lost, if it turns up after all.
pub(super) fn open_session_that_is_given_up_continues_where_it_was_when_it_returns<B: Backend>() {
    let mut ledger = B::begin(Config::default());
    let give_up = |id: &str| Change::GiveUp { id: id.into(), now: at(10) };
    ledger.commit(vec![session(&facts("s", None, None)), give_up("s"), give_up("s")]);
    let opened = ledger.reopen();
    assert!(opened.pending.is_empty(), "{:?}", opened.pending);
    // Open, given up again, ended, analysed: with a restart after each.
    let started =
        r#"agntix_sessions_started_total{agent_id="A",session_type="voice",platform="phone",direction="inbound"}"#;
    let heard = Change::Heard { id: "s".into(), source: Source::Configured, now: at(11) };
    let outcomes = ledger.commit(vec![heard, session(&facts("s", None, None))]);
    assert!(matches!(outcomes[1], CommitOutcome::Pending { stage: Stage::Open, .. }), "{outcomes:?}");
    let opened = ledger.reopen();
    assert_eq!(totals(&opened.series)[started], [1]);
    assert_eq!(opened.pending.len(), 1);
    ledger.commit(vec![give_up("s")]);
    ledger.reopen();
    let outcomes = ledger.commit(vec![session(&facts("s", Some(5), None))]);
    assert!(matches!(outcomes[0], CommitOutcome::Pending { stage: Stage::Ended, .. }), "{outcomes:?}");
    let whole = session(&facts("s", Some(5), Some("Refund")));
    let outcomes = ledger.commit(vec![whole.clone(), whole.clone()]);
    assert_eq!(outcomes, [CommitOutcome::Counted { historic: true, new: false }, CommitOutcome::AlreadyCounted]);
    // Whole at once.
    let other = session(&facts("t", Some(5), Some("Refund")));
    let outcomes = ledger.commit(vec![session(&facts("t", None, None)), give_up("t"), other.clone(), other]);
    assert_eq!(outcomes[2..], [CommitOutcome::Counted { historic: true, new: false }, CommitOutcome::AlreadyCounted]);
    let totals = totals(&ledger.reopen().series);
    assert_eq!(totals[started], [2]);
    assert!(totals.iter().filter(|(name, _)| name.contains("_ended_total")).all(|(_, counts)| counts == &[2]));
}

pub(super) fn label_values_beyond_the_bound_are_folded_and_reported<B: Backend>() {
    let mut config = Config::default();
    config.metrics.max_label_values = 2;
    let mut ledger = B::begin(config);
    for intent in ["a", "b", "c", "a", "d"] {
        ledger.commit(vec![session(&facts(&format!("{intent}{:p}", &intent), Some(1), Some(intent)))]);
    }
    assert_eq!(ledger.take_overflow().iter().filter(|label| &***label == "intent").count(), 2);
    ledger.reopen();
    ledger.commit(vec![session(&facts("later", Some(1), Some("e")))]);
    let totals = totals(&ledger.reopen().series);
    let intents: u64 = totals.iter().filter(|(k, _)| k.contains("intent=\"other\"")).map(|(_, v)| v[0]).sum();
    assert_eq!(intents, 3);
}

/// Else they would count anew at every start until their time has come.
pub(super) fn leases_in_the_future_expire_after_the_clock_was_set_back<B: Backend>() {
    let lease = |ms| Change::Lease(Lease { granted: at(ms), count: 7, per_window: 100 });
    let mut ledger = B::begin(Config::default());
    ledger.commit(vec![lease(0), lease(86_400_000), lease(86_400_001)]);
    ledger.commit(vec![lease(1_000)]);
    let opened = ledger.reopen();
    let latest = at(1_000 + LEASES_MEASURED_TO_MS);
    assert!(opened.leases.iter().all(|lease| lease.granted <= latest), "{:?}", opened.leases);
    assert_eq!(opened.leases.iter().map(|lease| lease.count).sum::<u32>(), 21);
    ledger.commit(vec![lease(200_000)]);
    assert_eq!(ledger.reopen().leases.len(), 1);
}
