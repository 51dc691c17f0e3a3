//! `doctor`: asks the API, the disk and the network what the findings are judged from, and prints those. Each question has
//! a time-out, nothing is counted, and nothing is written.

use std::io::{ErrorKind, IsTerminal as _};
use std::path::Path;
use std::time::Instant;

use super::healthcheck::is_alive;
use super::{Failure, Global, environment, runtime};
use crate::agntix::{self, Answer, ApiError, Client, ListQuery, RateLimit, WebhookSecretSource, wire};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config, Loaded};
use crate::doctor::place::{self, Listener, StatePlace};
use crate::doctor::{Finding, Report, Standing, api, series};
use crate::ledger::LedgerError;
use crate::ledger::upkeep::{self, Inspection, UpkeepError};
use crate::web::{self, Guards, Security, WebError};

pub(super) fn run(global: &Global, json: bool) -> Result<(), Failure> {
    let loaded =
        config::load(global.config_file.as_deref(), &environment(), &global.overrides()).map_err(Failure::mistake)?;
    agntix::install_crypto_provider();
    let report = runtime()?.block_on(examine(&loaded))?;
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::running)?;
        println!("{text}");
    } else {
        print!("{}", report.text());
    }
    match report.count(Standing::Failure) {
        0 => Ok(()),
        1 => Err(Failure::Running("something is broken; what to do is said above".into())),
        count => Err(Failure::Running(format!("{count} things are broken; what to do is said above"))),
    }
}

async fn examine(loaded: &Loaded) -> Result<Report, Failure> {
    let config = &loaded.config;
    let mut findings = vec![configuration(loaded)];
    findings.extend(loaded.warnings.iter().map(|warning| {
        Finding::warning("configuration", warning.clone(), "change the key, or leave it if it is meant so")
    }));
    let inspection = state(config, &mut findings);
    let client = Client::new(&config.api, loaded.api_key.clone()).map_err(Failure::mistake)?;
    if std::io::stderr().is_terminal() {
        eprint!("asking {} …\r", client.host());
    }
    let agents = ask_api(&client, config, inspection.as_ref(), &mut findings).await;
    listeners(loaded, &mut findings).await;
    let watched = u64::try_from(config.sessions.ids.len()).unwrap_or(u64::MAX);
    let families = inspection.as_ref().map(|inspection| inspection.series.as_slice());
    findings.push(series::judge(&config.metrics, agents, families, watched));
    Ok(Report { findings })
}

fn configuration(loaded: &Loaded) -> Finding {
    let found = loaded.file.as_ref().map_or_else(
        || "no file is read: defaults, environment and flags".to_owned(),
        |file| format!("{} is valid", file.display()),
    );
    Finding::ok("configuration", found)
}

/// The directory, the disk and what is remembered.
fn state(config: &Config, findings: &mut Vec<Finding>) -> Option<Inspection> {
    let directory = &config.state.path;
    let there = place_of(directory);
    let finding = place::state(directory, &there);
    let (is_bad, mut inspection) = (finding.standing == Standing::Failure, None);
    // A state of an older format would be carried over by looking at it.
    let opened = matches!(there, StatePlace::Format { found, known } if found == known);
    let finding = match opened.then(|| upkeep::inspect(directory)) {
        Some(Ok(found)) => {
            let said = format!("{}, with {} sessions remembered", finding.found, found.counted);
            inspection = Some(found);
            Finding::ok(finding.check, said)
        }
        Some(Err(UpkeepError::Ledger(LedgerError::Locked { .. }))) => {
            Finding::ok(finding.check, format!("{} is in use by a running exporter", directory.display()))
        }
        Some(Err(error)) => {
            Finding::failure(finding.check, error.to_string(), "restore it from a backup, or set another state.path")
        }
        None => finding,
    };
    findings.push(finding);
    if !is_bad {
        let existing = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
        let bytes = inspection.as_ref().map_or(0, |inspection| inspection.bytes);
        if let Ok(disk) = rustix::fs::statvfs(existing) {
            findings.push(place::room(disk.f_bavail.saturating_mul(disk.f_frsize), bytes));
        }
        #[cfg(target_os = "linux")]
        findings.extend(rustix::fs::statfs(existing).ok().and_then(|disk| {
            // A number whose type differs by architecture; its 32 bits are what names the file system.
            let magic = u32::try_from(i128::from(disk.f_type) & 0xffff_ffff).unwrap_or(0);
            place::file_system(u64::from(magic))
        }));
    }
    inspection
}

