//! The log on standard error: its set-up, and changes of its level while the daemon runs. A line is about something that a
//! person acts on; what happens to single sessions is logged at `debug`.

use std::any::Any;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::config::{LogConfig, LogFormat};

/// Changes the level of a log that is set up.
#[derive(Clone, Debug)]
pub struct LogLevel(Option<reload::Handle<EnvFilter, Registry>>);

impl LogLevel {
    /// For a log that was set up elsewhere, such as in a test: changes nothing.
    pub const fn fixed() -> Self {
        Self(None)
    }

    /// Sets the level, written as in `log.level`.
    pub fn set(&self, level: &str) {
        if let (Some(handle), Ok(filter)) = (&self.0, EnvFilter::try_new(level))
            && let Err(error) = handle.reload(filter)
        {
            tracing::warn!(%error, "the level of the log could not be changed");
        }
    }
}

/// Sets up the log of this process, and logs panics from here on.
///
/// # Errors
/// If a log is set up already, or the level is invalid.
pub fn init(config: &LogConfig) -> Result<LogLevel, Box<dyn std::error::Error>> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(&config.level)?);
    let lines = match config.format {
        LogFormat::Json => {
            tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
        }
        LogFormat::Logfmt => tracing_logfmt::builder().layer().with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        // Messages of panics come from this program and name places and numbers, never what was read.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = panic_text(panic.payload()), "a part of the exporter has panicked");
    }));
    Ok(LogLevel(Some(handle)))
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
