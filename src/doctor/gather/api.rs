//! The few requests that the API is asked: agents, listing, open sessions, one session, and the head of the stream.
//!
//! Each is asked once. What would bring the same error again is not sent, and neither is what the organization's limit or
//! the configured budget has no room for.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::Told;
use crate::agntix::{self, Answer, ApiError, Client, JsonText, ListQuery, wire};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Loaded;
use crate::doctor::api::{ApiSeen, LeftOut};
use crate::doctor::budget;
use crate::doctor::clock::ClockSeen;
use crate::doctor::routes::{Agents, Listing, SessionSeen};

/// Longest time for one answer; `api.timeout` if that is less.
const PATIENCE: Duration = Duration::from_secs(10);
/// No request is begun after this.
const LATEST: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);
/// An id that no session has, for where there is none to ask for.
const NO_SESSION: &str = "agntix-exporter-doctor";
const PAGE: u32 = 100;

/// Asks the API.
///
/// # Errors
/// If no client can be made; a sentence.
pub(super) async fn ask(loaded: &Loaded, told: Told<'_>) -> Result<ApiSeen, String> {
    let mut api = loaded.config.api.clone();
    api.timeout = api.timeout.min(PATIENCE);
    api.connect_timeout = api.connect_timeout.min(api.timeout);
    agntix::install_crypto_provider();
    let client = Client::new(&api, loaded.api_key.clone()).map_err(|error| error.to_string())?;
    let (host, credential) = (client.host().to_owned(), client.credential_name());
    let seen = ApiSeen { host, credential, ..ApiSeen::default() };
    let mut asking = Asking { client, loaded, told, begun: Instant::now(), seen };
    asking.all().await;
    Ok(asking.seen)
}

struct Asking<'a> {
    client: Client,
    loaded: &'a Loaded,
    told: Told<'a>,
    begun: Instant,
    seen: ApiSeen,
}

impl Asking<'_> {
    async fn all(&mut self) {
        let client = self.client.clone();
        if !self.may_ask("agents") {
            return;
        }
        let answer = client.agents(1).await;
        self.seen.agents = Some(self.took(answer).and_then(|body| agents(&body)));

        if !self.may_ask("the sessions of the last day") {
            return;
        }
        let now = self.seen.clocks.first().map_or_else(|| SystemClock.now(), |clock| clock.api);
        let since = now.minus(DAY);
        let query = ListQuery { created_after: Some(since), open_only: false, page: 1, limit: PAGE };
        let answer = client.list(&query).await;
        let mut newest = None;
        self.seen.listing = Some(self.took(answer).and_then(|body| {
            let (listing, id) = listing(&body)?;
            newest = id;
            Ok(listing)
        }));

        if matches!(self.seen.listing, Some(Ok(_))) && self.may_ask("the sessions that are open") {
            // As short a page as there is: only how many there are is of interest.
            let query = ListQuery { created_after: None, open_only: true, page: 1, limit: 1 };
            let answer = client.list(&query).await;
            self.seen.open = self.took(answer).ok().and_then(|body| page(&JsonText::new(&body)).ok()?.total());
        }

        if !self.may_ask("a session") {
            return;
        }
        let known = newest.or_else(|| self.loaded.config.sessions.ids.first().cloned());
        let (id, exists) = (known.as_deref().unwrap_or(NO_SESSION), known.is_some());
        let answer = client.session(id).await;
        let answer = self.took(answer).and_then(|body| session(&body));
        self.seen.session = Some(SessionSeen { exists, answer });

        // It takes one of the organization's streams and nothing of its requests, and is closed at once.
        let is_over = matches!(self.seen.left_out, Some(LeftOut::SameError | LeftOut::Slow | LeftOut::Paused(_)));
        if is_over || self.begun.elapsed() >= LATEST {
            return;
        }
        (self.told)("opening the event stream");
        self.seen.requests += 1;
        self.seen.stream = Some(client.stream(None).await.map(drop));
    }

    /// Whether a further request may be sent; if not, why is noted.
    fn may_ask(&mut self, what: &str) -> bool {
        let seen = &mut self.seen;
        if seen.left_out.is_some() {
            return false;
        }
        let (per_minute, _) = budget::allowed(seen.rate_limit, &self.loaded.config);
        let left = per_minute.saturating_sub(seen.requests);
        let left = seen.rate_limit.remaining.map_or(left, |remaining| remaining.min(left));
        if left == 0 {
            seen.left_out = Some(LeftOut::Budget(left));
        } else if self.begun.elapsed() >= LATEST {
            seen.left_out = Some(LeftOut::Slow);
        } else {
            (self.told)(&format!("asking {} for {what}", seen.host));
            return true;
        }
        false
    }

    /// Notes what an answer says of the API as a whole.
    fn took(&mut self, answer: Answer) -> Result<axum::body::Bytes, ApiError> {
        let seen = &mut self.seen;
        let was_sent = !matches!(answer.result, Err(ApiError::Credential(_) | ApiError::Id));
        seen.requests += u32::from(was_sent);
        seen.clocks.extend(clock_seen(&answer));
        let limit = answer.rate_limit;
        if limit.limit.is_some() {
            (seen.rate_limit.limit, seen.rate_limit.quotas) = (limit.limit, limit.quotas);
        }
        seen.rate_limit.remaining = limit.remaining.or(seen.rate_limit.remaining);
        seen.left_out = match &answer.result {
            Err(ApiError::Status { status: 429, retry_after, .. }) => Some(LeftOut::Paused(*retry_after)),
            Err(
                ApiError::Status { status: 401, .. }
                | ApiError::Connect(_)
                | ApiError::Timeout
                | ApiError::Credential(_),
            ) => Some(LeftOut::SameError),
            _ => seen.left_out,
        };
        answer.result
    }
}

