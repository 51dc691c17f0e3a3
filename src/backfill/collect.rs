//! Lists the past, and asks by themselves for the sessions that the listing leaves something out of, and for messages: as the
//! daemon does, with the same observation. What was read is kept before the next request is sent.

use agntix_api::{JsonText, ListQuery, wire};

use super::api::{Api, Reply, Request};
use super::page::{PastPage, Scope};
use super::progress::{Progress, Stage};
use super::run::BackfillError;
use super::spill::{Number, Spill};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::MessagesConfig;
use crate::discovery::paging::{AfterUnreadable, Paging, ServerPages, Step};
use crate::observation::{
    self, MOST_MESSAGES, MessageReader, ObservationConfig, is_sampled, may_have_more, states_more,
};
use crate::session::{MessageTally, Parts, SkipReason};

/// Entries that cannot be read even one by one.
const UNREADABLE: &str = "unreadable";
const NOT_FOUND: &str = "not_found";
/// A list of messages that goes on without anything new ends.
const EMPTY_PAGES: u32 = 3;

/// What collects.
pub(super) struct Collection<'c> {
    pub api: &'c mut Api,
    pub spill: &'c mut Spill,
    pub observation: &'c ObservationConfig,
    pub scope: Scope,
    pub messages: MessagesConfig,
    pub progress: &'c mut (dyn FnMut(Progress) + Send),
}

