//! The command line, and the commands behind it. Flags are spelled as those of the other Prometheus exporters.

mod backfill;
mod daemon;
mod demo;
mod doctor;
mod flags;
mod generate;
mod healthcheck;
mod session;
mod state;
mod terminal;
mod webhook_test;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::demo::{DemoArgs, SimulateArgs};
pub use self::flags::Global;
use self::terminal::{Failure, environment, say};
use self::webhook_test::WebhookTestArgs;
use crate::config::{self, LogFormat};
use crate::telemetry;

/// Exact Prometheus metrics of the sessions that Agntix agents hold: durations, resolutions, sentiment, intents.
///
/// Without a command it runs the exporter. It needs a credential of the Agntix organization: AGNTIX_API_KEY in the
/// environment, or api.key_file in the configuration. `agntix-exporter demo` needs none.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "the text of --help, which shows no backticks")]
#[command(name = "agntix-exporter", display_name = "agntix-exporter,", version = VERSION, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; without a command, run the exporter.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// As other exporters print it, after the name and a comma.
const VERSION: &str = concat!(
    "version ",
    env!("CARGO_PKG_VERSION"),
    " (revision: ",
    env!("AGNTIX_BUILD_REVISION"),
    ")\n  rustc:    ",
    env!("AGNTIX_BUILD_RUSTC"),
    "\n  platform: ",
    env!("AGNTIX_BUILD_TARGET")
);

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

/// What to do other than run the exporter.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the exporter against a built-in simulation of Agntix. It needs no account and keeps nothing.
    #[command(after_help = "Example: agntix-exporter demo --speed 60")]
    Demo(DemoArgs),
    /// Run only the simulation of the Agntix API, for development and tests.
    #[command(after_help = "Example: agntix-exporter simulate --listen 127.0.0.1:9898 --rate-limit 0")]
    Simulate(SimulateArgs),
    /// Fetch one session and print what it would add to which series. Nothing is counted, and nothing personal is shown.
    Session {
        /// Id of the session.
        id: String,
    },
    /// Inspect, compact, back up, move or correct the state, on disk or in PostgreSQL; what writes needs the exporter stopped.
    State {
        /// What to do with it.
        #[command(subcommand)]
        command: state::StateCommand,
    },
    /// Send signed sample deliveries to a webhook endpoint, and check the answers.
    ///
    /// Unless --count is given, the sample is of type webhook.test, which an exporter acknowledges and ignores.
    #[command(after_help = "\
Example: agntix-exporter webhook-test --to https://hooks.example.com/webhooks/agntix --secret-file secret --forged --stale --repeated
Exit codes: 0 every answer was right, 1 one was not, 2 a mistake in the flags or the secret.")]
    WebhookTest(WebhookTestArgs),
    /// Check an installation: credential, scopes, clock, routes, budget, secrets, listeners, state, disk, series.
    ///
    /// Each check prints one line (ok, warning or failure), and below it what to do. It works next to a running exporter
    /// and before the first start, with the same flags, environment and configuration file. Run it as the exporter's user;
    /// otherwise it cannot know what that user may read and write. It counts nothing, writes nothing and shows no secret. It
    /// sends at most four requests to the API, opens the event stream once, and ends within half a minute.
    #[command(after_help = "\
Examples:
  agntix-exporter doctor --config.file=/etc/agntix-exporter/config.toml
  agntix-exporter doctor --format json | jq '.findings[] | select(.status != \"ok\")'
Exit codes: 0 no failure (there may be warnings), 1 a failure, 2 a mistake in flags or configuration.")]
    Doctor(doctor::DoctorArgs),
    /// Write the past as files that Prometheus or VictoriaMetrics imports, up to where the counters of the exporter begin.
    ///
    /// It lists the sessions since --from and counts each as the exporter would have counted it. It writes one file a day
    /// (UTC), import.sh and summary.json. It works next to a running exporter, as the exporter's user, with a share of the rate limit of its
    /// own, and goes on with --resume where it was broken off.
    #[command(after_help = "\
