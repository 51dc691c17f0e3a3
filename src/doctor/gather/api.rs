//! The few requests that the API is asked: agents, listing, open sessions, one session, and the head of the stream.
//!
//! Each is asked once, and under the further spellings of its path only while something else answers there. What would
//! bring the same error again is not sent, and neither is what the organization's limit or the configured budget has no room
//! for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::paths::ApiPath;
use agntix_api::promise::{self, Unexpected};
use agntix_api::search::{Ending, Search, Step, Wrong};
use agntix_api::value::Scalar;
use agntix_api::{Answer, ApiError, Client, JsonText, ListQuery, wire};
use tokio::sync::oneshot;

use super::bounds::Progress;
use crate::api;
use crate::capacity;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Loaded;
use crate::doctor::clock::ClockSeen;
use crate::doctor::seen::{Agents, ApiSeen, LeftOut, Listing, Miss, SessionSeen};

/// Longest time for one answer; `api.timeout` if that is less.
const PATIENCE: Duration = Duration::from_secs(10);
/// No request is begun after this.
const LATEST: Duration = Duration::from_secs(20);
/// How long the state may take to say what it remembers.
const MEMORY_PATIENCE: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);
/// An id that no session has, for where there is none to ask for.
const NO_SESSION: &str = "agntix-exporter-doctor";
const PAGE: u32 = 100;

/// By [`ApiPath`]: the places among the spellings that the state remembers.
pub(super) type Remembered = [Option<u32>; ApiPath::ALL.len()];

/// Asks the API. What the state remembers of its paths is waited for, a few seconds at most.
///
/// # Errors
/// If no client can be made; a sentence.
pub(super) async fn ask(
    loaded: &Loaded,
    remembered: oneshot::Receiver<Remembered>,
    progress: Progress<'_>,
) -> Result<ApiSeen, String> {
    let begun = Instant::now();
    let mut config = loaded.config.api.clone();
    config.timeout = config.timeout.min(PATIENCE);
    config.connect_timeout = config.connect_timeout.min(config.timeout);
    agntix_api::install_crypto_provider();
    let client = api::client(&config, loaded.api_key.as_ref()).map_err(|error| error.to_string())?;
    let (host, credential) = (client.host().to_owned(), client.credential_name());
    let proxy = client.proxy().map(|proxy| (proxy.to_string(), proxy.variable));
    let seen = ApiSeen { proxy, host, credential, ..ApiSeen::default() };
    let remembered = tokio::time::timeout(MEMORY_PATIENCE, remembered).await;
    let remembered = remembered.ok().and_then(Result::ok).unwrap_or_default();
    let mut asking = Asking { client, loaded, progress, begun, seen, remembered };
    asking.all().await;
    Ok(asking.seen)
}

struct Asking<'a> {
    client: Client,
    loaded: &'a Loaded,
    progress: Progress<'a>,
    begun: Instant,
    seen: ApiSeen,
    remembered: Remembered,
}

