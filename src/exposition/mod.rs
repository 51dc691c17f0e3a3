//! What `/metrics` shows: which metrics there are ([`catalogue`]), the series in memory, and the pages made of them.
//!
//! Nothing in here knows of Agntix, of the disk or of HTTP connections; it is fed with series states after they are
//! durable, and gives bytes.

pub mod catalogue;
pub mod labels;
pub mod own;
pub mod series;
