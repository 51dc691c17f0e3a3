//! The landing page: how the daemon is, for a person. It loads nothing, runs nothing and says nothing personal.

use std::time::Duration;

use askama::Template;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::agents::{self, Agents};
use super::state::WebState;
use crate::clock::Timestamp;
use crate::status::{CensusStatus, LookBack, Mood, ReplicaStatus, RouteLine, StatusSnapshot, Summary};

/// For every page: only the style inside it is allowed; no scripts, no images, no frames, no requests to anywhere.
pub const SAFE: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    status: &'a StatusSnapshot,
    links: &'a Links,
    transport: String,
    mood: &'static str,
    headline: &'static str,
    explanation: String,
    uptime: String,
    agents: Option<Agents>,
    series: usize,
    look_back: &'static str,
    oldest_pending: String,
    sources: Vec<(String, String)>,
    replicas: Vec<(&'static str, String)>,
    routes: Vec<(&'a str, &'a str, String)>,
    now: String,
}

/// Where the links of the page lead.
#[derive(Debug, Default)]
pub struct Links {
    /// What all of them begin with, without a slash at its end.
    pub prefix: String,
    /// Route of the metrics, behind that.
    pub telemetry_path: String,
}

/// `GET` and `HEAD` of `/`.
pub fn page(state: &WebState, links: &Links) -> Response {
    let status = state.status.snapshot();
    let (transport, now) = (state.security.summary(), state.clock.now());
    let agents = state.recent.table(&state.exposition, now, agents::MOST).map(|table| Agents::new(&table));
    match render(&status, links, (transport, agents), state.exposition.series(), now) {
        Ok(html) => (SAFE, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the landing page could not be made");
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made; the log says why.\n").into_response()
        }
    }
}

fn render(
    status: &StatusSnapshot,
    links: &Links,
    (transport, agents): (String, Option<Agents>),
    series: usize,
    now: Timestamp,
) -> Result<String, askama::Error> {
    let Summary { mood, headline, explanation } = status.summary();
    Landing {
        status,
        links,
        transport,
        mood: match mood {
            Mood::Good => "good",
            Mood::Wait => "wait",
            Mood::Bad => "bad",
        },
        headline,
        explanation,
        uptime: span(now.since(status.started_at)),
        agents,
        series,
        look_back: match status.look_back {
            LookBack::Running => "running: session metrics appear when it is done",
            LookBack::Done => "done",
            LookBack::DeadlinePassed => "over at its deadline; what it had not read is counted as it is read",
        },
        oldest_pending: status.oldest_pending.map_or_else(
            || "none waits".into(),
            |at| format!("ended {} ago, waits for its analysis", span(now.since(at))),
        ),
        sources: status
            .last_success
            .iter()
            .map(|(source, at)| (source.clone(), format!("{} ago", span(now.since(*at)))))
            .collect(),
        replicas: status.replica.as_ref().map_or_else(Vec::new, |replica| replicas(replica, now)),
        routes: status.routes.iter().map(|route| (&*route.gives, route.path.as_str(), standing(route))).collect(),
        now: now.to_string(),
    }
    .render()
}

/// How this replica stands among the others, in rows.
fn replicas(replica: &ReplicaStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let ago = |at: Timestamp| span(now.since(at));
    let since = replica.since.map_or_else(String::new, |since| format!(", for {}", ago(since)));
    let counts = match (&replica.said, replica.is_active) {
        (None, false) => format!("not known; {} did last", replica.holder()),
        _ => format!("{}{since}", replica.holder()),
    };
    let shows = match replica.current_at {
        _ if replica.is_active => format!("{}: counts; the last commit is number {}", replica.name, replica.sequence),
        Some(at) => {
            format!("{}: shows everything up to commit {}, as of {} ago", replica.name, replica.sequence, ago(at))
        }
        None => format!("{}: has not read the counts yet", replica.name),
    };
    let mut rows = vec![
        ("Database", format!("{}, schema {}", replica.database, replica.schema)),
        ("Which replica counts", counts),
        ("This replica", shows),
    ];
    match replica.census {
        Some(CensusStatus { replicas, inbox, is_synchronous }) => {
            rows.push(("Replicas that are there", replicas.to_string()));
            rows.push(("Inbox", format!("{inbox} deliveries are acknowledged and not yet counted")));
            let commits = if is_synchronous {
                "synchronous: acknowledged when a standby has them as well"
            } else {
                "not synchronous: acknowledged by one server, so that a promoted standby may lack the last ones"
            };
            rows.push(("Commits", commits.to_owned()));
        }
        None => rows.push(("Replicas that are there", "not known".to_owned())),
    }
    if let (Some(said), false) = (&replica.said, replica.is_active) {
        rows.push(("What this page says of Agntix", format!("as {} said {} ago", replica.holder(), ago(said.at))));
    }
    if !replica.differing.is_empty() {
        let keys = replica.differing.join(", ");
        let text = format!("differs from that of the replica that counts ({keys}); give all replicas the same");
        rows.push(("Configuration", text));
    }
    rows
}

