//! Who held a session, and over what.

/// Who held a session, and over what; values lower case, `unknown` where absent, the agent id verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    /// `agentId`
    pub agent_id: String,
    /// `type`
    pub session_type: String,
    /// `platform`
    pub platform: String,
    /// `direction`
    pub direction: String,
}

impl Channel {
    /// The values in the order of the label names.
    pub fn values(&self) -> [&str; 4] {
        [&self.agent_id, &self.session_type, &self.platform, &self.direction]
    }
}
