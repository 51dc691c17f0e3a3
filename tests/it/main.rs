//! Black-box tests: the real binary on loopback, against the simulator and against real Prometheus servers. A file a
//! promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::float_cmp, reason = "the samples are whole numbers of units")]

mod bad_apple;
mod bounded;
mod budget;
mod exactly_once;
mod freshness;
mod late_analysis;
mod new_series;
mod personal_data;
mod reference;
mod scrapes;
mod support;