impl Asking<'_> {
    async fn all(&mut self) {
        let client = self.client.clone();
        let asked = self.search("agents", ApiPath::Agents, |path| client.agents_at(path, 1)).await;
        self.seen.agents = asked.map(|asked| asked.and_then(|body| agents(&body).map_err(Miss::Error)));

        let now = self.seen.clocks.first().map_or_else(|| SystemClock.now(), |clock| clock.api);
        let since = now.minus(DAY);
        let query = ListQuery { created_after: Some(since), open_only: false, page: 1, limit: PAGE };
        let ask = |path| client.list_at(path, &query);
        let asked = self.search("the sessions of the last day", ApiPath::List, ask).await;
        let mut newest = None;
        self.seen.listing = asked.map(|asked| {
            let (listing, id) = listing(&asked?).map_err(Miss::Error)?;
            newest = id;
            Ok(listing)
        });

        if matches!(self.seen.listing, Some(Ok(_))) && self.may_ask("the sessions that are open") {
            // As short a page as there is: only how many there are is of interest.
            let query = ListQuery { created_after: None, open_only: true, page: 1, limit: 1 };
            let path = self.seen.found.get(ApiPath::List as usize).and_then(Option::as_ref);
            let path = path.map(|found| Arc::clone(&found.path)).unwrap_or_default();
            let answer = client.list_at(path, &query).await;
            self.took(&answer);
            self.seen.open = answer.result.ok().and_then(|body| {
                let text = JsonText::new(&body);
                wire::Page::read(&body, &text).ok()?.total()
            });
        }

        let known = newest.or_else(|| self.loaded.config.sessions.ids.first().cloned());
        let (id, exists) = (known.as_deref().unwrap_or(NO_SESSION), known.is_some());
        let asked = self.search("a session", ApiPath::Session, |path| client.session_at(path, id)).await;
        self.seen.session = asked.map(|asked| SessionSeen { exists, answer: asked.map(drop) });

        self.messages(id).await;
        self.stream().await;
    }

    /// Asks for the messages of the session, beside which they lie.
    async fn messages(&mut self, id: &str) {
        let path = self.seen.found.get(ApiPath::Session as usize).and_then(Option::as_ref);
        let Some(path) = path.map(|found| Arc::clone(&found.path)) else { return };
        if !self.loaded.config.messages.enabled || !self.may_ask("the messages of a session") {
            return;
        }
        let answer = self.client.messages_at(path, id, 1).await;
        self.took(&answer);
        self.seen.messages = Some(match (promise::judge(&answer, true), answer.result) {
            // The API's own word that there is no such session shows that the route is right.
            (Ok(()) | Err(Unexpected::NoSuchSession), _) => Ok(()),
            (Err(Unexpected::Foreign { came, is_absent }), _) => {
                let tried = format!("{}/messages was answered {came}", answer.path);
                Err(Miss::Wrong(Wrong { tried, is_absent }))
            }
            (Err(_), Err(error)) => Err(Miss::Error(error)),
            (Err(_), Ok(_)) => Err(Miss::Error(ApiError::Body("no page of messages".into()))),
        });
    }

    /// Asks for `what` under the spellings of its path, until one answers as the route promises; `None` if it was not asked
    /// to the end.
    async fn search<F: Future<Output = Answer>>(
        &mut self,
        what: &str,
        path: ApiPath,
        ask: impl Fn(Arc<str>) -> F,
    ) -> Option<Result<bytes::Bytes, Miss>> {
        let mut search = self.begin(path);
        loop {
            if !self.may_ask(what) {
                return None;
            }
            let answer = ask(search.path()).await;
            self.took(&answer);
            match search.answered(&answer) {
                Step::Next => {}
                Step::Over(ending) => return Some(self.ended(path, ending, answer)),
            }
        }
    }

    fn begin(&self, path: ApiPath) -> Search {
        Search::new(path, &api::paths(&self.loaded.config.api), self.remembered.get(path as usize).copied().flatten())
    }

    fn ended(&mut self, path: ApiPath, ending: Ending, answer: Answer) -> Result<bytes::Bytes, Miss> {
        // As the daemon takes it: none of the spellings gives more, and the agents show that it is the API.
        let is_the_api = self.seen.found.iter().any(Option::is_some);
        match ending {
            Ending::Empty(found, _) if is_the_api => {
                if let Some(place) = self.seen.found.get_mut(path as usize) {
                    *place = Some(found);
                }
                Ok(bytes::Bytes::new())
            }
            Ending::Found(found) => {
                self.seen.clocks.extend(clock_seen(&answer));
                if let Some(place) = self.seen.found.get_mut(path as usize) {
                    *place = Some(found);
                }
                answer.result.map_err(Miss::Error)
            }
            Ending::Wrong(wrong) | Ending::Empty(_, wrong) => Err(Miss::Wrong(wrong)),
            Ending::Inconclusive => Err(Miss::Error(match (promise::of_answer(&answer), answer.result) {
                (_, Err(error)) => error,
                (Unexpected::Malformed(what), Ok(_)) => ApiError::Body(what),
                (_, Ok(_)) => ApiError::Body("not what was asked for".into()),
            })),
        }
    }

    /// Opens the event stream. It takes one of the organization's streams and nothing of its requests, and is closed at once.
    async fn stream(&mut self) {
        let is_over = matches!(self.seen.left_out, Some(LeftOut::SameError | LeftOut::Slow | LeftOut::Paused(_)));
        if is_over {
            return;
        }
        let client = self.client.clone();
        let mut search = self.begin(ApiPath::Stream);
        while self.begun.elapsed() < LATEST {
            (self.progress)("opening the event stream");
            let opened = client.stream_at(&search.path(), None).await.map(drop);
            self.seen.requests += u32::from(was_sent(opened.as_ref().err()));
            let kept = opened.clone().map_err(|error| promise::of_stream(&error));
            let Step::Over(ending) = search.judged(kept) else { continue };
            self.seen.stream = Some(match ending {
                Ending::Wrong(wrong) | Ending::Empty(_, wrong) => Err(Miss::Wrong(wrong)),
                Ending::Found(found) => {
                    if let Some(place) = self.seen.found.get_mut(ApiPath::Stream as usize) {
                        *place = Some(found);
                    }
                    opened.map_err(Miss::Error)
                }
                Ending::Inconclusive => opened.map_err(Miss::Error),
            });
            return;
        }
    }

    /// Whether a further request may be sent; if not, why is noted.
    fn may_ask(&mut self, what: &str) -> bool {
        let seen = &mut self.seen;
        if seen.left_out.is_some() {
            return false;
        }
        let (per_minute, _) = capacity::allowed(seen.rate_limit, &self.loaded.config);
        let left = per_minute.saturating_sub(seen.requests);
        let left = seen.rate_limit.remaining.map_or(left, |remaining| remaining.min(left));
        if left == 0 {
            seen.left_out = Some(LeftOut::Budget(left));
        } else if self.begun.elapsed() >= LATEST {
            seen.left_out = Some(LeftOut::Slow);
        } else {
            (self.progress)(&format!("asking {} for {what}", seen.host));
            return true;
        }
        false
    }

    /// Notes what an answer says of the API as a whole.
    fn took(&mut self, answer: &Answer) {
        let seen = &mut self.seen;
        seen.requests += u32::from(was_sent(answer.result.as_ref().err()));
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
                | ApiError::ProxyTimeout(_)
                | ApiError::Credential(_),
            ) => Some(LeftOut::SameError),
            _ => seen.left_out,
        };
    }
}

