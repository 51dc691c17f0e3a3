//! What the replica that counts shows to the others besides the counts, on both sides: it is gathered here while this replica
//! counts, and put on the page and into the status while another one does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::shared::Current;
use crate::catalogue::{Exemplar, ExporterMetrics, Exposition, Freshness};
use crate::clock::Clock;
use crate::config::shared_settings;
use crate::ledger::LedgerError;
use crate::ledger::postgres::{GaugeBoard, Look, Shown};
use crate::status::{LookBack, Report, Status};
use crate::supervisor::Pulse;

/// How old the gauges are that other replicas show, at most.
const SHOW_EVERY: Duration = Duration::from_secs(2);
/// How often it is shown again that routes have answered, if nothing else has changed.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// A replica that counts and shows nothing for this long is not taken at its word any more. A lease that is lost is taken over
/// in less by default.
const SILENCE: Duration = Duration::from_secs(30);
/// Exemplars that are shown to other replicas: those of some ten agents.
const MOST_EXEMPLARS: usize = 128;

/// The sessions behind the latest counts of this replica, the newest last: one of each series and bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct LatestExemplars(Arc<Mutex<Vec<Exemplar>>>);

impl LatestExemplars {
    /// Takes those of a commit, the newest last.
    pub(super) fn note(&self, new: &[Exemplar]) {
        if new.is_empty() {
            return;
        }
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        let newest_first = new.iter().rev().chain(latest.iter().rev());
        let one_of_each = newest_first.filter(|exemplar| seen.insert((&exemplar.key, exemplar.bucket)));
        let mut kept: Vec<_> = one_of_each.take(MOST_EXEMPLARS).cloned().collect();
        kept.reverse();
        *latest = kept;
    }

    fn list(&self) -> Vec<Exemplar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a replica shows, and where that comes from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) exposition: Arc<Exposition>,
    pub(super) own: ExporterMetrics,
    pub(super) status: Arc<Status>,
    pub(super) exemplars: LatestExemplars,
}

/// Shows to the others what this replica sees, as long as this one counts.
pub(super) async fn show(board: &GaugeBoard, sources: &Sources, current: watch::Receiver<Current>) {
    let mut last: Option<(Shown, Report, Instant)> = None;
    loop {
        tokio::time::sleep(SHOW_EVERY).await;
        let report = Report::of(&sources.status.snapshot(), shared_settings(&current.borrow().config));
        let shown = Shown {
            gauges: sources.exposition.gauges(),
            freshness: sources.own.freshness(),
            exemplars: sources.exemplars.list(),
            report: String::new(),
        };
        let is_unchanged = last.as_ref().is_some_and(|(before, said, at)| {
            *before == shown && said.says_the_same(&report) && at.elapsed() < REPORT_EVERY
        });
        let result = if is_unchanged {
            board.is_unchanged().await
        } else {
            let report_json = serde_json::to_string(&report).unwrap_or_default();
            let result = board.show(&Shown { report: report_json, ..shown.clone() }).await;
            last = result.is_ok().then(|| (shown, report, Instant::now()));
            result
        };
        if let Err(error) = result {
            tracing::debug!(%error, "the gauges could not be shown to the other replicas");
        }
    }
}

/// A replica while it does not count.
pub(super) struct Following {
    exposition: Arc<Exposition>,
    own: ExporterMetrics,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    pulse: Pulse,
    current: watch::Receiver<Current>,
    /// On the page already.
    exemplars: Vec<Exemplar>,
    heard: Option<Heard>,
    /// The settings in which this replica differs from the one that counts.
    differing: Vec<String>,
}

/// What the replica that counts has said last.
struct Heard {
    freshness: Freshness,
    report: Report,
    at: Instant,
}

impl Following {
    pub(super) fn new(
        sources: Sources,
        clock: Arc<dyn Clock>,
        pulse: Pulse,
        current: watch::Receiver<Current>,
    ) -> Self {
        let Sources { exposition, own, status, .. } = sources;
        let (exemplars, differing) = (Vec::new(), Vec::new());
        Self { exposition, own, status, clock, pulse, current, exemplars, heard: None, differing }
    }

