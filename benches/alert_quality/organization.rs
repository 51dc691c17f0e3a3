//! The simulated organization: three agents, and what goes wrong with each of them when.

use std::time::Duration;

use simulator::{
    AgentProfile, Channel, Incident, IncidentKind, ResolutionShares, Rhythm, SentimentShares, SimulatorConfig,
    Timestamp, weighted,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The usual share of unresolved and of negative sessions.
const SHARE: f64 = 0.15;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// More sessions stay unresolved: so many times the usual share.
    Unresolved(u8),
    /// More customers are unhappy: so many times the usual share.
    Negative(u8),
    /// One intent of three, a fifth of the sessions, is no longer resolved.
    Intent,
    /// No session starts.
    Silence,
    /// So many times the usual sessions.
    Flood(u8),
    /// Sessions take so many times as long.
    Slow(u8),
}

impl Trouble {
    pub const ALL: [Self; 10] = [
        Self::Unresolved(2),
        Self::Unresolved(3),
        Self::Unresolved(5),
        Self::Negative(2),
        Self::Negative(3),
        Self::Negative(5),
        Self::Intent,
        Self::Silence,
        Self::Flood(4),
        Self::Slow(2),
    ];

    pub fn name(self) -> String {
        match self {
            Self::Unresolved(times) => format!("unresolved share × {times}"),
            Self::Negative(times) => format!("negative share × {times}"),
            Self::Intent => "one intent 85 % unresolved".into(),
            Self::Silence => "silence".into(),
            Self::Flood(times) => format!("flood × {times}"),
            Self::Slow(times) => format!("handle time × {times}"),
        }
    }

    fn kind(self) -> IncidentKind {
        // The simulator makes this share unresolved, and what is left as usual.
        let on_top = |share: f64| (share - SHARE) / (1.0 - SHARE);
        match self {
            Self::Unresolved(times) => IncidentKind::UnresolvedShare(on_top(SHARE * f64::from(times))),
            Self::Negative(times) => IncidentKind::NegativeWave(on_top(SHARE * f64::from(times))),
            Self::Intent => IncidentKind::IntentUnresolved { intent: 2, share: on_top(0.85) },
            Self::Silence => IncidentKind::Traffic(0.0),
            Self::Flood(times) => IncidentKind::Traffic(f64::from(times)),
            Self::Slow(times) => IncidentKind::Length(f64::from(times)),
        }
    }
}

/// An incident, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Scripted {
    pub trouble: Trouble,
    pub from: u64,
    pub to: u64,
}

/// An agent and its share of the script.
#[derive(Clone, Debug)]
pub struct Agent {
    pub name: &'static str,
    pub profile: AgentProfile,
    /// Creation times are made in slots of this length; the number in a slot varies about as a Poisson one does.
    slot: u64,
    /// How long an incident lasts.
    lasts: u64,
    /// From the start of one incident to the start of the next, about.
    every: u64,
    /// How long after the end of an incident an alert is still about it: what is in the windows is counted on.
    pub settle: u64,
}

impl Agent {
    pub fn id(&self) -> &str {
        &self.profile.id
    }

    /// How long an incident lasts, in hours.
    pub fn incident_hours(&self) -> u64 {
        self.lasts / HOUR
    }

    /// Incidents from `from` to `to`: a kind each in an order of chance, at hours of chance, nights and weekends too unless
    /// they are to begin `by_day`.
    pub fn script(&self, seed: u64, from: u64, to: u64, by_day: bool) -> Vec<Scripted> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut troubles = Trouble::ALL;
        rng.shuffle(&mut troubles);
        let begins = (0..).map(|n| from + n * self.every).take_while(|begin| begin + self.every <= to);
        begins
            .zip(troubles.iter().cycle())
            .map(|(begin, trouble)| {
                let mut draw = || begin + rng.u64(0..self.every - self.lasts - self.settle) / MINUTE * MINUTE;
                let mut from = draw();
                // Some places are nothing but a weekend.
                for _ in 0..1_000 {
                    if !by_day || is_by_day(from) {
                        break;
                    }
                    from = draw();
                }
                Scripted { trouble: *trouble, from, to: from + self.lasts }
            })
            .collect()
    }

    /// The simulation of this agent alone.
    pub fn simulation(&self, seed: u64, start: u64, end: u64, script: &[Scripted]) -> SimulatorConfig {
        let incidents = script.iter().map(|scripted| Incident {
            agent: self.profile.id.clone(),
            from: timestamp(scripted.from),
            to: timestamp(scripted.to),
            kind: scripted.trouble.kind(),
        });
        SimulatorConfig {
            seed,
            start: timestamp(start),
            until: Some(timestamp(end)),
            now: Some(timestamp(end)),
            agents: vec![self.profile.clone()],
            slot: Duration::from_secs(self.slot),
            rhythm: Rhythm::Daily,
            weekend_share: 0.6,
            incidents: incidents.collect(),
            ..SimulatorConfig::default()
        }
    }
}

/// Whether an incident that begins then begins on a working day between 08:00 and 20:00 UTC, when there are sessions to tell it by.
pub fn is_by_day(at: u64) -> bool {
    // Day 0 of Unix time was a Thursday.
    !matches!(at / 86_400 % 7, 2 | 3) && (8..20).contains(&(at / 3600 % 24))
}

pub fn timestamp(seconds: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(seconds * 1000).unwrap())
}

/// The three agents.
pub fn agents() -> [Agent; 3] {
    let profile = |id: &str, name: &str, channel, minutes: u64, sessions_per_day| AgentProfile {
        id: id.into(),
        name: name.into(),
        channels: vec![(channel, 1.0)],
        sessions_per_day,
        mean_duration: Duration::from_secs(minutes * MINUTE),
        longest: Duration::from_secs(HOUR),
        intents: weighted(&[("Order-Status", 0.5), ("Return-Request", 0.3), ("Address-Change", 0.2)]),
        resolutions: ResolutionShares { resolved: 0.62, partially_resolved: 0.18, unresolved: SHARE },
        sentiments: SentimentShares { positive: 0.35, neutral: 0.45, negative: SHARE },
        extracted: Vec::new(),
        ..AgentProfile::default()
    };
    [
        Agent {
            name: "busy",
            profile: profile("agent-busy", "Hotline", Channel::new("VOICE", "PHONE", Some("INBOUND")), 3, 20_000.0),
            slot: MINUTE,
            lasts: 2 * HOUR,
            every: 67 * HOUR,
            settle: HOUR,
        },
        Agent {
            name: "medium",
            profile: profile("agent-middling", "Web Chat", Channel::new("CHAT", "WEB", None), 4, 500.0),
            slot: 10,
            lasts: 6 * HOUR,
            every: 67 * HOUR,
            settle: 6 * HOUR,
        },
        Agent {
            name: "quiet",
            profile: profile("agent-quiet", "WhatsApp", Channel::new("CHAT", "WHATSAPP", Some("INBOUND")), 5, 20.0),
            slot: 10,
            lasts: 2 * DAY,
            every: 5 * DAY + 14 * HOUR,
            settle: DAY,
        },
    ]
}
