//! The request budget: no window that the API may count in holds more than its share.

use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

fn granted(budget: &mut Budget, priority: Priority, now: Tick) -> bool {
    loop {
        match budget.ask(priority, now) {
            Grant::Granted => return true,
            Grant::Lease(count) => budget.leased(count, now),
            Grant::Wait(until) => {
                assert!(until > now);
                return false;
            }
        }
    }
}

fn spend(budget: &mut Budget, priority: Priority, now: Tick) -> u32 {
    let mut spent = 0;
    while granted(budget, priority, now) {
        budget.finished(now);
        spent += 1;
    }
    spent
}

#[test]
fn tenth_of_the_window_is_kept_for_urgent_requests() {
    let mut budget = Budget::new(0.5, 50);
    assert_eq!(spend(&mut budget, Priority::Normal, S), 45);
    assert_eq!(spend(&mut budget, Priority::Urgent, S), 5);
    assert_eq!(budget.ask(Priority::Urgent, S), Grant::Wait(S * 61));
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 61), 50);
    budget.learn_limit(600);
    assert_eq!(budget.per_window(), 300);
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 62), 250);
    budget.learn_limit(1);
    assert_eq!(budget.per_window(), 1);
}

#[test]
fn a_request_counts_until_a_window_after_its_answer() {
    let mut budget = Budget::new(1.0, 1);
    assert!(granted(&mut budget, Priority::Urgent, S));
    assert_eq!(budget.ask(Priority::Urgent, S * 50), Grant::Wait(S * 110));
    budget.finished(S * 100);
    assert_eq!(budget.ask(Priority::Urgent, S * 101), Grant::Wait(S * 160));
    assert!(granted(&mut budget, Priority::Urgent, S * 160));
}

#[test]
fn unsent_request_is_given_back() {
    let mut budget = Budget::new(1.0, 3);
    for _ in 0..10 {
        assert!(granted(&mut budget, Priority::Urgent, S));
        budget.give_back(S);
    }
    assert!(granted(&mut budget, Priority::Urgent, S));
    assert!(!granted(&mut budget, Priority::Urgent, S), "the first answer is still to come");
    budget.finished(S);
    assert_eq!(spend(&mut budget, Priority::Urgent, S), 2);
    budget.leased(1, S * 61);
    assert_eq!(budget.ask(Priority::Urgent, S * 62), Grant::Granted);
    budget.give_back(S * 100);
    assert!(matches!(budget.ask(Priority::Urgent, S * 100), Grant::Lease(_)), "its lease has lapsed");
}

#[test]
fn leases_of_an_earlier_process_count() {
    let mut budget = Budget::new(0.5, 50);
    budget.restore(S * 20, S * 20, 290, 300, S);
    budget.restore(S * 95, LEASE_VALID, 300, 300, S);
    budget.restore(S * 65, S * 4, 300, 300, S);
    assert_eq!(budget.per_window(), 300);
    assert_eq!(spend(&mut budget, Priority::Urgent, S), 10);
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 72), 300);
}

#[test]
fn lease_of_a_process_that_may_still_run_counts_from_its_end() {
    let mut budget = Budget::new(0.5, 50);
    budget.restore(S * 5, LEASE_VALID, 300, 300, S * 10);
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 94), 0);
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 96), 300);
}

#[test]
fn the_limit_is_learned_by_one_request_and_kept_over_a_reload() {
    let mut budget = Budget::new(1.0, 50);
    assert!(granted(&mut budget, Priority::Urgent, S) && !granted(&mut budget, Priority::Urgent, S));
    budget.finished(S);
    budget.learn_limit(10);
    budget.reconfigure(0.5, 50);
    assert_eq!(budget.per_window(), 5);
}

#[test]
fn a_pause_is_obeyed_and_an_old_lease_is_not_used() {
    let mut budget = Budget::new(1.0, 100);
    budget.leased(7, S);
    budget.pause(S * 40, S);
    assert_eq!(budget.ask(Priority::Urgent, S * 39), Grant::Wait(S * 40));
    assert_eq!(budget.ask(Priority::Urgent, S * 40), Grant::Lease(10));
}