fn place_of(directory: &Path) -> StatePlace {
    use rustix::fs::{Access, access};
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match std::fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => StatePlace::NoDirectory,
        Ok(_) if access(directory, all).is_err() => StatePlace::Forbidden,
        Ok(_) => match upkeep::format_of(directory) {
            Ok(Some((found, known))) => StatePlace::Format { found, known },
            Ok(None) => StatePlace::Empty,
            // Opening it says what is wrong with it.
            Err(_) => StatePlace::Format { found: 0, known: 0 },
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = directory
                .ancestors()
                .skip(1)
                .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
            let existing = above.into_iter().find(|path| path.exists());
            StatePlace::Missing { can_be_made: existing.is_some_and(|path| path.is_dir() && access(path, all).is_ok()) }
        }
        Err(_) => StatePlace::NoDirectory,
    }
}

/// What the API answers: how many agents there are, if it says so.
async fn ask_api(
    client: &Client,
    config: &Config,
    inspection: Option<&Inspection>,
    findings: &mut Vec<Finding>,
) -> Option<u64> {
    let name = client.credential_name();
    let asked = api::Asked { host: client.host(), credential: &name };
    let before = SystemClock.now();
    let first = client.agents(1).await;
    let here = before.plus(first.elapsed / 2);
    let agents = match page(&first) {
        Ok((_, count)) => {
            findings.push(Finding::ok("credential", format!("{} accepts {name}", client.host())));
            findings.push(Finding::ok("agents", format!("{count} agents can be read")));
            Some(count)
        }
        Err(error) => {
            findings.push(api::refusal("agents", "the agents", asked, &error));
            if api::is_hopeless(&error) {
                return None;
            }
            None
        }
    };
    let mut rate_limit = first.rate_limit;
    let mut date = first.date;
    let mut open = inspection.map_or(0, |inspection| inspection.pending.iter().map(|(_, count)| count).sum());
    let mut ended_a_minute = 0.0;
    let mut session = config.sessions.ids.first().cloned();
    if config.sessions.listing {
        let window = config.sessions.recent_window;
        let since = Some(SystemClock.now().minus(window));
        let query = ListQuery { created_after: since, open_only: false, page: 1, limit: 1 };
        let answer = client.list(&query).await;
        rate_limit = latest(rate_limit, answer.rate_limit);
        date = date.or(answer.date);
        match page(&answer) {
            Ok((newest, count)) => {
                session = session.or(newest);
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
                let count_as_float = count as f64;
                ended_a_minute = count_as_float * 60.0 / window.as_secs_f64().max(1.0);
                let window = humantime::format_duration(window);
                findings.push(Finding::ok("listing", format!("it lists {count} sessions created within {window}")));
                let open_only = ListQuery { created_after: None, open_only: true, ..query };
                let answer = client.list(&open_only).await;
                rate_limit = latest(rate_limit, answer.rate_limit);
                open = page(&answer).map_or(open, |(_, count)| count);
            }
            Err(error) => findings.push(api::refusal("listing", "the list of sessions", asked, &error)),
        }
    } else {
        findings.push(Finding::ok("listing", "it is not used (sessions.listing = false)"));
    }
    rate_limit = latest(rate_limit, one_session(client, session, asked, findings).await);
    findings.push(stream(client, config, asked).await);
    findings.push(api::clock(date, here, config.webhook.enabled));
    findings.push(api::budget(config, rate_limit, api::demand(config, open, ended_a_minute)));
    agents
}

async fn one_session(
    client: &Client,
    id: Option<String>,
    asked: api::Asked<'_>,
    findings: &mut Vec<Finding>,
) -> RateLimit {
    const CHECK: &str = "session";
    let Some(id) = id else {
        findings.push(Finding::ok(CHECK, "none is known yet, so that the scope to read one was not tried"));
        return RateLimit::default();
    };
    let answer = client.session(&id).await;
    findings.push(match &answer.result {
        Ok(body) => match serde_json::from_slice::<wire::Session<'_>>(body) {
            Ok(_) => Finding::ok(CHECK, "a session can be read"),
            Err(error) => Finding::failure(
                CHECK,
                format!("the answer is not a session (line {}, column {})", error.line(), error.column()),
                "something other than Agntix may answer there: check api.session_path",
            ),
        },
        Err(error) => api::refusal(CHECK, "a session", asked, error),
    });
    answer.rate_limit
}

