//! Every query of the dashboards, put to both Prometheus servers, and to one that scrapes protobuf, after they have scraped a
//! real daemon that watched a real simulation: none fails, none is empty or not a number without a reason, and the totals are the simulator's truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use simulator::{
    FaultKind, FaultRule, Faults, Rhythm, Route, SimulatorConfig, TruthField, TruthFieldKind, TruthMetrics,
};

use super::documented::{self, Documented};
use super::totals::{ASSESSED, Growth, SPANS, TOTALS, Total, UNRESOLVED, VOLUME, grouped, key, sum};
use super::{Dashboard, all_needed, text};
use crate::numbers::customers::{self, without_previous};
use crate::numbers::messages;
use crate::support::prometheus::{Prometheus, Sample, Setup as Scrape, Version};
use crate::support::{Api, Daemon, NOON, Setup, number, total, until};

/// What is chosen in the variables, as Grafana writes it into a regular expression.
pub struct Choice {
    pub name: &'static str,
    pub values: [(&'static str, String); 11],
}

/// Their families are there with `state.url` only; `tests/it/replicas/targets.rs` puts these queries to replicas.
const ONE_PROCESS: &str = "one process counts for itself";

/// Panels that this run leaves empty, and why.
const EMPTY: [(&str, &str, &str); 14] = [
    (
        "agntix-exporter",
        "Which labels overflow?",
        "five agents with four intents each are far from the bounds of labels",
    ),
    ("agntix-exporter", "What becomes of deliveries?", "no webhook is enabled"),
    ("agntix-exporter", "Which customers are left out?", "no number is shared by many"),
    ("agntix-exporter", "Replicas", ONE_PROCESS),
    ("agntix-exporter", "Synchronous", ONE_PROCESS),
    ("agntix-exporter", "Commits lost", ONE_PROCESS),
    ("agntix-exporter", "Sessions lost", ONE_PROCESS),
    ("agntix-exporter", "Commits made again", ONE_PROCESS),
    ("agntix-exporter", "Who counts?", ONE_PROCESS),
    ("agntix-exporter", "Who can use the database?", ONE_PROCESS),
    ("agntix-exporter", "What waits in the inbox?", ONE_PROCESS),
    ("agntix-exporter", "How long does a look into the database take?", ONE_PROCESS),
    ("agntix-quality", "How often does an analysis change afterwards?", "no analysis changes"),
    ("agntix-operations", "Which intents need work?", "a change within a week takes a week"),
];

/// Panels with a query for each of several places, of which a choice of few agents fills the first.
const PLACES: [(&str, &str); 2] = [
    ("agntix-overview", "Which agent's unresolved share rises?"),
    ("agntix-overview", "Which agent's negative share rises?"),
];

/// Rates over so long, and steps of so long: four scrapes and one scrape, as Grafana does it.
const RATE_INTERVAL: &str = "4s";
const STEP: f64 = 1.0;

fn simulation() -> SimulatorConfig {
    let field = |field: &str, kind, buckets| TruthField { field: field.into(), kind, buckets };
    SimulatorConfig {
        now: Some(NOON),
        speed: 0.0,
        rhythm: Rhythm::Even,
        rate_limit: Some(1_000_000),
        expired_share: 0.05,
        // A minute of the simulation is a second here, too short to see an analysis before it changes.
        reclassified_share: 0.0,
        // Few enough that some come back within the run.
        customers: Some(2_000),
        metrics: TruthMetrics {
            variables: vec!["campaign".into()],
            messages_share: Some(1.0),
            repeat_windows: customers::windows(),
            extracted: vec![
                field("department", TruthFieldKind::Enum, vec![]),
                field("basketValue", TruthFieldKind::Number, vec![10.0, 100.0]),
                field("transferred", TruthFieldKind::Boolean, vec![]),
                field("csat", TruthFieldKind::Number, vec![1.0, 2.0, 3.0, 4.0]),
            ],
            ..TruthMetrics::default()
        },
        ..SimulatorConfig::demo(NOON)
    }
}

/// A daemon whose page shows the simulation as it stands.
fn daemon(api: &Api, directory: &std::path::Path) -> Daemon {
    let file = directory.join("exporter.toml");
    let extracted = "[[metrics.extracted]]\nfield = \"department\"\nkind = \"enum\"\n\
                     [[metrics.extracted]]\nfield = \"basketValue\"\nkind = \"number\"\nbuckets = [10, 100]\n\
                     [[metrics.extracted]]\nfield = \"transferred\"\nkind = \"boolean\"\n\
                     [[metrics.extracted]]\nfield = \"csat\"\nkind = \"number\"\nbuckets = [1, 2, 3, 4]\n";
    let repeats = customers::table(directory, "an example of a key, which is no secret");
    let opted_in = format!(
        "[messages]\nenabled = true\n[metrics]\nvariables = [\"campaign\"]\nrepeat_contacts = {repeats}\n{extracted}"
    );
    std::fs::write(&file, opted_in).unwrap();
    let open = api.sessions().into_iter().filter(|session| session.ended > api.simulator.now());
    let watched: Vec<String> = open.map(|session| session.id).collect();
    Setup::new(api.address, &directory.join("state"))
        .argument(&format!("--config.file={}", file.display()))
        // The clock stands still, so that open sessions would be waited for.
        .set("SESSIONS__LOOK_BACK_DEADLINE", "2s")
        .set("METRICS__WATCH_RECENT", "50")
        .set("SESSIONS__IDS", &watched.join(","))
        // Several scrapes, so that no series is first seen above 0.
        .set("METRICS__NEW_SERIES_HOLD", "4s")
        .set("POLL__AGENTS_INTERVAL", "1s")
        .start()
}

/// Which server, and what it asks for where that is not what it asks for by itself.
const WITNESSES: [(Version, Option<&str>); 3] =
    [(Version::V2, None), (Version::V3, None), (Version::V3, Some("PrometheusProto"))];

/// Scrapes the daemon each second, with rules that make alerts of all kinds fire, and record what the dashboards show beside them.
async fn prometheus(
    (version, protocol): (Version, Option<&str>),
    daemon: &Daemon,
    directory: &std::path::Path,
) -> Prometheus {
    let recorded = |name, expr: &str, signal, pace, window| {
        let expr = format!("sum by (organization, job, agent_id) (0 * agntix_sessions_open) + {expr}");
        let labels: BTreeMap<_, _> = [("signal", signal), ("pace", pace), ("window", window)].into();
        json!({ "record": name, "expr": expr, "labels": labels })
    };
    let of_signal = |signal| {
        [
            recorded("agntix:sessions_bad_share:expected", "0.3", signal, "fast", ""),
            recorded("agntix:sessions_judged:increase", "20", signal, "fast", "1h"),
            recorded("agntix:sessions_bad_share:ratio", "0.3", signal, "medium", "6h"),
            recorded("agntix:sessions_bad_share:ratio", "0.3", signal, "slow", "1d"),
            recorded("agntix:sessions_bad_share:ratio", "0.3", signal, "slow", "3d"),
            recorded("agntix:sessions_bad_share:allowed", "0.2", signal, "", ""),
            recorded("agntix:sessions_judged:sum", "time()", signal, "", ""),
            recorded("agntix:sessions_bad:sum", "time() / 10", signal, "", ""),
        ]
    };
    let mut rules = vec![
        json!({ "alert": "AgntixTestOfAll", "expr": "sum(agntix_up) == 1", "labels": { "severity": "critical" } }),
        json!({ "alert": "AgntixTestOfAgents", "expr": "sum by (agent_id) (agntix_sessions_open) >= 0",
                "labels": { "severity": "warning" } }),
        // It begins to fire when the simulation goes on.
        json!({ "alert": "AgntixTestOfMarks", "labels": { "severity": "critical" },
                "expr": "sum(agntix_sessions_ended_total) > sum(agntix_sessions_ended_total offset 3s)" }),
    ];
    rules.extend(["unresolved", "negative"].into_iter().flat_map(of_signal));
    let rules = json!({ "groups": [{ "name": "test", "rules": rules }] });
    let file = directory.join("rules.yml");
    std::fs::write(&file, rules.to_string()).unwrap();
    let mut setup = Scrape::scraping(daemon.address).flag("--enable-feature=exemplar-storage");
    setup.top.insert("rule_files".into(), json!([file]));
    if let Some(organization) = organization(version) {
        let labels = json!({ "organization": organization, "cluster": PLACE[0], "namespace": PLACE[1] });
        let target = json!([{ "targets": setup.targets, "labels": labels }]);
        setup.job.insert("static_configs".into(), target);
    }
    if let Some(protocol) = protocol {
        setup.job.insert("scrape_protocols".into(), json!([protocol]));
    }
    let prometheus = Prometheus::start(version, setup).await;
    prometheus
        .query_until("count_over_time(agntix_up[1m])", |found| found.first().is_some_and(|f| f.value >= 2.0))
        .await;
    prometheus
}

/// Cluster and namespace of the target, where it has an organization.
const PLACE: [&str; 2] = ["prod", "support"];

/// What one of the servers says of the target; on the other there is no such label.
fn organization(version: Version) -> Option<&'static str> {
    (version == Version::V3).then_some("acme")
}

/// When the last scrape was, in Unix time.
async fn last_scrape(prometheus: &Prometheus) -> f64 {
    prometheus.query("timestamp(agntix_up)").await[0].value
}

/// A query about what was before, as it can be put to a server that knows nothing from before the run: so many seconds after the run, or, where
/// the agents' names of that time are needed, about the run itself.
fn looking_back(expr: &str) -> Option<(String, f64)> {
    if expr.contains(":1h]") {
        // Whole hours, of which the first ends after the run.
        return Some((expr.to_owned(), 3_600.0));
    }
    let (_, rest) = expr.split_once(" offset ")?;
    let offset = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
    let length = humantime::parse_duration(offset).unwrap();
    if expr.contains("agntix_agent_info") {
        return Some((expr.replace(&format!(" offset {offset}"), ""), 0.0));
    }
    Some((expr.to_owned(), length.as_secs_f64()))
}

/// A server that has seen the whole run, and the span of it.
struct Witness {
    prometheus: Prometheus,
    version: Version,
    /// The last scrape before the simulation went on, and one after all of it was counted.
    from: f64,
    to: f64,
}

impl Witness {
    /// The expression as Grafana would send it.
    fn filled(&self, expr: &str, choice: &Choice) -> String {
        // A hair more than the span, since Prometheus 3 leaves out what lies on its beginning.
        let range = format!("{}ms", ((self.to - self.from) * 1_000.0).round() + 1.0);
        let grafana = [("__rate_interval", RATE_INTERVAL), ("__range", &range), ("__interval", "1s")];
        let mut values: Vec<(&str, &str)> = grafana.to_vec();
        values.extend(choice.values.iter().map(|(name, value)| (*name, value.as_str())));
        let filled =
            values.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(&format!("${name}"), value));
        // `$1` and the like are for Prometheus.
        let left = filled.split('$').skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        assert!(!left, "a variable is left in {filled}");
        filled
    }

