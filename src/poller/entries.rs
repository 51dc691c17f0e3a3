//! What the entries of a page of the listing turn out to be, read one by one. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use agntix_api::{JsonText, wire};

use crate::clock::Timestamp;
use crate::discovery::listing::{ListingPage, PageSeen};
use crate::discovery::paging::PageClaims;
use crate::observation::{self, ObservationConfig, Unusable};
use crate::session::{Facts, MalformedReason};

/// The entries of a page.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// What the page held, as far as its entries say it.
    pub(super) seen: PageSeen,
    /// Those that can be used.
    pub(super) sessions: Vec<Arc<Facts>>,
    /// Not usable as they are; they are asked for one by one.
    pub(super) unusable: Vec<Arc<str>>,
    /// Without a usable id: a hash of what is stable in each, and what is wrong with it.
    pub(super) unnamed: Vec<(u64, MalformedReason)>,
    /// What made no sense in those that cannot be used.
    pub(super) malformed: Vec<MalformedReason>,
}

impl Entries {
    /// Reads `list`, which came when `page` was asked for; `now` is the API's time.
    pub(super) fn read(
        page: ListingPage,
        list: &wire::Page<'_>,
        observation: &ObservationConfig,
        now: Timestamp,
    ) -> Self {
        let seen = PageSeen { descending: true, ..PageSeen::default() };
        let mut read = Self { seen, ..Self::default() };
        let (mut whole, mut unnamed_before) = (DefaultHasher::new(), 0_u32);
        for raw in list.items() {
            let item = JsonText::new(raw.get().as_bytes());
            let entry = item.read::<wire::Session<'_>>();
            let observed = observation::observe_listed(&item, entry.as_ref().ok(), observation, now);
            let Unusable { reason, id } = match observed {
                Ok(facts) => {
                    facts.id.hash(&mut whole);
                    read.take_session(facts, page, now);
                    continue;
                }
                Err(unusable) => unusable,
            };
            if let Some(id) = id {
                id.hash(&mut whole);
                if reason != MalformedReason::InPart {
                    read.malformed.push(reason);
                }
                read.unusable.push(id);
                continue;
            }
            let mut hasher = DefaultHasher::new();
            // What else it says may change while the session goes on; when it began does not.
            match entry.as_ref().ok().and_then(|entry| Some((entry.created_at.text()?, entry.agent_id.text()))) {
                Some(session) => session.hash(&mut hasher),
                // Two that are the same, such as two nulls, are two.
                None => (raw.get(), unnamed_before).hash(&mut hasher),
            }
            unnamed_before += 1;
            let hash = hasher.finish();
            hash.hash(&mut whole);
            read.unnamed.push((hash, reason));
        }
        read.seen.claims = PageClaims::of(list, whole.finish());
        read
    }

    fn take_session(&mut self, facts: Facts, page: ListingPage, now: Timestamp) {
        let seen = &mut self.seen;
        // A clock that is ahead must not carry the watermark into the future.
        let created = facts.created.min(now);
        seen.descending &= seen.oldest.is_none_or(|oldest| created <= oldest);
        seen.newest = seen.newest.max(Some(created));
        seen.oldest = Some(seen.oldest.map_or(created, |oldest| oldest.min(created)));
        let is_unasked_for = page.open_only && facts.state != "open";
        seen.not_open += usize::from(is_unasked_for);
        if !is_unasked_for {
            self.sessions.push(Arc::new(facts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const NOW: Timestamp = Timestamp::from_millis(1_775_628_000_000);

    fn session(id: &str, state: &str, created: &str) -> String {
        format!(
            r#"{{"id":{id},"type":"VOICE","platform":"PHONE","direction":"INBOUND","state":"{state}","agentId":"A",
            "createdAt":"{created}"}}"#
        )
    }

    fn read(entries: &[String], open_only: bool) -> Entries {
        let body = format!(r#"{{"data":[{}]}}"#, entries.join(","));
        let text = JsonText::new(body.as_bytes());
        let list = wire::Page::read(body.as_bytes(), &text).unwrap();
        let page = ListingPage { created_after: None, open_only, page: 1, limit: 100 };
        Entries::read(page, &list, &ObservationConfig::from(&Config::default()), NOW)
    }

    #[test]
    fn sessions_say_how_far_the_page_reaches_but_never_into_the_future() {
        let page = [
            session(r#""a""#, "OPEN", "2026-04-08T06:30:00Z"),
            session(r#""b""#, "OPEN", "2026-04-08T05:00:00Z"),
            session(r#""c""#, "CLOSED", r#"2026-04-08T05:30:00Z","endedAt":"2026-04-08T05:31:00Z"#),
        ];
        let all = read(&page, false);
        assert_eq!((all.sessions.len(), all.seen.claims.items, all.seen.not_open), (3, 3, 0));
        assert_eq!((all.seen.newest, all.seen.descending), (Some(NOW), false));
        assert_eq!(all.seen.oldest, Timestamp::parse_rfc3339("2026-04-08T05:00:00Z"));
        let open = read(&page, true);
        assert_eq!((open.sessions.len(), open.seen.not_open), (2, 1), "what was not asked for is left out");
        assert_eq!(open.seen.claims.fingerprint, all.seen.claims.fingerprint);
    }

    #[test]
    fn entries_that_cannot_be_used_are_named_where_they_have_an_id() {
        let page = [
            session(r#""broken""#, "OPEN", "never"),
            session("null", "OPEN", "2026-04-08T05:00:00Z"),
            "null".to_owned(),
            "null".to_owned(),
        ];
        let entries = read(&page, false);
        assert!(entries.sessions.is_empty());
        assert_eq!((entries.unusable.as_slice(), entries.malformed.len()), (&["broken".into()][..], 1));
        let mut hashes: Vec<_> = entries.unnamed.iter().map(|(hash, _)| *hash).collect();
        hashes.dedup();
        assert_eq!(hashes.len(), 3, "two that are the same are two");
        assert_eq!(read(&page, false).unnamed, entries.unnamed, "and the same ones the next time");
    }
}