/// How a route of the API answers.
fn standing(route: &RouteLine) -> String {
    match (route.good_ago, &route.trouble) {
        (Some(ago), None) => format!("good answer {} ago", span(ago)),
        (Some(ago), Some(trouble)) => format!("good answer {} ago; since then: {trouble}", span(ago)),
        (None, Some(trouble)) => format!("no good answer yet: {trouble}"),
        (None, None) => "not asked yet".to_owned(),
    }
}

/// A length of time in its two largest units: `3m 20s`.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d {hours}h")
    } else if hours > 0 {
        format!("{hours}h {minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ApiStatus, Said};

    #[test]
    fn what_the_page_says_is_escaped_and_loads_nothing() {
        let status = StatusSnapshot {
            api: ApiStatus::Down("<script>alert(1)</script>".into()),
            last_success: [("listing".to_owned(), Timestamp::from_millis(1_000))].into(),
            oldest_pending: Some(Timestamp::from_millis(0)),
            ..StatusSnapshot::default()
        };
        let links = Links { prefix: "/agntix".into(), telemetry_path: "/metrics".into() };
        let html = render(&status, &links, ("TLS, 2 users".into(), None), 7, Timestamp::from_millis(201_000)).unwrap();
        assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("@import"), "{html}");
        for expected in [
            "href=\"/agntix/metrics\"",
            "href=\"/agntix/-/ready\"",
            "TLS, 2 users",
            "listing",
            "3m 20s ago",
            "ended 3m 21s ago",
            "alert(1)",
        ] {
            assert!(html.contains(expected), "{expected} in {html}");
        }
    }

    #[test]
    fn replica_says_who_counts_and_how_far_it_is_itself() {
        let mut status = StatusSnapshot {
            replica: Some(ReplicaStatus {
                name: "two/8".into(),
                database: "db1:5432,db2:5432/agntix".into(),
                schema: "agntix_exporter".into(),
                holder: "one/7".into(),
                since: Some(Timestamp::from_millis(10_000)),
                sequence: 1_234,
                current_at: Some(Timestamp::from_millis(200_000)),
                census: Some(CensusStatus { replicas: 3, inbox: 4, is_synchronous: true }),
                said: Some(Said { at: Timestamp::from_millis(198_000), ready: Ok(()) }),
                differing: vec!["metrics.static_labels".into()],
                ..ReplicaStatus::default()
            }),
            ..StatusSnapshot::default()
        };
        let links = Links::default();
        let page = |status: &StatusSnapshot| {
            render(status, &links, (String::new(), None), 7, Timestamp::from_millis(201_000)).unwrap()
        };
        let html = page(&status);
        for expected in [
            "db1:5432,db2:5432/agntix, schema agntix_exporter",
            "one/7, for 3m 11s",
            "two/8: shows everything up to commit 1234, as of 1s ago",
            "<td>3</td>",
            "4 deliveries are acknowledged and not yet counted",
            "synchronous: acknowledged when a standby has them as well",
            "as one/7 said 3s ago",
            "metrics.static_labels",
        ] {
            assert!(html.contains(expected), "{expected} in {html}");
        }
        assert!(!html.contains("State directory"), "{html}");
        // Nobody has said anything lately.
        status.replica.as_mut().unwrap().said = None;
        assert!(page(&status).contains("not known; one/7 did last"));
        status.replica.as_mut().unwrap().is_active = true;
        assert!(page(&status).contains("this replica, for 3m 11s"));
        assert!(!page(&StatusSnapshot::default()).contains("Replicas that are there"));
    }

    #[test]
    fn spans_show_two_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_600, "1h 0m"), (90_000, "1d 1h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