    /// At the end of the run, or later if it is about what was before.
    async fn answer(&self, expr: &str) -> Vec<Sample> {
        let answer = self.prometheus.query_at(expr, self.to).await;
        match looking_back(expr) {
            Some((expr, later)) if answer.is_empty() => self.prometheus.query_at(&expr, self.to + later).await,
            _ => answer,
        }
    }

    /// What is wrong with the answer, if anything.
    async fn complaint(&self, expr: &str, instant: bool) -> Option<String> {
        let values: Vec<f64> = if instant {
            self.answer(expr).await.iter().map(|sample| sample.value).collect()
        } else {
            let series = self.prometheus.query_range(expr, self.from, self.to, STEP).await;
            series.iter().flat_map(|series| series.points.iter().map(|point| point.1)).collect()
        };
        if values.is_empty() {
            return Some(format!("is empty: {expr}"));
        }
        values.iter().any(|value| !value.is_finite()).then(|| format!("is not a number: {expr}"))
    }

    /// Puts every query of every panel and annotation, and gives those that are empty for a reason that is known.
    async fn every_query_is_answered(&self, dashboards: &[Dashboard], choice: &Choice) -> BTreeSet<(String, String)> {
        let (mut excused, mut wrong) = (BTreeSet::new(), Vec::new());
        for dashboard in dashboards {
            for panel in dashboard.panels() {
                for target in panel.targets() {
                    if choice.name != "all"
                        && target.json["refId"] != "A"
                        && PLACES.contains(&(panel.uid, panel.title()))
                    {
                        continue;
                    }
                    // Where a step is a day, it is as long as a rate needs here.
                    let expr = target.expr.replace("[$__interval]", "[$__rate_interval]");
                    let expr = self.filled(&expr, choice);
                    let Some(said) = self.complaint(&expr, target.json["instant"] == true).await else { continue };
                    if EMPTY.iter().any(|(uid, title, _)| (*uid, *title) == (panel.uid, panel.title())) {
                        excused.insert((panel.uid.to_owned(), panel.title().to_owned()));
                    } else {
                        wrong.push(format!("{} {}: {said}", panel.place(), target.json["refId"]));
                    }
                }
            }
            for note in dashboard.annotations() {
                let said = self.complaint(&self.filled(text(&note["expr"]), choice), false).await;
                wrong.extend(said.map(|said| format!("{}, annotation: {said}", dashboard.uid)));
            }
        }
        assert!(wrong.is_empty(), "{:?}, {}:\n{}", self.version, choice.name, wrong.join("\n"));
        excused
    }

