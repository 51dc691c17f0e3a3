//! What the policy keeps between the batches, and what it decides.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use exposition::BucketSchemas;

use super::admission::{Admission, Bounds};
use super::retention::Retention;
use super::room::Charges;
use super::rows::{Known, Writes};
use super::sums::LookBack;
use crate::catalogue::buckets;
use crate::clock::Timestamp;
use crate::config::{Config, ExtractedField, MessagesConfig};
use crate::ledger::CommitOutcome;
use crate::observation::{self, AgentParts};
use crate::session::Channel;

/// What the policy needs of the configuration.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// `sessions.retention`
    pub retention: Duration,
    /// `metrics.new_series_hold`
    pub hold: Duration,
    /// The bucket bounds.
    pub bucket_schemas: Arc<BucketSchemas>,
    /// `metrics.extracted`
    pub extracted: Arc<[ExtractedField]>,
    /// `metrics.variables`
    pub variables: Arc<[String]>,
    /// `metrics.repeat_contacts`: the windows, by the value of their label.
    pub windows: Arc<[(String, Duration)]>,
    /// `[messages]`
    pub messages: MessagesConfig,
    /// What is learned of the agents; it outlives the policy.
    pub agents: AgentParts,
    pub(super) bounds: Bounds,
    pub(super) charges: Charges,
}

impl From<&Config> for PolicyConfig {
    fn from(config: &Config) -> Self {
        let bucket_schemas = Arc::new(buckets::schemas(&config.metrics));
        Self {
            retention: config.sessions.retention,
            hold: config.metrics.new_series_hold,
            extracted: config.metrics.extracted.clone().into(),
            variables: config.metrics.variables.clone().into(),
            windows: windows(config),
            messages: config.messages,
            agents: AgentParts::default(),
            charges: Charges::new(&bucket_schemas, &config.metrics, config.messages.enabled),
            bucket_schemas,
            bounds: Bounds::from(&config.metrics),
        }
    }
}

fn windows(config: &Config) -> Arc<[(String, Duration)]> {
    let Some(contacts) = &config.metrics.repeat_contacts else { return Arc::default() };
    contacts.windows.iter().cloned().zip(contacts.lengths()).collect()
}

impl PolicyConfig {
    /// Takes over what can change while a ledger is open.
    pub(in crate::ledger) fn reload(&mut self, new: &Self) {
        self.retention = new.retention;
        self.hold = new.hold;
        self.bounds = new.bounds;
    }

    /// Whether the messages of the session called `id` are to be read.
    pub(super) fn reads_messages_of(&self, id: &str) -> bool {
        self.messages.enabled && observation::is_sampled(id, self.messages.share)
    }

    /// What series are charged.
    pub(in crate::ledger) fn charges(&self) -> &Charges {
        &self.charges
    }
}

/// The policy, and what of the stored rows it keeps between the batches: few, and wanted by every one.
#[derive(Debug)]
pub(in crate::ledger) struct Policy {
    pub(super) config: PolicyConfig,
    pub(super) admission: Admission,
    pub(super) retention: Retention,
    pub(super) look_back: LookBack,
    pub(super) watermark: Option<Timestamp>,
    /// Agents and types of the sessions of customers; their numbers are their places.
    pub(super) contact_places: Vec<(Box<str>, Box<str>)>,
    /// When the newest session ended whose customer is known, since this process began.
    pub(super) newest_contact: Option<Timestamp>,
    /// The channels whose series are zero-initialized. Shared with all pending sessions: a tracker
    /// holds 100,000 of a few hundred channels.
    pub(super) channels: HashSet<Arc<Channel>>,
}

/// What the policy has decided on a batch.
#[derive(Debug)]
pub(in crate::ledger) struct Decision {
    /// One for each change, in order.
    pub(in crate::ledger) outcomes: Vec<CommitOutcome>,
    /// What is to be made durable.
    pub(in crate::ledger) writes: Writes,
    /// Label names for which a value was folded into `other`, one entry a time.
    pub(in crate::ledger) overflow: Vec<Box<str>>,
    /// Sessions whose customer is a number that many share.
    pub(in crate::ledger) shared_contacts: u64,
}

impl Policy {
    /// Goes on from what is stored.
    pub(in crate::ledger) fn new(config: PolicyConfig, known: Known) -> Self {
        config.agents.restore(known.agents);
        Self {
            admission: Admission::new(config.bounds, known.admitted),
            retention: Retention::new(known.days, config.retention, (known.initial_floor, known.floor)),
            look_back: LookBack { first_start: known.first_start, done: known.look_back_done },
            watermark: known.watermark,
            contact_places: known.contact_places,
            newest_contact: None,
            channels: HashSet::new(),
            config,
        }
    }

    /// Takes a reloaded configuration into effect, but for the buckets, which need a restart.
    pub(in crate::ledger) fn reconfigure(&mut self, config: &PolicyConfig) {
        self.config.reload(config);
        self.retention.set(config.retention);
        self.admission.set_bounds(config.bounds);
    }

    /// How far back sessions are remembered.
    pub(in crate::ledger) fn retention(&self) -> &Retention {
        &self.retention
    }

    /// The configuration in effect.
    pub(in crate::ledger) fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// When the daemon first started, and whether the look-back is done.
    pub(in crate::ledger) fn look_back(&self) -> LookBack {
        self.look_back
    }

    /// Every session created up to here has been heard of.
    pub(in crate::ledger) fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }
}
