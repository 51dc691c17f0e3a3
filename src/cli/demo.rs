//! `demo`: the exporter against the built-in simulator. `simulate`: the simulator alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use ring::rand::{SecureRandom as _, SystemRandom};
use simulator::{
    Clock as _, DEFAULT_KEY, DeliveryConfig, MessageShares, Simulator, SimulatorConfig, SystemClock, TruthField,
    TruthFieldKind, TruthMetrics, WebhookSecret,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::daemon;
use super::flags::Global;
use super::terminal::{Failure, environment, print, runtime};
use crate::config::{
    self, Config, ConfigOrigin, ExtractedField, ExtractedKind, Loaded, MessagesConfig, MetricsConfig, RepeatContacts,
};
use crate::lifecycle;
use crate::tasks::Tasks;
use crate::web::Guards;

/// Where the demo listens unless it is told otherwise: this machine only.
const LISTEN: &str = "127.0.0.1:9899";

/// Flags of `demo`, which `simulate` also has.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// How many times faster than real time simulated time passes.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub speed: f64,
    /// Seed of the invented sessions; another number gives other sessions.
    #[arg(long, default_value_t = 2026, value_name = "NUMBER")]
    pub seed: u64,
}

/// Flags of `simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9898", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Speed and seed.
    #[command(flatten)]
    pub demo: DemoArgs,
    /// Rate limit of the organization, in requests per minute; 0 for no limit.
    #[arg(long, default_value_t = 3_000, value_name = "REQUESTS")]
    pub rate_limit: u32,
    /// Begin so long ago, with a tenth of the traffic: for a history to import. Incidents come ten minutes later.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub history: Option<Duration>,
    /// Deliver webhooks to this URL.
    #[arg(long, value_name = "URL", requires = "webhook_secret")]
    pub webhook_url: Option<String>,
    /// Secret to sign them with, whsec_ and base64; repeat it to sign with several.
    #[arg(long, value_name = "SECRET", requires = "webhook_url")]
    pub webhook_secret: Vec<WebhookSecret>,
}

pub(super) fn run(global: &Global, args: &DemoArgs) -> Result<(), Failure> {
    let mut loaded =
        config::load_without_credential(global.config_file.as_deref(), &environment(), &global.overrides())
            .map_err(Failure::mistake)?;
    let state = tempfile::Builder::new().prefix("agntix-exporter-demo-").tempdir().map_err(Failure::running)?;
    let simulator = Simulator::new(demonstration(args)?);
    let (api, stop_api) = serve(Arc::clone(&simulator), "127.0.0.1:0".parse().map_err(Failure::running)?)?;
    if !is_address_chosen(&loaded) {
        loaded.config.web.listen_address = LISTEN.into();
    }
    adapt(&mut loaded.config, api, state.path());
    opt_in(&mut loaded.config, args.speed, state.path())?;
    if args.speed > 1.0 {
        // Accelerated simulated time runs away from this machine's clock, which would be a warning every time.
        loaded.config.log.level.push_str(",agntix_exporter::poller::time=error");
    }
    loaded.api_key = Some(DEFAULT_KEY.into());
    // The simulated Agntix delivers over plain HTTP, whatever web.config_file says of the other listener.
    let plain = state.path().join("webhook.yml");
    std::fs::write(&plain, "").map_err(Failure::running)?;
    loaded.config.webhook.web_config_file = Some(plain);
    let secret = webhook_secret()?;
    loaded.webhook_secret = Some(secret.as_str().into());
    let webhook_path = loaded.config.webhook.path.clone();
    let reloader = Arc::new(|| Err::<Loaded, _>("the demo has no configuration to reload".to_owned()));
    let (guards, warnings) = Guards::open(&loaded.config).map_err(Failure::mistake)?;
    loaded.warnings.extend(warnings);
    let scheme = if guards.web.has_tls() { "https" } else { "http" };
    let (prefix, path) = (loaded.config.web.prefix().to_owned(), loaded.config.web.telemetry_path.clone());
    // Three minutes of simulated time.
    let incident = Duration::try_from_secs_f64((180.0 / args.speed).ceil()).unwrap_or_default();
    let incident = humantime::format_duration(incident);
    let done = daemon::serve(loaded, reloader, |app| {
        let address = app.address().map_err(Failure::running)?;
        let webhook = app.webhook_address().ok_or_else(|| Failure::running("the webhook does not listen"))?;
        let webhook = format!("http://{webhook}{webhook_path}");
        let secret: WebhookSecret = secret.parse().map_err(Failure::running)?;
        let deliveries = DeliveryConfig::new(&webhook, vec![secret]).map_err(Failure::running)?;
        simulator.set_deliveries(Some(deliveries)).map_err(Failure::running)?;
        print(format!(
            "Five agents of a parcel service hold simulated conversations; after {incident} one of them stops resolving sessions.\n\n  \
             landing page   {scheme}://{address}{prefix}/\n  \
             metrics        {scheme}://{address}{prefix}{path}\n  \
             the API behind http://{api}/ (x-api-key: {DEFAULT_KEY})\n  \
             webhook        {webhook}\n\n\
             The exporter learns of sessions in three ways: it lists them, follows the event stream, and accepts signed deliveries\n\
             on the webhook. Each session is counted once. agntix_exporter_sessions_discovered_total shows which source reported\n\
             sessions first, agntix_exporter_webhook_deliveries_total the result of each delivery. Messages, returning customers, a\n\
             session variable and two extracted fields are counted, too, which an exporter does when its configuration says so.\n\n\
             Nothing is kept. Stop it with Ctrl-C.\n"
        ))
    });
    stop_api.cancel();
    done
}

