//! Sessions as Agntix delivers them (by way of Svix): checked, made durable, and only then acknowledged (promise P4).
//!
//! A delivery is a hint of the same session that polling finds, and the ledger recognises it as such. HTTP is `web`'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::{
    JsonText, SignatureError, SignatureHeaders, WebhookSecretError, WebhookSecretSource, WebhookSecrets, wire,
};
use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::News;
use crate::clock::{ApiClock, Clock, Timestamp};
use crate::ledger::{Change, CommitOutcome, Ledger};
use crate::observation::{self, ObservationConfig};
use crate::session::Facts;
use crate::session::Source;

/// Svix gives up waiting after 15 s; an answer after that would only be repeated.
const PATIENCE: Duration = Duration::from_secs(12);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// The session was counted by it.
    Counted,
    /// The session is durable, and its end or analysis is waited for.
    Pending,
    /// The session was counted before.
    Known,
    /// An event that is not used, or a session older than sessions are remembered.
    Ignored,
    /// Signed, but not a session.
    Malformed,
    /// Not signed as it should be.
    Unauthorized(SignatureError),
    /// Nothing was taken: too much is under way.
    Busy,
    /// Nothing is known to have been taken: the state cannot be written, or no secret can be read.
    Failed,
}

impl DeliveryStatus {
    /// The value of the label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Pending => "pending",
            Self::Known => "known",
            Self::Ignored => "ignored",
            Self::Malformed => "malformed",
            Self::Unauthorized(error) => error.as_str(),
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

/// An event that a delivery is about; the value of the label `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `session.created`
    Created,
    /// `session.ended`, and `session.closed`, which one page of the vendor's still calls it.
    Ended,
    /// Any other. Its name is the sender's to choose, and so no label.
    Other,
    /// It was not looked at.
    Unread,
}

impl Event {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "session.created",
            Self::Ended => "session.ended",
            Self::Other => "other",
            Self::Unread => "unread",
        }
    }
}

/// Takes deliveries.
pub struct Deliveries {
    secrets: Arc<WebhookSecretSource>,
    /// One look at the file of the secrets at a time: a disk that does not answer must not take every thread.
    turn: tokio::sync::Mutex<()>,
    ledger: Arc<dyn Ledger>,
    news: ArcSwap<mpsc::Sender<News>>,
    observation: ArcSwap<ObservationConfig>,
    clock: Arc<dyn Clock>,
    api_clock: Arc<ApiClock>,
}

impl Deliveries {
    /// Deliveries that are checked with `secrets`, made durable in `ledger` and reported to the poller.
    pub fn new(
        secrets: WebhookSecretSource,
        ledger: Arc<dyn Ledger>,
        news: mpsc::Sender<News>,
        observation: ObservationConfig,
        clock: Arc<dyn Clock>,
        api_clock: Arc<ApiClock>,
    ) -> Self {
        let (secrets, turn) = (Arc::new(secrets), tokio::sync::Mutex::new(()));
        let (news, observation) = (ArcSwap::from_pointee(news), ArcSwap::from_pointee(observation));
        Self { secrets, turn, ledger, news, observation, clock, api_clock }
    }

    /// Takes a reloaded configuration into effect.
    pub fn reconfigure(&self, observation: ObservationConfig) {
        let agents = self.observation.load().agents.clone();
        self.observation.store(Arc::new(observation.knowing(agents)));
    }

    /// Reports to another poller from now on.
    pub fn report_to(&self, news: mpsc::Sender<News>) {
        self.news.store(Arc::new(news));
    }