/// The clocks, of an answer whose body is JSON: that of a login page is somebody else's.
fn clock_seen(answer: &Answer) -> Option<ClockSeen> {
    let (api, received, body) = (answer.date?, answer.head_received?, answer.result.as_ref().ok()?);
    serde_json::from_slice::<serde::de::IgnoredAny>(body).ok()?;
    // The date was written with the head; the body may have taken longer.
    let since = received.elapsed();
    Some(ClockSeen { here: SystemClock.now().minus(since), elapsed: answer.elapsed.saturating_sub(since), api })
}

fn nonsense(what: &str) -> ApiError {
    ApiError::Body(format!("no {what}"))
}

fn page<'t>(text: &'t JsonText<'_>) -> Result<wire::Page<'t>, ApiError> {
    let page: wire::Page<'_> = text.read_list().map_err(|_| nonsense("page of a list"))?;
    if page.data.is_some() { Ok(page) } else { Err(nonsense("page of a list")) }
}

fn agents(body: &[u8]) -> Result<Agents, ApiError> {
    let text = JsonText::new(body);
    let page = page(&text)?;
    let items = page.data.as_ref().map_or(0, Vec::len) as u64;
    let pages = page.total_pages().unwrap_or(1).max(1);
    Ok(Agents { total: page.total().unwrap_or(items).max(items), pages })
}

