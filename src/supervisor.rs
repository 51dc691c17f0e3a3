//! Notifications to systemd (`Type=notify`): that the daemon is ready, reloads or stops, its status in one line, and the
//! watchdog. Without `NOTIFY_SOCKET` in the environment nothing is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::status::{Status, Summary};

/// How often the line of `systemctl status` may change.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// The poller loops at least once a second. One that has not done so for this long does not recover by itself.
const SILENCE: Duration = Duration::from_secs(15);

/// When a task last did something. Clones belong to the same task.
#[derive(Clone, Debug)]
pub struct Pulse {
    began: Instant,
    /// In milliseconds since `began`.
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { began: Instant::now(), last: Arc::default() }
    }
}

impl Pulse {
    /// The task does something at `now`.
    pub fn beat(&self, now: Instant) {
        let since = u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(since, Ordering::Relaxed);
    }

    /// How long it has done nothing at `now`.
    pub fn silence(&self, now: Instant) -> Duration {
        let last = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(last)
    }
}

/// Whether a daemon whose poller has been silent for this long still works; if not, systemd restarts it.
const fn works(silence: Duration) -> bool {
    silence.as_millis() <= SILENCE.as_millis()
}

/// How often the watchdog is notified and the status updated.
fn interval(watchdog: Option<Duration>) -> Duration {
    // Half of it, as sd_watchdog_enabled(3) recommends.
    watchdog.map_or(STATUS_EVERY, |watchdog| (watchdog / 2).min(STATUS_EVERY)).max(Duration::from_millis(1))
}

/// Notifies systemd that the daemon is ready, then notifies the watchdog while `pulse` beats, keeps the line of `systemctl
/// status` up to date, and at `shutdown` notifies that the daemon stops.
pub async fn notify(status: Arc<Status>, pulse: Pulse, shutdown: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let mut line = line(&status);
    send(&[NotifyState::Ready, NotifyState::Status(&line)]);
    // systemd says 0 where there is none.
    let watchdog = sd_notify::watchdog_enabled().filter(|watchdog| !watchdog.is_zero());
    let mut turns = tokio::time::interval(interval(watchdog));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut worked = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = turns.tick() => {}
        }
        if watchdog.is_some() {
            let silence = pulse.silence(Instant::now());
            if works(silence) {
                send(&[NotifyState::Watchdog]);
            } else if worked {
                tracing::error!(
                    ?silence,
                    "the poller has stopped working; systemd will restart the exporter, which loses nothing"
                );
            }
            worked = works(silence);
        }
        let new = self::line(&status);
        if new != line {
            send(&[NotifyState::Status(&new)]);
            line = new;
        }
    }
    send(&[NotifyState::Stopping, NotifyState::Status("Stopping.")]);
}

/// A reload that systemd was notified of; it is over when this is dropped.
#[derive(Debug)]
pub struct Reloading(());

impl Reloading {
    /// Notifies systemd that a reload begins.
    pub fn begin() -> Self {
        match NotifyState::monotonic_usec_now() {
            // systemd 253 and newer identify the reload by this time; older ones do not read it.
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
        Self(())
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        send(&[NotifyState::Ready]);
    }
}

/// How the daemon is, in one line.
fn line(status: &Status) -> String {
    let status = status.snapshot();
    let Summary { headline, explanation, .. } = status.summary();
    let text =
        format!("{headline}: {explanation} Sessions counted: {}, open: {}.", status.counted, status.sessions_open);
    // A new line would begin another message to systemd, and part of this may have come from outside.
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Sends one datagram, which does not block.
fn send(states: &[NotifyState<'_>]) {
    static WARNED: Once = Once::new();
    if let Err(error) = sd_notify::notify(states) {
        WARNED.call_once(|| tracing::warn!(%error, "systemd cannot be notified; check NOTIFY_SOCKET"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ApiStatus, StatusSnapshot};

    #[test]
    fn watchdog_stops_only_after_a_long_silence_of_the_poller() {
        assert!(works(Duration::ZERO));
        assert!(works(SILENCE));
        assert!(!works(SILENCE + Duration::from_millis(1)));
    }

    #[test]
    fn pulse_measures_the_time_since_the_last_beat() {
        let (pulse, began) = (Pulse::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let other = pulse.clone();
        other.beat(at(100));
        // Read to the millisecond.
        let silence = pulse.silence(at(107));
        assert!((Duration::from_secs(7)..=Duration::from_millis(7_001)).contains(&silence), "{silence:?}");
        assert_eq!(pulse.silence(at(99)), Duration::ZERO);
        other.beat(at(50));
        assert!(works(pulse.silence(at(110))), "an older beat takes nothing back");
        assert!(!works(pulse.silence(at(116))));
    }

    #[test]
    fn watchdog_is_notified_twice_per_interval() {
        let ms = Duration::from_millis;
        assert_eq!(interval(Some(ms(300))), ms(150));
        assert_eq!(interval(Some(ms(60_000))), STATUS_EVERY);
        assert_eq!(interval(None), STATUS_EVERY);
        assert!(!interval(Some(Duration::from_nanos(1))).is_zero(), "an interval of nothing would be a panic");
    }

    #[test]
    fn status_is_one_line_with_the_worst_first() {
        let down = ApiStatus::Down("host answered\nWATCHDOG=trigger\r.".into());
        let line = line(&Status::new(StatusSnapshot { counted: 412, api: down, ..StatusSnapshot::default() }));
        assert!(!line.contains(['\n', '\r']), "{line:?}");
        assert!(line.starts_with("Agntix does not answer: host answered WATCHDOG=trigger"), "{line}");
        assert!(line.contains("counted: 412"), "{line}");
    }
}
