//! Deliveries: what is planned, what is attempted next, and what a receiver gets.

mod plan;
mod queue;
mod wire;

use std::time::Duration;

use super::config::DeliveryConfig;
use super::plan::{Delivery, Event};
use crate::generate::{Generator, Outline};
use crate::time::Timestamp;
use crate::{Session, SimulatorConfig};

const SECRET: &str = "whsec_b25l";

fn config() -> DeliveryConfig {
    DeliveryConfig {
        url: "http://127.0.0.1:9/hook".into(),
        secrets: vec![SECRET.parse().unwrap()],
        ..DeliveryConfig::default()
    }
}

fn generator(change: impl FnOnce(&mut SimulatorConfig)) -> Generator {
    let mut config = SimulatorConfig::default();
    change(&mut config);
    Generator::new(config)
}

/// All sessions of the first hour.
fn outlines(generator: &Generator) -> Vec<Outline> {
    let start = generator.config().start;
    let slots = generator.slots(start, start.plus(Duration::from_secs(3599))).unwrap();
    slots.flat_map(|slot| generator.outlines(slot).to_vec()).collect()
}