#[test]
fn every_stated_window_is_kept() {
    let mut budget = Budget::new(0.5, 50);
    assert!(granted(&mut budget, Priority::Urgent, S));
    budget.finished(S);
    let [second, minute] = [(10, 1), (600, 60)].map(|(requests, seconds)| Quota { requests, seconds });
    assert!(budget.learn(&[second, minute]) && !budget.learn(&[second, minute]));
    assert_eq!(budget.per_window(), 300);
    let mut spent = 1;
    for second in 1..61 {
        let now = spend(&mut budget, Priority::Urgent, S * second);
        assert!(now <= 5, "{now} in a second");
        spent += now;
    }
    assert_eq!(spent, 300);
    budget.learn(&[Quota { requests: 600, seconds: 3600 }]);
    assert_eq!((budget.per_window(), spend(&mut budget, Priority::Urgent, S * 1_000)), (5, 0));
    assert_eq!(budget.ask(Priority::Urgent, S * 1_000), Grant::Wait(S * 3_601));
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 3_700), 300);
    budget.learn(&[Quota { requests: 86_400, seconds: 86_400 }]);
    assert_eq!(spend(&mut budget, Priority::Urgent, S * 10_000), 1_800, "a day is scaled down to an hour");
}

#[test]
fn remembered_limit_holds_until_the_first_good_answer() {
    let mut budget = Budget::new(0.5, 20);
    budget.remember_limit(600);
    assert_eq!(budget.per_window(), 300);
    assert!(budget.learn_no_limit() && budget.per_window() == 20, "the configuration was lowered meanwhile");
    budget.remember_limit(600);
    budget.learn_limit(100);
    assert!(!budget.learn_no_limit() && budget.per_window() == 50, "an answer without it changes nothing");
    budget.learn_limit(0);
    assert_eq!(budget.per_window(), 1, "it is asked once a minute whether that has changed");
}

#[test]
fn leases_grow_while_they_are_used_up_quickly_and_shrink_again() {
    let mut budget = Budget::new(1.0, 100_000);
    let mut lease = |now: Tick| match budget.ask(Priority::Urgent, now) {
        Grant::Lease(count) => {
            budget.leased(count, now);
            for _ in 0..count {
                assert_eq!(budget.ask(Priority::Urgent, now), Grant::Granted);
                budget.finished(now);
            }
            count
        }
        other => panic!("{other:?}"),
    };
    assert_eq!([1, 1, 1, 2, 4, 9, 20].map(|second| lease(S * second)), [10, 20, 40, 80, 80, 40, 20]);
}

proptest! {
    /// What a crash charges is never less than what was sent, and at most about twice that.
    #[test]
    fn crash_charges_what_was_sent_and_little_more(sent in 0..3_000_u32, gap in 0..400_u64) {
        let mut budget = Budget::new(1.0, 100_000);
        let (mut charged, mut now) = (0, S);
        for _ in 0..sent {
            if let Grant::Lease(count) = budget.ask(Priority::Urgent, now) {
                charged += count - budget.unused();
                budget.leased(count, now);
                prop_assert_eq!(budget.ask(Priority::Urgent, now), Grant::Granted);
            }
            budget.finished(now);
            now += Duration::from_millis(gap);
        }
        prop_assert!(charged >= sent && charged <= 2 * sent + FIRST_LEASE, "{charged} for {sent}");
    }

    /// Promise P6: however requests are asked for and however long they take, no 60 s hold more than the budget.
    #[test]
    fn no_window_holds_more_than_the_budget(
        per_window in 1..20_u32,
        calls in prop::collection::vec((0..20_000_u64, 0..30_000_u64, any::<bool>()), 1..200),
    ) {
        let mut budget = Budget::new(1.0, per_window);
        let mut now = Tick::ZERO;
        // Sent at, and answered at; a request arrives at any time between the two.
        let mut sent: Vec<(Tick, Tick, bool)> = Vec::new();
        for (gap, takes, urgent) in calls {
            now += Duration::from_millis(gap);
            for request in sent.iter_mut().filter(|(_, end, told)| *end <= now && !told) {
                budget.finished(request.1);
                request.2 = true;
            }
            let priority = if urgent { Priority::Urgent } else { Priority::Normal };
            if granted(&mut budget, priority, now) {
                sent.push((now, now + Duration::from_millis(takes), false));
            }
        }
        // The worst case at the API's end: everything of a window's first half arrives late, of the second early.
        for (start, ..) in &sent {
            let within = sent.iter().filter(|(from, to, _)| *from < *start + WINDOW && *to >= *start).count();
            prop_assert!(within <= per_window as usize);
        }
    }
}
