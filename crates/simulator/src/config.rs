//! What a simulation is made of: everything that can be set, as one plain struct.

use std::time::Duration;

use crate::deliveries::config::DeliveryConfig;
use crate::messages::MessageShares;
use crate::profile::AgentProfile;
use crate::session::Part;
use crate::stream::config::StreamConfig;
use crate::time::Timestamp;

/// The key that a default simulator accepts.
pub const DEFAULT_KEY: &str = "pk_test_simulator";

/// A known key that lacks every scope: it is answered 403.
pub const NO_SCOPE_KEY: &str = "pk_test_no_scope";

/// Everything that can be set about a simulation. The same values give the same sessions, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatorConfig {
    /// Makes everything that looks random; two seeds share no session.
    pub seed: u64,
    /// No session is created before.
    pub start: Timestamp,
    /// No session is created after.
    pub until: Option<Timestamp>,
    /// What the simulator's clock shows when it is made; the real time when `None`.
    pub now: Option<Timestamp>,
    /// How much faster than the real clock the simulator's runs; 0 stands still.
    pub speed: f64,
    /// The agents; 4,096 at most are used.
    pub agents: Vec<AgentProfile>,
    /// Length of the slots that creation times are made in; shorter ones suit thousands of sessions a second.
    pub slot: Duration,
    /// Least and most time from a session's end to its analysis.
    pub analysis_delay: (Duration, Duration),
    /// Share of sessions whose analysis never arrives.
    pub no_analysis_share: f64,
    /// Share of analyses in which one part is absent or null, though the agent has it switched on. An exporter that knows
    /// the agent waits for such a part until its deadline, which the truth does not know.
    pub missing_part_share: f64,
    /// Parts of the analysis that are switched off and on again, in the order of time.
    pub part_switches: Vec<PartSwitch>,
    /// Share of analyses that are written one part after the other: some are there first, and the others later. Webhooks
    /// wait for all of them.
    pub half_written_share: f64,
    /// How long such an analysis is half-written.
    pub half_written_for: Duration,
    /// How odd the conversations are.
    pub messages: MessageShares,
    /// How many customers there are, at most 100,000; so many that hardly one comes back when absent.
    pub customers: Option<u32>,
    /// Share of the sessions that one and the same number has, which many customers share.
    pub shared_number_share: f64,
    /// Share of sessions that expire and are not closed.
    pub expired_share: f64,
    /// Share of sessions whose analysis is changed later.
    pub reclassified_share: f64,
    /// Time from the first analysis to the changed one.
    pub reclassified_after: Duration,
    /// How the traffic varies.
    pub rhythm: Rhythm,
    /// Traffic of a Saturday or Sunday (UTC) as a share of another day's; only with [`Rhythm::Daily`].
    pub weekend_share: f64,
    /// What goes wrong, where and when.
    pub incidents: Vec<Incident>,
    /// Requests per window of 60 s real time; `None` for no limit in practice.
    pub rate_limit: Option<u32>,
    /// Whether answers carry the `X-RateLimit-…` headers.
    pub rate_limit_headers: bool,
    /// API keys (`x-api-key`) and tokens (`Authorization: Bearer`) that are accepted.
    pub keys: Vec<String>,
    /// Keys and tokens that are known and answered 403.
    pub no_scope_keys: Vec<String>,
    /// `None`: sessions can be listed. Otherwise the status that listing answers, 404 or 405.
    pub listing_refused: Option<u16>,
    /// Whether listed sessions carry their analysis, as a single session does.
    pub list_analysis: bool,
    /// Share of sessions that are never listed, as if the listing were broken; their ids can be asked for.
    pub unlisted_share: f64,
    /// Share of sessions that a credential of another scope would be needed for: never listed, and refused when their
    /// ids are asked for. Webhooks carry them, whole.
    pub hidden_share: f64,
    /// What asking for a hidden session is answered: 404 or 403.
    pub hidden_status: u16,
    /// How session ids are written.
    pub id_style: IdStyle,
    /// Webhooks; `None` delivers none until they are switched on.
    pub deliveries: Option<DeliveryConfig>,
    /// The event stream.
    pub stream: StreamConfig,
    /// Requests remembered for `GET /simulator/requests`, and attempts at deliveries for `GET /simulator/deliveries`; the
    /// oldest are forgotten.
    pub log_capacity: usize,
    /// Buckets and extracted fields that `GET /simulator/truth` answers for.
    pub metrics: TruthMetrics,
}