async fn stream(client: &Client, config: &Config, asked: api::Asked<'_>) -> Finding {
    const CHECK: &str = "stream";
    match (client.stream(None).await, config.stream.enabled) {
        (Ok(_), true) => Finding::ok(CHECK, "the event stream can be read"),
        (Ok(_), false) => Finding::ok(CHECK, "it could be read, and is not used (stream.enabled = false)"),
        (Err(error), true) => api::refusal(CHECK, "the event stream", asked, &error),
        (Err(_), false) => Finding::ok(CHECK, "it cannot be read, and is not used (stream.enabled = false)"),
    }
}

/// The id of the first item of a page, and how many items the list has, to the precision of its pages.
fn page(answer: &Answer) -> Result<(Option<String>, u64), ApiError> {
    let body = answer.result.as_ref().map_err(Clone::clone)?;
    let no_page = || ApiError::Body("no list".into());
    let page: wire::Page<'_> = serde_json::from_slice(body).map_err(|_| no_page())?;
    let items = page.data.as_ref().ok_or_else(no_page)?;
    let first = items.first().and_then(|item| serde_json::from_str::<wire::IdOnly<'_>>(item.get()).ok());
    let id = first.and_then(|item| item.id.text().map(str::to_owned));
    let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
    Ok((id, length.saturating_mul(u64::from(page.total_pages().unwrap_or(1).max(1)))))
}

fn latest(before: RateLimit, after: RateLimit) -> RateLimit {
    RateLimit {
        limit: after.limit.or(before.limit),
        remaining: after.remaining.or(before.remaining),
        reset: after.reset.or(before.reset),
    }
}

/// The web configuration, the addresses, and the webhook's secret.
async fn listeners(loaded: &Loaded, findings: &mut Vec<Finding>) {
    let config = &loaded.config;
    let guards = match Guards::open(config) {
        Ok((guards, warnings)) => {
            findings.push(Finding::ok("web", format!("metrics: {}", guards.web.summary())));
            findings.extend(warnings.into_iter().map(|warning| {
                Finding::warning("web", warning, "renew the certificate, or correct the web configuration file")
            }));
            guards
        }
        Err(error) => {
            findings.push(Finding::failure("web", error.to_string(), "correct the web configuration file"));
            return;
        }
    };
    if config.web.systemd_socket {
        findings.push(Finding::ok("metrics", "systemd hands the sockets over, which it alone can check"));
    } else {
        let path = format!("{}/-/healthy", config.web.prefix());
        for address in config.web.listen_addresses() {
            findings.push(place::listener("metrics", address, &listener(address, &path, &guards.web).await));
        }
    }
    if !config.webhook.enabled {
        return;
    }
    findings.push(secret(loaded));
    if let (Some(address), Some(security)) = (&config.webhook.listen_address, &guards.webhook) {
        findings.push(place::listener("webhook", address, &listener(address, "/-/healthy", security).await));
    }
}

fn secret(loaded: &Loaded) -> Finding {
    const CHECK: &str = "secret";
    let advice = "copy it from the endpoint in the Agntix dashboard: whsec_ and base64";
    let source = WebhookSecretSource::new(&loaded.config.webhook, loaded.webhook_secret.as_ref());
    let source = match source {
        Ok(source) => source,
        Err(error) => return Finding::failure(CHECK, error.to_string(), advice),
    };
    match source.current(Instant::now()) {
        Ok(secrets) => match secrets.count() {
            1 => Finding::ok(CHECK, format!("{} has a signing secret", source.name())),
            count => Finding::ok(CHECK, format!("{} has {count} signing secrets", source.name())),
        },
        Err(error) => Finding::failure(CHECK, error.to_string(), advice),
    }
}

async fn listener(address: &str, path: &str, security: &Security) -> Listener {
    match web::bind(address).await {
        Ok(_) => Listener::Free,
        Err(WebError::Taken { .. }) => match is_alive(address, path, Some(security)).await {
            Ok(()) => Listener::Alive,
            Err(why) => Listener::Other(why),
        },
        Err(error) => Listener::Unusable(error.to_string()),
    }
}
