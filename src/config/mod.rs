//! The configuration: one struct and its `validate()` per section, with the defaults that `config.toml` states.
//!
//! `load` reads it (flag, then environment, then file, then default) and names mistakes. Nothing in here
//! opens anything but the configuration file, and nothing prints a credential.

mod api;
mod changes;
mod credential;
mod database_address;
mod database_grammar;
mod database_url;
pub mod duration;
mod environment;
mod error;
mod file;
mod ha;
mod keys;
mod layer;
mod load;
mod loaded;
mod log;
mod messages;
mod metric_names;
mod metrics;
mod origin;
mod poll;
mod repeat_contacts;
mod report;
mod root;
mod rules;
mod sessions;
mod state;
mod static_labels;
mod stream;
#[cfg(test)]
mod tests;
mod typing;
mod web;
mod webhook;

pub use api::{AUTO_PATH, ApiConfig};
pub use changes::{restart_only_changes, shared_settings};
pub use database_address::{
    Channel, DatabaseAddress, Keepalives, Password, ServerAddress, ServerHost, SslMode, TlsParameters,
};
pub use database_url::DatabaseUrl;
pub use environment::Environment;
pub use error::{ConfigError, Violation};
pub use ha::HaConfig;
pub use load::{CredentialFaults, Overrides, load, load_with_faults, load_without_credential, log_format};
pub use loaded::Loaded;
pub use log::{LogConfig, LogFormat};
pub use messages::MessagesConfig;
pub use metric_names::METRIC_NAMES;
pub use metrics::{ExtractedField, ExtractedKind, MetricsConfig};
pub use origin::{ConfigOrigin, Origins};
pub use poll::PollConfig;
pub use repeat_contacts::{ContactSecret, RepeatContacts};
pub use root::Config;
pub use sessions::SessionsConfig;
pub use state::StateConfig;
pub use static_labels::METRIC_LABELS;
pub use stream::StreamConfig;
pub use web::{FIXED_PATHS, WebConfig};
pub use webhook::WebhookConfig;
