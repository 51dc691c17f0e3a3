//! What sources report by themselves: which sessions to watch, what has happened to one, that a source works.

use std::sync::Arc;

use agntix_api::paths::ApiPath;

use super::core::{Core, Now};
use super::notices::Notice;
use super::pipeline::Purpose;
use super::updates::{MetricUpdate, Update};
use crate::clock::Timestamp;
use crate::discovery::{Hint, News, Watched};
use crate::ledger::Change;
use crate::session::{Source, Stage};
use crate::tracker::Progress;

impl Core {
    /// A source says which sessions it wants watched.
    pub fn watch(&mut self, watched: Watched, now: Now) {
        let Watched { source, mut ids } = watched;
        let api_now = self.api_time.now(now.tick, now.local);
        let left_out = self.watched.bound(source, &mut ids, self.config.max_tracked);
        if left_out > 0 {
            self.updates.metric(MetricUpdate::WatchedLeftOut(left_out));
            self.updates.notice(Notice::WatchedLeftOut { source, watched: ids.len(), left_out });
        }
        let mut heard = Vec::new();
        for id in &ids {
            if self.tracker.hear(id, source, api_now, now.tick) {
                heard.push(Change::Heard { id: Arc::clone(id), source, now: api_now });
            }
        }
        if source == Source::File {
            self.startup.files_unread = false;
            self.succeeded(source, api_now);
        }
        self.updates.discovered(source, heard.len() as u64);
        self.watched.set(source, ids);
        self.tracker.watch(self.watched.ids());
        if !heard.is_empty() {
            self.commits.push(heard, Purpose::Note);
        }
    }

    /// A source has news.
    pub fn hear(&mut self, news: News, now: Now) {
        let api_now = self.api_time.now(now.tick, now.local);
        match news {
            News::Session { facts, outcome, source } => {
                self.succeeded(source, api_now);
                self.session_reported(&facts, &outcome, source, now, api_now);
            }
            News::Id { id, source } => {
                self.succeeded(source, api_now);
                if self.tracker.hear(&id, source, api_now, now.tick) {
                    self.updates.discovered(source, 1);
                }
                self.tracker.note_announced(&id);
            }
            News::Alive(source) => {
                self.succeeded(source, api_now);
                if source == Source::Stream {
                    self.contact.stream_lives(now.tick);
                }
            }
            News::StreamOpened { path, place } => {
                self.contact.stream_opened(path);
                if let Some(place) = place {
                    self.commits.note(Change::Path { path: ApiPath::Stream, place });
                }
            }
            News::StreamMissing { path, why } => self.contact.stream_missing(path, why),
            News::Hint { id, hint } => {
                self.succeeded(Source::Stream, api_now);
                self.contact.stream_lives(now.tick);
                self.hinted(&id, hint, now, api_now);
            }
        }
    }

    fn hinted(&mut self, id: &Arc<str>, hint: Hint, now: Now, api_now: Timestamp) {
        match self.tracker.get(id).map(|tracked| tracked.progress) {
            Some(Progress::Pending(Stage::Ended)) => {
                if hint != Hint::Started {
                    self.tracker.reschedule(id, now.tick);
                }
            }
            Some(Progress::Pending(_)) => {
                if hint == Hint::Ended {
                    self.tracker.reschedule(id, now.tick);
                }
            }
            Some(Progress::Counted) => {}
            // An update of a session that nobody knows: it was counted, or the listing will bring it.
            None if hint == Hint::Updated => {}
            None if self.counted_lately.contains(id) || self.tracker.pending() >= self.config.max_tracked => {}
            None => {
                let source = Source::Stream;
                self.tracker.hear(id, source, api_now, now.tick);
                self.updates.discovered(source, 1);
                self.commits.note(Change::Heard { id: Arc::clone(id), source, now: api_now });
                if hint == Hint::Started {
                    // A session that has just begun has nothing to tell yet, and the stream will tell of its end.
                    self.tracker.reschedule(id, now.tick + self.config.open_interval);
                }
            }
        }
    }

    /// A source gave what it had.
    pub(super) fn succeeded(&mut self, source: Source, at: Timestamp) {
        // A sweep that was under way when the listing was switched off.
        if source == Source::Listing && !self.config.listing {
            return;
        }
        if let Some(waiting) = &mut self.succeeded_by_machine {
            // By this machine's clock, which only stands in until the API has said the time.
            waiting.insert(source, at);
            return;
        }
        self.updates.push(Update::SourceSucceeded { source, at: Some(at) });
    }

    /// A source is switched off: it is not to be seen any more.
    pub(super) fn is_off(&mut self, source: Source) {
        self.updates.push(Update::SourceSucceeded { source, at: None });
    }
}