    /// Every variable offers something, and the agents by their names.
    async fn every_variable_has_values(&self, dashboard: &Dashboard, choice: &Choice) {
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            let query = self.filled(text(&variable["query"]["query"]), choice);
            assert_eq!(variable["definition"], variable["query"]["query"]);
            let (call, rest) = query.split_once('(').unwrap();
            let inner = rest.strip_suffix(')').unwrap();
            if call == "label_values" {
                let (selector, wanted) = inner.rsplit_once(", ").unwrap();
                let series = self.prometheus.series(selector).await;
                let offered = series.iter().any(|labels| labels.contains_key(wanted));
                let there =
                    !["cluster", "namespace", "organization"].contains(&wanted) || organization(self.version).is_some();
                assert_eq!(offered, there, "{:?}: {query}", self.version);
                continue;
            }
            assert_eq!((call, &variable["name"]), ("query_result", &json!("agent")));
            assert_eq!(variable["regex"], r#"/agent_name="(?<text>[^"]+)|agent_id="(?<value>[^"]+)/g"#);
            let agents = self.prometheus.query_at(inner, self.to).await;
            let names: BTreeSet<_> = agents.iter().map(|agent| agent.labels["agent_name"].as_str()).collect();
            let wanted = ["Appointments", "Delivery Desk", "Payment Reminder", "Service Hotline", "Shop Assistant"];
            assert!(names.iter().eq(&wanted) && agents.iter().all(|agent| agent.labels.contains_key("agent_id")));
        }
    }

