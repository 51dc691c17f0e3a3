//! Ready-made simulations: the demo, and a load.

use std::time::Duration;

use crate::config::{Incident, IncidentKind, Rhythm, SimulatorConfig};
use crate::messages::MessageShares;
use crate::profile::{
    AgentProfile, Channel, ExtractedSpec, ExtractedValues, ResolutionShares, SentimentShares, weighted,
};
use crate::random::mix;
use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

impl SimulatorConfig {
    /// Five agents of a parcel service and its neighbours, as busy as on a weekday's afternoon at any hour, since half an hour
    /// before `now`; 3 minutes after it the delivery desk stops resolving, 6 minutes after it the hotline's customers turn unhappy,
    /// for half an hour each: the alerts must distinguish it from the half hour before, and be sure of it though they know no more.
    pub fn demo(now: Timestamp) -> Self {
        let agents = vec![delivery_desk(), service_hotline(), shop_assistant(), appointments(), payment_reminder()];
        let incident = |agent: usize, after: u32, kind| {
            let from = now.plus(MINUTE * after);
            agents.get(agent).map(|agent| Incident { agent: agent.id.clone(), from, to: from.plus(MINUTE * 30), kind })
        };
        let incidents =
            [incident(0, 3, IncidentKind::UnresolvedShare(0.95)), incident(1, 6, IncidentKind::NegativeWave(0.9))];
        Self {
            seed: 2026,
            start: now.minus(MINUTE * 30),
            now: Some(now),
            incidents: incidents.into_iter().flatten().collect(),
            agents,
            analysis_delay: (Duration::from_secs(2), Duration::from_secs(15)),
            rhythm: Rhythm::Uneven,
            messages: MessageShares::LIVELY,
            rate_limit: Some(3_000),
            ..Self::default()
        }
    }

    /// About `total` sessions from `start` on, at `sessions_per_second` over eight agents. Each lasts 0.2 to 2 s and
    /// has its analysis half a second later at most; a `start` far enough in the past has all of them finished.
    pub fn load(start: Timestamp, sessions_per_second: f64, total: u64) -> Self {
        const AGENTS: u64 = 8;
        let agents = (0..AGENTS).map(|number| AgentProfile {
            id: format!("agnt_{:012x}", mix(&[number]) >> 16),
            name: format!("Load {number}"),
            sessions_per_day: sessions_per_second * 86_400.0 / f64::from(u32::try_from(AGENTS).unwrap_or(1)),
            mean_duration: Duration::from_millis(600),
            shortest: Duration::from_millis(200),
            longest: Duration::from_secs(2),
            ..AgentProfile::default()
        });
        #[expect(clippy::cast_precision_loss, reason = "a load is far below 2^53 sessions")]
        let length = total as f64 / sessions_per_second;
        let length = Duration::try_from_secs_f64(length).unwrap_or_default();
        Self {
            start,
            until: Some(start.plus(length).minus(Duration::from_millis(1))),
            now: None,
            agents: agents.collect(),
            slot: Duration::from_secs(1),
            analysis_delay: (Duration::ZERO, Duration::from_millis(500)),
            no_analysis_share: 0.0,
            rate_limit: None,
            ..Self::default()
        }
    }
}

fn demo_agent(id: &str, name: &str, description: &str) -> AgentProfile {
    AgentProfile {
        id: id.into(),
        name: name.into(),
        description: description.into(),
        shortest: Duration::from_secs(10),
        longest: Duration::from_secs(240),
        ..AgentProfile::default()
    }
}

fn delivery_desk() -> AgentProfile {
    AgentProfile {
        sessions_per_day: 16_000.0,
        mean_duration: Duration::from_secs(40),
        ..demo_agent(
            "40235145-aa3d-443e-9d0c-841dd0716a2f",
            "Delivery Desk",
            "Calls customers to agree on a delivery slot",
        )
    }
}

