//! The command line, and the commands behind it. Flags are spelled as those of the other Prometheus exporters.

mod daemon;
mod demo;
mod doctor;
mod generate;
mod healthcheck;
mod session;
mod state;
mod webhook_test;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand};
use simulator::WebhookSecret;

use crate::config::{Environment, LogFormat, Overrides};

/// Exact Prometheus metrics of the sessions that Agntix agents hold: durations, resolutions, sentiment, intents.
///
/// Without a command it runs the exporter. It needs a credential of the Agntix organization: AGNTIX_API_KEY in the
/// environment, or api.key_file in the configuration. `agntix-exporter demo` needs none.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "the text of --help, which shows no backticks")]
#[command(name = "agntix-exporter", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; nothing said, run the exporter.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str = "\
Examples:
  agntix-exporter demo                                       see it work, without an account
  AGNTIX_API_KEY=pk_live_... agntix-exporter                 run it, with every default
  agntix-exporter --config.file=config.toml --config.check   see what is in effect, and why
  agntix-exporter session 6f0c...                            see what one session adds

Every key of the configuration can also be set in the environment: AGNTIX_EXPORTER__POLL__LISTING_INTERVAL=1m.
A flag wins over the environment, the environment over the file, the file over the defaults.
Signals: SIGTERM and SIGINT stop it, SIGHUP reloads the configuration.
Exit codes: 0 stopped, 1 failed while running, 2 a mistake in flags or configuration.";

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration of the exporter")]
#[expect(clippy::doc_markdown, reason = "the text of --help, which shows no backticks")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Global {
    /// Configuration file [default: what AGNTIX_EXPORTER_CONFIG_FILE names, or config.toml in the working directory, if there is one].
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,
    /// Check the configuration, print what is in effect and where each value comes from, and stop.
    #[arg(long = "config.check")]
    pub config_check: bool,
    /// Address to listen on, as host:port, or :port for every address; may be repeated [default: 0.0.0.0:9899].
    #[arg(long = "web.listen-address", value_name = "ADDRESS", global = true)]
    pub listen_addresses: Vec<String>,
    /// Listen on the sockets that systemd hands over, in place of addresses.
    #[arg(long = "web.systemd-socket", global = true, overrides_with = "no_systemd_socket")]
    pub systemd_socket: bool,
    /// The contrary, whatever the environment or the file says.
    #[arg(long = "no-web.systemd-socket", global = true, hide = true, overrides_with = "systemd_socket")]
    pub no_systemd_socket: bool,
    /// File that sets TLS and users, in the format of the other Prometheus exporters.
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        global = true,
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub web_config_file: Option<PathBuf>,
    /// Path of the metrics [default: /metrics].
    #[arg(long = "web.telemetry-path", value_name = "PATH", global = true)]
    pub telemetry_path: Option<String>,
    /// URL under which users reach the exporter, if a proxy stands before it.
    #[arg(long = "web.external-url", value_name = "URL", global = true)]
    pub external_url: Option<String>,
    /// What all paths begin with [default: the path of --web.external-url].
    #[arg(long = "web.route-prefix", value_name = "PATH", global = true)]
    pub route_prefix: Option<String>,
    /// Scrapes answered at once, 0 for no bound; further ones get 503 [default: 40].
    #[arg(long = "web.max-requests", value_name = "NUMBER", global = true)]
    pub max_requests: Option<u32>,
    /// Leave out the metrics of the process itself (process_*).
    #[arg(long = "web.disable-exporter-metrics", global = true, overrides_with = "no_disable_exporter_metrics")]
    pub disable_exporter_metrics: bool,
    /// The contrary, whatever the environment or the file says.
    #[arg(
        long = "no-web.disable-exporter-metrics",
        global = true,
        hide = true,
        overrides_with = "disable_exporter_metrics"
    )]
    pub no_disable_exporter_metrics: bool,
    /// error, warn, info, debug or trace.
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
    /// How a log line is written.
    #[arg(long = "log.format", value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
}

impl Global {
    /// What the flags set of the configuration.
    pub fn overrides(&self) -> Overrides {
        // As in the Prometheus family, an empty value is the default: service files pass flags on without knowing whether
        // they are set.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let switch = |on: bool, off: bool| (on || off).then_some(on);
        Overrides {
            listen_addresses: self.listen_addresses.clone(),
            systemd_socket: switch(self.systemd_socket, self.no_systemd_socket),
            web_config_file: self.web_config_file.clone().filter(|file| !file.as_os_str().is_empty()),
            telemetry_path: self.telemetry_path.clone(),
            external_url: given(&self.external_url),
            route_prefix: given(&self.route_prefix),
            max_requests: self.max_requests,
            disable_exporter_metrics: switch(self.disable_exporter_metrics, self.no_disable_exporter_metrics),
            log_level: self.log_level.clone(),
            log_format: self.log_format,
        }
    }
}