/// The secret that the simulated Agntix signs its deliveries with, new for each demo.
fn webhook_secret() -> Result<String, Failure> {
    Ok(format!("whsec_{}", random_key::<24>()?))
}

/// So many random bytes, in base64.
fn random_key<const BYTES: usize>() -> Result<String, Failure> {
    let mut key = [0; BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| Failure::running("the system gives no random numbers"))?;
    Ok(BASE64.encode(key))
}

/// Whether somebody has chosen the listen address. The exporter's default is every address of this machine, but a demo is
/// for its user only. The annotated config.toml states that default, which is not a choice.
fn is_address_chosen(loaded: &Loaded) -> bool {
    matches!(loaded.origins.get("web.listen_address"), ConfigOrigin::Flag(_) | ConfigOrigin::Environment(_))
        || loaded.config.web.listen_address != Config::default().web.listen_address
}

/// A demo is watched for a few minutes, so changes must arrive in seconds, from all sources.
fn adapt(config: &mut Config, api: SocketAddr, state: &std::path::Path) {
    config.api.base_url = format!("http://{api}");
    (config.api.key_file, config.api.bearer_token_file) = (None, None);
    config.api.requests_per_minute = 1_500;
    config.state.path = state.into();
    config.poll.listing_interval = Duration::from_secs(5);
    config.poll.open_interval = Duration::from_secs(10);
    config.poll.ended_interval = Duration::from_secs(3);
    config.metrics.new_series_hold = Duration::from_secs(15);
    // Simulated analyses arrive within 15 s or never, so a longer wait would only look late.
    config.poll.analysis_deadline = Duration::from_secs(30);
    config.sessions.look_back_deadline = Duration::from_secs(60);
    config.stream.enabled = true;
    config.webhook.enabled = true;
    config.webhook.secret_file = None;
    // A listener of its own on this machine, wherever the metrics are served.
    config.webhook.listen_address = Some("127.0.0.1:0".into());
}

/// The fastest demo whose API budget has room for the messages of all sessions.
const FASTEST_WITH_MESSAGES: f64 = 10.0;

/// Switches on what nobody has unless they ask for it, so that the dashboards show it: messages, returning customers, a session variable
/// and extracted fields. What the configuration has of them stays.
fn opt_in(config: &mut Config, speed: f64, state: &std::path::Path) -> Result<(), Failure> {
    config.messages.enabled = speed <= FASTEST_WITH_MESSAGES;
    let metrics = &mut config.metrics;
    if metrics.variables.is_empty() {
        metrics.variables = vec!["campaign".into()];
    }
    if metrics.extracted.is_empty() {
        let field = |field: &str, kind, buckets| ExtractedField { field: field.into(), kind, buckets };
        metrics.extracted = vec![
            field("transferred", ExtractedKind::Boolean, vec![]),
            field("csat", ExtractedKind::Number, vec![1.0, 2.0, 3.0, 4.0]),
        ];
    }
    if metrics.repeat_contacts.is_none() {
        let key_file = state.join("contacts-key");
        std::fs::write(&key_file, random_key::<32>()?).map_err(Failure::running)?;
        let windows = ["15m", "1h"].map(str::to_owned).to_vec();
        let mut contacts = RepeatContacts { field: "customerPhoneNumber".into(), windows, key_file, key: None };
        contacts.read_key().map_err(Failure::running)?;
        metrics.repeat_contacts = Some(contacts);
    }
    Ok(())
}

