//! Compares each page with the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{Timestamp, TruthFilter};

use crate::support::{Api, durable, samples};

/// By how much of simulated time a page may be behind the truth and still be current: a sweep of the listing, a request,
/// the initial-zero window, and a busy machine in between.
const CURRENT: Duration = Duration::from_secs(6 * 60);
/// The daemon's clock and the simulator's differ by the start of a process and by the whole seconds of a `Date`.
const CLOCKS: Duration = Duration::from_secs(30);
/// `poll.analysis_deadline`, by default.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// By when a session without an analysis must be counted: its deadline may begin anew with a restart.
const LATEST: Duration = Duration::from_secs(4 * 60 * 60);

/// What has been seen of the pages.
#[derive(Debug, Default)]
pub struct Oracle {
    highest: BTreeMap<String, f64>,
    current: u64,
    excused: u64,
    unavailable: u64,
}

impl Oracle {
    /// A page that was asked for and answered then: no sample is above the truth or below an earlier page, and what is missing
    /// is excused by the page itself.
    pub fn judge(
        &mut self,
        api: &Api,
        asked: Timestamp,
        answered: Timestamp,
        page: Option<(u16, String)>,
        log: impl Fn() -> String,
    ) {
        let Some((200, page)) = page else {
            self.unavailable += 1;
            return;
        };
        let all = samples(&page);
        let shown = durable(&all);
        let most = truth(api, DEADLINE, answered.plus(CLOCKS));
        for (name, value) in &shown {
            let most = most.get(name).copied().unwrap_or_default();
            assert!(*value <= most + 1e-6, "{answered}: {name} shows {value}, the truth is {most}\n{}", log());
        }
        for (name, highest) in &self.highest {
            let value = shown.get(name).copied().unwrap_or_default();
            // Until the look-back of a first start is done there are no session metrics, and nothing was shown before.
            assert!(value >= *highest, "{answered}: {name} fell from {highest} to {value}\n{}", log());
        }
        let least = truth(api, LATEST, asked.minus(CURRENT));
        let missing = least.iter().find(|(name, least)| shown.get(*name).copied().unwrap_or_default() < **least - 1e-6);
        let is = |name: &str, value: f64| all.get(name) == Some(&value);
        let excused =
            is("agntix_up", 0.0) || is("agntix_exporter_catching_up", 1.0) || is("agntix_exporter_state_writable", 0.0);
        match missing {
            Some((name, least)) if !excused => panic!(
                "{answered}: {name} shows {:?} where {least} were over {CURRENT:?} ago, and the page says that all is well\n{}",
                shown.get(name),
                log()
            ),
            Some(_) => self.excused += 1,
            None => self.current += 1,
        }
        self.highest = shown;
    }

    /// A state from a backup was put back: it stands lower than what was seen.
    pub fn forget_highest(&mut self) {
        self.highest.clear();
    }

    /// How many pages were judged, and how.
    pub fn summary(&self) -> String {
        let Self { current, excused, unavailable, .. } = self;
        format!("{current} pages were current, {excused} said that they were not, {unavailable} scrapes were errors")
    }
}

fn truth(api: &Api, analysis_deadline: Duration, at: Timestamp) -> BTreeMap<String, f64> {
    let filter = TruthFilter { analysis_deadline, ..TruthFilter::default() };
    api.simulator.truth(&filter, &api.simulator.config().metrics, at)
}