fn service_hotline() -> AgentProfile {
    AgentProfile {
        language: "de".into(),
        channels: vec![
            (Channel::new("VOICE", "PHONE", Some("INBOUND")), 0.9),
            (Channel::new("VOICE", "WEB", Some("INBOUND")), 0.1),
        ],
        languages: weighted(&[("de", 0.75), ("en", 0.15), ("tr", 0.1)]),
        sessions_per_day: 12_000.0,
        mean_duration: Duration::from_secs(100),
        duration_spread: 0.7,
        intents: weighted(&[
            ("Parcel-Missing", 0.35),
            ("Complaint", 0.25),
            ("Address-Change", 0.25),
            ("Opening-Hours", 0.15),
        ]),
        no_intent_share: 0.1,
        resolutions: ResolutionShares { resolved: 0.55, partially_resolved: 0.2, unresolved: 0.2 },
        sentiments: SentimentShares { positive: 0.2, neutral: 0.55, negative: 0.25 },
        extracted: vec![
            ExtractedSpec { name: "escalated".into(), values: ExtractedValues::Boolean(0.15) },
            ExtractedSpec { name: "parcelNote".into(), values: ExtractedValues::Text },
            ExtractedSpec { name: "transferred".into(), values: ExtractedValues::Boolean(0.22) },
            ExtractedSpec { name: "csat".into(), values: ExtractedValues::Tenths(10, 50) },
        ],
        ..demo_agent("7c0f2b6e-51d4-4c53-8f0a-6f6a6f3f1e11", "Service Hotline", "Takes calls about parcels")
    }
}

fn shop_assistant() -> AgentProfile {
    AgentProfile {
        channels: vec![(Channel::new("CHAT", "WEB", None), 0.7), (Channel::new("CHAT", "SDK", Some("INBOUND")), 0.3)],
        languages: weighted(&[("en", 0.6), ("fr", 0.2), ("es", 0.15), ("N/A", 0.05)]),
        sessions_per_day: 19_000.0,
        mean_duration: Duration::from_secs(70),
        duration_spread: 0.8,
        intents: weighted(&[("Product-Question", 0.5), ("Order-Status", 0.3), ("Return-Request", 0.2)]),
        resolutions: ResolutionShares { resolved: 0.8, partially_resolved: 0.1, unresolved: 0.05 },
        sentiments: SentimentShares { positive: 0.5, neutral: 0.42, negative: 0.08 },
        extracted: vec![
            ExtractedSpec {
                name: "department".into(),
                values: ExtractedValues::Enum(weighted(&[("Garden", 0.3), ("Kitchen", 0.5), ("Toys", 0.2)])),
            },
            ExtractedSpec { name: "basketValue".into(), values: ExtractedValues::Tenths(50, 4_000) },
            ExtractedSpec { name: "transferred".into(), values: ExtractedValues::Boolean(0.04) },
            ExtractedSpec { name: "csat".into(), values: ExtractedValues::Tenths(30, 50) },
        ],
        ..demo_agent("b1a7d7a2-0d5f-4f0e-9d0c-2f4e9f1f7c22", "Shop Assistant", "Answers questions in the web shop")
    }
}

fn appointments() -> AgentProfile {
    AgentProfile {
        language: "es".into(),
        channels: vec![
            (Channel::new("CHAT", "WHATSAPP", Some("INBOUND")), 0.8),
            (Channel::new("CHAT", "WHATSAPP", Some("OUTBOUND")), 0.2),
        ],
        languages: weighted(&[("es", 0.7), ("en", 0.2), ("pt", 0.1)]),
        sessions_per_day: 9_000.0,
        mean_duration: Duration::from_secs(90),
        intents: weighted(&[("Book", 0.5), ("Move", 0.3), ("Cancel", 0.2)]),
        resolutions: ResolutionShares { resolved: 0.75, partially_resolved: 0.05, unresolved: 0.12 },
        sentiments: SentimentShares { positive: 0.4, neutral: 0.48, negative: 0.12 },
        ..demo_agent("e3d9c1f4-8a41-4b7b-a1d9-5b0d4a9b3d33", "Appointments", "Books appointments by message")
    }
}

fn payment_reminder() -> AgentProfile {
    AgentProfile {
        channels: vec![(Channel::new("VOICE", "PHONE", Some("OUTBOUND")), 1.0)],
        languages: weighted(&[("en", 0.9), ("N/A", 0.1)]),
        sessions_per_day: 6_000.0,
        mean_duration: Duration::from_secs(30),
        intents: weighted(&[("Promise-To-Pay", 0.45), ("Dispute", 0.25), ("Voicemail", 0.3)]),
        no_intent_share: 0.2,
        resolutions: ResolutionShares { resolved: 0.4, partially_resolved: 0.1, unresolved: 0.2 },
        sentiments: SentimentShares { positive: 0.1, neutral: 0.5, negative: 0.25 },
        ..demo_agent("f8b2e6d0-3c6e-4d1a-bb52-91c8e7a64e44", "Payment Reminder", "Reminds customers of open bills")
    }
}
