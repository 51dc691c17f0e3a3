//! What `/metrics` shows: which metrics there are ([`catalogue`]), the series in memory, and the pages made of them.
//!
//! Nothing in here knows of Agntix, of the disk or of HTTP connections; it is fed with series states after they are
//! durable, and gives bytes.

pub mod catalogue;
mod compress;
mod family;
pub mod labels;
mod memory;
pub mod negotiation;
mod number;
pub mod own;
mod own_page;
mod pages;
pub mod reference;
pub mod series;
#[cfg(test)]
mod tests;
mod writer;

pub use pages::{Exposition, Page};
