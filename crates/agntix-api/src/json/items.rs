//! Lists with an invalid item: finds where the next one begins, so that the others can be read.

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::object::Key;
use super::repair::{Broken, Level, Repair, Want};
use crate::value::Scalar;

/// How often the length of a text may be read in search of the next items, all of them together.
const SEARCHES: usize = 16;

/// `text` as strict JSON, with the items that are none replaced by an object with their id, or by null.
///
/// # Errors
/// If it is not a single whole value but for such items.
pub(super) fn repair(text: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut repair = Repair::new(text);
    let mut left = text.len().saturating_mul(SEARCHES);
    while repair.run().is_err() {
        let (begin, written) = repair.item.take().ok_or(Broken)?;
        // An item begins in a list only, which is the outermost level or the one below it.
        let list = repair.levels.iter().take(2).position(|level| !level.is_object).ok_or(Broken)? + 1;
        let is_whole = repair.levels.len() == list && repair.want == Want::After;
        repair.levels.truncate(list);
        let mut search = Search { text, levels: &repair.levels, left };
        let next = if is_whole {
            // The item is sound, and what follows is no comma.
            let behind = repair.at;
            search.next_sound(behind).or_else(|| search.balanced(behind))
        } else {
            search.next_item(begin)
        };
        left = search.left;
        repair.at = next.ok_or(Broken)?;
        repair.want = Want::Member;
        if !is_whole {
            let id = id_of(repair.out.get(written..).unwrap_or_default());
            repair.out.truncate(written);
            match id.map(|id| serde_json::to_string(&id)) {
                Some(Ok(id)) => repair.out.extend([br#"{"id":"#, id.as_bytes(), b"}"].concat()),
                _ => repair.out.extend(b"null"),
            }
        }
    }
    Ok(repair.out)
}

/// The id in what was written of an item before it broke off.
fn id_of(written: &[u8]) -> Option<String> {
    struct Id<'f>(&'f mut Option<String>);

    impl<'de> Visitor<'de> for Id<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut id = None;
            while let Some(key) = map.next_key::<Key<'de>>()? {
                // Without a key behind it, it may be a text whose end is missing.
                if id.is_some() {
                    *self.0 = id.take();
                }
                if key.as_ref() == "id" {
                    id = map.next_value::<Scalar<'de>>()?.text().map(ToOwned::to_owned);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            *self.0 = id.or_else(|| self.0.take());
            Ok(())
        }
    }

    impl<'de> DeserializeSeed<'de> for Id<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
            from.deserialize_map(self)
        }
    }

    let mut id = None;
    // It breaks off, which is no reason not to take what stands before.
    drop(Id(&mut id).deserialize(&mut serde_json::Deserializer::from_slice(written)));
    id
}

/// The search for the next item; it ends when it has read too much, so that a text costs no more than its length.
struct Search<'s> {
    text: &'s [u8],
    /// Of the list that the item is in.
    levels: &'s [Level],
    left: usize,
}

impl Search<'_> {
    /// Where to go on behind the item that begins at `begin` and is no JSON.
    fn next_item(&mut self, begin: usize) -> Option<usize> {
        let balanced = self.balanced(begin);
        // Where a quote is missing, what is text and what is not change places up to the next one that is missing, and
        // good items between the two must not go with them.
        if let Some(end) = balanced
            && self.count_of_first_key(begin, end)? <= 1
        {
            return Some(end);
        }
        self.next_sound(begin + 1).or(balanced)
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// Where the brackets and quotes of the item say that it is over: at a comma, or at the end of its list.
    fn balanced(&mut self, begin: usize) -> Option<usize> {
        let mut open = Vec::new();
        let (mut at, mut in_string) = (begin, false);
        let end = loop {
            let Some(byte) = self.text.get(at) else { break None };
            match byte {
                b'\\' if in_string => at += 1,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b',' | b']' if open.is_empty() => break Some(at),
                b'}' | b']' if open.pop() != Some(*byte) => break None,
                _ => {}
            }
            at += 1;
        };
        self.spend(at.saturating_sub(begin))?;
        end
    }

    /// How many objects from `begin` to `end` begin with the same key as the first of them.
    fn count_of_first_key(&mut self, begin: usize, end: usize) -> Option<usize> {
        let item = self.text.get(begin..end)?;
        self.spend(item.len())?;
        let Some(key) = first_key(item) else { return Some(0) };
        let opens = item.iter().enumerate().filter(|(_, byte)| **byte == b'{');
        let behind = opens.filter_map(|(at, _)| item.get(at + 1..));
        Some(behind.filter(|behind| behind.trim_ascii_start().starts_with(key)).count())
    }

    /// The next object, from `from` on, that is sound and is followed by another or by the end of the list; or that end.
    fn next_sound(&mut self, from: usize) -> Option<usize> {
        for at in from..self.text.len() {
            self.spend(1)?;
            let is_candidate = match self.text.get(at)? {
                b'{' => matches!(self.before(at), Some(b',' | b'}')),
                b']' => true,
                _ => false,
            };
            if is_candidate && self.is_sound(at)? {
                return Some(at);
            }
        }
        None
    }

    /// The last byte before `at` that is no space.
    fn before(&self, at: usize) -> Option<u8> {
        self.text.get(..at)?.trim_ascii_end().last().copied()
    }

    /// `None` when too much has been read.
    fn is_sound(&mut self, at: usize) -> Option<bool> {
        let mut trial = Repair::at(self.text, at);
        if self.text.get(at) == Some(&b'{') && trial.value().is_err() {
            self.spend(trial.at.saturating_sub(at))?;
            return Some(false);
        }
        while matches!(trial.peek(), Some(b',' | b' ' | b'\t' | b'\n' | b'\r')) {
            trial.at += 1;
        }
        let is_sound = match trial.peek() {
            Some(b'{') => true,
            Some(b']') => {
                trial.levels = self.levels.to_vec();
                trial.want = Want::Member;
                trial.run().is_ok()
            }
            _ => false,
        };
        self.spend(trial.at.saturating_sub(at))?;
        Some(is_sound)
    }
}

/// The first key of an object, with its quotes, as it is written.
fn first_key(object: &[u8]) -> Option<&[u8]> {
    let inside = object.strip_prefix(b"{")?.trim_ascii_start();
    let length = inside.strip_prefix(b"\"")?.iter().position(|byte| *byte == b'"')?;
    inside.get(..length + 2)
}
