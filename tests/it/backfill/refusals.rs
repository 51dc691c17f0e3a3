//! What would be lost or do harm is refused in a sentence, before anything is asked of the API.

use super::{FROM, backfill, live, past, runs, until_noon};
use crate::support::{Api, Setup};

/// Runs it, and checks that it is refused with these words, and that the API was not asked.
fn refused(api: &Api, setup: &Setup, words: &str) {
    let before = api.simulator.requests().len();
    let (code, said) = setup.run();
    assert_eq!(code, Some(2), "{words}: {said}");
    assert!(said.contains(words), "{words}: {said}");
    assert_eq!(api.simulator.requests().len(), before, "{words}: the API was asked");
}

#[test]
fn what_would_be_lost_or_do_harm_is_refused() {
    let api = Api::start(past());
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    let good = || until_noon(&api, directory.path(), &output);
    let with = |arguments: &[&str]| arguments.iter().fold(good(), |setup, argument| setup.argument(argument));
    let bare = Setup::new(api.address, &directory.path().join("state")).unset("STATE__URL").unset("STATE__SCHEMA");
    let step = |step: &str| {
        let output = output.to_str().unwrap();
        let labels = ["--label", "job=agntix", "--label", "instance=one", "--to", "2026-04-08T06:00:00Z"];
        let all = ["backfill", "--from", FROM, "--output", output, "--step", step];
        all.iter().chain(&labels).fold(bare.clone(), |setup, argument| setup.argument(argument))
    };
    refused(&api, &step("5m"), "leaves holes");
    refused(&api, &step("70s"), "divide a day");
    refused(&api, &with(&["--budget-share", "0"]), "more than 0");
    refused(&api, &with(&["--budget-share", "0.6"]), "more than the organization's limit");
    refused(&api, &with(&["--label", "agent_id=x"]), "have a label of that name");
    refused(&api, &with(&["--resume"]), "there is no backfill to go on with");
    let no_label = |labels: &[&str]| {
        let all = ["backfill", "--from", FROM, "--to", "2026-04-08", "--output", output.to_str().unwrap()];
        all.iter().chain(labels).fold(bare.clone(), |setup, argument| setup.argument(argument))
    };
    refused(&api, &no_label(&[]), "--label job=… is missing");
    refused(&api, &no_label(&["--label", "job=x"]), "--label instance=… is missing");
    let ends = |to: &str| backfill(&bare, FROM, &output).argument("--to").argument(to);
    refused(&api, &ends("2026-04-01"), "is not before");
    refused(&api, &ends("2999-01-01"), "yet to come");
    let an_hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    refused(&api, &ends(&an_hour_ago.to_string()), "less than 3 h ago");
    refused(&api, &ends("tomorrow"), "write a date such as");
    refused(&api, &backfill(&bare, FROM, &output), "there is no state of the exporter");
    assert!(!output.exists(), "what is refused leaves nothing behind");
    std::fs::create_dir(&output).unwrap();
    std::fs::write(output.join("mine"), "x").unwrap();
    refused(&api, &good(), "is not empty");
    std::fs::remove_file(output.join("mine")).unwrap();
    runs(&good());
    refused(&api, &good(), "holds a backfill already");
    refused(&api, &with(&["--resume"]), "is complete");
    refused(&api, &step("1m").argument("--resume"), "--step is not what the backfill");
    refused(&api, &with(&["--resume", "--label", "zone=x"]), "--label is not what the backfill");
}

#[test]
fn live_counters_say_where_a_history_may_end() {
    let api = Api::start(past());
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    let setup = live(&api, directory.path());
    let mut daemon = setup.start();
    crate::support::until("the session metrics", || {
        daemon.get("/metrics").1.contains("agntix_sessions_started_total").then_some(())
    });
    daemon.stops_on("TERM");
    let ends = |to: &str| backfill(&setup, FROM, &output).argument("--to").argument(to);
    refused(&api, &ends("2026-04-08T07:00:00Z"), "is in the live counters");
    refused(&api, &ends("2026-04-08T05:30:00Z"), "lies in the look-back");
    runs(&ends("2026-04-08T04:00:00Z"));
}
