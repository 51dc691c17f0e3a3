#![doc = include_str!("../README.md")]
//!
//! # What lives where
//! [`Exposition`] is what an exporter holds: it is fed with the states of series after they are durable, and gives
//! pages. [`negotiation`] says which page a client wants. No module knows where a value comes from, and none does I/O.

mod buckets;
mod compress;
mod descriptor;
mod family_series;
mod labels;
mod memory;
pub mod negotiation;
mod number;
mod pages;
mod protobuf;
mod registry;
mod rendered;
mod series;
#[cfg(test)]
mod tests;
mod timed;
mod writer;

pub use buckets::{BucketSchema, BucketSchemaId, BucketSchemas};
pub use descriptor::{Descriptor, Family, Kind};
pub use labels::{LabelSet, values};
pub use pages::{Exposition, Page, Part};
pub use series::{Exemplar, SeriesKey, SeriesState};
pub use timed::{TimedSample, TimedSamples};
