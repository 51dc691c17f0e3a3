//! The parts of an analysis.

/// A set of parts of an analysis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// No part.
    pub const NONE: Self = Self(0);
    /// `resolution`
    pub const RESOLUTION: Self = Self(1);
    /// `sentiment.conversation`
    pub const SENTIMENT: Self = Self(2);
    /// `intent.conversation`
    pub const INTENT: Self = Self(4);
    /// `extractedData`
    pub const EXTRACTED: Self = Self(8);
    /// Each of them.
    pub const EACH: [Self; 4] = [Self::RESOLUTION, Self::SENTIMENT, Self::INTENT, Self::EXTRACTED];

    /// The parts that are counted; extracted data only where fields of it are configured.
    pub const fn counted(has_extracted_fields: bool) -> Self {
        Self(if has_extracted_fields { 15 } else { 7 })
    }

    /// As a number, to be stored.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The parts that were stored as `bits`.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// `part` if it is there.
    #[must_use]
    pub fn only_if(self, is_there: bool) -> Self {
        if is_there { self } else { Self::NONE }
    }

    /// The parts in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The parts in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The parts that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}