/// What to do other than run the exporter.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the exporter against a built-in simulation of Agntix: no account needed, nothing kept.
    #[command(after_help = "Example: agntix-exporter demo --speed 60")]
    Demo(DemoArgs),
    /// Run only the simulation of the Agntix API, to develop or test against.
    #[command(after_help = "Example: agntix-exporter simulate --listen 127.0.0.1:9898 --rate-limit 0")]
    Simulate(SimulateArgs),
    /// Fetch one session and print the series that it would add to; nothing personal, nothing is counted.
    Session {
        /// Id of the session.
        id: String,
    },
    /// Look at, compact, move or correct the state of an exporter that does not run.
    State {
        /// What to do with it.
        #[command(subcommand)]
        command: state::StateCommand,
    },
    /// Send signed sample deliveries to a webhook endpoint, and say what came back and whether that is right.
    ///
    /// Unless --count is given the sample is of the type webhook.test, which an exporter acknowledges and ignores.
    #[command(after_help = "\
Example: agntix-exporter webhook-test --to https://hooks.example.com/webhooks/agntix --secret-file secret --forged --stale --repeated
Exit codes: 0 every answer was right, 1 one was not, 2 a mistake in the flags or the secret.")]
    WebhookTest(WebhookTestArgs),
    /// Check an installation: credential, scopes, clock, routes, budget, secrets, listeners, state, disk, series.
    ///
    /// Each line says how one thing is (ok, warning, failure), and below it what to do. It works beside a running exporter
    /// and before the first start, with the same flags, environment and configuration file. Run it as the exporter's user,
    /// or it cannot tell what that user may read and write. It counts nothing, writes nothing, shows no secret, sends at
    /// most four requests to the API, opens the event stream once, and ends within half a minute.
    #[command(after_help = "\
Examples:
  agntix-exporter doctor --config.file=/etc/agntix-exporter/config.toml
  agntix-exporter doctor --format json | jq '.findings[] | select(.status != \"ok\")'
Exit codes: 0 no failure (there may be warnings), 1 a failure, 2 a mistake in flags or configuration.")]
    Doctor(doctor::DoctorArgs),
    /// Ask the exporter that runs here with this configuration whether it is alive; for containers and supervisors.
    #[command(after_help = "Exit codes: 0 it is alive, 1 it is not, 2 a mistake in the configuration.")]
    Healthcheck,
    /// Print the completions of a shell.
    ///
    /// bash: agntix-exporter completions bash >/usr/share/bash-completion/completions/agntix-exporter
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, as roff: agntix-exporter man | man -l -
    Man,
}

/// What is sent where.
#[derive(Args, Clone, Debug)]
#[expect(clippy::doc_markdown, reason = "the text of --help, which shows no backticks")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct WebhookTestArgs {
    /// Address of the endpoint, as Agntix is to call it.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// File that holds the signing secret [default: AGNTIX_WEBHOOK_SECRET from the environment].
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Also send one that is signed with another secret; it must be refused.
    #[arg(long)]
    pub forged: bool,
    /// Also send one that was signed ten minutes ago; it must be refused.
    #[arg(long)]
    pub stale: bool,
    /// Also send the sample once more, as Agntix may; it must be accepted again.
    #[arg(long)]
    pub repeated: bool,
    /// Send the end of a session in place of a test: a production exporter COUNTS it.
    #[arg(long)]
    pub count: bool,
    /// Id of the session in the sample [default: webhook-test- and something random].
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

/// How the demo goes.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Simulated time passes so many times as fast.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub speed: f64,
    /// Another number invents other sessions.
    #[arg(long, default_value_t = 2026, value_name = "NUMBER")]
    pub seed: u64,
}

/// What is simulated.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9898", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Speed and seed.
    #[command(flatten)]
    pub demo: DemoArgs,
    /// Requests a minute that the organization may make; 0 is without limit.
    #[arg(long, default_value_t = 3_000, value_name = "REQUESTS")]
    pub rate_limit: u32,
    /// Deliver webhooks to this address.
    #[arg(long, value_name = "URL", requires = "webhook_secret")]
    pub webhook_url: Option<String>,
    /// Secret to sign them with, whsec_ and base64; once for each secret while one is being rotated.
    #[arg(long, value_name = "SECRET", requires = "webhook_url")]
    pub webhook_secret: Vec<WebhookSecret>,
}