Examples:
  agntix-exporter backfill --from 2026-08-01 --output history --prometheus.url http://localhost:9090
  agntix-exporter backfill --from 2026-08-01 --output history --label job=agntix --label instance=exporter:9899
Exit codes: 0 done, 1 failed or stopped (go on with --resume), 2 refused, or a mistake in flags or configuration.")]
    Backfill(backfill::BackfillArgs),
    /// Check whether the exporter with this configuration is running on this machine; for containers and supervisors.
    #[command(after_help = "Exit codes: 0 it is alive, 1 it is not, 2 a mistake in the configuration.")]
    Healthcheck,
    /// Print completions for a shell.
    ///
    /// bash: agntix-exporter completions bash >/usr/share/bash-completion/completions/agntix-exporter
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, as roff: agntix-exporter man | man -l -
    Man,
}

/// Exit code for a mistake in flags, environment or configuration; nothing was opened then.
const MISTAKE: u8 = 2;

/// Runs the command, and returns the exit code.
pub fn run(cli: Cli) -> ExitCode {
    // Of a daemon others read the log; what a command says is for the one at the terminal.
    let is_daemon = cli.command.is_none() && !cli.global.config_check;
    let format = is_daemon
        .then(|| config::log_format(cli.global.config_file.as_deref(), &environment(), &cli.global.overrides()));
    let done = match cli.command {
        None => daemon::run(cli.global),
        Some(Command::Demo(args)) => demo::run(&cli.global, &args),
        Some(Command::Simulate(args)) => demo::simulate(&cli.global, &args),
        Some(Command::Session { id }) => session::run(&cli.global, &id),
        Some(Command::State { command }) => state::run(&cli.global, &command),
        Some(Command::WebhookTest(args)) => webhook_test::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&cli.global, &args),
        Some(Command::Backfill(args)) => backfill::run(&cli.global, &args),
        Some(Command::Healthcheck) => healthcheck::run(&cli.global),
        Some(Command::Completions { shell }) => generate::completions(&mut Cli::command(), shell),
        Some(Command::Man) => generate::man(Cli::command(), AFTER_HELP),
    };
    match &done {
        Err(failure) if format == Some(LogFormat::Json) => telemetry::log_fatal(&failure.to_string(), LogFormat::Json),
        Err(failure) => say(format_args!("agntix-exporter: {failure}")),
        Ok(()) => {}
    }
    ExitCode::from(exit_code(&done))
}

/// The exit code for the result of a command.
fn exit_code(done: &Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(Failure::Running(_)) => 1,
        Err(Failure::Mistake(_)) => MISTAKE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::AppError;
    use crate::tasks::TaskError;

    #[test]
    fn command_line_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_code_tells_a_mistake_from_a_failure() {
        assert_eq!(exit_code(&Ok(())), 0);
        let task = TaskError::Stopped { task: "a test", reason: "panic: on purpose".into() };
        assert_eq!(exit_code(&Err(Failure::running(AppError::from(task)))), 1);
        assert_eq!(exit_code(&Err(Failure::mistake("no such key"))), 2);
    }

    #[test]
    fn version_is_printed_as_other_exporters_print_it() {
        let printed = Cli::try_parse_from(["agntix-exporter", "--version"]).unwrap_err().to_string();
        let lines: Vec<&str> = printed.lines().collect();
        let first = format!("agntix-exporter, version {} (revision: ", env!("CARGO_PKG_VERSION"));
        assert!(lines[0].starts_with(&first) && lines[1].starts_with("  rustc:    "), "{printed}");
        assert!(lines[2].starts_with("  platform: ") && lines.len() == 3, "{printed}");
    }

    #[test]
    fn flags_work_before_and_after_a_command() {
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
    fn webhook_url_and_secret_need_each_other() {
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
