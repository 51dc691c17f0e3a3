//! What the daemon says of itself in words (promise P11): why it is not ready, what a start has done and what is left, which
//! routes work, and what is missing. The landing page, `/-/ready` and the log say the same.

use std::time::Duration;

use agntix_api::Route;
use agntix_api::paths::ApiPath;

use super::core::{Core, Now};
use super::notices::{ApiNotice, ListNotice, Notice};
use super::route_health::RouteHealth;
use super::startup::LookBackStage;
use crate::status::{ApiStatus, RouteLine};
use crate::tracker::Summary;

/// How often the log says how far a start is, and from when on it is worth saying.
const PROGRESS: Duration = Duration::from_secs(15);
/// The same where nobody knows how long it takes.
const LONG_PROGRESS: Duration = Duration::from_secs(60);

impl Core {
    /// Whether other sources than the listing are configured.
    pub(super) fn hears_elsewhere(&self) -> bool {
        self.config.elsewhere
    }

    /// Whether no source reports sessions: there is no listing, and nothing else is configured.
    pub(super) fn hears_of_nothing(&self) -> bool {
        self.has_no_listing() && !self.hears_elsewhere()
    }

    /// Whether the listing has to be waited for at a start.
    pub(super) fn first_sweep_missing(&self) -> bool {
        let can_do_without = self.has_no_listing() && self.hears_elsewhere();
        self.config.listing
            && !can_do_without
            && (!self.listing.sweep.first_sweep_done() || self.listing.sweep.is_unavailable())
    }

    /// Whether the agents have been read, or are not there.
    fn agents_are_known(&self) -> bool {
        self.contact.health.has_answered(Route::Agents) || self.contact.health.is_absent(Route::Agents)
    }

    /// Whether every source has been read once.
    pub(super) fn all_read(&self, summary: &Summary) -> bool {
        let sources = self.contact.health.has_worked() && !self.first_sweep_missing() && !self.startup.files_unread;
        sources && summary.unasked == 0 && self.agents_are_known()
    }

    /// Whether the daemon is ready, else why not and what to do, as a sentence.
    pub(super) fn readiness(&self, api: &ApiStatus, now: Now) -> Result<(), String> {
        let why = match api {
            // A short outage shows in agntix_up; what was ready is not taken out of service for it.
            ApiStatus::Down(_) if self.startup.ready && !self.contact.health.is_lost(now.tick) => return Ok(()),
            ApiStatus::Down(why) => why.clone(),
            _ if self.hears_of_nothing() => format!(
                "there is no way to hear of sessions. {} Without a listing enable the webhook or the event stream, or \
                 name sessions in sessions.ids or sessions.files.",
                self.no_listing()
            ),
            ApiStatus::Up if self.startup.ready || self.deadline(now).is_none() => return Ok(()),
            _ if self.first_sweep_missing() => {
                self.with_trouble("the first listing of sessions is not done.", &[Route::List])
            }
            ApiStatus::Unknown => self.with_trouble("the API has not answered as it should yet.", &Route::ALL),
            ApiStatus::Up if !self.agents_are_known() => {
                self.with_trouble("the agents have not been read yet.", &[Route::Agents])
            }
            ApiStatus::Up => "the configured sessions have not all been asked for yet.".to_owned(),
        };
        Err(format!("Not ready: {why}"))
    }

    fn with_trouble(&self, sentence: &str, routes: &[Route]) -> String {
        // That nothing came at all is reported once it has lasted.
        let wrong =
            routes.iter().filter_map(|route| self.contact.health.route(*route)).filter(|route| route.is_doubtful());
        let troubles = wrong.map(|route| format!(" {}: {}.", self.contact.host, route.last_trouble()));
        std::iter::once(sentence.to_owned()).chain(troubles).collect()
    }

    /// How long it takes at most until a start shows the session metrics and calls itself ready; none once it is over.
    fn deadline(&self, now: Now) -> Option<Duration> {
        let left = self.config.look_back_deadline.saturating_sub(now.tick.saturating_sub(self.started));
        (!left.is_zero()).then_some(left)
    }

    fn no_listing(&self) -> String {
        let tried = self.contact.tried(Route::List);
        format!("The gateway has no listing of sessions: GET {tried}. Set api.list_path, or sessions.listing = false.")
    }

