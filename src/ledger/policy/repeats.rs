//! The repeat contacts of a batch: each customer's row is read once, and written once. Pure.

use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::batch::Batch;
use super::contacts::{Contact, ContactKey, Customer, Held, Repeat};
use super::rows::{ContactWrite, Writes};
use super::state::Policy;
use crate::catalogue::{Family, SeriesKey};
use crate::ledger::policy::sums::LookBack;
use crate::observation::{Addition, Admit as _, OTHER, RESOLUTIONS};
use crate::session::{Channel, Facts};
use exposition::{BucketSchemaId, LabelSet};

/// The code of a resolution that is not known beforehand.
const OTHER_RESOLUTION: u8 = 7;

/// The customers that a batch has to do with.
#[derive(Debug, Default)]
pub(super) struct Customers {
    customers: HashMap<ContactKey, (bool, Customer)>,
    pub(super) shared: u64,
}

impl Customers {
    /// What is to be written.
    pub(super) fn write_to(self, writes: &mut Writes) {
        for (key, (is_known, customer)) in self.customers {
            let newest = customer.newest();
            let record = newest.map(|_| customer.bytes().into_boxed_slice());
            if record.is_some() || is_known {
                let newest = newest.map_or(0, crate::clock::Timestamp::as_millis);
                writes.contacts.push(ContactWrite { key, is_known, newest, record });
            }
        }
    }
}

impl Batch<'_> {
    /// Holds a session that is being counted against those of the same customer.
    pub(super) fn hold(&mut self, facts: &Facts, channel: &Channel, look_back: LookBack) {
        let windows = std::sync::Arc::clone(&self.policy.config.windows);
        let (Some(key), Some(ended), Some(outcome)) = (facts.contact, &facts.ended, &facts.outcome) else { return };
        if windows.is_empty() {
            return;
        }
        let resolution = outcome.resolution.as_deref().unwrap_or(crate::observation::NONE);
        let code = RESOLUTIONS.iter().position(|known| *known == resolution).and_then(|place| u8::try_from(place).ok());
        let Some(place) = self.contact_place(channel) else { return };
        let Some(contact) = Contact::new(facts.created, ended.at, code.unwrap_or(OTHER_RESOLUTION), place) else {
            return;
        };
        let (_, customer) = match self.customers.customers.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let stored = self.sessions.take_contact(&key);
                // A row that makes no sense is one of nobody.
                let customer = stored.as_deref().and_then(Customer::read).unwrap_or_default();
                free.insert((stored.is_some(), customer))
            }
        };
        let lengths: Vec<Duration> = windows.iter().map(|(_, length)| *length).collect();
        self.policy.newest_contact = self.policy.newest_contact.max(Some(ended.at));
        match customer.hold(contact, &lengths) {
            Held::Shared => self.customers.shared += 1,
            Held::Repeats(repeats) => {
                for repeat in repeats {
                    self.repeat(repeat, &windows, facts, look_back);
                }
            }
        }
    }

    fn repeat(&mut self, repeat: Repeat, windows: &[(String, Duration)], facts: &Facts, look_back: LookBack) {
        let Repeat { later, previous_resolution, windows: fitting } = repeat;
        let Some((agent, session_type)) = self.policy.contact_places.get(usize::from(later.place)).cloned() else {
            return;
        };
        let resolution = RESOLUTIONS.get(usize::from(previous_resolution)).copied().unwrap_or(OTHER);
        let fits = |place: &usize| fitting >> place & 1 == 1;
        for (within, _) in windows.iter().enumerate().filter(|(place, _)| fits(place)).map(|(_, window)| window) {
            let family = Family::RepeatContacts;
            let key =
                |values: [&str; 4]| SeriesKey { family, labels: LabelSet::new(family.descriptor().labels, values) };
            let own = key([&agent, &session_type, resolution, within]);
            let key = self.gated(|gate| {
                if gate.has_room_for(&own, BucketSchemaId::NONE) {
                    return own;
                }
                gate.folded("agent_id");
                key([OTHER, OTHER, OTHER, within])
            });
            let addition = Addition {
                key,
                schema: BucketSchemaId::NONE,
                bucket: 0,
                amount: 1,
                sum: 0,
                at: later.ended(),
                exemplar: None,
            };
            let schemas = std::sync::Arc::clone(&self.policy.config.bucket_schemas);
            self.sums.add(vec![addition], &facts.id, &schemas, look_back);
        }
    }

    /// The number of an agent and type; `None` if there are no more.
    fn contact_place(&mut self, channel: &Channel) -> Option<u16> {
        let Policy { contact_places, .. } = &mut *self.policy;
        let is_it = |(agent, session_type): &(Box<str>, Box<str>)| {
            **agent == *channel.agent_id && **session_type == *channel.session_type
        };
        if let Some(place) = contact_places.iter().position(is_it) {
            return u16::try_from(place).ok();
        }
        let place = u16::try_from(contact_places.len()).ok()?;
        let (agent, session_type): (Box<str>, Box<str>) =
            (channel.agent_id.as_str().into(), channel.session_type.as_str().into());
        contact_places.push((agent.clone(), session_type.clone()));
        self.writes.contact_places.push((place, agent, session_type));
        Some(place)
    }
}
