//! `deploy/local.sh`, which is the stack of `deploy/compose.yaml` on loopback: from the simulated incident to the receiver, through
//! the rules, the routes and the templates as they are shipped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::prometheus::Labels;
use crate::support::receiver::{self, Message};
use crate::support::{PATIENCE, signal, tool, until};

/// The agent of the demo that stops resolving.
const AGENT: &str = "40235145-aa3d-443e-9d0c-841dd0716a2f";
/// After so long it does so.
const UNTIL_INCIDENT: Duration = Duration::from_secs(180);
/// How soon the incident of a busy agent is to be known.
const PROMISE: Duration = Duration::from_secs(6 * 60);
/// How many clicks it may take from a message to the page of a session behind it.
const CLICKS: usize = 3;

/// The script, and what it has started.
struct Stack {
    script: Child,
    /// Where all of its files are; removed with this.
    temporary: TempDir,
    /// The exporter's, Prometheus', Alertmanager's and the receiver's.
    addresses: Vec<SocketAddr>,
    /// Before any of it was started.
    started: Instant,
}

impl Stack {
    fn start(arguments: &[&str]) -> Self {
        let (temporary, started) = (tempfile::tempdir().unwrap(), Instant::now());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local.sh");
        let mut script = Command::new(script)
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .env("AGNTIX_EXPORTER", env!("CARGO_BIN_EXE_agntix-exporter"))
            .env("PROMETHEUS_3", tool::locate("PROMETHEUS_3", "prometheus3/usr/bin/prometheus"))
            .env("PROMTOOL_3", tool::locate("PROMTOOL_3", "prometheus3/usr/bin/promtool"))
            .env("ALERTMANAGER", tool::locate("ALERTMANAGER", "alertmanager/usr/bin/prometheus-alertmanager"))
            .env("AMTOOL", tool::locate("AMTOOL", "alertmanager/usr/bin/amtool"))
            .envs(["EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "RECEIVER_PORT"].map(|port| (port, "0")))
            .env_remove("AGNTIX_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(script.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Read on when nobody waits for lines any more: a script that writes into a closed pipe is ended by the system.
                let _ = sender.send(line);
            }
        });
        let mut stack = Self { script, temporary, addresses: Vec::new(), started };
        while stack.addresses.len() < 4 {
            let line = lines.recv_timeout(PATIENCE).expect("the script prints four addresses");
            stack.addresses.extend(
                line.split_once("http://").and_then(|(_, rest)| rest.trim_end_matches('/').parse::<SocketAddr>().ok()),
            );
        }
        stack
    }

    /// The logs of what it has started, of all or of one.
    fn logs(&self, of: Option<&str>) -> String {
        let directories = std::fs::read_dir(self.temporary.path()).unwrap().flatten();
        let files =
            directories.flat_map(|directory| std::fs::read_dir(directory.path()).into_iter().flatten().flatten());
        let logs = files.map(|file| file.path()).filter(|path| {
            path.extension().is_some_and(|extension| extension == "log")
                && of.is_none_or(|name| path.file_stem().is_some_and(|stem| stem == name))
        });
        let texts = logs.map(|log| [log.display().to_string(), std::fs::read_to_string(&log).unwrap()].join("\n"));
        texts.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs(None));
        }
        // It fails only if the script has ended already. What it has started ends with it.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// The first messages about the agent, as each service shows them.
