//! What a commit means for what is tracked: what became of each session, and when it is due again.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Now};
use super::messages::GIVE_UP_AFTER;
use super::notices::SessionTrouble;
use super::pipeline::Purpose;
use super::sessions::session_notice;
use super::startup::LookBackStage;
use super::updates::{MetricUpdate, Update};
use crate::clock::Timestamp;
use crate::ledger::CommitOutcome;
use crate::session::{Facts, MalformedReason};
use crate::session::{Source, Stage};
use crate::tracker::{Announced, Progress, Tracked};

impl Core {
    /// The changes of a batch are durable.
    pub fn committed(&mut self, purpose: Purpose, outcomes: &[CommitOutcome], now: Now) {
        let api_now = self.api_time.now(now.tick, now.local);
        match purpose {
            Purpose::Session(facts) => {
                if let Some(outcome) = outcomes.first() {
                    self.session_committed(&facts, outcome, None, now, api_now);
                }
            }
            Purpose::Page { seen, entries, unusable, again } => {
                self.page_committed(seen, &entries, &unusable, outcomes, again, now);
            }
            // Unless the listing has shown it meanwhile.
            Purpose::GiveUp(id) if self.tracker.is_waiting(&id) => {}
            Purpose::GiveUp(id) => self.no_longer_pending(&id, now, api_now),
            Purpose::Messages { id, skipped, left_out } => {
                self.messages_committed(&id, outcomes.first() == Some(&CommitOutcome::Done), skipped, left_out);
            }
            Purpose::Lease { count, granted } => {
                self.commits.leased();
                self.choice.budget.leased(count, granted);
            }
            Purpose::Release => self.commits.released(),
            Purpose::LookBackDone => {
                self.startup.look_back = LookBackStage::Done;
                self.updates.push(Update::Publish(now.instant));
            }
            Purpose::Note => {}
        }
    }

    /// What became of a session that a source reported by itself.
    pub(super) fn session_reported(
        &mut self,
        facts: &Arc<Facts>,
        outcome: &CommitOutcome,
        source: Source,
        now: Now,
        api_now: Timestamp,
    ) {
        self.tracker.note_announced(&facts.id);
        self.session_committed(facts, outcome, Some(source), now, api_now);
        self.tracker.note_announced(&facts.id);
    }

    /// What became of one session, that was asked for by itself or was reported by a source. Whether it was unknown before.
    pub(super) fn session_committed(
        &mut self,
        facts: &Arc<Facts>,
        outcome: &CommitOutcome,
        reported_by: Option<Source>,
        now: Now,
        api_now: Timestamp,
    ) -> bool {
        let source = reported_by.unwrap_or(Source::Listing);
        // What a source reports may be incomplete; a watched session that was seen whole is not replaced by less.
        if reported_by.is_none() || facts.outcome.is_some() {
            self.watched.see(facts);
        }
        // After a commit of which no answer came, this is how it is heard that it was durable.
        if *outcome == CommitOutcome::AwaitsMessages {
            self.messages_awaited(&facts.id, now.tick + GIVE_UP_AFTER, now);
        }
        match outcome {
            // The outcome of an earlier commit may arrive after that of the commit which counted it.
            CommitOutcome::Pending { .. } if self.counted_lately.contains(&facts.id) => false,
            CommitOutcome::Pending { stage, channel } => {
                let fresh = self.tracker.hear(&facts.id, source, api_now, now.tick);
                if fresh {
                    self.updates.discovered(source, 1);
                }
                let ended = facts.ended.as_ref().map(|ended| ended.at);
                self.tracker.learn(&facts.id, facts.created, ended, Some(channel));
                if reported_by.is_some() && !fresh && !self.tracker.is_waiting(&facts.id) {
                    // A request for it is under way, which will show more.
                    return false;
                }
                self.settle(facts, Progress::Pending(*stage), reported_by, now, api_now);
                fresh
            }
            CommitOutcome::Counted { historic, new } => {
                let was_counted_lately = self.counted_lately.contains(&facts.id);
                let fresh =
                    (*new || reported_by.is_some()) && !was_counted_lately && self.tracker.get(&facts.id).is_none();
                if fresh {
                    self.updates.discovered(source, 1);
                }
                let tracked = self.tracker.get(&facts.id);
                let (first, announced) = tracked.map_or((source, Announced::No), |t| (t.source, t.announced));
                if let (false, Some(ended)) = (*historic, &facts.ended) {
                    let delay = api_now.since(ended.at);
                    self.updates.metric(MetricUpdate::CountDelay { source: first, delay });
                    // Of a session that ended before this process started, the delivery may have failed then, and be
                    // repeated later.
                    let up_since = api_now.minus(now.tick.saturating_sub(self.started));
                    let is_missed = announced == Announced::No && source != Source::Webhook && ended.at >= up_since;
                    if self.config.webhook && is_missed {
                        self.updates.metric(MetricUpdate::WebhookMissed);
                    }
                }
                self.messages_due(&facts.id, *historic, now);
                self.remember_counted(&facts.id);
                self.watched.counted(facts);
                self.startup.counted += 1;
                self.updates.push(Update::SessionCounted);
                self.no_longer_pending(&facts.id, now, api_now);
                fresh
            }
            // It is reported again, incomplete; but it is watched and has not been seen whole: it is still to be asked for.
            CommitOutcome::AlreadyCounted | CommitOutcome::AwaitsMessages
                if reported_by.is_some() && self.watched.is_unseen(&facts.id) =>
            {
                false
            }
            CommitOutcome::AlreadyCounted | CommitOutcome::AwaitsMessages => {
                if reported_by == Some(Source::Webhook) {
                    self.remember_counted(&facts.id);
                }
                self.no_longer_pending(&facts.id, now, api_now);
                false
            }
            CommitOutcome::TooOld => {
                let is_known = self.tracker.get(&facts.id).is_some_and(|tracked| tracked.progress == Progress::Counted);
                if !is_known {
                    self.updates.malformed(MalformedReason::OlderThanRetention);
                }
                if !is_known && let Some(suppressed) = self.log_limit.admit(now.tick) {
                    self.updates.notice(session_notice(&facts.id, SessionTrouble::TooOld, None, suppressed));
                }
                self.no_longer_pending(&facts.id, now, api_now);
                false
            }
            CommitOutcome::Done => false,
        }
    }

