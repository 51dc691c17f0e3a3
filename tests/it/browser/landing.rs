//! The landing page of daemons that count, that have nothing to count, and that cannot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use simulator::{AgentProfile, SimulatorConfig, weighted};

use super::look;
use crate::numbers::customers::recognising;
use crate::support::{Api, Daemon, NOON, Setup, free_address, until};

const MINUTE: Duration = Duration::from_secs(60);
/// Names that somebody has given to agents, as a reader must see them.
const NAMES: [&str; 6] = [
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "\u{202e}ksed yreviled\u{202c} מוקד השירות",
    "👩🏽‍🚒 Löschzug 🚒🇫🇷",
    "a\" onmouseover=\"alert(3)\" style=\"position:fixed\" x=\"&amp;&lt;",
    "{{ 7 * 7 }}{% endblock %}",
    // Without a place where it could be broken.
    concat!(
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftskapitänsmütze",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftskapitänsmützenrand________"
    ),
];

/// Agents of these names, and one that has only an id.
fn hostile() -> SimulatorConfig {
    let agents = NAMES.iter().chain(&[""]).enumerate().map(|(number, name)| AgentProfile {
        id: format!("agnt_{number}<u>{}", "0123456789abcdef".repeat(4)),
        name: (*name).to_owned(),
        sessions_per_day: 8_000.0,
        variables: vec![("queue".to_owned(), weighted(&[("<i>first</i>", 0.5), ("second", 0.5)]))],
        ..AgentProfile::default()
    });
    SimulatorConfig {
        start: NOON,
        now: Some(NOON),
        speed: 0.0,
        agents: agents.collect(),
        rate_limit: None,
        ..SimulatorConfig::default()
    }
}

/// Asks for the landing page until it shows this.
fn shows(daemon: &Daemon, what: &str) {
    until(&format!("the landing page to show {what}"), || daemon.get("/").1.contains(what).then_some(()));
}

#[test]
#[ignore = "needs Chromium and axe-core (.ci/tools)"]
fn landing_page_is_good_in_every_view_however_the_daemon_is() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::start(hostile());
    let idle =
        Api::start(SimulatorConfig { agents: Vec::new(), now: Some(NOON), speed: 0.0, ..SimulatorConfig::default() });
    let setup = |name: &str, api| Setup::new(api, &directory.path().join(name));
    let everything = recognising(setup("everything", api.address), directory.path())
        .set("MESSAGES__ENABLED", "true")
        .set("METRICS__VARIABLES", "queue")
        .start();
    // What the table is made of is counted all the same.
    let disabled = "agntix_session_outcomes_total,agntix_session_duration_seconds,agntix_agent_info";
    let little = setup("little", api.address)
        .set("METRICS__DISABLED", disabled)
        .set("WEB__EXTERNAL_URL", "http://127.0.0.1:1/a/prefix/")
        .set("WEB__ROUTE_PREFIX", "/")
        .start();
    let nothing = setup("nothing", idle.address).start();
    let away = setup("away", free_address()).start();
    // What was there before is not in the table.
    for daemon in [&everything, &little] {
        until("the table to begin", || daemon.get("/").1.contains("<h2>Agents</h2>").then_some(()));
    }
    api.jump(NOON.plus(MINUTE * 5));
    for daemon in [&everything, &little] {
        let rows = |page: &str| page.matches("scope=\"rowgroup\"").count();
        until("all agents in the table", || (rows(&daemon.get("/").1) == NAMES.len() + 2).then_some(()));
    }
    shows(&nothing, "No session was counted");
    shows(&away, "Agntix does not answer");

    let urls = [&everything, &little, &nothing, &away].map(|daemon| format!("http://{}/", daemon.address));
    let seen = look(&urls, &[]);
    for page in &seen[..2] {
        for name in NAMES {
            assert!(page.text.contains(name), "{name} in {}", page.text);
        }
        assert!(page.text.contains("now ") && !page.text.contains("unknown"), "{}", page.text);
    }
    assert!(seen[0].title.starts_with("agntix-exporter: ") && seen[3].title.contains("does not answer"), "{seen:#?}");
}

/// What the row of an agent says.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    sessions: u64,
    /// In percent, and of how many.
    unresolved: (u64, u64),
    negative: (u64, u64),
    /// How their courses end.
    now: Vec<String>,
}

fn row(page: &str, agent: &str) -> Option<Row> {
    let row = page.split("<tbody>").find(|row| row.contains(agent))?;
    let each = |begin: &str| -> Vec<String> {
        row.split(begin).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    };
    let cells = each("<td class=\"number\">");
    let share = |cell: &String| {
        let (percent, of) = cell.split_once(" % of ")?;
        Some((percent.parse().ok()?, of.parse().ok()?))
    };
    Some(Row {
        unresolved: share(cells.first()?)?,
        negative: share(cells.get(1)?)?,
        sessions: cells.get(2)?.parse().ok()?,
        now: each("<span>now "),
    })
}

/// The landing page when everything is counted that has ended by now, and the table has seen it: it looks every 2 seconds at most.
fn settled(api: &Api, daemon: &Daemon) -> String {
    daemon.shows(&api.truth());
    let (mut last, mut since) = (None, Instant::now());
    until("the table to stand still", || {
        let page = daemon.get("/").1;
        let now = row(&page, "All agents");
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(2_500)).then_some(page)
    })
}

#[test]
fn incidents_of_the_demo_are_seen_on_the_landing_page_within_minutes() {
    // Without the half hour before, which the table does not show.
    let simulation = SimulatorConfig { start: NOON, speed: 0.0, rate_limit: None, ..SimulatorConfig::demo(NOON) };
    let names: Vec<String> = simulation.agents.iter().map(|agent| agent.name.clone()).collect();
    let [desk, hotline] = [&names[0], &names[1]];
    let api = Api::start(simulation);
    let directory = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &directory.path().join("state")).start();
    shows(&daemon, "No session was counted");
    // The time is the simulation's: nothing here waits for minutes. After 3 the desk begins to resolve nothing, and after 6 the
    // customers of the hotline to be unhappy.
    let [three, six, eleven] = [3, 6, 11].map(|minutes| {
        api.jump(NOON.plus(MINUTE * minutes));
        let page = settled(&api, &daemon);
        names.iter().map(|name| (name.clone(), row(&page, name).unwrap())).collect::<BTreeMap<_, _>>()
    });
    println!(
        "{desk}: {:?}, then {:?}\n{hotline}: {:?}, then {:?}",
        three[desk], six[desk], six[hotline], eleven[hotline]
    );
    assert!(three[desk].unresolved.0 <= 20 && six[desk].unresolved.0 >= 45, "{three:#?}\n{six:#?}");
    assert!(eleven[hotline].negative.0 >= six[hotline].negative.0 + 15, "{six:#?}\n{eleven:#?}");
    // They stand out among the others, in the table and at the end of the course.
    let worst = |rows: &BTreeMap<String, Row>, share: fn(&Row) -> (u64, u64)| {
        rows.iter().filter(|(_, row)| share(row).1 > 20).max_by_key(|(_, row)| share(row).0).unwrap().0.clone()
    };
    assert_eq!(
        [worst(&six, |row| row.unresolved), worst(&eleven, |row| row.negative)],
        [desk.clone(), hotline.clone()]
    );
    let (percent, of) = six[desk].unresolved;
    assert_eq!(six[desk].now[0], format!("{percent} % of {of}"), "{six:#?}");
}
