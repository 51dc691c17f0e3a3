//! Black-box tests: the real binary on loopback, against the simulator and against real Prometheus servers. A file a
//! promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::float_cmp, reason = "the samples are whole numbers of units")]

mod alert_settings;
mod backfill;
mod bad_apple;
mod bad_input;
mod bounded;
mod browser;
mod budget;
mod clocks;
mod compose;
mod contact;
mod containers;
mod dashboards;
mod demo_history;
mod doctor;
mod exactly_once;
mod first_events;
mod freshness;
mod half_written;
mod instructions;
mod kubernetes;
mod late_analysis;
mod lifecycle;
mod links;
mod listing;
mod mixin;
mod new_series;
mod notifications;
mod numbers;
mod odd_json;
mod packaging;
mod page_cost;
mod personal_data;
mod prometheus;
mod protobuf;
mod proxies;
mod reference;
mod releases;
mod replicas;
mod rules;
mod scaling;
mod scrapes;
mod soak;
mod stack;
mod state;
mod state_files;
mod stream;
mod supervisor;
mod support;
mod upkeep;
mod web_config;
mod webhook;