async fn first_messages(stack: &Stack, deadline: Instant) -> [Message; 2] {
    let (client, receiver) = (receiver::client(), stack.addresses[3]);
    loop {
        let sent = receiver::latest(&client, receiver).await;
        let first = |kind: &str| {
            let mut of_kind = sent.iter().filter(|message| message.kind == kind);
            of_kind.find(|message| message.links.iter().any(|link| link.url.contains(AGENT))).cloned()
        };
        if let (Some(slack), Some(incident)) = (first("Slack"), first("PagerDuty")) {
            return [slack, incident];
        }
        assert!(Instant::now() < deadline, "no message within {PROMISE:?} of the incident, but {sent:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What Prometheus answers, each series by its labels.
async fn ask(prometheus: SocketAddr, query: &str) -> Vec<Labels> {
    let url = format!("http://{prometheus}/api/v1/query");
    let url = Url::parse_with_params(&url, [("query", query)]).unwrap();
    let text = receiver::client().get(url).send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {text}"));
    series.iter().map(|one| serde_json::from_value(one["metric"].clone()).unwrap()).collect()
}

/// A query of a dashboard as Grafana sends it: variables that the link does not set stand for everything.
fn with_variables(query: &str, chosen: &BTreeMap<String, String>) -> String {
    let mut parts = query.split('$');
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        // $1 is of label_replace.
        if part.starts_with(|c: char| c.is_ascii_digit()) {
            filled.push('$');
            filled.push_str(part);
        } else {
            filled.push_str(chosen.get(&part[..end]).map_or(".*", String::as_str));
            filled.push_str(&part[end..]);
        }
    }
    filled
}

/// The page of a session in Agntix that the table of a dashboard links to, and the session: the first row, as Grafana shows it.
async fn page_of_first_session(dashboard: &Url, prometheus: SocketAddr) -> (String, Labels) {
    let uid = dashboard.path().rsplit('/').next().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards").join(uid).with_extension("json");
    let board: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let chosen: BTreeMap<String, String> = dashboard
        .query_pairs()
        .filter_map(|(name, value)| Some((name.strip_prefix("var-")?.to_owned(), value.into_owned())))
        .collect();
    for variable in chosen.keys() {
        let known = board["templating"]["list"].as_array().unwrap().iter().any(|one| one["name"] == *variable);
        assert!(known, "{uid} has no variable {variable}");
    }
    let panels = board["panels"].as_array().unwrap();
    let panel = panels.iter().find(|panel| panel.to_string().contains("Open in Agntix")).expect("a table of sessions");
    let link = panel["fieldConfig"]["overrides"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|of| of["properties"].as_array().unwrap())
        .flat_map(|property| property["value"].as_array().into_iter().flatten())
        .find_map(|link| (link["title"] == "Open in Agntix").then(|| link["url"].as_str().unwrap()))
        .unwrap();
    let query = with_variables(panel["targets"][0]["expr"].as_str().unwrap(), &chosen);
    let rows = ask(prometheus, &query).await;
    let session = rows.into_iter().next().unwrap_or_else(|| panic!("no session is listed by {query}"));
    // Columns have names of their own.
    let renamed = panel["transformations"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["options"]["renameByName"].as_object().into_iter().flatten());
    let mut page = link.replace("${__value.raw}", &session["session_id"]);
    // Where Agntix is comes from the rules, as a variable that nobody sees.
    let variables = board["templating"]["list"].as_array().unwrap();
    let of_app = variables.iter().find(|variable| variable["name"] == "app_url").unwrap();
    let query = of_app["query"]["query"].as_str().unwrap();
    let query = query.strip_prefix("query_result(").unwrap().strip_suffix(')').unwrap();
    let found = ask(prometheus, &with_variables(query, &chosen)).await;
    page = page.replace("${app_url:raw}", &found[0]["app_url"]);
    for (label, column) in renamed {
        let field = format!("${{__data.fields[{column}]}}");
        page = page.replace(&field, session.get(label).map_or("", String::as_str));
    }
    (page, session)
}

#[tokio::test]
#[ignore = "needs Prometheus and Alertmanager from .ci/tools"]
async fn a_simulated_incident_is_told_within_the_promised_time_and_leads_to_its_sessions() {
    let mut stack = Stack::start(&[]);
    // At the earliest: the simulation starts after the script.
    let incident = stack.started + UNTIL_INCIDENT;
    let [post, page] = first_messages(&stack, incident + PROMISE).await;
    let after = Instant::now().checked_duration_since(incident).expect("a message before there was a reason for one");
    println!("{after:?} after the incident began:\n{}", stack.logs(Some("receiver")));

    assert_eq!((post.state.as_str(), page.state.as_str()), ("firing", "firing"));
    assert!(post.title.starts_with("[CRITICAL] ") && post.title.contains("Delivery Desk"), "{post:#?}");
    assert!(page.title.contains("Delivery Desk") && page.text.contains("Severity: critical"), "{page:#?}");
    assert!(page.text.contains("Slot-"), "its intents: {page:#?}");
    assert!(page.link("Runbook").contains("/-/runbooks/Agntix"), "{page:#?}");
    let runbook = receiver::client().get(page.link("Runbook")).send().await.unwrap();
    let (status, runbook) = (runbook.status(), runbook.text().await.unwrap());
    assert!(status == 200 && runbook.contains("Check in a minute"), "{status}: {runbook}");

    // The first click is on the message, the second on a session in the table.
    for message in [post, page] {
        let mut clicks = vec![message.link("Sessions").to_owned()];
        let (session_page, session) = page_of_first_session(&Url::parse(&clicks[0]).unwrap(), stack.addresses[1]).await;
        clicks.push(session_page);
        println!("{}: {}", message.kind, clicks.join("\n  → "));
        assert!(clicks.len() <= CLICKS);
        let id = &session["session_id"];
        assert_eq!(clicks[1], format!("https://app.agntix.ai/en/logs-history?opened={id}"));
        assert_eq!(session["resolution"], "unresolved", "{session:?}");
        let of_agent = format!("agntix_watched_session_info{{agent_id=\"{AGENT}\",session_id=\"{id}\"}}");
        assert!(!ask(stack.addresses[1], &of_agent).await.is_empty(), "{id} is not behind the message");
    }

    // A warning that comes back at each scrape would hide the one that matters.
    let log = stack.logs(Some("prometheus"));
    assert!(log.contains("Server is ready") && !log.contains("Error on ingesting"), "{log}");

    signal(&stack.script, "INT");
    let status = until("the script to end", || stack.script.try_wait().unwrap());
    assert!(status.success(), "{status}");
    for address in &stack.addresses {
        assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
    }
    assert_eq!(std::fs::read_dir(stack.temporary.path()).unwrap().count(), 0, "files are left behind");
}

#[tokio::test]
#[ignore = "takes a minute or two; CONTRIBUTING.md has the command"]
async fn a_day_of_history_is_there_when_the_local_stack_has_started() {
    let stack = Stack::start(&["--history", "1d"]);
    let prometheus = stack.addresses[1];
    for query in [
        "sum(increase(agntix_sessions_ended_total[25h])) > 5000",
        "agntix:sessions_judged:sum{agent_id=\"\", signal=\"unresolved\"} offset 6h",
        "agntix:sessions_bad_share:ratio{agent_id=\"\", window=\"1h\"} offset 6h",
    ] {
        assert!(!ask(prometheus, query).await.is_empty(), "{query}");
    }
}
