//! What goes wrong on purpose with the lists of sessions and of agents. None of it changes which sessions there are, so
//! that the truth stays as it is.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Answer;

/// What is wrong with every list from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct ListFaults {
    /// An entry that nobody can name stands among the others on each page that has some.
    pub bad_entry: Option<BadEntry>,
    /// What `totalPages` says; the truth when absent.
    pub total_pages: Option<TotalPages>,
    /// `total` is left out.
    pub without_total: bool,
    /// How a page without entries is written.
    pub empty: Option<EmptyPage>,
    /// Pages have no more entries, whatever `limit` asks for, and nothing says so.
    pub clamp: Option<u64>,
    /// What is asked for behind the last page is the last page again.
    pub repeats_last_page: bool,
    /// Whatever page is asked for is the first one.
    pub ignores_page: bool,
    /// Each page of the agents or of messages is given twice, under one number after the other.
    pub twice: bool,
    /// A request for sessions in one state is answered with this status.
    pub refused_state: Option<u16>,
}

/// An entry of a list that nobody can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadEntry {
    /// `null`
    Null,
    /// What another entry says, without its id.
    NoId,
    /// The same, with a number as id.
    NumberId,
    /// What is no JSON.
    NotJson,
}

/// What `totalPages` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TotalPages {
    /// 0
    Zero,
    /// Not counting a page that is not full.
    RoundedDown,
    /// As if pages had so many entries.
    OfLimit(u64),
    /// It is left out.
    Absent,
}

/// How a page without entries is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyPage {
    /// 204 without a body.
    NoContent,
    /// `{}`
    EmptyObject,
    /// `[]`
    BareArray,
    /// `pagination` without `data`.
    NoData,
}

/// Every so many requests one fails, counted over all routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EveryNth {
    /// 4: the 4th, the 8th, and so on.
    pub n: u64,
    /// The status with which it is answered.
    pub status: u16,
}

/// A page of a list before it is written.
pub(crate) struct Page {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) number: u64,
    pub(crate) limit: u64,
    pub(crate) total: u64,
}

impl ListFaults {
    /// Says what is wrong with values that came from outside.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.clamp, self.total_pages, self.refused_state) {
            (Some(0), ..) => Err("lists.clamp is 0, but must be at least 1".into()),
            (_, Some(TotalPages::OfLimit(0)), _) => {
                Err("lists.total_pages.of_limit is 0, but must be at least 1".into())
            }
            (.., Some(status)) if !(400..=599).contains(&status) => {
                Err(format!("lists.refused_state is {status}, but must be from 400 to 599"))
            }
            _ => Ok(()),
        }
    }

    /// The page and the number of entries that are meant by what was asked for, in a list of `total`.
    pub(crate) fn page(&self, page: u64, limit: u64, total: u64) -> (u64, u64) {
        let limit = self.clamp.map_or(limit, |clamp| limit.min(clamp));
        let last = total.div_ceil(limit).max(1);
        let page = if self.ignores_page { 1 } else { page };
        (if self.repeats_last_page { page.min(last) } else { page }, limit)
    }

    /// The page as it is written. `asked` is the limit that was asked for.
    pub(crate) fn write(&self, mut page: Page, asked: u64) -> Vec<u8> {
        let is_empty = page.entries.is_empty();
        match self.empty.filter(|_| is_empty) {
            Some(EmptyPage::NoContent) => return Vec::new(),
            Some(EmptyPage::EmptyObject) => return b"{}".to_vec(),
            Some(EmptyPage::BareArray) => return b"[]".to_vec(),
            Some(EmptyPage::NoData) | None => {}
        }
        if let Some(bad) = self.bad_entry.filter(|_| !is_empty) {
            let middle = page.entries.len() / 2;
            let entry = bad.written(page.entries.get(middle).map_or(b"{}".as_slice(), Vec::as_slice));
            page.entries.insert(middle, entry);
        }
        let mut pagination = json!({"page": page.number, "limit": asked});
        let total_pages = match self.total_pages {
            None => Some(page.total.div_ceil(page.limit)),
            Some(TotalPages::Zero) => Some(0),
            Some(TotalPages::RoundedDown) => Some(page.total / page.limit),
            Some(TotalPages::OfLimit(limit)) => Some(page.total.div_ceil(limit.max(1))),
            Some(TotalPages::Absent) => None,
        };
        if let Some(fields) = pagination.as_object_mut() {
            if !self.without_total {
                fields.insert("total".into(), json!(page.total));
            }
            fields.extend(total_pages.map(|pages| ("totalPages".to_owned(), json!(pages))));
        }
        let data = if is_empty && self.empty == Some(EmptyPage::NoData) {
            String::new().into_bytes()
        } else {
            [b"\"data\":[".as_slice(), &page.entries.join(&b','), b"],"].concat()
        };
        [b"{".as_slice(), &data, format!("\"pagination\":{pagination}}}").as_bytes()].concat()
    }

    /// A list that was written as a body, as an answer.
    pub(crate) fn answer(body: Vec<u8>) -> Answer {
        let status = if body.is_empty() { 204 } else { 200 };
        Answer { status, ..Answer::ok(body) }
    }
}

impl BadEntry {
    /// It, beside `other`.
    fn written(self, other: &[u8]) -> Vec<u8> {
        let changed = |id: Option<Value>| {
            let mut entry: Value = serde_json::from_slice(other).unwrap_or_default();
            if let Some(fields) = entry.as_object_mut() {
                fields.remove("id");
                fields.extend(id.map(|id| ("id".to_owned(), id)));
            }
            entry.to_string().into_bytes()
        };
        match self {
            Self::Null => b"null".to_vec(),
            Self::NoId => changed(None),
            Self::NumberId => changed(Some(json!(4_981_804))),
            Self::NotJson => br#"{"state": CLOSED, "createdAt"}"#.to_vec(),
        }
    }
}
