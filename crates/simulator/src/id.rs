//! Session ids: opaque to a reader, and yet the simulator finds the session behind one without an index.
//!
//! The place of a session (slot, agent, index) is put through a keyed permutation of 122 bits and written as a
//! version 4 UUID. An id that was not made here decodes to a place with wrong check bits and is refused.

use crate::config::IdStyle;
use crate::random::mix;

/// Where a session stands: which slot, which agent of the configuration, and which of its sessions in that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) slot: u64,
    pub(crate) agent: u16,
    pub(crate) index: u32,
}

const HALF: u64 = (1 << 61) - 1;
const ROUNDS: u64 = 4;

/// The id of the session at `place`.
pub(crate) fn encode(seed: u64, place: Place, style: IdStyle) -> String {
    // 40 bits of slot on the left (21 check bits above), 12 of agent and 24 of index on the right (25 above).
    let mut left = place.slot & 0xff_ffff_ffff;
    let mut right = (u64::from(place.agent & 0xfff) << 24) | u64::from(place.index & 0xff_ffff);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ (mix(&[seed, round, right]) & HALF));
    }
    let bits = (u128::from(left) << 61) | u128::from(right);
    // The 122 bits around the version (4 bits at 76) and the variant (2 bits at 62).
    let uuid = ((bits >> 74) << 80) | (0x4 << 76) | (((bits >> 62) & 0xfff) << 64) | (0b10 << 62) | (bits & LOW);
    match style {
        IdStyle::Prefixed => format!("ses_{uuid:032x}"),
        IdStyle::Uuid => hyphenated(uuid),
    }
}

const LOW: u128 = (1 << 62) - 1;

/// 128 bits, as UUIDs are written.
pub(crate) fn hyphenated(uuid: u128) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        uuid >> 96,
        (uuid >> 80) & 0xffff,
        (uuid >> 64) & 0xffff,
        (uuid >> 48) & 0xffff,
        uuid & 0xffff_ffff_ffff
    )
}

/// The place that `id` stands for, in whichever style; `None` if no simulator with this seed made it.
pub(crate) fn decode(seed: u64, id: &str) -> Option<Place> {
    let hex: String = match id.strip_prefix("ses_") {
        Some(hex) => hex.to_owned(),
        None => id.split('-').collect(),
    };
    if hex.len() != 32 || hex.starts_with('+') {
        return None;
    }
    let uuid = u128::from_str_radix(&hex, 16).ok()?;
    let bits = ((uuid >> 80) << 74) | (((uuid >> 64) & 0xfff) << 62) | (uuid & LOW);
    let mut left = u64::try_from(bits >> 61).ok()?;
    let mut right = u64::try_from(bits & u128::from(HALF)).ok()?;
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ (mix(&[seed, round, left]) & HALF), left);
    }
    if left >> 40 != 0 || right >> 36 != 0 {
        return None;
    }
    let agent = u16::try_from(right >> 24).ok()?;
    let index = u32::try_from(right & 0xff_ffff).ok()?;
    let place = Place { slot: left, agent, index };
    // A stray hyphen or an upper-case digit is another string, and another string is another id.
    let style = if id.starts_with("ses_") { IdStyle::Prefixed } else { IdStyle::Uuid };
    (encode(seed, place, style) == id).then_some(place)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_lead_back_to_their_place_and_differ() {
        let mut seen = HashSet::new();
        for slot in [0, 1, 77, 0xff_ffff_ffff] {
            for agent in [0, 1, 0xfff] {
                for index in [0, 1, 0xff_ffff] {
                    let place = Place { slot, agent, index };
                    for style in [IdStyle::Uuid, IdStyle::Prefixed] {
                        let id = encode(9, place, style);
                        assert_eq!(decode(9, &id), Some(place), "{id}");
                        assert_eq!(decode(10, &id), None, "another seed knows {id}");
                        assert!(seen.insert(id));
                    }
                }
            }
        }
        let id = encode(9, Place { slot: 1, agent: 0, index: 0 }, IdStyle::Uuid);
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn foreign_ids_lead_nowhere() {
        let id = encode(9, Place { slot: 1, agent: 0, index: 0 }, IdStyle::Uuid);
        for foreign in ["", "ses_", "x", "4981804c-2658-4893-84ff-9c2fa90fb3c2", &id.to_uppercase(), &format!("{id}-")]
        {
            assert_eq!(decode(9, foreign), None, "{foreign}");
        }
    }
}
