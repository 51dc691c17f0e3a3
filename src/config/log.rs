//! `[log]`: the log on standard error.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::{Violation, shown};
use super::rules;

/// See `config.toml`, section `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a list of `tracing` directives (`info,agntix_exporter::poller=debug`).
    pub level: String,
    /// How a line is written.
    pub format: LogFormat,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Logfmt }
    }
}

impl LogConfig {
    /// Rejects a level that would not log what it says.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        // `EnvFilter` takes any word that is not a level for the name of a module and logs nothing else, so `inof` would
        // silence the exporter. It takes an empty word for `error`.
        let is_plain = |word: &str| {
            word.contains(['=', '[']) || (!word.trim().is_empty() && word.trim().parse::<LevelFilter>().is_ok())
        };
        let kept = self.level.split(',').all(is_plain) && EnvFilter::try_new(&self.level).is_ok();
        let rule =
            "must be error, warn, info, debug or trace, or a list such as \"info,agntix_exporter::poller=debug\"";
        rules::check(kept, "log.level", shown(&self.level), rule)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_valid(level: &str) -> bool {
        LogConfig { level: level.into(), ..LogConfig::default() }.validate().is_ok()
    }

    #[test]
    fn a_level_is_a_level_or_a_list_of_directives() {
        for good in ["info", "WARN", "off", "info,agntix_exporter::poller=debug", "agntix_exporter=trace"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", " ", "inof", "info,", "agntix_exporter", "info,agntix_exporter=loud"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_level_makes_it_panic(level in "[a-z:=,\\[\\]{}\"*(\\\\ ]*") {
            is_valid(&level);
        }
    }
}
