//! What the tests share. A failure in here is a failure of the test that called, so it panics and says what it saw.

pub mod page;
pub mod prometheus;
pub mod promtool;
mod tool;
pub mod wait;
