//! How a replica stands among the others that share its counts, and what the one that counts says of itself to the others, which
//! do not ask Agntix. Nothing personal may be put in here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StatusSnapshot;
use crate::clock::Timestamp;

/// How a replica stands among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its name: host and process.
    pub name: String,
    /// Hosts and name of the database, without user and password.
    pub database: String,
    /// The schema in it.
    pub schema: String,
    /// Whether it counts.
    pub is_active: bool,
    /// Which replica counts, or did last; empty before one did.
    pub holder: String,
    /// Since when that one has counted.
    pub since: Option<Timestamp>,
    /// The number of the last commit that this replica shows.
    pub sequence: i64,
    /// When this replica was last known to show everything.
    pub current_at: Option<Timestamp>,
    /// How all of them are; `None` while that is not known.
    pub census: Option<CensusStatus>,
    /// What the replica that counts said last; `None` while it says nothing.
    pub said: Option<Said>,
    /// The settings in which this replica differs from the one that counts.
    pub differing: Vec<String>,
}

/// How all replicas are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusStatus {
    /// Replicas that are there.
    pub replicas: i64,
    /// Deliveries that are acknowledged and not counted.
    pub inbox: i64,
    /// Whether an acknowledged commit is on two machines.
    pub is_synchronous: bool,
}

/// That the replica that counts has said how it is: the rest of what it said is in the [`StatusSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// Whether it was ready, else why not, as a sentence.
    pub ready: Result<(), String>,
}

/// What the replica that counts says of itself to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    #[serde(flatten)]
    status: StatusSnapshot,
    /// The settings that should be the same on all replicas.
    pub settings: BTreeMap<String, String>,
}

impl Report {
    /// What a replica that counts with `settings` says.
    pub fn of(status: &StatusSnapshot, settings: BTreeMap<String, String>) -> Self {
        let StatusSnapshot { version, started_at, state_writable, replica, .. } = StatusSnapshot::default();
        Self { status: StatusSnapshot { version, started_at, state_writable, replica, ..status.clone() }, settings }
    }

    /// Whether this says the same, but for how long ago routes answered.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let timeless = |report: &Self| {
            let mut report = report.clone();
            let StatusSnapshot { routes, last_success, .. } = &mut report.status;
            for route in routes {
                route.good_ago = route.good_ago.map(|_| Duration::ZERO);
            }
            for at in last_success.values_mut() {
                *at = Timestamp::default();
            }
            report
        };
        timeless(self) == timeless(other)
    }

    /// Puts this into the status of a replica that does not count. It was so at `said_at` still, and written down `ago`.
    pub fn tell(&self, status: &mut StatusSnapshot, said_at: Timestamp, ago: Duration) {
        let StatusSnapshot { version, started_at, state_writable, .. } = *status;
        let (own, mut replica) = (status.ready.clone(), status.replica.take());
        if let Some(replica) = &mut replica {
            replica.said = Some(Said { at: said_at, ready: self.status.ready.clone() });
        }
        *status = StatusSnapshot { version, started_at, state_writable, ready: own, replica, ..self.status.clone() };
        for route in &mut status.routes {
            route.good_ago = route.good_ago.map(|good| good + ago);
        }
    }

    /// The settings in which a replica with `own` ones differs; a setting that only one of the two versions knows is none.
    pub fn differing(&self, own: &BTreeMap<String, String>) -> Vec<String> {
        let differs = |(key, value): &(&String, &String)| self.settings.get(*key).is_some_and(|other| other != *value);
        own.iter().filter(differs).map(|(key, _)| key.clone()).collect()
    }
}

/// A time as milliseconds.
pub(super) mod milliseconds {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::clock::Timestamp;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::as_millis).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::deserialize(from)?.map(Timestamp::from_millis))
    }
}

/// Times by name, as milliseconds.
pub(super) mod milliseconds_by_name {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::clock::Timestamp;

