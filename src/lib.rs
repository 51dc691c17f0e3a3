//! Prometheus exporter for Agntix, as a library; `main.rs` is a thin shell around it.
//!
//! The modules follow the path of a session:
//!
//! ```text
//! discovery ──▶ tracker ──▶ poller ──▶ observation ──▶ ledger ──▶ exposition ──▶ web
//! ids heard of   when to     budgeted   pure: what a    durable,    pages kept     HTTP
//!                ask next    API calls  session adds    once only   ready to send
//! ```
//!
//! What talks to Agntix ([`agntix_api`]) knows nothing of metrics; what exposes metrics ([`exposition`], [`web`])
//! knows nothing of Agntix. [`observation`] and [`tracker`] are pure: time, network and disk come in at the edge.

#[cfg(not(unix))]
compile_error!(
    "agntix-exporter runs on Linux and macOS. On Windows, run it in WSL or in a container: what it counts has to outlast a power cut, and how it locks, syncs and replaces files is made for Unix."
);

pub mod api;
pub mod app;
pub mod backfill;
pub mod capacity;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod discovery;
pub mod doctor;
pub mod ledger;
pub mod lifecycle;
pub mod observation;
pub mod poller;
pub mod recent;
pub mod session;
pub mod status;
pub mod supervisor;
pub mod tasks;
pub mod telemetry;
pub mod tracker;
pub mod web;
