//! The exporter's own listeners, and the web configuration files that guard them.

use std::time::Duration;

use super::Finding;
use crate::clock::Timestamp;

/// Automatic renewal happens weeks before a certificate expires.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// What was seen of a listen address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListenerSeen {
    /// It can be listened on.
    Free,
    /// An exporter listens there and says that it is alive.
    Exporter,
    /// Something accepts connections there but wants a client certificate, so it cannot be asked.
    Unasked,
    /// Something else listens there; what it did.
    Other(String),
    /// It cannot be listened on; a sentence that says what to do.
    Unusable(String),
    /// The system chooses the port, or systemd hands the socket over.
    Chosen,
}

/// Judges an address of `check`, which `key` sets.
pub(super) fn judge(check: &'static str, key: &str, address: &str, seen: &ListenerSeen) -> Finding {
    match seen {
        ListenerSeen::Free => Finding::ok(check, format!("{address} is free")),
        ListenerSeen::Exporter => Finding::ok(check, format!("a running exporter answers on {address}")),
        ListenerSeen::Unasked => Finding::ok(
            check,
            format!("{address} takes connections; it wants a client certificate, so it could not be asked for more"),
        ),
        ListenerSeen::Other(what) => Finding::failure(
            check,
            format!("{address} is taken by something that is no running exporter of this configuration ({what})"),
            format!("stop what listens there, or set {key} to a free port"),
        ),
        ListenerSeen::Unusable(why) => {
            Finding::failure(check, why.clone(), format!("set {key} to an address and port that this user may use"))
        }
        ListenerSeen::Chosen => Finding::ok(
            check,
            format!("{address}: the system chooses when the exporter starts, so nothing was checked"),
        ),
    }
}

/// What was seen of the web configuration file of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuardSeen {
    /// Whether connections are encrypted, and who is let in, in words.
    pub summary: String,
    /// When the certificate expires.
    pub certificate_ends: Option<Timestamp>,
}

/// The web configuration files that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GuardsSeen {
    /// With what each guards.
    pub guards: Vec<(&'static str, GuardSeen)>,
    /// What is probably not meant in them, a sentence each.
    pub warnings: Vec<String>,
}

/// Judges the web configuration files.
pub(super) fn judge_guards(seen: &Result<GuardsSeen, String>, now: Timestamp) -> Vec<Finding> {
    const CHECK: &str = "web-config";
    let GuardsSeen { guards, warnings } = match seen {
        Ok(read) => read,
        Err(why) => {
            let advice =
                "correct the file; until then the exporter does not start, and one that runs keeps the last good one";
            return vec![Finding::failure(CHECK, why.clone(), advice)];
        }
    };
    let mut findings = Vec::new();
    for (whose, GuardSeen { summary, certificate_ends }) in guards {
        findings.push(match certificate_ends {
            Some(ends) if *ends <= now => Finding::failure(
                CHECK,
                format!("{whose}: {summary}; the certificate has expired ({ends}), so that clients refuse it"),
                "write a new certificate over it; no restart is needed",
            ),
            Some(ends) if ends.since(now) < SOON => Finding::warning(
                CHECK,
                format!("{whose}: {summary}; the certificate ends in {}, {ends}", days(*ends, now)),
                "renew it; write the new one over it, no restart is needed",
            ),
            Some(ends) => Finding::ok(
                CHECK,
                format!("{whose}: {summary}; the certificate holds for {}, until {ends}", days(*ends, now)),
            ),
            None => Finding::ok(CHECK, format!("{whose}: {summary}")),
        });
    }
    let expired = |warning: &&String| !(warning.contains(" has expired "));
    findings.extend(
        warnings
            .iter()
            .filter(expired)
            .map(|warning| Finding::warning(CHECK, warning.clone(), "change the file if it is not meant")),
    );
    findings
}

fn days(ends: Timestamp, now: Timestamp) -> String {
    let days = ends.since(now).as_secs() / 86_400;
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn listener_is_ok_if_free_or_held_by_an_exporter() {
        let judged = |seen| judge("listener", "web.listen_address", ":9899", &seen);
        for (seen, expected) in [
            (ListenerSeen::Free, Status::Ok),
            (ListenerSeen::Exporter, Status::Ok),
            (ListenerSeen::Unasked, Status::Ok),
            (ListenerSeen::Chosen, Status::Ok),
            (ListenerSeen::Other("it answers 404".into()), Status::Failure),
            (ListenerSeen::Unusable("no such address".into()), Status::Failure),
        ] {
            assert_eq!(judged(seen.clone()).status, expected, "{seen:?}");
        }
        let taken = judged(ListenerSeen::Other("it answers 404".into()));
        assert!(taken.says.contains(":9899") && taken.says.contains("it answers 404"), "{taken:?}");
        assert!(taken.advice.unwrap().contains("set web.listen_address"));
    }

    #[test]
    fn certificate_that_expires_soon_is_reported() {
        let now = Timestamp::from_millis(1_775_628_000_000);
        let judged = |ends: Option<Timestamp>| {
            let guard = GuardSeen { summary: "TLS".into(), certificate_ends: ends };
            let finding =
                judge_guards(&Ok(GuardsSeen { guards: vec![("web.config_file", guard)], warnings: Vec::new() }), now)
                    .remove(0);
            (finding.status, finding.says)
        };
        let in_days = |days: u64| Some(now.plus(Duration::from_secs(days * 86_400)));
        assert_eq!(judged(None), (Status::Ok, "web.config_file: TLS".into()));
        assert_eq!(judged(in_days(0)).0, Status::Failure);
        assert!(judged(in_days(1)).1.contains("ends in 1 day, 2026-04-09T06:00:00.000Z"), "{:?}", judged(in_days(1)));
        assert_eq!((judged(in_days(13)).0, judged(in_days(15)).0), (Status::Warning, Status::Ok));
    }

    #[test]
    fn broken_web_configuration_fails_and_a_doubtful_one_is_a_warning() {
        let now = Timestamp::default();
        assert_eq!(judge_guards(&Err("web.yml, line 2: no".into()), now)[0].status, Status::Failure);
        let warnings =
            vec!["web.yml: TLS is off".to_owned(), "web.yml: the certificate in c has expired (x)".to_owned()];
        let found = judge_guards(&Ok(GuardsSeen { guards: Vec::new(), warnings }), now);
        assert_eq!(found.iter().map(|f| f.says.as_str()).collect::<Vec<_>>(), ["web.yml: TLS is off"]);
    }
}
