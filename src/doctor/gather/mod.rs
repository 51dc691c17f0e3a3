//! The edge of the examination: everything that opens, asks or waits. What was seen is judged by the modules beside this
//! one.
//!
//! The checks run side by side, each bounded, so that the whole ends in half a minute whatever does not answer.

mod api;
mod bounds;
mod database;
mod files;
mod listeners;
mod page;
mod state;

use tokio::sync::oneshot;

use self::bounds::DISK_PATIENCE;
pub use self::bounds::Progress;
use self::listeners::Listener;
use super::budget;
use super::seen::ApiSeen;
use super::series::{self, Inputs, Known};
use super::state::StateSeen;
use super::{Finding, Report};
use super::{
    clock, database as judged_database, listeners as judged_listeners, routes, secrets, state as judged_state, watched,
};
use crate::capacity::{self, Backend, Load, Shape};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigOrigin, CredentialFaults, DatabaseUrl, Loaded};
use crate::ledger::sqlite::upkeep::Contents;
use crate::session::Stage;

/// Looks at everything. It sends four requests to the API, five where messages are read, and opens the event stream once; where something else answers, as
/// many more as the paths have spellings.
pub async fn examine(loaded: &Loaded, faults: &CredentialFaults, progress: Progress<'_>) -> Report {
    let config = &loaded.config;
    let (remembers, remembered) = oneshot::channel();
    let asking = async {
        match &faults.api {
            Some(_) => Ok(None),
            None => api::ask(loaded, remembered, progress).await.map(Some),
        }
    };
    let looking = async {
        let state = state::look(config.state.path.clone()).await;
        // With a database a directory is what was left behind. There is no receiver if the API is not asked.
        let used = state.as_ref().filter(|_| config.state.url.is_none());
        let _ = remembers.send(contents(used).map(|contents| contents.paths).unwrap_or_default());
        state
    };
    let database = async {
        progress("asking the database");
        database::look(config).await
    };
    let (asked, state, database, listeners, files) =
        tokio::join!(asking, looking, Box::pin(database), listeners::look(config), files::look(loaded.clone()));
    let mut findings = vec![configuration(loaded)];
    let warning = |warning: &String| Finding::warning("configuration", warning.clone(), "change it if it is not meant");
    findings.extend(loaded.warnings.iter().map(warning));
    if let Some(fault) = &faults.api {
        let advice = "put the organization's key into AGNTIX_API_KEY, or into the file that api.key_file names";
        findings.push(Finding::failure("credential", format!("{fault}; so the API was not asked"), advice));
    }
    let (asked, unasked) = match asked {
        Ok(asked) => (asked.unwrap_or_default(), None),
        Err(why) => (ApiSeen::default(), Some(why)),
    };
    let was_asked = faults.api.is_none() && unasked.is_none();
    if let Some(why) = unasked {
        findings.push(Finding::failure("api", why, "correct what the sentence names; the exporter does not start so"));
    }
    let answered =
        !asked.clocks.is_empty() || matches!(asked.agents, Some(Ok(_))) || matches!(asked.listing, Some(Ok(_)));
    if was_asked {
        findings.extend(answers(&asked, answered, config));
    }
    let page = listeners.page.as_ref().map(|page| Known {
        series: page.series,
        agents: page.agents,
        by: "the running exporter",
    });
    let contents = contents(state.as_ref().filter(|_| database.is_none()));
    // Without either, there is nothing to estimate from.
    if answered && (matches!(asked.listing, Some(Ok(_))) || contents.is_some()) {
        findings.push(budget::judge(&load(&asked, contents), asked.rate_limit, config));
    }
    findings.extend(watched::judge(asked.listing.as_ref().and_then(|listing| listing.as_ref().ok()), config));
    match &faults.webhook {
        Some(fault) => findings.push(secrets::judge_webhook(Some(&Err(fault.to_string())))),
        None => findings.push(secrets::judge_webhook(files.as_ref().and_then(|files| files.webhook.as_ref()))),
    }
    let contacts = files.as_ref().and_then(|files| files.contacts.as_ref());
    findings.extend(contacts.map(secrets::judge_contacts));
    findings.extend(files.iter().flat_map(|files| secrets::judge_files(&files.secrets)));
    findings.extend(secrets::judge_files(&listeners.secrets));
    findings.extend(judged_listeners::judge_guards(&listeners.guards, SystemClock.now()));
    for Listener { check, key, address, seen } in &listeners.all {
        findings.push(judged_listeners::judge(check, key, address, seen));
    }
    match (&database, &state) {
        (Some(database), state) => {
            findings.extend(judged_database::judge(database));
            findings.extend(judged_database::judge_directory(state.as_ref(), database));
            let has_password = config.state.url.as_ref().is_some_and(DatabaseUrl::has_password);
            let is_in_file = matches!(loaded.origins.get("state.url"), ConfigOrigin::File { .. });
            findings.extend(judged_database::judge_password(has_password && is_in_file));
        }
        (None, Some(state)) => {
            let saves = listeners.page.as_ref().and_then(|page| page.saves);
            let running = judged_state::Running { answers: listeners.exporter_answers(), saves };
            findings.extend(judged_state::judge(state, running, expected_state(&asked, config)));
        }
        (None, None) => findings.push(Finding::failure(
            "state",
            format!("{} does not answer within {DISK_PATIENCE:?}", config.state.path.display()),
            "mend the disk or the mount; the state must be on a local disk",
        )),
    }
    let known = page.or(contents.map(|contents| Known {
        series: capacity::of_rows(
            contents.series.iter().map(|(f, schema, rows)| (*f, schema.as_str(), *rows)),
            &config.metrics,
        ),
        agents: contents.agents,
        by: "the state",
    }));
    let Load { open, ended, .. } = load(&asked, contents);
    findings.extend(series::judge(&Inputs { known, pending: open + ended, ..inputs(&asked) }, config));
    Report { findings, requests: asked.requests }
}

