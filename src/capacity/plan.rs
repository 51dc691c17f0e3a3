//! From an organization to what it needs.

use std::time::Duration;

use super::machine::{Backend, memory, state_bytes};
use super::requests::{Load, needed};
use super::series::{OWN, SERIES_OF_A_SESSION, Shape, of_agent};
use crate::config::Config;

/// The busiest hour has this part of a day's sessions. Contact centres plan with a tenth to an eighth.
const BUSIEST_HOUR: f64 = 0.125;
const MINUTES_A_DAY: f64 = 1_440.0;
/// Agents a page of their list.
const AGENTS_A_PAGE: u64 = 100;
/// Sessions that one holder counts a second without falling behind, half of what was measured at 64 a commit: the other half is for
/// catching up (`cargo bench --bench ledger`, `cargo bench --bench postgres -- counting`).
const HOLDER_SESSIONS_A_SECOND: f64 = 5_000.0;
/// Microseconds of a processor that a session takes, from the listing and by webhook, and that a request takes
/// (`cargo bench --bench pipeline`, `cargo bench --bench webhook`).
const LISTED_MICROS: f64 = 32.0;
const DELIVERED_MICROS: f64 = 60.0;
const ASKED_MICROS: f64 = 39.0;
/// Microseconds that a changed page takes a series, in gzip (`cargo bench -p exposition --bench exposition`).
const PAGE_MICROS: f64 = 0.12;
/// What Prometheus needs of memory for a series in its head (`cargo bench --bench scaling -- prometheus`).
const HEAD_BYTES: u64 = 3_000;
/// What it needs without any series.
const SERVER_BYTES: u64 = 70_000_000;
/// Bytes of a sample on disk; Prometheus' page on storage says 1 to 2.
const SAMPLE_BYTES: f64 = 1.7;

/// An organization, as its operator describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Organization {
    /// Sessions that end in a day.
    pub sessions_a_day: f64,
    /// Agents.
    pub agents: u64,
    /// What each of them brings.
    pub shape: Shape,
    /// How long a session is open.
    pub open_for: Duration,
    /// How long its analysis takes after that.
    pub analysed_after: Duration,
    /// Whether listed sessions carry their analysis.
    pub listed_whole: bool,
}

/// What it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Sessions that start in a minute of the busiest hour.
    pub starts_per_minute: f64,
    /// Sessions then that are open or wait for their analysis.
    pub pending: u64,
    /// Requests a minute then.
    pub requests: f64,
    /// Further ones for messages, which take what is left of the budget.
    pub messages: f64,
    /// Series of the page.
    pub series: u64,
    /// Bytes of the state.
    pub state: u64,
    /// Resident bytes of the process that counts.
    pub memory: u64,
    /// Part of one processor in the busiest hour.
    pub processor: f64,
    /// Whether one holder keeps up with the busiest hour.
    pub one_holder: bool,
    /// What Prometheus needs.
    pub prometheus: Prometheus,
}

/// What the page costs a Prometheus that scrapes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prometheus {
    /// Samples a second.
    pub samples_a_second: f64,
    /// Resident bytes.
    pub memory: u64,
    /// Bytes on disk a day.
    pub disk_a_day: u64,
}

/// Plans with this configuration. `scrape` is Prometheus' scrape interval.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the casts saturate")]
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 of any of these")]
pub fn plan(organization: &Organization, config: &Config, backend: Backend, scrape: Duration) -> Plan {
    let &Organization { sessions_a_day, agents, shape, open_for, analysed_after, listed_whole } = organization;
    let starts_per_minute = sessions_a_day * BUSIEST_HOUR / 60.0;
    let unfinished = |time: Duration| starts_per_minute * time.as_secs_f64() / 60.0;
    let agent_pages = u32::try_from(agents.div_ceil(AGENTS_A_PAGE)).unwrap_or(u32::MAX);
    let (open, ended) = (unfinished(open_for).round() as u64, unfinished(analysed_after).round() as u64);
    let requests = needed(&Load { open, ended, starts_per_minute, listed_whole, agent_pages }, config);
    let watched = (config.sessions.ids.len() + config.metrics.watch_recent) as u64 * SERIES_OF_A_SESSION;
    let known = agents.min(config.metrics.max_agents as u64);
    let series = of_agent(shape, config).saturating_mul(known).saturating_add(OWN + watched);
    let pending = open + ended;
    let scrapes_a_minute = 60.0 / scrape.as_secs_f64();
    let of_a_session = if config.webhook.enabled { DELIVERED_MICROS } else { LISTED_MICROS };
    let busy_micros =
        starts_per_minute * of_a_session + requests * ASKED_MICROS + scrapes_a_minute * series as f64 * PAGE_MICROS;
    let samples_a_second = series as f64 / scrape.as_secs_f64();
    Plan {
        starts_per_minute,
        pending,
        requests,
        messages: if config.messages.enabled { starts_per_minute } else { 0.0 },
        series,
        state: state_bytes(backend, sessions_a_day, config.sessions.retention, series, pending),
        memory: memory(backend, series, pending),
        processor: busy_micros / 60e6,
        one_holder: starts_per_minute / 60.0 <= HOLDER_SESSIONS_A_SECOND,
        prometheus: Prometheus {
            samples_a_second,
            memory: SERVER_BYTES.saturating_add(series.saturating_mul(HEAD_BYTES)),
            disk_a_day: (samples_a_second * 86_400.0 * SAMPLE_BYTES) as u64,
        },
    }
}