/// The simulation of the demo: of its customers one in ten comes back within an hour, and its messages are in order, since alerts are about
/// what is not.
fn demonstration(args: &DemoArgs) -> Result<SimulatorConfig, Failure> {
    let messages = MessageShares { backwards: 0.0, untimed: 0.0, odd_roles: 0.0, ..MessageShares::LIVELY };
    Ok(SimulatorConfig { customers: Some(20_000), messages, ..simulation(args)? })
}

fn simulation(args: &DemoArgs) -> Result<SimulatorConfig, Failure> {
    if !(args.speed.is_finite() && args.speed > 0.0) {
        return Err(Failure::Mistake(format!("--speed is {}, but must be more than 0", args.speed)));
    }
    Ok(SimulatorConfig { speed: args.speed, seed: args.seed, ..SimulatorConfig::demo(SystemClock.now()) })
}

/// The share of the traffic that a simulation with a history has: of all of it a month would be two million sessions.
const HISTORY_SHARE: f64 = 0.1;
/// How much later its incidents come, since the history is imported first.
const HISTORY_TAKES: Duration = Duration::from_secs(600);

/// The same since so long ago, listed with the analyses.
fn with_history(mut simulation: SimulatorConfig, history: Duration) -> SimulatorConfig {
    if let Some(now) = simulation.now {
        simulation.start = now.minus(history);
    }
    for agent in &mut simulation.agents {
        agent.sessions_per_day *= HISTORY_SHARE;
    }
    for incident in &mut simulation.incidents {
        (incident.from, incident.to) = (incident.from.plus(HISTORY_TAKES), incident.to.plus(HISTORY_TAKES));
    }
    simulation.list_analysis = true;
    simulation
}

/// What the simulator's truth needs to know of the configuration, in its own types: the simulator must not use the exporter.
fn truth_metrics(config: MetricsConfig, messages: MessagesConfig) -> TruthMetrics {
    let extracted = config.extracted.into_iter().map(|field| TruthField {
        field: field.field,
        kind: match field.kind {
            ExtractedKind::Enum => TruthFieldKind::Enum,
            ExtractedKind::Boolean => TruthFieldKind::Boolean,
            ExtractedKind::Number => TruthFieldKind::Number,
        },
        buckets: field.buckets,
    });
    TruthMetrics {
        duration_buckets: config.duration_buckets,
        sentiment_score_buckets: config.sentiment_score_buckets,
        confidence_buckets: config.confidence_buckets,
        extracted: extracted.collect(),
        variables: config.variables,
        repeat_windows: config
            .repeat_contacts
            .map_or_else(Vec::new, |contacts| contacts.windows.iter().cloned().zip(contacts.lengths()).collect()),
        turn_buckets: config.turn_buckets,
        response_buckets: config.response_buckets,
        messages_share: messages.enabled.then_some(messages.share),
    }
}

/// Runs a simulator on a thread of its own; it stops when the token is cancelled.
fn serve(simulator: Arc<Simulator>, listen: SocketAddr) -> Result<(SocketAddr, CancellationToken), Failure> {
    let unusable = |e: std::io::Error| Failure::running(format!("the simulator cannot listen on {listen} ({e})"));
    let listener = std::net::TcpListener::bind(listen).map_err(unusable)?;
    listener.set_nonblocking(true).map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let (stop, runtime) = (CancellationToken::new(), runtime()?);
    let stopped = stop.clone();
    std::thread::spawn(move || {
        let served = runtime.block_on(async { simulator.serve(TcpListener::from_std(listener)?, stopped).await });
        if let Err(error) = served {
            tracing::error!(%error, "the simulator has stopped");
        }
    });
    Ok((address, stop))
}