fn contents(state: Option<&StateSeen>) -> Option<&Contents> {
    state?.glance.as_ref().ok()?.as_ref()?.contents.as_ref()
}

/// How the API and its routes are.
fn answers(asked: &ApiSeen, answered: bool, config: &Config) -> Vec<Finding> {
    let mut findings = super::api::judge(asked);
    if answered {
        findings.push(clock::judge(&asked.clocks, config.webhook.enabled));
    }
    findings.extend(routes::judge(asked, config));
    findings.extend(routes::paths(asked));
    findings
}

fn configuration(loaded: &Loaded) -> Finding {
    let says = match &loaded.file {
        Some(file) => format!("{} is read; every value is valid", file.display()),
        None => {
            "no file is read, as there is no config.toml here and --config.file names none; every value is valid".into()
        }
    };
    Finding::ok("configuration", says)
}

/// What there is to follow, from what the API said and from what the state waits for.
fn load(asked: &ApiSeen, contents: Option<&Contents>) -> Load {
    let listing = asked.listing.as_ref().and_then(|listing| listing.as_ref().ok()).copied().unwrap_or_default();
    let agents = asked.agents.as_ref().and_then(|agents| agents.as_ref().ok()).copied().unwrap_or_default();
    let pending = |of: Stage| {
        let pending = contents.into_iter().flat_map(|contents| &contents.pending);
        pending.filter(|(stage, _)| *stage == of).map(|(_, count)| count).sum::<u64>()
    };
    Load {
        open: pending(Stage::Open).max(asked.open.unwrap_or_default()),
        ended: pending(Stage::Ended),
        starts_per_minute: listing.starts_per_minute,
        listed_whole: listing.ended > 0 && listing.analysed * 2 > listing.ended,
        agent_pages: agents.pages,
    }
}

/// Bytes of the state once it remembers as many sessions as it will, at the pace of the listed ones.
fn expected_state(asked: &ApiSeen, config: &Config) -> Option<u64> {
    let listing = asked.listing.as_ref().and_then(|listing| listing.as_ref().ok())?;
    let sessions_a_day = listing.starts_per_minute * 1_440.0;
    let remembered = config.sessions.retention;
    (sessions_a_day > 0.0).then(|| capacity::state_bytes(Backend::Sqlite, sessions_a_day, remembered, 0, 0))
}

fn inputs(asked: &ApiSeen) -> Inputs {
    let listing = asked.listing.as_ref().and_then(|listing| listing.as_ref().ok());
    let listed = listing.filter(|listing| listing.agents > 0).map(|listing| Shape {
        channels: listing.channels.div_ceil(listing.agents),
        intents: listing.intents.div_ceil(listing.agents),
        languages: listing.languages.div_ceil(listing.agents),
    });
    let agents = asked.agents.as_ref().and_then(|agents| agents.as_ref().ok()).map(|agents| agents.total);
    Inputs { known: None, agents, listed, pending: 0 }
}