/// Exit code for a mistake in flags, environment or configuration; nothing was opened then.
const MISTAKE: u8 = 2;

/// Does what the command line says, and gives the exit code.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        None => daemon::run(cli.global),
        Some(Command::Demo(args)) => demo::run(&cli.global, &args),
        Some(Command::Simulate(args)) => demo::simulate(&cli.global, &args),
        Some(Command::Session { id }) => session::run(&cli.global, &id),
        Some(Command::State { command }) => state::run(&cli.global, &command),
        Some(Command::WebhookTest(args)) => webhook_test::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&cli.global, &args),
        Some(Command::Healthcheck) => healthcheck::run(&cli.global),
        Some(Command::Completions { shell }) => generate::completions(shell),
        Some(Command::Man) => generate::man(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Mistake(why)) => {
            say(format_args!("agntix-exporter: {why}"));
            ExitCode::from(MISTAKE)
        }
        Err(Failure::Running(why)) => {
            say(format_args!("agntix-exporter: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Why a command has failed, as a sentence for the one at the terminal.
enum Failure {
    /// The user has to change a flag, the environment or the configuration.
    Mistake(String),
    /// Something else went wrong.
    Running(String),
}

impl Failure {
    fn mistake(error: impl std::fmt::Display) -> Self {
        Self::Mistake(error.to_string())
    }

    fn running(error: impl std::fmt::Display) -> Self {
        Self::Running(error.to_string())
    }
}

/// Writes to standard output. That a reader has had enough, as `head` has, is no failure.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("standard output cannot be written ({error})")))
        }
        _ => Ok(()),
    }
}

/// Says something to the one at the terminal; where standard error is closed, nobody is there.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::running(format!("the system gives no threads: {e}")))
}

fn environment() -> Environment {
    Environment::from_process()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_and_behind_a_command() {
        let read = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        let demo = read("agntix-exporter --log.level debug demo --web.listen-address 127.0.0.1:1 --speed 60");
        let overrides = demo.global.overrides();
        assert_eq!(overrides.listen_addresses, ["127.0.0.1:1"]);
        let many = read("agntix-exporter --web.listen-address :1 --web.listen-address=[::1]:2").global.overrides();
        assert_eq!(many.listen_addresses, [":1", "[::1]:2"]);
        assert_eq!(overrides.log_level.as_deref(), Some("debug"));
        assert!(matches!(demo.command, Some(Command::Demo(DemoArgs { speed: 60.0, .. }))));
        assert!(read("agntix-exporter --config.check").global.config_check);
        assert!(Cli::try_parse_from(["agntix-exporter", "--config.files"]).is_err());
    }

    #[test]
    fn flags_may_be_empty_or_negated_as_in_the_prometheus_family() {
        let read = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().global.overrides();
        let empty = read("agntix-exporter --web.config.file= --web.external-url= --web.route-prefix=");
        assert_eq!((empty.web_config_file, empty.external_url, empty.route_prefix), (None, None, None));
        let sockets = |line: &str| read(line).systemd_socket;
        assert_eq!(sockets("agntix-exporter"), None);
        assert_eq!(sockets("agntix-exporter --web.systemd-socket"), Some(true));
        assert_eq!(sockets("agntix-exporter --no-web.systemd-socket"), Some(false));
        assert_eq!(sockets("agntix-exporter --web.systemd-socket --no-web.systemd-socket"), Some(false));
        assert_eq!(sockets("agntix-exporter --no-web.systemd-socket --web.systemd-socket"), Some(true));
        let own = |line: &str| read(line).disable_exporter_metrics;
        assert_eq!(own("agntix-exporter demo --no-web.disable-exporter-metrics"), Some(false));
    }

    #[test]
    fn a_webhook_has_an_address_and_its_secrets() {
        let read = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        let both =
            "agntix-exporter simulate --webhook-url http://x/ --webhook-secret whsec_b25l --webhook-secret whsec_dHdv";
        let Ok(Some(Command::Simulate(args))) = read(both) else { panic!("not read") };
        assert_eq!((args.webhook_url.as_deref(), args.webhook_secret.len()), (Some("http://x/"), 2));
        for wrong in ["--webhook-url http://x/", "--webhook-secret whsec_b25l", "--webhook-url x --webhook-secret b25l"]
        {
            assert!(read(&format!("agntix-exporter simulate {wrong}")).is_err(), "{wrong}");
        }
    }
}
