//! What a commit means for what is tracked: what became of each session, and when it is due again.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Batch, Core, LookBackStage, Now, Purpose};
use crate::clock::Timestamp;
use crate::discovery::listing::{Next, PageSeen};
use crate::ledger::{Change, Source, Stage, Verdict};
use crate::observation::{Facts, MalformedReason};
use crate::tracker::{Progress, Tracked};

impl Core {
    /// The changes of a batch are durable.
    pub fn committed(&mut self, purpose: Purpose, verdicts: &[Verdict], now: Now) {
        let api_now = self.api_time.now(now.tick, now.local);
        match purpose {
            Purpose::Session(facts) => {
                if let Some(verdict) = verdicts.first() {
                    self.session_committed(&facts, verdict, now, api_now, false);
                }
            }
            Purpose::Page { seen, entries, unusable } => self.page_committed(seen, &entries, &unusable, verdicts, now),
            // Unless the listing has told of it meanwhile.
            Purpose::GiveUp(id) if self.tracker.is_waiting(&id) => {}
            Purpose::GiveUp(id) => self.no_longer_pending(&id, now, api_now),
            Purpose::Lease { count, granted } => self.lease_granted(count, granted),
            Purpose::Release(keys) => {
                self.releasing = false;
                self.exposition.release(&keys);
            }
            Purpose::LookBackDone => {
                self.life.look_back = LookBackStage::Done;
                self.exposition.publish(now.instant);
            }
            Purpose::Note => {}
        }
    }

    /// What became of one session. Whether it was not heard of before.
    fn session_committed(
        &mut self,
        facts: &Arc<Facts>,
        verdict: &Verdict,
        now: Now,
        api_now: Timestamp,
        listed: bool,
    ) -> bool {
        // A listed session may be cut short; of one that is watched, what was seen whole is not replaced by less.
        if !listed || facts.outcome.is_some() {
            self.watched.see(facts);
        }
        match verdict {
            Verdict::Pending { stage, channel } => {
                let fresh = self.tracker.hear(&facts.id, Source::Listing, api_now, now.tick);
                if fresh {
                    self.discovered(Source::Listing);
                }
                let ended = facts.ended.as_ref().map(|ended| ended.at);
                self.tracker.learn(&facts.id, facts.created, ended, Some(channel));
                if listed && !fresh && !self.tracker.is_waiting(&facts.id) {
                    // It is being asked for by itself, which will say more.
                    return false;
                }
                self.settle(facts, Progress::Pending(*stage), now, api_now, listed);
                fresh
            }
            Verdict::Counted { historic, new } => {
                let fresh = *new && self.tracker.get(&facts.id).is_none();
                if fresh {
                    self.discovered(Source::Listing);
                }
                if let (false, Some(ended)) = (*historic, &facts.ended) {
                    let delay = api_now.since(ended.at).as_secs_f64();
                    self.own().count_delay.with_label_values::<&str>(&[]).observe(delay);
                }
                self.watched.counted(facts);
                self.status.update(|status| status.counted += 1);
                self.no_longer_pending(&facts.id, now, api_now);
                fresh
            }
            // The listing repeats it in part, but it is watched and has not been seen whole: it is still to be asked for.
            Verdict::AlreadyCounted if listed && self.watched.is_unseen(&facts.id) => false,
            Verdict::AlreadyCounted => {
                self.no_longer_pending(&facts.id, now, api_now);
                false
            }
            Verdict::TooOld => {
                let is_known = self.tracker.get(&facts.id).is_some_and(|tracked| tracked.progress == Progress::Counted);
                if !is_known {
                    self.malformed(MalformedReason::OlderThanRetention);
                }
                if !is_known && let Some(unsaid) = self.complaints.admit(now.tick) {
                    tracing::warn!(
                        session = %facts.id, unsaid,
                        "a session is older than sessions.retention, so that it cannot be known whether it was counted; it is left out"
                    );
                }
                self.no_longer_pending(&facts.id, now, api_now);
                false
            }
            Verdict::Done => false,
        }
    }

    fn discovered(&self, source: Source) {
        self.own().sessions_discovered.with_label_values(&[source.as_str()]).inc();
    }

    fn settle(&mut self, facts: &Arc<Facts>, progress: Progress, now: Now, api_now: Timestamp, listed: bool) {
        let (random, ended_interval) = (self.rng.f64(), self.config.ended_interval);
        let (schedule, listing_interval) = (self.config.schedule, self.config.listing_interval);
        let after = |tracked: &Tracked| {
            let regular = schedule.after(tracked, api_now, random);
            match progress {
                // The next sweep will most likely show it again, for nothing.
                Progress::Pending(Stage::Open) if listed && facts.state == "open" => regular + listing_interval,
                // It has ended since, or says neither when: it is worth a look by itself.
                Progress::Pending(Stage::Open) if listed => Duration::ZERO,
                Progress::Pending(Stage::Ended) if listed => {
                    let analysed = facts.ended.as_ref().map_or(api_now, |ended| ended.at).plus(ended_interval);
                    analysed.since(api_now).min(regular)
                }
                _ => regular,
            }
        };
        let known = self.tracker.get(&facts.id).map(|tracked| tracked.progress);
        // What the listing repeats of an ended session is no news.
        if !(listed && known == Some(progress) && progress == Progress::Pending(Stage::Ended)) {
            self.tracker.settle(&facts.id, progress, now.tick, after);
        }
        if listed && progress == Progress::Pending(Stage::Open) && facts.state != "open" {
            self.tracker.note_unread_end(&facts.id);
        }
    }

    /// A counted session is forgotten, unless it is watched.
    fn no_longer_pending(&mut self, id: &Arc<str>, now: Now, api_now: Timestamp) {
        if !self.watched.ids().contains(id) {
            return self.tracker.forget(id);
        }
        let (random, schedule) = (self.rng.f64(), self.config.schedule);
        self.tracker.settle(id, Progress::Counted, now.tick, |tracked| schedule.after(tracked, api_now, random));
    }

    fn page_committed(
        &mut self,
        mut seen: PageSeen,
        entries: &[Arc<Facts>],
        unusable: &[Arc<str>],
        verdicts: &[Verdict],
        now: Now,
    ) {
        self.listing_busy = false;
        let api_now = self.api_time.now(now.tick, now.local);
        let next_sweep = now.tick + self.config.listing_interval;
        for (facts, verdict) in entries.iter().zip(verdicts) {
            // Open sessions that would have to be asked for before the next sweep are what makes a page worth it.
            seen.refreshed += usize::from(facts.state == "open" && self.tracker.is_due(&facts.id, next_sweep));
            seen.fresh += usize::from(self.session_committed(facts, verdict, now, api_now, true));
        }
        for id in unusable {
            seen.fresh += usize::from(self.tracker.hear(id, Source::Listing, api_now, now.tick));
            self.discovered(Source::Listing);
        }
        let interval = self.config.listing_interval.mul_f64(0.9 + 0.2 * self.rng.f64());
        match self.listing.read(&seen, now.tick, interval) {
            Next::Page => {}
            Next::Nonsense => {
                if let Some(unsaid) = self.complaints.admit(now.tick) {
                    tracing::warn!(
                        unsaid,
                        "the listing repeats itself or ignores what it is asked for; only its first pages are used"
                    );
                }
            }
            Next::Done(watermark) => {
                self.succeeded(Source::Listing, api_now);
                if let Some(watermark) = watermark {
                    let changes = vec![Change::Watermark(watermark)];
                    self.ready.push_back(Batch { changes, purpose: Purpose::Note });
                }
            }
        }
    }
}
