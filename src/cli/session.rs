//! `session <id>`: what one session would add, without adding it.

use agntix_api::paths::ApiPath;
use agntix_api::search::{self, Ending, Search};
use agntix_api::{Answer, ApiError, Client, JsonText, wire};
use exposition::Kind;

use super::flags::Global;
use super::terminal::{Failure, environment, print, runtime};
use crate::api;
use crate::catalogue::{self, buckets};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{ApiConfig, Config};
use crate::observation::{self, Addition, Admit, Named, ObservationConfig, Step};
use crate::session::Facts;

pub(super) fn run(global: &Global, id: &str) -> Result<(), Failure> {
    let loaded =
        api::load(global.config_file.as_deref(), &environment(), &global.overrides()).map_err(Failure::mistake)?;
    agntix_api::install_crypto_provider();
    let client = api::client(&loaded.config.api, loaded.api_key.as_ref()).map_err(Failure::mistake)?;
    let (answer, ending) = runtime()?.block_on(find(&client, &loaded.config.api, id));
    if let Ending::Wrong(wrong) = ending {
        return Err(Failure::running(format!(
            "{} does not give session {id:?} as the Agntix API would: GET {}; check api.base_url and api.session_path, and \
             whether a proxy, a gateway or a login page answers in its place",
            client.host(),
            wrong.tried
        )));
    }
    let is_known = matches!(ending, Ending::Found(_));
    let body = answer.result.map_err(|e| Failure::running(refusal(&client, id, &e, is_known)))?;
    let text = JsonText::new(&body);
    let session: wire::Session<'_> =
        text.read().map_err(|why| Failure::running(format!("the answer is not a session: {why}")))?;
    let now = answer.date.unwrap_or_else(|| SystemClock.now());
    let facts =
        observation::observe(&session, &ObservationConfig::from(&loaded.config), now).map_err(Failure::running)?;
    print(report(&facts, &loaded.config))
}

/// Asks for the session under the spellings of the path, until one answers as the route promises; the last answer.
async fn find(client: &Client, config: &ApiConfig, id: &str) -> (Answer, Ending) {
    let mut search = Search::new(ApiPath::Session, &api::paths(config), None);
    loop {
        let answer = client.session_at(search.path(), id).await;
        if let search::Step::Over(ending) = search.answered(&answer) {
            return (answer, ending);
        }
    }
}

/// Why there is no session, and what to look at. `is_known`: the API has said it in its own words.
fn refusal(client: &Client, id: &str, error: &ApiError, is_known: bool) -> String {
    let (host, credential) = (client.host(), client.credential_name());
    match error {
        _ if is_known => format!("{host} has no session {id:?}: {error}; check the id"),
        ApiError::Status { status: 401, .. } => {
            format!("{host} does not accept the credential in {credential}: {error}; it is wrong, expired or deleted")
        }
        ApiError::Status { status: 403, .. } => {
            format!("the credential in {credential} lacks the scope to read sessions: {error}")
        }
        _ => format!("{host} does not give session {id:?}: {error}"),
    }
}

/// Admits every label value: bounds are the running exporter's.
struct Unbounded;

impl Admit for Unbounded {
    fn admit(&mut self, _: &str, _: &str, _: &str) -> bool {
        true
    }
}

fn report(facts: &Facts, config: &Config) -> String {
    let schemas = buckets::schemas(&config.metrics);
    let static_labels = match catalogue::static_labels(&config.metrics).as_str() {
        "" => String::new(),
        labels => format!(",{labels}"),
    };
    let mut lines = vec![format!("# session {} ({})", facts.id, standing(facts))];
    lines.extend(facts.malformed.iter().map(|reason| format!("# left out as malformed: {}", reason.as_str())));
    let named = Named { extracted: &config.metrics.extracted, variables: &config.metrics.variables };
    for step in [Step::Started, Step::Ended, Step::Outcome] {
        let additions = observation::additions(facts, step, &facts.channel, &schemas, named, &mut Unbounded);
        lines.extend(additions.iter().map(|addition| line(addition, &static_labels)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn standing(facts: &Facts) -> &'static str {
    match (&facts.ended, &facts.outcome) {
        (None, _) => "open: only its start is counted",
        (Some(_), None) => "ended: its outcome is counted when its analysis has arrived",
        (Some(_), Some(outcome)) if outcome.timed_out => "ended, and its analysis never arrived: counted with none",
        (Some(_), Some(_)) => "ended and analysed: all of it is counted",
    }
}

fn line(addition: &Addition, static_labels: &str) -> String {
    let descriptor = addition.key.family.descriptor();
    #[expect(clippy::cast_precision_loss, reason = "an amount of one session is far below 2^53")]
    let scaled = |units: u64| units as f64 / addition.key.family.scale() as f64;
    let what = match (descriptor.kind, addition.exemplar) {
        (Kind::Histogram { .. }, Some(value)) => format!("observes {value}"),
        (Kind::Histogram { .. }, None) => format!("observes {}", scaled(addition.sum)),
        _ => format!("+{}", scaled(addition.amount)),
    };
    format!("{}{{{}{static_labels}}} {what}", descriptor.name, addition.key.labels.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn session_report_shows_additions_and_nothing_personal() {
        let text = r#"{"id":"s","type":"VOICE","platform":"PHONE","direction":"INBOUND","state":"CLOSED","agentId":"A",
            "createdAt":"2026-04-08T05:00:00Z","endedAt":"2026-04-08T05:00:10.5Z",
            "metadata":{"customerPhoneNumber":"+971501234567"},
            "analysis":{"summary":"a secret","resolution":{"classification":"RESOLVED","confidenceScore":0.88}}}"#;
        let session: wire::Session<'_> = serde_json::from_str(text).unwrap();
        let config = Config::default();
        let now = Timestamp::parse_rfc3339("2026-04-08T05:01:00Z").unwrap();
        let facts = observation::observe(&session, &ObservationConfig::from(&config), now).unwrap();
        let channel = r#"agent_id="A",session_type="voice",platform="phone",direction="inbound""#;
        assert_eq!(
            report(&facts, &config),
            format!(
                "# session s (ended and analysed: all of it is counted)\n\
                 agntix_sessions_started_total{{{channel}}} +1\n\
                 agntix_sessions_ended_total{{{channel},state=\"closed\"}} +1\n\
                 agntix_session_duration_seconds{{{channel}}} observes 10.5\n\
                 agntix_session_outcomes_total{{{channel},resolution=\"resolved\",sentiment=\"none\"}} +1\n\
                 agntix_session_outcome_duration_seconds_total{{{channel},resolution=\"resolved\"}} +10.5\n\
                 agntix_session_resolution_confidence{{agent_id=\"A\",resolution=\"resolved\"}} observes 0.88\n"
            )
        );
        let mut named = config.clone();
        named.metrics.static_labels.insert("organization".into(), "acme".into());
        let started = format!("agntix_sessions_started_total{{{channel},organization=\"acme\"}} +1\n");
        assert!(report(&facts, &named).contains(&started));
    }
}
