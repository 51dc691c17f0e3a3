//! What talks to Agntix: the wire types, the client, the credential, the request budget, the
//! signatures of webhooks. Knows nothing of metrics.
//!
//! [`Client`] makes exactly one attempt a call. When to ask, how often and whether to ask again is decided elsewhere;
//! nothing in here sleeps.

mod address;
mod answer;
mod body;
pub mod budget;
mod client;
mod credential;
mod error;
mod headers;
pub(crate) mod json;
pub mod paths;
pub mod promise;
pub mod search;
mod secret_file;
pub mod signature;
pub mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod webhook_secret;
pub mod wire;

pub use address::ListQuery;
pub use answer::{Answer, Quota, RateLimit, Route};
pub use client::Client;
pub use error::{ApiError, ClientError, CredentialFault};
pub(crate) use json::object;
pub use json::{JsonText, NotJson};
pub use signature::{SignatureError, SignatureHeaders, WebhookSecrets};
pub(crate) use tls::Roots;
pub use tls::install_crypto_provider;
pub use webhook_secret::{WebhookSecretError, WebhookSecretSource};
