//! The routes: the metrics, the landing page, health, reload and the webhook, and what guards their listeners. Listeners,
//! TLS, users and limits are [`exporter_web`]'s.
//!
//! Nothing in here decides what a metric is or talks to Agntix; it sends what [`exposition`] and
//! [`status`](crate::status) give it.

mod agents;
mod error;
pub mod guards;
pub(crate) mod landing;
mod metrics;
mod pages;
mod reach;
mod router;
mod state;
#[cfg(test)]
mod tests;
pub mod webhook;

pub use error::WebError;
use exporter_web::ServerOptions;
pub use guards::Guards;
pub use reach::{local_client, local_url, reachable};
pub use router::{probes, router};
pub use state::WebState;

use crate::config::WebConfig;

/// The limits of a listener, as `[web]` sets them.
pub fn server_options(config: &WebConfig) -> ServerOptions {
    ServerOptions {
        header_timeout: config.header_timeout,
        write_timeout: config.write_timeout,
        ..ServerOptions::default()
    }
}
