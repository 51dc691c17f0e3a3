//! The vocabulary of the product: what a session is, as every stage on its way speaks of it. Types without behaviour of their
//! own: no I/O, no clock, nothing of the wire format, of the ledger's files or of metrics.

mod channel;
mod facts;
mod malformed;
mod messages;
mod parts;
mod source;
mod stage;

pub use channel::Channel;
pub use facts::{Ended, Extracted, Facts, Outcome};
pub use malformed::MalformedReason;
pub use messages::{MessageTally, SkipReason};
pub use parts::Parts;
pub use source::Source;
pub use stage::Stage;