    /// Where exemplars are asked for, there are some, and each names its session.
    async fn exemplars_lead_to_sessions(&self, dashboards: &[Dashboard], choice: &Choice) {
        for panel in dashboards.iter().flat_map(Dashboard::panels) {
            for target in panel.targets().iter().filter(|target| target.json["exemplar"] == true) {
                let expr = self.filled(target.expr, choice);
                // An exemplar has the time of its session, which is the simulation's.
                let found = self.prometheus.exemplars(&expr, NOON.as_seconds_f64() - 3_600.0, self.to).await;
                assert!(!found.is_empty(), "{}: no exemplars of {expr}", panel.place());
                let all = found.iter().flat_map(|series| &series.exemplars);
                assert!(
                    all.into_iter().all(|exemplar| exemplar.labels.contains_key("session_id")),
                    "{}",
                    panel.place()
                );
            }
        }
    }

    /// Every query of README and docs is answered without an error, and the README's share is that of the dashboards.
    async fn documented_queries_agree(&self, dashboards: &[Dashboard], choice: &Choice) {
        let mut of_readme = None;
        for Documented { file, query } in documented::all() {
            let answer = self.prometheus.query_at(&query, self.to).await;
            if file == "README.md" {
                assert!(!answer.is_empty(), "{:?}: no answer to {query}", self.version);
                if query.contains(UNRESOLVED.1[0]) {
                    assert!(of_readme.replace(answer).is_none(), "two shares in the README");
                }
            }
        }
        let shares = |answer: &[Sample]| grouped(answer.iter().map(|s| (key(&s.labels, &["agent_id"]), s.value)));
        let overview = dashboards.iter().find(|dashboard| dashboard.uid == "agntix-overview").unwrap();
        let shown = self.filled(overview.panel("Which agent?").target("C").expr, choice);
        let shown = shares(&self.prometheus.query_at(&shown, self.to).await);
        let documented = shares(&of_readme.unwrap());
        assert!(documented.len() >= 4 && documented.keys().eq(shown.keys()), "{documented:?} {shown:?}");
        for (agent, share) in &documented {
            assert!((share - shown[agent]).abs() < 0.02, "{agent:?}: {share} in the README, {} shown", shown[agent]);
        }
    }

