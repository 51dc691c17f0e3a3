//! JSON as some writers write it: not by the grammar, and yet meant to be read. What is odd stands beside what counts, so
//! that the truth stays as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::PERSONAL_MARKER;
use crate::random::mix;

/// A way to write JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writing {
    /// Keys that matter stand twice, the right value last.
    RepeatedKeys,
    /// Half of a surrogate pair in a text and in a key.
    LoneSurrogate,
    /// A number that no double holds.
    HugeNumber,
    /// `NaN`, `Infinity`, `-Infinity`, `undefined`.
    NotANumber,
    /// Bytes that are no UTF-8, in a text and in a key.
    BadUtf8,
    /// Control characters in a text and in a key.
    Control,
    /// A byte order mark before the body.
    ByteOrderMark,
    /// Times without a zone.
    NoZone,
    /// Times with more than nine decimals.
    LongFraction,
    /// A comma behind the last field.
    TrailingComma,
    /// Any of these, another one each time.
    Any,
}

const EACH: [Writing; 10] = [
    Writing::RepeatedKeys,
    Writing::LoneSurrogate,
    Writing::HugeNumber,
    Writing::NotANumber,
    Writing::BadUtf8,
    Writing::Control,
    Writing::ByteOrderMark,
    Writing::NoZone,
    Writing::LongFraction,
    Writing::TrailingComma,
];

/// The body written that way: an object, or a page of objects. `chance` picks where a choice is left.
pub(crate) fn rewrite(body: &[u8], writing: Writing, chance: u64) -> Vec<u8> {
    let items = serde_json::from_slice::<Value>(body).ok().and_then(|page| page.get("data")?.as_array().cloned());
    let Some(items) = items else { return object(body, writing, chance) };
    let items: Vec<Vec<u8>> = (0_u64..)
        .zip(&items)
        .map(|(number, item)| {
            let item = item.to_string().into_bytes();
            // The mark belongs before the whole.
            match picked(writing, mix(&[chance, number])) {
                Writing::ByteOrderMark => item,
                picked if item.starts_with(b"{") => object(&item, picked, chance),
                _ => item,
            }
        })
        .collect();
    let pagination = serde_json::from_slice::<Value>(body).ok().and_then(|page| page.get("pagination").cloned());
    let pagination = pagination.unwrap_or_default().to_string();
    let page =
        [b"{\"data\":[", items.join(&b',').as_slice(), b"],\"pagination\":", pagination.as_bytes(), b"}"].concat();
    if picked(writing, chance) == Writing::ByteOrderMark { object(&page, Writing::ByteOrderMark, chance) } else { page }
}

fn picked(writing: Writing, chance: u64) -> Writing {
    let index = usize::try_from(chance % EACH.len() as u64).unwrap_or_default();
    if writing == Writing::Any { EACH.get(index).copied().unwrap_or(writing) } else { writing }
}

fn object(object: &[u8], writing: Writing, chance: u64) -> Vec<u8> {
    let before = |fields: &[u8]| [b"{", fields, object.get(1..).unwrap_or_default()].concat();
    match picked(writing, chance) {
        Writing::RepeatedKeys => before(
            br#""id":"ses_of_nobody","state":"OPEN","createdAt":null,"agentId":[1],"sessionId":7,"eventType":"session.nothing","analysis":{"resolution":"none","resolution":{"classification":"UNRESOLVED"}},"#,
        ),
        Writing::LoneSurrogate => before(br#""cut":"\ud83d","\udc00":"\ud83d\ude00\ud83d","#),
        Writing::HugeNumber => before(br#""latency":1e999,"depth":-4E+400,"#),
        Writing::NotANumber => before(br#""latency":NaN,"depth":-Infinity,"peak":Infinity,"gone":undefined,"#),
        Writing::BadUtf8 => {
            before(&[b"\"cut\":\"", PERSONAL_MARKER.as_bytes(), b"\xff\xc0\xaf\",\"k\xfe\":\"\xed\xa0\x80\","].concat())
        }
        Writing::Control => {
            before(&[b"\"tab\":\"", PERSONAL_MARKER.as_bytes(), b"\t\x01\",\"k\x02\":\"\x1f\","].concat())
        }
        Writing::ByteOrderMark => [b"\xef\xbb\xbf", object].concat(),
        Writing::NoZone => times(object, |_| b"".to_vec()),
        Writing::LongFraction => times(object, |has_fraction| {
            if has_fraction { b"000000000001Z".to_vec() } else { b".0000000000000Z".to_vec() }
        }),
        Writing::TrailingComma => [object.strip_suffix(b"}").unwrap_or(object), b",}"].concat(),
        Writing::Any => object.to_vec(),
    }
}

/// Writes the `Z` of every time anew.
fn times(text: &[u8], zone: impl Fn(bool) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        let behind = |back: usize| at.checked_sub(back).and_then(|at| text.get(at));
        let is_zone = *byte == b'Z' && text.get(at + 1) == Some(&b'"') && behind(1).is_some_and(u8::is_ascii_digit);
        if is_zone {
            out.extend(zone(behind(4) == Some(&b'.')));
        } else {
            out.push(*byte);
        }
    }
    out
}

/// A page with one item more that is no JSON.
pub(crate) fn with_broken_item(body: &[u8], chance: u64) -> Option<Vec<u8>> {
    const BROKEN: [&str; 5] =
        ["<html>", "{'id': 1}", r#"{"id":"ses_cut","state":"CLO"#, r#"{"state":"CLOSED" "id":7}"#, r#"{"state":(1)}"#];
    let page = serde_json::from_slice::<Value>(body).ok()?;
    let mut items: Vec<String> = page.get("data")?.as_array()?.iter().map(ToString::to_string).collect();
    let index = |count: usize| usize::try_from(chance % count.max(1) as u64).unwrap_or_default();
    items.insert(index(items.len() + 1), (*BROKEN.get(index(BROKEN.len()))?).to_owned());
    let pagination = page.get("pagination").cloned().unwrap_or_default();
    Some(format!("{{\"data\":[{}],\"pagination\":{pagination}}}", items.join(",")).into_bytes())
}
