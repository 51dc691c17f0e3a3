//! The log on standard error: its set-up, and changes of its level while the daemon runs. A line is about something that a
//! person acts on; what happens to single sessions is logged at `debug`.

use std::any::Any;

use json_subscriber::JsonLayer;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
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
        LogFormat::Json => json_lines(std::io::stderr).boxed(),
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

/// Lines with the keys and the levels of logfmt, so that one query finds either.
fn json_lines<S: Subscriber + for<'s> LookupSpan<'s>, W: for<'w> MakeWriter<'w> + 'static>(
    writer: W,
) -> JsonLayer<S, W> {
    let mut lines = JsonLayer::new(writer);
    lines.with_timer("ts", SystemTime);
    lines.add_dynamic_field("level", |event, _| Some(event.metadata().level().as_str().to_ascii_lowercase()));
    lines.with_target("target");
    lines.with_flattened_event();
    lines
}

/// Logs why the process ends, in the form of the log. Before the log is set up it is, as far as this line needs it.
pub fn log_fatal(error: &str, format: LogFormat) {
    // A log that is there already stays as it is.
    let _ = init(&LogConfig { level: "error".into(), format });
    tracing::error!(target: "agntix_exporter", "{error}");
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn both_formats_have_the_same_keys_and_levels() {
        let (json, logfmt) = (Written::default(), Written::default());
        let (to_json, to_logfmt) = (json.clone(), logfmt.clone());
        let lines = tracing_logfmt::builder().layer().with_writer(move || to_logfmt.clone());
        let subscriber = tracing_subscriber::registry().with(json_lines(move || to_json.clone())).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(route = "list", count = 7, path = %"/a b", "it is \"so\"");
        });
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json.text()).unwrap();
        let keys: BTreeSet<&str> = line.keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["count", "level", "message", "path", "route", "target", "ts"]));
        assert_eq!(
            (&line["level"], &line["message"], &line["count"]),
            (&"warn".into(), &"it is \"so\"".into(), &7.into())
        );
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
        for key in keys {
            assert!(
                logfmt.text().split(' ').any(|part| part.starts_with(&format!("{key}="))),
                "{key}: {}",
                logfmt.text()
            );
        }
        assert!(logfmt.text().contains(" level=warn "));
    }
}