    /// First contact resolution, within each window: what was resolved and did not come back, of all that could be judged.
    async fn first_contact_resolution_is_the_truth(&self, dashboards: &[Dashboard], choice: &Choice, truth: &Growth) {
        let repeats = "agntix_session_repeat_contacts_total";
        let part = |metric, by, only| Total { by, only, ..sum("agntix-operations", "", "", metric) };
        let back = truth.of(&part(repeats, &["within"], &[]), choice);
        let outcomes = |only| truth.of(&part("agntix_session_outcomes_total", &[], only), choice).values().sum::<f64>();
        let (resolved, assessed) = (outcomes(&[("resolution", &["resolved"])]), outcomes(&[ASSESSED]));
        // The simulation does not say after which outcome somebody came back.
        let came = format!("sum by (within, previous_resolution) (increase({repeats}[$__range]))");
        let came = self.prometheus.query_at(&self.filled(&came, choice), self.to).await;
        let board = dashboards.iter().find(|dashboard| dashboard.uid == "agntix-operations").unwrap();
        let expr = self.filled(board.panel("How many are resolved at first contact?").target("A").expr, choice);
        let answer = self.prometheus.query_at(&expr, self.to).await;
        let shown = grouped(answer.iter().map(|sample| (key(&sample.labels, &["within"]), sample.value)));
        assert!(shown.len() == customers::windows().len() && back.values().any(|came| *came > 10.0), "{back:?}");
        for (within, share) in shown {
            let of = came.iter().filter(|sample| key(&sample.labels, &["within"]) == within);
            let all: f64 = of.clone().map(|sample| sample.value).sum();
            assert!((all - back.get(&within).copied().unwrap_or_default()).abs() < 0.5, "{within:?}: {all}, {back:?}");
            let again: f64 =
                of.filter(|s| s.labels["previous_resolution"] == "resolved").map(|sample| sample.value).sum();
            let wanted = (resolved - again) / assessed;
            assert!((share - wanted).abs() < 0.002, "{:?}: within {within:?} {share}, in truth {wanted}", self.version);
        }
    }

    /// The table of spans, a day and a week after the run.
    async fn spans_are_the_truth(&self, dashboards: &[Dashboard], choice: &Choice, truth: &Growth) {
        let wanted: f64 = truth.of(&VOLUME, choice).values().sum();
        let (title, label, spans) = SPANS;
        let board = dashboards.iter().find(|dashboard| dashboard.uid == VOLUME.uid).unwrap();
        let expr = self.filled(board.panel(title).target("A").expr, choice);
        for (span, days) in spans {
            let answer = self.prometheus.query_at(&expr, self.to + 86_400.0 * f64::from(days)).await;
            let shown: Vec<f64> = answer.iter().filter(|s| s.labels[label] == span).map(|s| s.value).collect();
            let near = shown.len() == 1 && (wanted - shown[0]).abs() <= 0.001 * wanted;
            assert!(near, "{:?}, span {span}: {shown:?}, in truth {wanted}", self.version);
        }
    }