    fn remember_counted(&mut self, id: &Arc<str>) {
        const REMEMBERED: usize = 10_000;
        if self.counted_lately.len() >= REMEMBERED {
            self.counted_lately.clear();
        }
        self.counted_lately.insert(Arc::clone(id));
    }

    fn settle(
        &mut self,
        facts: &Arc<Facts>,
        progress: Progress,
        reported_by: Option<Source>,
        now: Now,
        api_now: Timestamp,
    ) {
        let is_report = reported_by.is_some();
        let (random, ended_interval) = (self.rng.f64(), self.config.ended_interval);
        let (schedule, listing_interval) = (self.config.schedule, self.config.listing_interval);
        let after = |tracked: &Tracked| {
            let regular = schedule.after(tracked, api_now, now.tick, random);
            match progress {
                // The next sweep will most likely show it again, for nothing.
                Progress::Pending(Stage::Open) if reported_by == Some(Source::Listing) && facts.state == "open" => {
                    regular + listing_interval
                }
                Progress::Pending(Stage::Open) if is_report && facts.state == "open" => regular,
                // It has ended since, and its end is not dated: it is asked for by itself.
                Progress::Pending(Stage::Open) if is_report => Duration::ZERO,
                Progress::Pending(Stage::Ended) if is_report => {
                    let analysed = facts.ended.as_ref().map_or(api_now, |ended| ended.at).plus(ended_interval);
                    analysed.since(api_now).min(regular)
                }
                _ => regular,
            }
        };
        if facts.state != "open" {
            self.tracker.saw_end(&facts.id, now.tick);
        } else if matches!(reported_by, None | Some(Source::Listing)) {
            // A delivery may be hours old.
            self.tracker.saw_open(&facts.id);
        }
        let known = self.tracker.get(&facts.id).map(|tracked| tracked.progress);
        // An ended session that is reported once more has not changed.
        if !(is_report && known == Some(progress) && progress == Progress::Pending(Stage::Ended)) {
            self.tracker.settle(&facts.id, progress, now.tick, after);
        }
        if is_report && progress == Progress::Pending(Stage::Open) && facts.state != "open" {
            self.tracker.note_unread_end(&facts.id);
        }
    }

    /// A counted session is forgotten, unless it is watched.
    fn no_longer_pending(&mut self, id: &Arc<str>, now: Now, api_now: Timestamp) {
        if !self.watched.ids().contains(id) {
            return self.tracker.forget(id);
        }
        let (random, schedule) = (self.rng.f64(), self.config.schedule);
        self.tracker
            .settle(id, Progress::Counted, now.tick, |tracked| schedule.after(tracked, api_now, now.tick, random));
    }
}