    /// What does not work although the rest does, and what to do about it, as sentences.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.has_no_listing() && self.hears_elsewhere() {
            missing.push(format!("{} Only sessions that are heard of in other ways are counted.", self.no_listing()));
        }
        if self.contact.health.is_absent(Route::Agents) {
            missing.push(format!(
                "The agents cannot be read, so that agntix_agent_info is missing: GET {}. Set api.agents_path.",
                self.contact.tried(Route::Agents)
            ));
        }
        let session = self.contact.health.route(Route::Session);
        if let Some(session) = session.filter(|route| !route.has_been_good() && route.has_failed()) {
            missing.push(format!(
                "No single session could be read yet: {}. Check api.session_path.",
                session.last_trouble()
            ));
        }
        missing
    }

    /// That nothing has been found, where nothing is wrong: an organization without sessions.
    pub(super) fn nothing_found(&self, summary: &Summary) -> Option<String> {
        let is_listed = self.config.listing
            && self.listing.sweep.first_sweep_done()
            && self.contact.health.has_answered(Route::List);
        let is_empty = summary.known + summary.open + summary.ended == 0 && self.startup.counted == 0;
        (is_listed && is_empty).then(|| {
            let window = humantime::format_duration(self.config.recent_window);
            format!(
                "No session has been found so far: {} answers as it should, and lists none that was created in the last \
                 {window} or later, or that is open.",
                self.contact.path(Route::List)
            )
        })
    }

    /// Each route, and when it last answered as it promises.
    pub(super) fn route_lines(&self, now: Now) -> Vec<RouteLine> {
        let is_used = |route: &Route| *route != Route::List || self.config.listing;
        let line = |route: Route| {
            let path = ApiPath::from(route);
            let health = self.contact.health.route(route);
            let good = health.and_then(RouteHealth::last_good);
            let trouble = health.map(RouteHealth::last_trouble).filter(|trouble| !trouble.is_empty());
            RouteLine {
                gives: path.gives().into(),
                path: self.contact.path(route).to_string(),
                good_ago: good.map(|good| now.tick.saturating_sub(good)),
                trouble: trouble.map(ToOwned::to_owned),
            }
        };
        let stream = self.contact.stream.as_ref().map(|stream| RouteLine {
            gives: ApiPath::Stream.gives().into(),
            path: stream.path.to_string(),
            good_ago: stream.alive.map(|alive| now.tick.saturating_sub(alive)),
            trouble: stream.trouble.clone(),
        });
        Route::ALL.into_iter().filter(is_used).map(line).chain(stream).collect()
    }

    /// How far a start is that takes longer than a moment: what is done, what is left, and when it is over at the latest.
    pub(super) fn progress(&mut self, summary: &Summary, is_ready: bool, now: Now) -> Option<String> {
        let is_shown = self.startup.look_back == LookBackStage::Done;
        let is_over = is_shown && (is_ready || self.startup.ready);
        let elapsed = now.tick.saturating_sub(self.started);
        if is_over || elapsed < PROGRESS {
            return None;
        }
        let (done, left) = (self.done(), self.left(summary));
        let deadline = self.deadline(now);
        let latest = deadline.map(whole_seconds);
        let elapsed = whole_seconds(elapsed);
        let due = self.reported.progress_due.unwrap_or(self.started + PROGRESS);
        if now.tick >= due {
            // While the API is down, or beyond the deadline, it may take for days.
            let pause = if self.reported.down_since.is_some() || latest.is_none() { LONG_PROGRESS } else { PROGRESS };
            // After a pause of the machine's it is reported once.
            self.reported.progress_due = Some((due + pause).max(now.tick));
            let (done, left) = (done.clone(), left.clone());
            self.updates.notice(Notice::StartUnderWay { done, left, ready_within: deadline });
        }
        let end = match latest {
            _ if is_shown => "The session metrics are shown.".to_owned(),
            Some(latest) => {
                format!("The session metrics are shown in {latest} at the latest (sessions.look_back_deadline).")
            }
            None => "sessions.look_back_deadline has passed.".to_owned(),
        };
        Some(format!("Started {elapsed} ago. Done: {done}. Left: {left}. {end}"))
    }

    fn done(&self) -> String {
        format!(
            "{} read, {} counted",
            many(self.startup.pages, "page of the listing", "pages of the listing"),
            many(self.startup.counted, "session", "sessions")
        )
    }

    pub(super) fn left(&self, summary: &Summary) -> String {
        let mut left = Vec::new();
        if self.first_sweep_missing() {
            left.push("the listing of recent sessions".to_owned());
        } else if self.config.listing && !self.listing.sweep.is_caught_up() {
            left.push("the listing of open sessions".to_owned());
        }
        if self.startup.files_unread {
            left.push("the files of sessions.files".to_owned());
        }
        if !self.agents_are_known() {
            left.push("the agents".to_owned());
        }
        if summary.known > 0 {
            left.push(format!("{} to read", many(summary.known as u64, "session", "sessions")));
        }
        if summary.ended > 0 {
            left.push(format!(
                "{} that may get an analysis",
                many(summary.ended as u64, "ended session", "ended sessions")
            ));
        }
        if left.is_empty() { "nothing".to_owned() } else { left.join(", ") }
    }

    /// Reports in the log when the API stops to answer as it should, when it does so again, and what is missing.
    pub(super) fn report(&mut self, api: &ApiStatus, now: Now) {
        match (api, self.reported.down_since) {
            (ApiStatus::Down(why), None) => {
                self.reported.down_since = Some(now.tick);
                self.updates.notice(Notice::Api(ApiNotice::Down { why: why.clone() }));
            }
            (ApiStatus::Up, Some(since)) => {
                self.reported.down_since = None;
                let (down_for, host) = (now.tick.saturating_sub(since), self.contact.host.clone());
                self.updates.notice(Notice::Api(ApiNotice::Up { down_for, host }));
            }
            _ => {}
        }
        let (no_listing, no_agents) = (self.has_no_listing(), self.contact.health.is_absent(Route::Agents));
        if no_listing && !self.reported.no_listing {
            let (tried, hears_elsewhere) = (self.contact.tried(Route::List), self.hears_elsewhere());
            self.updates.notice(Notice::List(ListNotice::Absent { tried, hears_elsewhere }));
        }
        if no_agents && !self.reported.no_agents {
            let tried = self.contact.tried(Route::Agents);
            self.updates.notice(Notice::List(ListNotice::NoAgents { tried }));
        }
        (self.reported.no_listing, self.reported.no_agents) = (no_listing, no_agents);
    }
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

pub(super) fn whole_seconds(length: Duration) -> String {
    humantime::format_duration(Duration::from_secs(length.as_secs())).to_string()
}