/// The most sessions a day of which each is counted in time with so many requests a minute.
pub fn most_sessions_a_day(organization: &Organization, config: &Config, requests_a_minute: f64) -> f64 {
    let fits = |sessions_a_day: f64| {
        let plan =
            plan(&Organization { sessions_a_day, ..*organization }, config, Backend::Sqlite, Duration::from_secs(60));
        plan.one_holder && plan.requests <= requests_a_minute
    };
    let (mut most, mut too_many) = (0.0, MINUTES_A_DAY * 60.0 * HOLDER_SESSIONS_A_SECOND);
    if fits(too_many) {
        return too_many;
    }
    // Forty halvings leave less than one session.
    for _ in 0..40 {
        let middle = f64::midpoint(most, too_many);
        if fits(middle) { most = middle } else { too_many = middle }
    }
    most.floor()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::USUAL;
    use proptest::prelude::*;

    const SCRAPE: Duration = Duration::from_secs(30);

    fn organization(sessions_a_day: f64, listed_whole: bool) -> Organization {
        Organization {
            sessions_a_day,
            agents: 10,
            shape: USUAL,
            open_for: Duration::from_secs(240),
            analysed_after: Duration::from_secs(60),
            listed_whole,
        }
    }

    fn planned(organization: &Organization, change: impl FnOnce(&mut Config)) -> Plan {
        let mut config = Config::default();
        change(&mut config);
        plan(organization, &config, Backend::Sqlite, SCRAPE)
    }

    #[test]
    fn busiest_hour_decides() {
        let plan = planned(&organization(48_000.0, true), |_| {});
        assert!((plan.starts_per_minute - 100.0).abs() < 1e-9);
        assert_eq!(plan.pending, 500);
        assert!(plan.one_holder);
    }

    #[test]
    fn sources_that_bring_whole_sessions_save_requests() {
        let asked = planned(&organization(48_000.0, false), |_| {});
        let listed = planned(&organization(48_000.0, true), |_| {});
        let delivered = planned(&organization(48_000.0, false), |config| config.webhook.enabled = true);
        assert!((asked.requests - listed.requests - 100.0).abs() < 1e-9);
        assert!((delivered.requests - listed.requests).abs() < 1e-9);
        let read = planned(&organization(48_000.0, true), |config| config.messages.enabled = true);
        assert!((read.messages - 100.0).abs() < 1e-9);
        let patient = planned(&organization(48_000.0, false), |config| {
            config.webhook.enabled = true;
            config.poll.ended_interval = Duration::from_secs(120);
        });
        assert!((delivered.requests - patient.requests - 300.0).abs() < 1e-9);
    }

    #[test]
    fn most_sessions_are_the_last_that_fit() {
        let config = Config::default();
        for (whole, requests) in [(true, 50.0), (false, 50.0), (false, 1_500.0)] {
            let organization = organization(0.0, whole);
            let most = most_sessions_a_day(&organization, &config, requests);
            let needs = |sessions_a_day| planned(&Organization { sessions_a_day, ..organization }, |_| {}).requests;
            assert!(most > 1_000.0 && needs(most) <= requests, "{most}");
            assert!(needs(most + 1.0) > requests, "{most}: {}", needs(most + 1.0));
        }
        let without = most_sessions_a_day(&organization(0.0, true), &config, 1.0);
        assert!(without.abs() < 1e-9, "the listing alone needs more");
    }

    proptest! {
        #[test]
        fn more_of_anything_never_needs_less(
            sessions in 0.0..1e9_f64, agents in 1..20_000_u64, open in 1..86_400_u64, more in 1.0..10.0_f64,
        ) {
            let open_for = Duration::from_secs(open);
            let one = Organization { agents, open_for, ..organization(sessions, false) };
            let plan = planned(&one, |_| {});
            for other in [
                Organization { sessions_a_day: sessions * more, ..one },
                Organization { agents: agents * 2, ..one },
                Organization { open_for: open_for * 2, ..one },
            ] {
                let larger = planned(&other, |_| {});
                prop_assert!(larger.requests >= plan.requests);
                prop_assert!(larger.series >= plan.series && larger.state >= plan.state && larger.memory >= plan.memory);
                prop_assert!(larger.processor >= plan.processor && larger.pending >= plan.pending);
            }
        }
    }
}
