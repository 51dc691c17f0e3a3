//! From a session as it came over the wire to the additions it makes: pure functions of the session, the
//! configuration and a given "now". No clock, no network, no disk.
//!
//! [`observe`] reads what a session says ([`Facts`](crate::session::Facts)); [`additions()`] turns facts into what is added to which series.
//! Which steps of a session are still to be counted is the ledger's knowledge, not this module's.

mod additions;
mod facts;
mod parts;

pub use additions::{
    Addition, Admit, MAX_VALUE, NONE, OTHER, RESOLUTIONS, SENTIMENTS, STATES, Step, additions, admitted_channel,
    zero_initialized,
};
pub use facts::{Moment, ObservationConfig, Unusable, is_complete, observe, observe_entry};
pub use parts::{AgentParts, Carried};