impl Collection<'_> {
    /// Reads the listing to its end, from where an earlier run was.
    pub(super) async fn list(&mut self) -> Result<(), BackfillError> {
        if self.spill.number(Number::Listed)? == Some(1) {
            return Ok(());
        }
        let page = self.spill.number(Number::Page)?.and_then(|page| u32::try_from(page).ok()).unwrap_or(1);
        let (mut paging, mut server) = (Paging::resumed(page), ServerPages::default());
        loop {
            let query = ListQuery {
                created_after: Some(self.scope.begin),
                open_only: false,
                page: paging.page(),
                limit: paging.limit(),
            };
            let Reply::Good(body) = self.api.ask(Request::List(query), self.spill).await? else {
                self.unreadable(&mut paging, &server)?;
                continue;
            };
            let text = JsonText::new(&body);
            let Ok(list) = wire::Page::read(&body, &text) else {
                self.unreadable(&mut paging, &server)?;
                continue;
            };
            let page = PastPage::read(&list, self.observation, self.scope, self.now()?);
            for facts in &page.sessions {
                self.learn(facts);
            }
            let tick = std::time::Duration::ZERO;
            let step = paging.read(&page.claims, &mut server, tick);
            let is_over = step == Step::End || (page.is_descending && page.is_too_old);
            self.spill.keep_page(&page, paging.whole_page(), self.api.requests)?;
            (self.progress)(Progress {
                stage: Stage::Listing,
                done: u64::from(query.page),
                of: page.claims.total_pages.map(u64::from),
                requests: self.api.requests.unsigned_abs(),
            });
            if is_over {
                return Ok(self.spill.set(Number::Listed, 1)?);
            }
            if step == Step::Repeats {
                return Err(BackfillError::Running(format!(
                    "the listing repeats itself at page {}, so that its end cannot be found; begin later with --from, and write to the vendor",
                    query.page
                )));
            }
        }
    }

    fn unreadable(&mut self, paging: &mut Paging, server: &ServerPages) -> Result<(), BackfillError> {
        match paging.unreadable(server) {
            AfterUnreadable::Again => Ok(()),
            AfterUnreadable::LeftOut => Ok(self.spill.miss(UNREADABLE)?),
            AfterUnreadable::Everything => Err(BackfillError::Running(
                "the pages of the listing cannot be read on either side of an entry; run `agntix-exporter doctor`"
                    .into(),
            )),
        }
    }

    /// Asks for the sessions that the listing has left something out of.
    pub(super) async fn sessions(&mut self) -> Result<(), BackfillError> {
        let (mut done, of) = (0, self.spill.wanted_left()?);
        while let Some(id) = self.spill.wanted()? {
            let reply = self.api.ask(Request::Session(&id), self.spill).await?;
            let observed = match &reply {
                Reply::Good(body) => self.observe(body, &id)?,
                Reply::NoSuchSession => Err(NOT_FOUND),
                Reply::Malformed => Err("json"),
            };
            if let Ok(Some(facts)) = &observed {
                self.learn(facts);
            }
            self.spill.answered(
                &id,
                observed.as_ref().map(Option::as_ref).map_err(|reason| *reason),
                self.api.requests,
            )?;
            done += 1;
            self.report(Stage::Sessions, done, of);
        }
        Ok(())
    }

    fn observe(
        &self,
        body: &[u8],
        id: &str,
    ) -> Result<Result<Option<std::sync::Arc<crate::session::Facts>>, &'static str>, BackfillError> {
        let text = JsonText::new(body);
        let Ok(session) = text.read::<wire::Session<'_>>() else { return Ok(Err("json")) };
        let observed = observation::observe(&session, self.observation, self.now()?);
        Ok(match observed {
            Ok(facts) if &*facts.id != id => Err("id"),
            Ok(facts) if facts.created < self.scope.begin || facts.created >= self.scope.end => Ok(None),
            Ok(facts) => Ok(Some(facts.into())),
            Err(unusable) => Err(unusable.reason.as_str()),
        })
    }

    /// Reads the messages that are counted, of sessions that ended before `until`.
    pub(super) async fn messages(&mut self, until: Timestamp) -> Result<(), BackfillError> {
        let MessagesConfig { enabled, share, .. } = self.messages;
        if !enabled {
            return Ok(());
        }
        self.spill.want_messages(until, |id| is_sampled(id, share))?;
        let (mut done, of) = (0, self.spill.messages_left()?);
        while let Some(id) = self.spill.next_messages()? {
            let read = self.read_messages(&id).await?;
            let reason = |reason: SkipReason| format!("messages_{}", reason.as_str());
            match read {
                Ok(tally) => self.spill.messages_read(&id, Ok(&tally), self.api.requests)?,
                Err(why) => self.spill.messages_read(&id, Err(&reason(why)), self.api.requests)?,
            }
            done += 1;
            self.report(Stage::Messages, done, of);
        }
        Ok(())
    }

    async fn read_messages(&mut self, id: &str) -> Result<Result<MessageTally, SkipReason>, BackfillError> {
        let (mut reader, mut page, mut empty) = (MessageReader::default(), 1, 0);
        loop {
            let body = match self.api.ask(Request::Messages(id, page), self.spill).await? {
                Reply::Good(body) => body,
                Reply::NoSuchSession => return Ok(Err(SkipReason::Missing)),
                Reply::Malformed => return Ok(Err(SkipReason::Failed)),
            };
            let text = JsonText::new(&body);
            let Ok(list) = wire::Page::read(&body, &text) else { return Ok(Err(SkipReason::Failed)) };
            let new = reader.read(&list);
            if reader.len() >= MOST_MESSAGES {
                return Ok(Err(SkipReason::TooLong));
            }
            empty = if new == 0 { empty + 1 } else { 0 };
            let stated = states_more(&list, page, reader.len(), new);
            if empty < EMPTY_PAGES && (stated || may_have_more(&list, page, reader.len(), new)) {
                page += 1;
            } else if stated && !list.items().is_empty() {
                return Ok(Err(SkipReason::Failed));
            } else {
                return Ok(Ok(reader.finish().0));
            }
        }
    }

    /// The API's time by which sessions are observed: the same one for all, in this run and those that go on with it.
    fn now(&self) -> Result<Timestamp, BackfillError> {
        if let Some(now) = self.spill.number(Number::Now)? {
            return Ok(Timestamp::from_millis(now));
        }
        let now = self.api.now.unwrap_or_else(|| SystemClock.now());
        self.spill.set(Number::Now, now.as_millis())?;
        Ok(now)
    }

    /// Which parts of an analysis the sessions of an agent carry is learned as the ledger does.
    fn learn(&self, facts: &crate::session::Facts) {
        if facts.outcome.as_ref().is_some_and(|outcome| !outcome.timed_out) {
            let counted = Parts::counted(!self.observation.extracted.is_empty());
            let _ = self.observation.agents.learn(&facts.channel.agent_id, facts.parts, counted);
        }
    }

    fn report(&mut self, stage: Stage, done: u64, of: u64) {
        let requests = self.api.requests.unsigned_abs();
        (self.progress)(Progress { stage, done, of: Some(of), requests });
    }
}
