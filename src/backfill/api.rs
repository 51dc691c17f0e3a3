//! Asks the API, within a budget of its own that outlives the process, and tries again what fails for a while.

use std::time::{Duration, Instant};

use agntix_api::budget::{Budget, Grant, LEASE_VALID, Priority};
use agntix_api::paths::ApiPath;
use agntix_api::promise::{self, Unexpected};
use agntix_api::search::{Ending, Search, Step};
use agntix_api::{Answer, ApiError, Client, ListQuery, PathOptions};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::run::BackfillError;
use super::spill::{Number, Spill};
use crate::api;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::ApiConfig;
use crate::ledger::Lease;

/// Failures in a row after which a run ends: what is collected is kept, and `--resume` goes on.
const MOST_FAILURES: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Without more than this part of the organization's requests left, those of the daemon go first: sessions that are closing.
const LEFT_TO_OTHERS: u32 = 5;
/// How long to leave the rest to others, where the answer does not say when the window ends.
const YIELD: Duration = Duration::from_secs(10);

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'r> {
    /// A page of the listing.
    List(ListQuery),
    /// A session by itself.
    Session(&'r str),
    /// A page of a session's messages.
    Messages(&'r str, u32),
}

/// What came.
#[derive(Debug)]
pub(super) enum Reply {
    /// What the route promises.
    Good(Bytes),
    /// The API says that there is no such session.
    NoSuchSession,
    /// What cannot be read.
    Malformed,
}

/// The API, and the budget for asking it.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    budget: Budget,
    searches: [Option<Search>; 2],
    found: [Option<std::sync::Arc<str>>; 2],
    begun: Instant,
    stop: CancellationToken,
    /// Requests that were sent.
    pub(super) requests: i64,
    /// The API's clock, by the first good answer.
    pub(super) now: Option<Timestamp>,
}

impl Api {
    /// An API that is asked with `share` of the organization's limit. What an earlier run may have sent lately counts.
    ///
    /// # Errors
    /// If what was kept cannot be read.
    pub(super) fn new(
        client: Client,
        config: &ApiConfig,
        share: f64,
        remembered: &[Option<u32>; ApiPath::ALL.len()],
        spill: &Spill,
        stop: CancellationToken,
    ) -> Result<Self, BackfillError> {
        let paths: PathOptions = api::paths(config);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let own = (f64::from(config.requests_per_minute) * share / config.budget_share.max(f64::EPSILON)) as u32;
        let mut budget = Budget::new(share, own.max(1));
        let now = SystemClock.now();
        for Lease { granted, count, per_window } in spill.leases()? {
            let age = now.since(granted);
            // It may have been used for as long as it was valid, but not after now.
            let used_for = age.min(LEASE_VALID + config.timeout);
            budget.restore(age, used_for, count, per_window, Duration::ZERO);
        }
        let search = |path: ApiPath| {
            let place = remembered.get(path as usize).copied().flatten();
            Some(Search::new(path, &paths, place))
        };
        Ok(Self {
            client,
            budget,
            searches: [search(ApiPath::List), search(ApiPath::Session)],
            found: [None, None],
            begun: Instant::now(),
            stop,
            requests: spill.number(Number::Requests)?.unwrap_or(0),
            now: spill.number(Number::Now)?.map(Timestamp::from_millis),
        })
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// If the credential is refused, something else than the API answers, it fails for long, or the run is to stop.
    pub(super) async fn ask(&mut self, request: Request<'_>, spill: &mut Spill) -> Result<Reply, BackfillError> {
        let route = match request {
            Request::List(_) => 0,
            Request::Session(_) | Request::Messages(..) => 1,
        };
        let mut failures = 0;
        loop {
            self.wait_for_budget(spill).await?;
            let path = self.found.get(route).cloned().flatten();
            let is_known = path.is_some();
            let search = self.searches.get(route).and_then(Option::as_ref);
            let Some(path) = path.or_else(|| search.map(Search::path)) else { return Ok(Reply::Malformed) };
            let answer = self.send(request, path.clone()).await?;
            let why = match promise::judge(&answer, is_known) {
                // A path is found by what the search promises of its own route.
                Ok(()) if is_known || matches!(request, Request::Messages(..)) => {
                    return Ok(answer.result.map_or(Reply::Malformed, Reply::Good));
                }
                Err(Unexpected::NoSuchSession) => return Ok(Reply::NoSuchSession),
                Err(Unexpected::Malformed(_)) if is_known => return Ok(Reply::Malformed),
                Err(Unexpected::Foreign { .. }) | Ok(()) if !is_known => match self.searched(route, &answer)? {
                    Found::Here => return Ok(answer.result.map_or(Reply::Malformed, Reply::Good)),
                    Found::Next => continue,
                },
                Err(Unexpected::Foreign { came, .. }) => format!("{path} was answered {came}"),
                _ => answer
                    .result
                    .as_ref()
                    .err()
                    .map_or_else(|| "an answer that cannot be read".to_owned(), ToString::to_string),
            };
            failures += 1;
            self.refused(&answer, &why)?;
            if failures >= MOST_FAILURES {
                return Err(BackfillError::Running(format!("the API has failed {failures} times in a row: {why}")));
            }
            let asked_for = retry_after(&answer);
            let growth = FIRST_WAIT.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT);
            let wait = asked_for.unwrap_or_else(|| growth.mul_f64(0.5 + fastrand::f64() / 2.0));
            self.budget.pause(self.tick() + wait, self.tick());
        }
    }

