//! What is delivered where, and how badly.

use std::time::Duration;

use super::secret::WebhookSecret;
use crate::time::Timestamp;

/// A webhook endpoint and the deliveries to it. Times without another word are real time.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryConfig {
    /// Where to deliver.
    pub url: String,
    /// The endpoint's secrets; several while one is being rotated.
    pub secrets: Vec<WebhookSecret>,
    /// Simulated time from which on events are delivered; `None` is when deliveries are switched on.
    pub since: Option<Timestamp>,
    /// Whether `session.created` is delivered, as a session is created.
    pub created: bool,
    /// Whether the end of a session is delivered: with its analysis, when that arrives, or without one, at the end,
    /// when none ever arrives.
    pub ended: bool,
    /// The event type of an end: `session.ended`; one page of the vendor still says `session.closed`.
    pub ended_type: String,
    /// Whether the end is delivered once more, as another event, when the analysis changes.
    pub changes: bool,
    /// Share of deliveries that are made again although they were acknowledged.
    pub repeated_share: f64,
    /// How often such a delivery is made again at most: each time, by chance, under its own `svix-id` or under a new one.
    pub most_repeats: u32,
    /// Share of sessions whose creation is delivered after their end.
    pub out_of_order_share: f64,
    /// Share of the other deliveries that are late.
    pub delayed_share: f64,
    /// The most by which late ones, repeated ones and those out of order are late, in simulated time.
    pub longest_delay: Duration,
    /// Share of ends whose analysis lacks parts that it has; those of hidden sessions are always whole.
    pub truncated_share: f64,
    /// Share of sessions of which an event is delivered whose type nobody knows.
    pub unknown_share: f64,
    /// Deliveries under way at once.
    pub parallelism: usize,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The waits of Svix's retry schedule are multiplied with this.
    pub backoff_scale: f64,
}

impl Default for DeliveryConfig {
    /// Everything in order and once, to nowhere.
    fn default() -> Self {
        Self {
            url: String::new(),
            secrets: Vec::new(),
            since: None,
            created: true,
            ended: true,
            ended_type: "session.ended".into(),
            changes: false,
            repeated_share: 0.0,
            most_repeats: 3,
            out_of_order_share: 0.0,
            delayed_share: 0.0,
            longest_delay: Duration::from_secs(5),
            truncated_share: 0.0,
            unknown_share: 0.0,
            parallelism: 16,
            timeout: Duration::from_secs(15),
            backoff_scale: 1.0,
        }
    }
}

impl DeliveryConfig {
    /// Everything in order and once, to `url`.
    ///
    /// # Errors
    /// A message that says what is wrong with it.
    pub fn new(url: &str, secrets: Vec<WebhookSecret>) -> Result<Self, String> {
        let config = Self { url: url.to_owned(), secrets, ..Self::default() };
        config.check().map(|()| config)
    }

    /// Says what is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        match reqwest::Url::parse(&self.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {}
            _ => return Err(format!("url is {:?}, but must be an http or https address", self.url)),
        }
        if self.secrets.is_empty() {
            return Err("secrets is empty, but must name one".to_owned());
        }
        if self.parallelism == 0 {
            return Err("parallelism is 0, but must be 1 or more".to_owned());
        }
        let shares = [
            ("repeated_share", self.repeated_share),
            ("out_of_order_share", self.out_of_order_share),
            ("delayed_share", self.delayed_share),
            ("truncated_share", self.truncated_share),
            ("unknown_share", self.unknown_share),
        ];
        if let Some((name, share)) = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(format!("{name} is {share}, but must be from 0 to 1"));
        }
        if !(0.0..=1000.0).contains(&self.backoff_scale) {
            return Err(format!("backoff_scale is {}, but must be from 0 to 1000", self.backoff_scale));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let good = DeliveryConfig::new("http://127.0.0.1:1/hook", vec!["whsec_b25l".parse().unwrap()]).unwrap();
        for (name, bad) in [
            ("url", DeliveryConfig { url: "ftp://x/".into(), ..good.clone() }),
            ("secrets", DeliveryConfig { secrets: Vec::new(), ..good.clone() }),
            ("parallelism", DeliveryConfig { parallelism: 0, ..good.clone() }),
            ("delayed_share", DeliveryConfig { delayed_share: f64::NAN, ..good.clone() }),
            ("backoff_scale", DeliveryConfig { backoff_scale: -1.0, ..good.clone() }),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
