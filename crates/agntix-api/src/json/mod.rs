//! JSON with tolerance: what JavaScript writes and reads is accepted, and an invalid value does not cost the others.
//!
//! [`JsonText::read`] tries the text as it is, which costs nothing beside the parsing. Only a text that is refused is
//! written anew as strict JSON ([`repair`]) and read again. In [`object!`](object::object) a repeated key counts as in JavaScript:
//! the last one.
//!
//! Nothing of what could not be read is kept or shown (promise P7).

mod items;
pub(crate) mod object;
mod repair;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;

use repair::Broken;
use serde::Deserialize;

/// A text is not what it should be: no JSON, cut short, or another type. It does not say what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON, is cut short, or is of another type")]
pub struct NotJson;

/// A JSON text from outside, and its repaired writing once that is needed.
#[derive(Debug)]
pub struct JsonText<'b> {
    raw: &'b [u8],
    repaired: OnceCell<Result<Vec<u8>, Broken>>,
    repaired_list: OnceCell<Result<Vec<u8>, Broken>>,
}

impl<'b> JsonText<'b> {
    /// The text in `raw`; nothing is read yet.
    pub const fn new(raw: &'b [u8]) -> Self {
        Self { raw, repaired: OnceCell::new(), repaired_list: OnceCell::new() }
    }

    /// Reads the text.
    ///
    /// # Errors
    /// If it cannot be read with tolerance either. A text that is cut short is an error, however much of it came.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, NotJson> {
        self.read_with(&self.repaired, repair::repair)
    }

    /// Reads the text as a list, or as an object with lists. An item that is no JSON is replaced by an object with its id,
    /// or by null where not even that can be read, and the others are read.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and if it cannot be seen where the next item begins.
    pub fn read_list<'a, T: Deserialize<'a>>(&'a self) -> Result<T, NotJson> {
        self.read_with(&self.repaired_list, items::repair)
    }

    fn read_with<'a, T: Deserialize<'a>>(
        &'a self,
        cell: &'a OnceCell<Result<Vec<u8>, Broken>>,
        repair: fn(&[u8]) -> Result<Vec<u8>, Broken>,
    ) -> Result<T, NotJson> {
        // What another type needed repaired is not tried unrepaired again.
        if cell.get().is_none()
            && let Ok(value) = serde_json::from_slice(self.raw)
        {
            return Ok(value);
        }
        let repaired = cell.get_or_init(|| repair(self.raw)).as_deref().map_err(|_| NotJson)?;
        serde_json::from_slice(repaired).map_err(|_| NotJson)
    }

    /// The text as strict JSON.
    pub(super) fn repaired(&self) -> Result<&[u8], NotJson> {
        self.repaired.get_or_init(|| repair::repair(self.raw)).as_deref().map_err(|_| NotJson)
    }
}