pub(super) fn simulate(global: &Global, args: &SimulateArgs) -> Result<(), Failure> {
    let loaded = config::load_without_credential(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(Failure::mistake)?;
    crate::telemetry::init(&loaded.config.log).map_err(Failure::running)?;
    let rate_limit = (args.rate_limit > 0).then_some(args.rate_limit);
    let deliveries = match &args.webhook_url {
        Some(url) => Some(
            DeliveryConfig::new(url, args.webhook_secret.clone())
                .map_err(|why| Failure::Mistake(format!("--webhook-url: {why}")))?,
        ),
        None => None,
    };
    let metrics = truth_metrics(loaded.config.metrics, loaded.config.messages);
    let simulation = SimulatorConfig { rate_limit, deliveries, metrics, ..simulation(&args.demo)? };
    let simulation = match args.history {
        Some(history) => with_history(simulation, history),
        None => simulation,
    };
    runtime()?.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .map_err(|e| Failure::running(format!("cannot listen on {} ({e}); set --listen", args.listen)))?;
        let address = listener.local_addr().map_err(Failure::running)?;
        let shutdown = CancellationToken::new();
        // Nothing is reloaded here; SIGHUP is ignored.
        let (reload, _requests) = tokio::sync::mpsc::channel(1);
        let (tasks, mut failures) = Tasks::new();
        let signals = lifecycle::handle_signals(reload, shutdown.clone()).map_err(Failure::running)?;
        tasks.spawn_detached("the signal handler", signals);
        print(format!(
            "The simulated Agntix API is at http://{address} (x-api-key: {DEFAULT_KEY}).\n\n  \
             run the exporter   AGNTIX_API_KEY={DEFAULT_KEY} AGNTIX_EXPORTER__API__BASE_URL=http://{address} agntix-exporter\n  \
             faults             GET, POST http://{address}/simulator/faults\n  \
             clock              GET, POST http://{address}/simulator/clock\n  \
             webhooks           GET, POST http://{address}/simulator/webhooks\n  \
             event stream       http://{address}/v1/chat/events/stream\n  \
             logs               http://{address}/simulator/requests, http://{address}/simulator/deliveries\n  \
             expected metrics   http://{address}/simulator/truth\n"
        ))?;
        tokio::select! {
            served = Arc::clone(&Simulator::new(simulation)).serve(listener, shutdown) => served.map_err(Failure::running),
            Some(failure) = failures.recv() => Err(Failure::running(failure)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides};

    #[test]
    fn the_truth_has_the_same_default_buckets() {
        assert_eq!(truth_metrics(MetricsConfig::default(), MessagesConfig::default()), TruthMetrics::default());
    }

    #[test]
    fn demo_counts_what_is_off_by_default_unless_it_is_configured() {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.metrics.variables = vec!["tier".into()];
        opt_in(&mut config, 1.0, state.path()).unwrap();
        assert!(config.messages.enabled);
        assert_eq!(config.metrics.variables, ["tier"]);
        assert_eq!(config.metrics.extracted.len(), 2);
        let contacts = config.metrics.repeat_contacts.clone().unwrap();
        assert!(contacts.key.is_some() && contacts.windows == ["15m", "1h"]);

        config.metrics.extracted.truncate(1);
        opt_in(&mut config, 60.0, state.path()).unwrap();
        assert!(!config.messages.enabled);
        assert_eq!(config.metrics.extracted.len(), 1);
        assert_eq!(config.metrics.repeat_contacts, Some(contacts), "its key is kept");
    }

    #[test]
    fn simulation_with_a_history_begins_before_it_and_has_less_traffic() {
        let args = DemoArgs { speed: 1.0, seed: 1 };
        let (usual, day) = (simulation(&args).unwrap(), Duration::from_secs(86_400));
        let with = with_history(usual.clone(), day);
        assert_eq!(with.now.unwrap().since(with.start), day);
        assert!(with.agents[0].sessions_per_day < usual.agents[0].sessions_per_day / 5.0);
        assert_eq!(with.incidents[0].from, usual.incidents[0].from.plus(HISTORY_TAKES));
        assert!(with.list_analysis);
    }

    #[test]
    fn demo_listens_on_all_addresses_only_on_request() {
        let chosen = |flag: Option<&str>, variable: Option<&str>| {
            let variables = variable.map(|value| ("AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS".to_owned(), value.to_owned()));
            let overrides =
                Overrides { listen_addresses: flag.map(Into::into).into_iter().collect(), ..Overrides::default() };
            // The annotated config.toml.
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
            let environment = Environment::from_pairs(variables);
            is_address_chosen(&config::load_without_credential(Some(&file), &environment, &overrides).unwrap())
        };
        assert!(!chosen(None, None));
        assert!(chosen(Some("0.0.0.0:9899"), None));
        assert!(chosen(None, Some("0.0.0.0:9899")));
        assert!(chosen(None, Some("127.0.0.1:1")));
    }
}