    /// This replica has looked what is new.
    pub(super) fn looked(&mut self, read: Result<Look, &LedgerError>) {
        self.pulse.beat(Instant::now());
        match read {
            Ok(look) => self.saw(look),
            Err(error) => {
                let why = format!("No page is served: {error}.");
                self.status.update(|status| status.ready = Err(why.clone()));
            }
        }
    }

    fn saw(&mut self, look: Look) {
        let Look { standing, is_published, took, since, shown, shown_age } = look;
        if is_published {
            self.exposition.publish();
        }
        self.own.ledger_read.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
        if let Some(shown) = shown {
            self.hear(shown, shown_age);
        }
        let heard = self.heard.as_ref().filter(|_| shown_age < SILENCE);
        match heard {
            Some(heard) => self.own.show_freshness(&heard.freshness),
            None => self.own.show_no_freshness(),
        }
        let now = self.clock.now();
        let look_back = if is_published { LookBack::Done } else { LookBack::Running };
        self.status.update(|status| {
            if let Some(replica) = &mut status.replica {
                replica.is_active = false;
                replica.holder.clone_from(&standing.holder);
                // In a new database nobody has counted yet.
                replica.since = (!standing.holder.is_empty()).then(|| now.minus(since));
                replica.sequence = standing.sequence;
                replica.current_at = Some(now);
                replica.said = None;
                replica.differing.clone_from(&self.differing);
            }
            status.ready = Ok(());
            status.look_back = look_back;
            if let Some(Heard { report, at, .. }) = heard {
                report.tell(status, now.minus(shown_age), at.elapsed());
            }
        });
    }

    fn hear(&mut self, shown: Shown, age: Duration) {
        let Shown { gauges, freshness, exemplars, report } = shown;
        for (family, series) in gauges {
            self.exposition.set_gauges(family, series);
        }
        let new: Vec<_> = exemplars.iter().filter(|exemplar| !self.exemplars.contains(exemplar)).cloned().collect();
        self.exposition.apply(&[], new);
        self.exemplars = exemplars;
        // Before anything was shown, and by a version that says something else, nothing is said.
        let Ok(report) = serde_json::from_str::<Report>(&report) else { return };
        self.compare(&report);
        self.heard = Instant::now().checked_sub(age).map(|at| Heard { freshness, report, at });
    }

    /// Replicas with different settings show different pages, and count differently when their turn comes.
    fn compare(&mut self, report: &Report) {
        let differing = report.differing(&shared_settings(&self.current.borrow().config));
        if differing == self.differing {
            return;
        }
        if differing.is_empty() {
            tracing::info!("this replica has the same settings as the one that counts again");
        } else {
            tracing::warn!(
                settings = differing.join(","),
                "this replica has other settings than the one that counts; give all replicas the same configuration"
            );
        }
        self.differing = differing;
    }
}

#[cfg(test)]
mod tests {
    use agntix_api::install_crypto_provider;
    use exposition::LabelSet;

    use super::*;
    use crate::api;
    use crate::catalogue::{Family, SeriesKey, buckets};
    use crate::clock::ManualClock;
    use crate::config::{Config, Environment, Overrides, load};
    use crate::ledger::postgres::Standing;
    use crate::status::{ApiStatus, Mood, ReplicaStatus, StatusSnapshot};

    fn following() -> (Following, watch::Sender<Current>) {
        install_crypto_provider();
        let environment = Environment::from_pairs([("AGNTIX_API_KEY", "pk_test")]);
        let loaded = load(None, &environment, &Overrides::default()).unwrap();
        let client = api::client(&loaded.config.api, loaded.api_key.as_ref()).unwrap();
        let own = ExporterMetrics::without_process().unwrap();
        let schemas = buckets::schemas(&loaded.config.metrics);
        let sources = Sources {
            exposition: Arc::new(own.exposition(Arc::new(schemas))),
            own,
            status: Arc::new(Status::new(StatusSnapshot {
                replica: Some(ReplicaStatus::default()),
                ..StatusSnapshot::default()
            })),
            exemplars: LatestExemplars::default(),
        };
        let (current, receiver) = watch::channel(Current { config: loaded.config, client });
        (Following::new(sources, Arc::new(ManualClock::default()), Pulse::default(), receiver), current)
    }