/// What a page of the listing shows, and the id of a session on it.
fn listing(body: &[u8]) -> Result<(Listing, Option<String>), ApiError> {
    let text = JsonText::new(body);
    let page = page(&text)?;
    let total = page.total();
    let entries = page.data.as_deref().unwrap_or_default();
    let mut listing = Listing { total, items: entries.len() as u64, ..Listing::default() };
    let (mut agents, mut channels, mut intents, mut languages) =
        (HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
    let (mut id, mut created) = (None, Vec::new());
    let texts: Vec<_> = entries.iter().map(|raw| JsonText::new(raw.get().as_bytes())).collect();
    for session in texts.iter().filter_map(|text| text.read::<wire::Session<'_>>().ok()) {
        id = id.or_else(|| session.id.text().map(ToOwned::to_owned));
        created.extend(session.created_at.time());
        let agent = session.agent_id.text().unwrap_or_default().to_owned();
        let value = |scalar: &wire::Scalar<'_>| scalar.text().unwrap_or_default().to_owned();
        channels.insert((
            agent.clone(),
            value(&session.session_type),
            value(&session.platform),
            value(&session.direction),
        ));
        if let Some(analysis) = session.analysis.value() {
            let intent = analysis.intent.value().and_then(|intent| intent.conversation.value());
            intents.extend(
                intent.and_then(|intent| intent.intent.text()).map(|intent| (agent.clone(), intent.to_owned())),
            );
            let mood = analysis.sentiment.value().and_then(|sentiment| sentiment.conversation.value());
            let language = mood.and_then(|mood| mood.detected_language.text());
            languages.extend(language.map(|language| (agent.clone(), language.to_owned())));
        }
        if !session.ended_at.is_absent() {
            listing.ended += 1;
            listing.analysed += u64::from(session.analysis.value().is_some());
        }
        agents.insert(agent);
    }
    (listing.agents, listing.channels) = (agents.len() as u64, channels.len() as u64);
    (listing.intents, listing.languages) = (intents.len() as u64, languages.len() as u64);
    listing.starts_per_minute = starts_per_minute(total, &created);
    Ok((listing, id))
}

/// Of the whole day, or of the page, whichever are more: at noon there are more than on average.
fn starts_per_minute(total: Option<u64>, created: &[Timestamp]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 sessions")]
    let number = |count: u64| count as f64;
    let of_day = number(total.unwrap_or_default()) / (DAY.as_secs_f64() / 60.0);
    let span = match (created.iter().min(), created.iter().max()) {
        (Some(first), Some(last)) => last.since(*first),
        _ => Duration::ZERO,
    };
    // Few sessions within a moment say nothing of a minute.
    let is_telling = created.len() >= 10 && span >= Duration::from_secs(10);
    let of_page = if is_telling { number(created.len() as u64) / span.as_secs_f64() * 60.0 } else { 0.0 };
    of_day.max(of_page)
}

fn session(body: &[u8]) -> Result<(), ApiError> {
    let text = JsonText::new(body);
    let session: wire::Session<'_> = text.read().map_err(|_| nonsense("session"))?;
    if session.id.is_absent() { Err(nonsense("session")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_reckoned_up() {
        let session = |minute: u32, agent: &str, more: &str| {
            format!(
                r#"{{"id":"s{minute}","agentId":"{agent}","type":"CHAT","createdAt":"2026-04-08T06:{minute:02}:00Z"{more}}}"#
            )
        };
        let ended = r#","endedAt":"2026-04-08T07:00:00Z""#;
        let analysis = r#","analysis":{"intent":{"conversation":{"intent":"Refund"}},"sentiment":{"conversation":{"detectedLanguage":"de"}}}"#;
        let mut sessions: Vec<String> = (1..10).map(|minute| session(minute, "a", "")).collect();
        sessions.push(session(10, "b", ended));
        sessions.push(session(11, "b", &format!("{ended}{analysis}")));
        let body = format!(r#"{{"data":[7,{}],"pagination":{{"total":1440}}}}"#, sessions.join(","));
        let (listing, id) = listing(body.as_bytes()).unwrap();
        assert_eq!((listing.items, listing.ended, listing.analysed), (12, 2, 1));
        assert_eq!((listing.agents, listing.channels, listing.intents, listing.languages), (2, 2, 1, 1));
        // Eleven in ten minutes are more than one a minute of the day.
        assert!((listing.starts_per_minute - 1.1).abs() < 1e-9, "{listing:?}");
        assert_eq!(id.as_deref(), Some("s1"));
    }

    #[test]
    fn what_is_no_page_is_said_to_be_none() {
        for body in ["<html>", "{}", "[]"] {
            assert_eq!(agents(body.as_bytes()), Err(ApiError::Body("no page of a list".into())), "{body}");
        }
        let body = r#"{"data":[{},{}],"pagination":{"total":130,"totalPages":2}}"#;
        assert_eq!(agents(body.as_bytes()), Ok(Agents { total: 130, pages: 2 }));
        assert_eq!(session(b"{}"), Err(ApiError::Body("no session".into())));
    }
}
