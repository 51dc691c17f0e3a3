#![doc = include_str!("../README.md")]

mod address;
mod answer;
mod body;
pub mod budget;
mod client;
mod credential;
mod error;
mod headers;
mod json;
mod options;
pub mod paths;
pub mod promise;
mod proxy;
pub mod search;
mod secret;
mod secret_file;
pub mod signature;
mod stamp;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod time;
mod tls;
pub mod value;
mod webhook_secret;
pub mod wire;

pub use address::ListQuery;
pub use answer::{Answer, ApiRateLimit, Quota, Route};
pub use client::Client;
pub use error::{ApiError, ClientError, CredentialFault};
pub use json::{JsonText, NotJson};
pub use options::{ClientOptions, CredentialPlace, CredentialSource, PathOptions};
pub use proxy::{Proxy, ProxyError, ProxyVariables};
pub use secret::Secret;
pub use signature::{SignatureError, SignatureHeaders, WebhookSecrets};
pub use stamp::Stamp;
pub use tls::{Roots, install_crypto_provider};
pub use webhook_secret::{WebhookSecretError, WebhookSecretSource};