    /// Takes one delivery. What it answers with [`DeliveryStatus::Counted`], [`DeliveryStatus::Pending`] or
    /// [`DeliveryStatus::Known`] is on disk.
    pub async fn take(&self, headers: &SignatureHeaders<'_>, body: &[u8]) -> (Event, DeliveryStatus) {
        let begun = Instant::now();
        let (machine, api) = (self.clock.now(), self.api_clock.now(begun));
        let secrets = match self.current_secrets().await {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::debug!(%error, "a delivery cannot be checked");
                return (Event::Unread, DeliveryStatus::Failed);
            }
        };
        if let Err(error) = verify(&secrets, headers, body, machine, api) {
            return (Event::Unread, DeliveryStatus::Unauthorized(error));
        }
        let now = api.unwrap_or(machine);
        let (event, delivered) = match self.read(body, now) {
            Ok(read) => read,
            Err(unread) => return unread,
        };
        // The place is kept before anything is made durable, so that no session is known to the ledger and not to the
        // poller, which would have to ask for it.
        let place = match mpsc::Sender::clone(&self.news.load()).try_reserve_owned() {
            Ok(place) => place,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => return (event, DeliveryStatus::Busy),
        };
        let change = match &delivered {
            Delivered::Session(facts) => Change::Session { facts: Arc::clone(facts), source: Source::Webhook, now },
            Delivered::Id(id) => Change::Heard { id: Arc::clone(id), source: Source::Webhook, now },
        };
        // What is given up here is not committed later, unless that has begun; the retry is recognised then.
        let committed = tokio::time::timeout(PATIENCE, self.ledger.commit(vec![change])).await;
        let Ok(Ok(outcomes)) = committed else { return (event, DeliveryStatus::Failed) };
        let Some(outcome) = outcomes.into_iter().next() else { return (event, DeliveryStatus::Failed) };
        let status = match &outcome {
            CommitOutcome::Counted { .. } => DeliveryStatus::Counted,
            CommitOutcome::AlreadyCounted | CommitOutcome::AwaitsMessages => DeliveryStatus::Known,
            CommitOutcome::TooOld => DeliveryStatus::Ignored,
            CommitOutcome::Pending { .. } | CommitOutcome::Done => DeliveryStatus::Pending,
        };
        place.send(match delivered {
            Delivered::Session(facts) => News::Session { facts, outcome, source: Source::Webhook },
            Delivered::Id(id) => News::Id { id, source: Source::Webhook },
        });
        (event, status)
    }

    async fn current_secrets(&self) -> Result<Arc<WebhookSecrets>, WebhookSecretError> {
        if self.secrets.is_fixed() {
            return self.secrets.current(Instant::now());
        }
        let _turn = self.turn.lock().await;
        let secrets = Arc::clone(&self.secrets);
        let looked = tokio::task::spawn_blocking(move || secrets.current(Instant::now())).await;
        looked.unwrap_or_else(|_| Err(WebhookSecretError(format!("{} could not be looked at", self.secrets.name()))))
    }

    /// Reads what a delivery reports, or says why it reports nothing.
    fn read(&self, body: &[u8], now: Timestamp) -> Result<(Event, Delivered), (Event, DeliveryStatus)> {
        let body = JsonText::new(body);
        // Of one that is no session only the event is read.
        let session = body.read::<wire::Session<'_>>();
        let envelope = session.is_err().then(|| body.read::<wire::Envelope<'_>>());
        let event_type = match (&session, &envelope) {
            (Ok(session), _) => session.event_type.text(),
            (_, Some(Ok(envelope))) => envelope.event_type.text(),
            _ => None,
        };
        let event = match event_type {
            Some("session.created") => Event::Created,
            Some("session.ended" | "session.closed") => Event::Ended,
            Some(_) => return Err((Event::Other, DeliveryStatus::Ignored)),
            None => return Err((Event::Unread, DeliveryStatus::Malformed)),
        };
        let malformed = (event, DeliveryStatus::Malformed);
        let session = session.map_err(|_| malformed)?;
        let delivered = match observation::observe_entry(&session, &self.observation.load(), now) {
            // The event decides: a `created` event delivered late may hold a session that has ended, which is used; an
            // `ended` event with a session that is open contradicts itself, and the session is asked for.
            Ok(facts) if event == Event::Ended && facts.ended.is_none() => Delivered::Id(facts.id),
            Ok(facts) => Delivered::Session(Arc::new(facts)),
            Err(unusable) => Delivered::Id(unusable.id.ok_or(malformed)?),
        };
        Ok((event, delivered))
    }
}

/// Svix's time stamp is held against two clocks, and either will do: one that is off must not have every delivery refused.
/// A delivery that is replayed within the wider range that this makes is recognised by its session all the same.
fn verify(
    secrets: &WebhookSecrets,
    headers: &SignatureHeaders<'_>,
    body: &[u8],
    machine: Timestamp,
    api: Option<Timestamp>,
) -> Result<(), SignatureError> {
    match (secrets.verify(headers, body, machine), api) {
        (Err(SignatureError::Stale), Some(api)) => secrets.verify(headers, body, api),
        (verified, _) => verified,
    }
}

/// What a delivery reports.
enum Delivered {
    /// A session, whole or in part.
    Session(Arc<Facts>),
    /// Only which session; the rest cannot be used.
    Id(Arc<str>),
}