    fn searched(&mut self, route: usize, answer: &Answer) -> Result<Found, BackfillError> {
        let Some(search) = self.searches.get_mut(route).and_then(Option::as_mut) else { return Ok(Found::Here) };
        match search.answered(answer) {
            Step::Next => Ok(Found::Next),
            Step::Over(Ending::Found(found) | Ending::Empty(found, _)) => {
                if let Some(place) = self.found.get_mut(route) {
                    *place = Some(found.path);
                }
                Ok(Found::Here)
            }
            Step::Over(Ending::Inconclusive) => Ok(Found::Here),
            Step::Over(Ending::Wrong(wrong)) => Err(BackfillError::Running(format!(
                "{} does not answer as the Agntix API would: {}; check api.base_url and the paths, and run `agntix-exporter doctor`",
                self.client.host(),
                wrong.tried
            ))),
        }
    }

    /// What no later try would change.
    fn refused(&self, answer: &Answer, why: &str) -> Result<(), BackfillError> {
        let credential = self.client.credential_name();
        match answer.result {
            Err(ApiError::Status { status: 401, .. }) => Err(BackfillError::Running(format!(
                "{} does not accept the credential in {credential}: {why}",
                self.client.host()
            ))),
            Err(ApiError::Status { status: 403, .. }) => Err(BackfillError::Running(format!(
                "the credential in {credential} lacks the scope to read sessions: {why}"
            ))),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, request: Request<'_>, path: std::sync::Arc<str>) -> Result<Answer, BackfillError> {
        let client = self.client.clone();
        let answer = async {
            match request {
                Request::List(query) => client.list_at(path, &query).await,
                Request::Session(id) => client.session_at(path, id).await,
                Request::Messages(id, page) => client.messages_at(path, id, page).await,
            }
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = self.stop.cancelled() => return Err(BackfillError::Stopped),
        };
        let now = self.tick();
        if answer.is_unsent {
            self.budget.give_back(now);
        } else {
            self.budget.finished(now);
            self.requests += 1;
        }
        let quotas: Vec<_> = answer.rate_limit.quotas.iter().flatten().copied().collect();
        self.budget.learn(&quotas);
        self.now = self.now.or(answer.date.filter(|_| answer.result.is_ok()));
        self.leave_rest_to_others(&answer, now);
        Ok(answer)
    }

    /// Near the end of the organization's requests the rest is for those that cannot wait.
    fn leave_rest_to_others(&mut self, answer: &Answer, now: Duration) {
        let limits = answer.rate_limit;
        let (Some(limit), Some(left)) = (limits.limit, limits.remaining) else { return };
        if left > limit / LEFT_TO_OTHERS {
            return;
        }
        let ends =
            limits.reset.zip(answer.date).map(|(reset, date)| reset.since(date)).filter(|wait| *wait <= LONGEST_WAIT);
        self.budget.pause(now + ends.unwrap_or(YIELD), now);
    }

    async fn wait_for_budget(&mut self, spill: &mut Spill) -> Result<(), BackfillError> {
        loop {
            if self.stop.is_cancelled() {
                return Err(BackfillError::Stopped);
            }
            let now = self.tick();
            match self.budget.ask(Priority::Normal, now) {
                Grant::Granted => return Ok(()),
                Grant::Lease(count) => {
                    let per_window = self.budget.per_window();
                    spill.lease(Lease { granted: SystemClock.now(), count, per_window })?;
                    self.budget.leased(count, now);
                }
                Grant::Wait(until) => {
                    let wait = until.saturating_sub(now).max(Duration::from_millis(1));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.stop.cancelled() => return Err(BackfillError::Stopped),
                    }
                }
            }
        }
    }

    fn tick(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// What the search for a path says of an answer.
enum Found {
    Here,
    Next,
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    match &answer.result {
        Err(ApiError::Status { retry_after, .. }) => *retry_after,
        _ => None,
    }
}
