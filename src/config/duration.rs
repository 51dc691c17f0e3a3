//! Durations as people write them (`90s`, `5m`, `30d`), for `#[serde(with = "duration")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes a duration the shortest way humantime has.
pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*value))
}

/// Reads a humantime duration.
///
/// # Errors
/// Anything that humantime does not read, in words that show what would be.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map_err(|e| {
        de::Error::custom(format!("{text:?} is not a duration ({e}); write it like \"90s\", \"5m\" or \"30d\""))
    })
}