    async fn totals_are_the_truth(&self, dashboards: &[Dashboard], choice: &Choice, truth: &Growth) {
        for total in TOTALS {
            let dashboard = dashboards.iter().find(|dashboard| dashboard.uid == total.uid).unwrap();
            let target = dashboard.panel(total.title).target(total.letter).expr;
            let expr = self.filled(target, choice);
            let answer = self.answer(&expr).await;
            let shown = grouped(answer.iter().map(|sample: &Sample| (key(&sample.labels, total.by), sample.value)));
            let wanted = truth.of(total, choice);
            assert!(wanted.values().any(|value| *value > 0.0), "{} {:?} proves nothing", total.uid, total.title);
            let place = || format!("{:?}, {}: {} {:?}", self.version, choice.name, total.uid, total.title);
            for key in wanted.keys().chain(shown.keys()) {
                let [wanted, shown] = [&wanted, &shown].map(|of| of.get(key).copied().unwrap_or_default());
                // The hair of time that is extrapolated is a few parts in 100,000.
                let near = (wanted - shown).abs() <= 0.001 * wanted.abs().max(1.0);
                assert!(near, "{}: {key:?} is {shown}, in truth {wanted}", place());
            }
        }
    }
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn both_prometheus_versions_answer_every_query_and_agree_with_the_truth_in_text_and_protobuf() {
    let api = Api::start(simulation());
    let directory = tempfile::tempdir().unwrap();
    let daemon = daemon(&api, directory.path());
    let before = messages::truth(&api);
    daemon.shows_as(&before, without_previous);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let started = runtime.block_on(async {
        let mut started = Vec::new();
        for (version, protocol) in WITNESSES {
            let prometheus = prometheus((version, protocol), &daemon, directory.path()).await;
            started.push((version, last_scrape(&prometheus).await, prometheus));
        }
        started
    });

    // A minute of the simulation each second, in which some requests fail and some sessions make no sense.
    let now = api.simulator.now();
    let future = api.simulator.sessions(now, now.plus(Duration::from_secs(600)));
    let bad_sessions = future.iter().skip(5).step_by(50).map(|session| session.id.clone()).collect();
    let fails = FaultRule { route: Some(Route::Session), share: 0.05, kind: FaultKind::Status(500) };
    api.simulator.set_faults(Faults { bad_sessions, rules: vec![fails], ..Faults::default() }).unwrap();
    api.simulator.set_clock(None, Some(60.0)).unwrap();
    let ended = |truth: &BTreeMap<String, f64>| total(truth, "agntix_sessions_ended_total");
    until("enough sessions", || (ended(&messages::truth(&api)) >= ended(&before) + number(500)).then_some(()));
    api.simulator.set_clock(None, Some(0.0)).unwrap();
    let growth = Growth { after: messages::truth(&api), before };
    daemon.shows_as(&growth.after, without_previous);

    let dashboards = Dashboard::all();
    let target = daemon.address.to_string();
    let choice =
        |name, organization: &str, instance: &str, [agent, session_type, channel, language, signal]: [&str; 5]| {
            let job = if instance == ".+" { ".+" } else { "agntix" };
            let [cluster, namespace] = if organization == ".*" { [".*"; 2] } else { PLACE };
            let values = [
                ("cluster", cluster),
                ("namespace", namespace),
                ("organization", organization),
                ("job", job),
                ("instance", instance),
                ("agent", agent),
                ("session_type", session_type),
                ("channel", channel),
                ("language", language),
                ("signal", signal),
                ("zone", "-3600"),
            ];
            Choice { name, values: values.map(|(name, value)| (name, value.to_owned())) }
        };
    let shop = "b1a7d7a2-0d5f-4f0e-9d0c-2f4e9f1f7c22";
    let all = choice("all", ".*", ".+", [".*"; 5]);
    let one_of = |organization| choice("one of each", organization, &target, [shop, "chat", "web", "en", "negative"]);
    let two_agents = format!("({shop}|7c0f2b6e-51d4-4c53-8f0a-6f6a6f3f1e11)");
    let several =
        choice("several agents and signals", ".*", &target, [&two_agents, ".*", ".*", ".*", "(unresolved|negative)"]);
    runtime.block_on(async {
        for (version, from, prometheus) in started {
            let one = one_of(organization(version).unwrap_or(".*"));
            let shown = last_scrape(&prometheus).await;
            // The page is complete by now, so that one more scrape sees all of it.
            let after = prometheus
                .query_until("timestamp(agntix_up)", |found| found.first().is_some_and(|f| f.value > shown + 1.0));
            let witness = Witness { to: after.await[0].value, prometheus, version, from };
            let excused = witness.every_query_is_answered(&dashboards, &all).await;
            all_needed(&EMPTY, &excused);
            witness.every_query_is_answered(&dashboards, &one).await;
            witness.every_query_is_answered(&dashboards, &several).await;
            witness.every_variable_has_values(&dashboards[0], &all).await;
            witness.exemplars_lead_to_sessions(&dashboards, &all).await;
            witness.totals_are_the_truth(&dashboards, &all, &growth).await;
            witness.first_contact_resolution_is_the_truth(&dashboards, &all, &growth).await;
            witness.spans_are_the_truth(&dashboards, &all, &growth).await;
            witness.documented_queries_agree(&dashboards, &all).await;
            witness.totals_are_the_truth(&dashboards, &one, &growth).await;
        }
    });
}