    /// What a replica shows that counts with these settings, and to which Agntix answers.
    fn shown(config: &Config) -> Shown {
        let own = ExporterMetrics::without_process().unwrap();
        own.up.with_label_values::<&str>(&[]).set(1.0);
        own.catching_up.with_label_values::<&str>(&[]).set(0.0);
        let status = StatusSnapshot {
            ready: Ok(()),
            api: ApiStatus::Up,
            look_back: LookBack::Done,
            ..StatusSnapshot::default()
        };
        let report = serde_json::to_string(&Report::of(&status, shared_settings(config))).unwrap();
        Shown { freshness: own.freshness(), report, ..Shown::default() }
    }

    fn look(shown: Option<Shown>, age: u64) -> Look {
        Look {
            standing: Standing { holder: "one/7".into(), sequence: 5 },
            is_published: true,
            took: Duration::ZERO,
            since: Duration::ZERO,
            shown,
            shown_age: Duration::from_secs(age),
        }
    }

    #[test]
    fn follower_is_as_current_as_the_counting_replica_said_lately_and_else_not() {
        let (mut following, _current) = following();
        let up = |following: &Following| {
            let gauge = |gauges: &prometheus::GaugeVec| gauges.with_label_values::<&str>(&[]).get();
            (gauge(&following.own.up), gauge(&following.own.catching_up), following.status.snapshot().summary().mood)
        };
        following.looked(Ok(look(None, 0)));
        assert_eq!(up(&following), (0.0, 1.0, Mood::Bad), "nobody has ever said anything");
        following.looked(Ok(look(Some(shown(&Config::default())), 3)));
        assert_eq!(up(&following), (1.0, 0.0, Mood::Good));
        following.looked(Ok(look(None, 29)));
        assert_eq!(up(&following), (1.0, 0.0, Mood::Good));
        following.looked(Ok(look(None, 31)));
        assert_eq!(up(&following), (0.0, 1.0, Mood::Bad), "it has fallen silent");
        following.looked(Ok(look(None, 1)));
        assert_eq!(up(&following), (1.0, 0.0, Mood::Good), "it says that nothing has changed");
        following.looked(Err(&LedgerError::Busy));
        assert_eq!(up(&following).2, Mood::Wait);
    }

    #[test]
    fn other_settings_than_those_of_the_counting_replica_are_told_until_they_are_the_same() {
        let (mut following, current) = following();
        let differing = |following: &Following| following.status.snapshot().replica.unwrap().differing;
        let mut config = Config::default();
        following.looked(Ok(look(Some(shown(&config)), 0)));
        assert!(differing(&following).is_empty());
        config.metrics.max_label_values += 1;
        config.web.listen_address = "127.0.0.1:1".into();
        following.looked(Ok(look(Some(shown(&config)), 0)));
        assert_eq!(differing(&following), ["metrics.max_label_values"]);
        current.send_modify(|current| current.config = config.clone());
        following.looked(Ok(look(Some(shown(&config)), 0)));
        assert!(differing(&following).is_empty());
    }

    #[test]
    fn latest_exemplar_of_each_series_is_kept_and_not_too_many() {
        let exemplar = |agent: usize, at_ms| Exemplar {
            key: SeriesKey {
                family: Family::Languages,
                labels: LabelSet::new(Family::Languages.descriptor().labels, [format!("a{agent}").as_str(), "en"]),
            },
            bucket: 0,
            id: "ses".into(),
            value: 1.0,
            at_ms,
        };
        let latest = LatestExemplars::default();
        latest.note(&[exemplar(1, 1), exemplar(2, 2), exemplar(1, 3)]);
        latest.note(&[exemplar(2, 4)]);
        assert_eq!(latest.list(), [exemplar(1, 3), exemplar(2, 4)]);
        let many: Vec<_> = (0..200).map(|agent| exemplar(agent, 5)).collect();
        latest.note(&many);
        assert_eq!(latest.list(), many[200 - MOST_EXEMPLARS..]);
    }
}
