//! From a session as it came over the wire to the additions it makes: pure functions of the session, the
//! configuration and a given "now". No clock, no network, no disk.
//!
//! [`observe`] reads what a session says ([`Facts`](crate::session::Facts)); [`additions()`] turns facts into what is added to which series.
//! Which steps of a session are still to be counted is the ledger's knowledge, not this module's.

mod additions;
mod contacts;
mod facts;
mod messages;
mod parts;

pub use additions::{
    Addition, Admit, MAX_VALUE, NONE, Named, OTHER, RESOLUTIONS, ROLES, SENTIMENTS, STATES, Step, additions,
    admitted_channel, message_additions, zero_initialized,
};
pub use contacts::ContactHash;
pub use facts::{Moment, ObservationConfig, Unusable, is_complete, observe, observe_entry, observe_listed};
pub use messages::{MOST_MESSAGES, MessageReader, is_sampled, may_have_more, states_more};
pub use parts::{AgentParts, Carried};
