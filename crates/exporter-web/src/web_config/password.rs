//! A password as the file holds it: hashed by bcrypt.

use std::fmt;
use std::str::FromStr as _;

/// The hash of a password. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    text: String,
    cost: u32,
}

impl PasswordHash {
    /// With a higher cost a first request may take longer than a scrape may.
    pub(super) const USUAL_COST: u32 = 14;
    const COSTS: std::ops::RangeInclusive<u32> = 4..=31;
    /// `$2y$10$` and 22 characters of salt.
    const SALT_END: usize = 29;
    const ALPHABET: &str = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// The hash in this text; `None` if it is not one, or has the prefix `2x` of hashes made by a broken version of bcrypt.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version)) {
            return None;
        }
        let text = with_a_canonical_salt(text)?;
        let cost = bcrypt::HashParts::from_str(&text).ok()?.get_cost();
        Self::COSTS.contains(&cost).then_some(Self { text, cost })
    }

    /// The logarithm of the work that it takes.
    pub(super) const fn cost(&self) -> u32 {
        self.cost
    }

    /// The text of the hash.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is the password. As in Go, only its first 72 bytes count. Slow on purpose.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

/// The last of the 22 characters of a salt has four unused bits. Some programs set them, and Go accepts that.
fn with_a_canonical_salt(text: &str) -> Option<String> {
    let last = text.get(PasswordHash::SALT_END - 1..PasswordHash::SALT_END)?;
    let value = PasswordHash::ALPHABET.find(last)? & 0b11_0000;
    let canonical = PasswordHash::ALPHABET.get(value..=value)?;
    Some([text.get(..PasswordHash::SALT_END - 1)?, canonical, text.get(PasswordHash::SALT_END..)?].concat())
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash(cost {}, not shown)", self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_hashes_are_accepted() {
        let good = bcrypt::hash("hunter2", 4).unwrap();
        for version in ["2a", "2b", "2y"] {
            let hash = PasswordHash::parse(&good.replace("$2b$", &format!("${version}$"))).unwrap();
            assert!(hash.cost() == 4 && hash.is_of(b"hunter2") && !hash.is_of(b"hunter3"), "{version}");
        }
        assert_eq!(format!("{:?}", PasswordHash::parse(&good)), "Some(PasswordHash(cost 4, not shown))");
        let long = good.clone() + "x";
        for bad in ["", "doe", "$2y$", &good[..59], &long, &good.replace("$04$", "$03$"), &good.replace("$04$", "$32$")]
        {
            assert_eq!(PasswordHash::parse(bad), None, "{bad}");
        }
        for bad in [good.replace("$2b$", "$2x$"), good.replace("$2b$", "$1b$"), good.replace("$04$", "$0x$")] {
            assert_eq!(PasswordHash::parse(&bad), None, "{bad}");
        }
        assert_eq!(PasswordHash::parse(&"é".repeat(30)), None);
    }

    #[test]
    fn unused_bits_of_a_salt_are_accepted() {
        let good = bcrypt::hash_with_salt("hunter2", 4, *b"0123456789abcdef").unwrap().to_string();
        let last = PasswordHash::ALPHABET.find(&good[28..29]).unwrap();
        let other = &PasswordHash::ALPHABET[last + 5..=last + 5];
        let strange = [&good[..28], other, &good[29..]].concat();
        assert!(PasswordHash::parse(&strange).unwrap().is_of(b"hunter2"));
    }

    #[test]
    fn passwords_are_read_up_to_their_72nd_byte() {
        let hash = PasswordHash::parse(&bcrypt::hash("a".repeat(80), 4).unwrap()).unwrap();
        assert!(hash.is_of("a".repeat(72).as_bytes()) && !hash.is_of("a".repeat(71).as_bytes()));
    }
}
