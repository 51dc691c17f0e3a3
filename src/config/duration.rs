//! Durations as people write them (`90s`, `5m`, `30d`), for `#[serde(with = "duration")]`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

/// Writes a duration the shortest way humantime has.
pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*value))
}

/// Reads a humantime duration.
///
/// # Errors
/// If humantime cannot read it; the message shows examples.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"90s\", \"5m\" or \"30d\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
    from.deserialize_str(Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_is_read_as_it_was_written(seconds in 0..400_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            let text = toml::Value::String(humantime::format_duration(duration).to_string());
            prop_assert_eq!(deserialize(text).ok(), Some(duration));
        }

        #[test]
        fn no_text_makes_a_duration_panic(text in ".*") {
            let _ = deserialize(toml::Value::String(text));
        }
    }

    #[test]
    fn error_names_the_expected_format() {
        let error = deserialize(toml::Value::Integer(10)).unwrap_err();
        assert_eq!(
            error.message(),
            "invalid type: integer `10`, expected a duration such as \"90s\", \"5m\" or \"30d\""
        );
    }
}
