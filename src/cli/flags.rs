//! The flags that every command takes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use crate::config::{LogFormat, Overrides};

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
    /// Listen on the sockets that systemd passes, instead of addresses.
    #[arg(long = "web.systemd-socket", global = true, overrides_with = "no_systemd_socket")]
    pub systemd_socket: bool,
    /// Disable it, whatever the environment or the file says.
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
    /// URL under which users reach the exporter, if it is behind a proxy.
    #[arg(long = "web.external-url", value_name = "URL", global = true)]
    pub external_url: Option<String>,
    /// Prefix of all paths [default: the path of --web.external-url].
    #[arg(long = "web.route-prefix", value_name = "PATH", global = true)]
    pub route_prefix: Option<String>,
    /// Maximum number of concurrent scrapes, 0 for no limit; further ones get 503 [default: 40].
    #[arg(long = "web.max-requests", value_name = "NUMBER", global = true)]
    pub max_requests: Option<u32>,
    /// Leave out the metrics of the process itself (process_*).
    #[arg(long = "web.disable-exporter-metrics", global = true, overrides_with = "no_disable_exporter_metrics")]
    pub disable_exporter_metrics: bool,
    /// Disable it, whatever the environment or the file says.
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
    /// Format of log lines.
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