/// What the truth needs to know of the exporter's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthMetrics {
    /// Upper bounds of `agntix_session_duration_seconds`, in seconds, ascending.
    pub duration_buckets: Vec<f64>,
    /// Upper bounds of `agntix_session_sentiment_score`, from -1 to 1, ascending.
    pub sentiment_score_buckets: Vec<f64>,
    /// Upper bounds of the confidence histograms, from 0 to 1, ascending.
    pub confidence_buckets: Vec<f64>,
    /// Fields of `extractedData` that are counted or measured.
    pub extracted: Vec<TruthField>,
    /// Session variables that are counted.
    pub variables: Vec<String>,
    /// Upper bounds of `agntix_session_turns`, ascending.
    pub turn_buckets: Vec<f64>,
    /// Upper bounds of the histograms of response times, in seconds, ascending.
    pub response_buckets: Vec<f64>,
    /// Of which share of the sessions the messages are counted; `None` if of none.
    pub messages_share: Option<f64>,
    /// The windows in which a customer may come back, by their labels; none: nobody is recognised.
    pub repeat_windows: Vec<(String, Duration)>,
}

/// One field of `extractedData` that is counted or measured.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthField {
    /// The field's name in `extractedData`, verbatim.
    pub field: String,
    /// What is made of it.
    pub kind: TruthFieldKind,
    /// Upper bounds of the histogram; only for [`TruthFieldKind::Number`].
    pub buckets: Vec<f64>,
}

/// What is made of an extracted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthFieldKind {
    /// Text from a short list: counted by value.
    Enum,
    /// True or false: counted by value.
    Boolean,
    /// A quantity: measured in a histogram.
    Number,
}

impl Default for TruthMetrics {
    /// The exporter's documented defaults.
    fn default() -> Self {
        Self {
            duration_buckets: vec![
                5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0, 7200.0,
            ],
            sentiment_score_buckets: vec![-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            confidence_buckets: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            extracted: Vec::new(),
            variables: Vec::new(),
            turn_buckets: vec![0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0],
            response_buckets: vec![0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 300.0],
            messages_share: None,
            repeat_windows: Vec::new(),
        }
    }
}

/// How session ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdStyle {
    /// `4981804c-2658-4893-84ff-9c2fa90fb3c2`
    Uuid,
    /// `ses_4981804c2658489384ff9c2fa90fb3c2`
    Prefixed,
}

/// Something that goes wrong with one agent for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// The agent's id.
    pub agent: String,
    /// Sessions created from here on are hit.
    pub from: Timestamp,
    /// Sessions created from here on are no longer hit.
    pub to: Timestamp,
    /// What happens.
    pub kind: IncidentKind,
}

/// A part of the analysis is switched off, or on again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSwitch {
    /// The agent's id; all agents when absent.
    pub agent: Option<String>,
    /// The part.
    pub part: Part,
    /// For sessions created from here on.
    pub from: Timestamp,
    /// Whether it is on.
    pub on: bool,
}

/// How an agent's traffic varies over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// Not at all: each slot has as many sessions as another.
    Even,
    /// From slot to slot, by up to a half.
    Uneven,
    /// The same, with quiet nights (UTC), busy afternoons and weekends of their own.
    Daily,
}

/// What an incident does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IncidentKind {
    /// This share of the sessions stays unresolved.
    UnresolvedShare(f64),
    /// This share of the customers is unhappy.
    NegativeWave(f64),
    /// This share of the sessions with one intent stays unresolved.
    IntentUnresolved {
        /// The intent, as an index into [`AgentProfile::intents`].
        intent: usize,
        /// Share of its sessions.
        share: f64,
    },
    /// So many times the usual sessions: 0 is silence, 3 a flood. It hits the whole slots that begin while it lasts.
    Traffic(f64),
    /// Sessions are so many times as long, within the profile's bounds.
    Length(f64),
}

impl Default for SimulatorConfig {
    /// One agent, one hour of past sessions at a fixed date, and a clock that goes on from there.
    fn default() -> Self {
        let start = Timestamp::from_millis(1_775_624_400_000);
        Self {
            seed: 1,
            start,
            until: None,
            now: Some(start.plus(Duration::from_secs(3600))),
            speed: 1.0,
            agents: vec![AgentProfile::default()],
            slot: Duration::from_secs(10),
            analysis_delay: (Duration::from_secs(1), Duration::from_secs(20)),
            no_analysis_share: 0.01,
            missing_part_share: 0.0,
            part_switches: Vec::new(),
            half_written_share: 0.0,
            half_written_for: Duration::from_secs(2),
            messages: MessageShares::default(),
            customers: None,
            shared_number_share: 0.0,
            expired_share: 0.05,
            reclassified_share: 0.0,
            reclassified_after: Duration::from_secs(60),
            rhythm: Rhythm::Even,
            weekend_share: 1.0,
            incidents: Vec::new(),
            rate_limit: Some(600),
            rate_limit_headers: true,
            keys: vec![DEFAULT_KEY.into()],
            no_scope_keys: vec![NO_SCOPE_KEY.into()],
            listing_refused: None,
            list_analysis: false,
            unlisted_share: 0.0,
            hidden_share: 0.0,
            hidden_status: 404,
            id_style: IdStyle::Uuid,
            deliveries: None,
            stream: StreamConfig::default(),
            log_capacity: 1_000_000,
            metrics: TruthMetrics::default(),
        }
    }
}
