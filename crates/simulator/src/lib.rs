#![doc = include_str!("../README.md")]

mod agenda;
mod answer;
mod api;
mod config;
mod control;
mod deliveries;
mod faults;
mod generate;
mod heads;
mod id;
mod json;
mod labels;
mod lenient;
mod limits;
mod list_faults;
mod listing;
mod lock;
mod messages;
mod presets;
mod profile;
mod random;
mod request_log;
mod response;
mod ring;
mod routes;
mod serve;
mod session;
mod simulator;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod timeline;
mod truth;

pub use config::{
    DEFAULT_KEY, IdStyle, Incident, IncidentKind, NO_SCOPE_KEY, PartSwitch, Rhythm, SimulatorConfig, TruthField,
    TruthFieldKind, TruthMetrics,
};
pub use deliveries::config::DeliveryConfig;
pub use deliveries::queue::Progress as DeliveryProgress;
pub use deliveries::record::DeliveryRecord;
pub use deliveries::secret::WebhookSecret;
pub use faults::{FaultKind, FaultRule, Faults, Paths, Route, Stranger};
pub use heads::{DateFault, HeadFaults, RetryAfter};
pub use json::{PERSONAL_MARKER, PERSONAL_PHONE_PREFIX};
pub use lenient::Writing;
pub use list_faults::{BadEntry, EmptyPage, EveryNth, ListFaults, TotalPages};
pub use messages::{MessageFaults, MessageShares, Said};
pub use profile::{
    AgentProfile, Channel, ExtractedSpec, ExtractedValues, ResolutionShares, SentimentShares, Weighted, weighted,
};
pub use request_log::RequestRecord;
pub use session::{Analysis, Extracted, Missing, Part, Session, State};
pub use simulator::Simulator;
pub use stream::config::StreamConfig;
pub use stream::faults::StreamFaults;
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use truth::TruthFilter;
