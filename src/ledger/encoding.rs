//! How values look where they are stored, the same on every backend: counts, bounds, channels and the names of numbers. Pure.

use agntix_api::paths::ApiPath;

use super::policy::rows::Number;
use crate::catalogue::{CHANNEL, Family};
use crate::session::Channel;
use exposition::{BucketSchema, LabelSet};

/// Counts as bytes: 8 each, little-endian.
pub(super) fn counts(counts: &[u64]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}

/// What [`counts`] has made of `width` counts; `None` if it was not so many.
pub(super) fn read_counts(bytes: &[u8], width: usize) -> Option<Box<[u64]>> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    (rest.is_empty() && chunks.len() == width).then(|| chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
}

/// The bounds of buckets as text: two that are equal have the same.
pub(super) fn bounds(bounds: &[f64]) -> String {
    bounds.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

/// What [`bounds`] has made.
pub(super) fn read_bounds(text: &str) -> Vec<f64> {
    text.split_whitespace().filter_map(|bound| bound.parse().ok()).collect()
}

/// The counts of a histogram under other bounds than those it was counted with.
///
/// What was in a bucket goes to the smallest new bucket that certainly holds it, so that a bound that stays keeps its
/// exact count, and no cumulative count that is still served ever falls.
pub(super) fn carried_over(counts: &[u64], old: &[f64], schema: &BucketSchema) -> Vec<u64> {
    let mut new = vec![0_u64; schema.width()];
    for (index, count) in counts.iter().take(counts.len().saturating_sub(1)).enumerate() {
        let to = old.get(index).map_or(schema.bounds.len(), |bound| usize::from(schema.bucket(*bound)));
        if let Some(bucket) = new.get_mut(to) {
            *bucket = bucket.saturating_add(*count);
        }
    }
    if let (Some(to), Some(sum)) = (new.last_mut(), counts.last()) {
        *to = *sum;
    }
    new
}

/// The labels of a stored series; `None` if the family never had such.
pub(super) fn labels(family: Family, text: &str) -> Option<LabelSet> {
    let names = family.descriptor().labels;
    LabelSet::parse(names, text).or_else(|| LabelSet::parse(names, &upgraded(family, text)?))
}

/// The labels of a series that an earlier version stored, when its family had fewer; `None` if there were none such.
///
/// Languages had no outcome. What was counted then goes on under `unknown`, so that no sum over the outcomes falls.
pub(super) fn upgraded(family: Family, text: &str) -> Option<String> {
    let is_former = family == Family::Languages && LabelSet::parse(&["agent_id", "language"], text).is_some();
    is_former.then(|| format!("{text},resolution=\"{UNKNOWN}\",sentiment=\"{UNKNOWN}\""))
}

/// What stands for a value that nobody has noted.
const UNKNOWN: &str = "unknown";

/// A channel as a JSON array of its values.
pub(super) fn channel(channel: &Channel) -> String {
    serde_json::json!(channel.values()).to_string()
}

/// What [`channel`] has made.
///
/// # Errors
/// If it is anything else.
pub(super) fn read_channel(text: &str) -> Result<Channel, serde_json::Error> {
    let [agent_id, session_type, platform, direction] = serde_json::from_str::<[String; CHANNEL.len()]>(text)?;
    Ok(Channel { agent_id, session_type, platform, direction })
}

/// The name under which a number is stored.
pub(super) const fn number(number: Number) -> &'static str {
    match number {
        Number::FirstStart => "first_start",
        Number::LookBackDone => "look_back_done",
        Number::Watermark => "watermark",
        Number::OpenListed => "open_listed",
        Number::InitialFloor => "initial_floor",
        Number::Floor => "floor",
        Number::ApiLimit => "api_limit",
        Number::Path(ApiPath::Session) => "session_path",
        Number::Path(ApiPath::List) => "list_path",
        Number::Path(ApiPath::Agents) => "agents_path",
        Number::Path(ApiPath::Stream) => "stream_path",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_move_to_the_smallest_new_bucket_that_holds_them() {
        let schema = BucketSchema { name: "x".into(), bounds: [2.0, 5.0, 7.0].into() };
        // Old buckets: ≤1, ≤5, ≤10, +Inf, and the sum.
        assert_eq!(carried_over(&[3, 4, 5, 6, 99], &[1.0, 5.0, 10.0], &schema), [3, 4, 0, 11, 99]);
    }

    #[test]
    fn series_of_languages_of_an_earlier_version_have_an_unknown_outcome() {
        let former = r#"agent_id="a\"b",language="en""#;
        let now = format!(r#"{former},resolution="unknown",sentiment="unknown""#);
        assert_eq!(labels(Family::Languages, former).unwrap().as_str(), now);
        assert_eq!(labels(Family::Languages, &now).unwrap().as_str(), now);
        assert_eq!(upgraded(Family::Languages, &now), None);
        assert_eq!(labels(Family::Intents, former), None);
    }

    #[test]
    fn counts_survive_their_encoding() {
        let some = [0, 1, u64::MAX];
        assert_eq!(read_counts(&counts(&some), 3).as_deref(), Some(&some[..]));
        assert_eq!(read_counts(&counts(&some), 2), None);
        assert_eq!(read_counts(&[1, 2, 3], 1), None);
    }
}