    pub(crate) fn serialize<S: Serializer>(times: &BTreeMap<String, Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(times.iter().map(|(name, at)| (name, at.as_millis())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Timestamp>, D::Error> {
        let times = BTreeMap::<String, i64>::deserialize(from)?;
        Ok(times.into_iter().map(|(name, at)| (name, Timestamp::from_millis(at))).collect())
    }
}

impl ReplicaStatus {
    /// Which replica counts, as a person says it.
    pub fn holder(&self) -> &str {
        match () {
            () if self.is_active => "this replica",
            () if self.holder.is_empty() => "no replica yet",
            () => &self.holder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ApiStatus, LookBack, Mood, RouteLine};

    fn follower() -> StatusSnapshot {
        let replica = ReplicaStatus { holder: "one/7".into(), ..ReplicaStatus::default() };
        StatusSnapshot { replica: Some(replica), ..StatusSnapshot::default() }
    }

    /// What a replica says that counts and is like that.
    fn report(status: &StatusSnapshot) -> Report {
        let json = serde_json::to_string(&Report::of(status, BTreeMap::new())).unwrap();
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn follower_says_what_the_counting_replica_said_and_when() {
        let holder = StatusSnapshot {
            ready: Ok(()),
            api: ApiStatus::Up,
            api_host: "api.agntix.ai".into(),
            look_back: LookBack::Done,
            counted: 9,
            last_success: [("listing".to_owned(), Timestamp::from_millis(40_000))].into(),
            routes: vec![RouteLine {
                gives: "a session".into(),
                path: "/v1".into(),
                good_ago: Some(Duration::from_secs(1)),
                trouble: None,
            }],
            ..StatusSnapshot::default()
        };
        let mut status = follower();
        report(&holder).tell(&mut status, Timestamp::from_millis(58_000), Duration::from_secs(2));
        assert_eq!((status.counted, &status.last_success), (9, &holder.last_success));
        assert_eq!(status.routes[0].good_ago, Some(Duration::from_secs(3)));
        assert_eq!(
            status.replica.as_ref().unwrap().said,
            Some(Said { at: Timestamp::from_millis(58_000), ready: Ok(()) })
        );
        // It serves no page yet.
        assert_eq!(status.summary().mood, Mood::Wait);
        status.ready = Ok(());
        let summary = status.summary();
        assert_eq!((summary.mood, summary.headline), (Mood::Good, "All is well"));
        assert!(summary.explanation.starts_with("one/7 counts, and says: api.agntix.ai answers"), "{summary:?}");
    }

    #[test]
    fn follower_is_as_bad_as_the_counting_replica() {
        let mut status = follower();
        status.ready = Ok(());
        let mut holder = StatusSnapshot { api: ApiStatus::Up, ..StatusSnapshot::default() };
        holder.ready = Err("The first listing is not done.".into());
        report(&holder).tell(&mut status, Timestamp::default(), Duration::ZERO);
        assert!(status.summary().explanation.ends_with("The first listing is not done."), "{:?}", status.summary());
        holder.api = ApiStatus::Down("401: look at api.key_file.".into());
        report(&holder).tell(&mut status, Timestamp::default(), Duration::ZERO);
        assert_eq!(status.summary().headline, "Agntix does not answer");
        assert!(status.summary().explanation.contains("one/7"), "{:?}", status.summary());
    }

    #[test]
    fn what_was_seen_to_work_by_nobody_lately_is_not_well() {
        let mut status = follower();
        (status.ready, status.api) = (Ok(()), ApiStatus::Up);
        let summary = status.summary();
        assert_eq!((summary.mood, summary.headline), (Mood::Bad, "No replica counts"));
        assert!(summary.explanation.contains("one/7"), "{summary:?}");
        status.state_writable = false;
        assert_eq!(status.summary().headline, "The database cannot be used");
    }

    #[test]
    fn settings_that_both_know_are_compared() {
        let settings = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let report = Report { settings: settings(&[("a", "1"), ("b", "2"), ("new", "3")]), ..Report::default() };
        assert_eq!(report.differing(&settings(&[("a", "1"), ("b", "3"), ("old", "4")])), ["b"]);
    }

    #[test]
    fn passing_time_alone_is_no_news() {
        let mut status = StatusSnapshot::default();
        let route = |ago| RouteLine {
            gives: "a session".into(),
            path: "/v1".into(),
            good_ago: Some(Duration::from_secs(ago)),
            trouble: None,
        };
        status.routes = vec![route(1)];
        let before = report(&status);
        status.routes = vec![route(2)];
        assert!(report(&status).says_the_same(&before));
        status.counted += 1;
        assert!(!report(&status).says_the_same(&before));
    }
}
