//! `backfill`: the past in files, ending where the counters of the exporter begin, whatever happens to the run.

mod acceptance;
mod budget;
mod history;
mod junction;
mod million;
mod named;
mod refusals;
mod resume;
mod risen;

use std::path::Path;
use std::time::Duration;

use simulator::{SimulatorConfig, Timestamp};

use crate::support::{Api, NOON, Setup, standing_at_noon};

/// When the histories of these tests begin: a day and a quarter before noon.
const FROM: &str = "2026-04-07";

/// Sessions of several days, the last of which begin at noon, where the clock stands.
fn past() -> SimulatorConfig {
    let from = Timestamp::from_millis(NOON.as_millis() - 86_400_000 - 6 * 3_600_000);
    SimulatorConfig {
        analysis_delay: (Duration::ZERO, Duration::from_secs(300)),
        no_analysis_share: 0.02,
        ..standing_at_noon(from, NOON, 400.0)
    }
}

/// An exporter on a state of its own. Some analyses are written only after its look-back.
fn live(api: &Api, directory: &Path) -> Setup {
    Setup::new(api.address, &directory.join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "1s")
}

/// The command, with its output in `output`.
fn backfill(setup: &Setup, from: &str, output: &Path) -> Setup {
    let output = output.display().to_string();
    let arguments = ["--label", "job=agntix", "--label", "instance=one", "--step", "3m"];
    ["backfill", "--from", from, "--output", &output].into_iter().chain(arguments).fold(setup.clone(), Setup::argument)
}

/// The command with an end: there is no state.
fn until_noon(api: &Api, directory: &Path, output: &Path) -> Setup {
    let setup = Setup::new(api.address, &directory.join("state"));
    // A state that is not there cannot be in a database.
    let setup = setup.unset("STATE__URL").unset("STATE__SCHEMA");
    backfill(&setup, FROM, output).argument("--to").argument("2026-04-08T06:00:00Z")
}

fn runs(setup: &Setup) -> String {
    let (code, said) = setup.run();
    assert_eq!(code, Some(0), "{said}");
    said
}