/// Whether a request with this outcome has left this machine.
const fn was_sent(error: Option<&ApiError>) -> bool {
    !matches!(error, Some(ApiError::Connect(_) | ApiError::Credential(_) | ApiError::Id))
}

/// The clocks, of an answer that is what its route promises: that of a login page is somebody else's.
fn clock_seen(answer: &Answer) -> Option<ClockSeen> {
    let (api, received) = (answer.date?, answer.head_received?);
    // The date was written with the head; the body may have taken longer.
    let since = received.elapsed();
    Some(ClockSeen { here: SystemClock.now().minus(since), elapsed: answer.elapsed.saturating_sub(since), api })
}

fn page<'t>(body: &[u8], text: &'t JsonText<'_>) -> Result<wire::Page<'t>, ApiError> {
    wire::Page::read(body, text).map_err(|_| ApiError::Body("no page of a list".into()))
}

fn agents(body: &[u8]) -> Result<Agents, ApiError> {
    let text = JsonText::new(body);
    let page = page(body, &text)?;
    let items = page.data.as_ref().map_or(0, Vec::len) as u64;
    let pages = page.total_pages().unwrap_or(1).max(1);
    Ok(Agents { total: page.total().unwrap_or(items).max(items), pages })
}

/// What a page of the listing shows, and the id of a session on it.
fn listing(body: &[u8]) -> Result<(Listing, Option<String>), ApiError> {
    let text = JsonText::new(body);
    let page = page(body, &text)?;
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
        let value = |scalar: &Scalar<'_>| scalar.text().unwrap_or_default().to_owned();
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
            let classification = analysis.resolution.value().and_then(|resolution| resolution.classification.text());
            let feeling = mood.and_then(|mood| mood.sentiment.text());
            let is = |value: Option<&str>, word: &str| value.is_some_and(|value| value.eq_ignore_ascii_case(word));
            listing.bad += u64::from(is(classification, "unresolved") || is(feeling, "negative"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_page_is_summed_up() {
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
    fn page_is_read_in_every_form_of_the_list() {
        assert_eq!(agents(b"<html>"), Err(ApiError::Body("no page of a list".into())));
        let body = r#"{"data":[{},{}],"pagination":{"total":130,"totalPages":2}}"#;
        assert_eq!(agents(body.as_bytes()), Ok(Agents { total: 130, pages: 2 }));
        assert_eq!(agents(br#"[{"id":"a"}]"#), Ok(Agents { total: 1, pages: 1 }));
        for empty in ["", "{}", "[]", "null", r#"{"pagination":{"total":0}}"#, r#"{"data":null,"pagination":{}}"#] {
            let (listing, id) = listing(empty.as_bytes()).unwrap();
            assert_eq!((listing.items, id), (0, None), "{empty}");
        }
    }
}
