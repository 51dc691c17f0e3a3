//! What `--config.check` prints: every value in effect, and where it came from.

use std::fmt::Write as _;

use super::keys;
use super::loaded::Loaded;

/// Longer lines, such as lists of buckets, do not push the comments of all others to the right.
const WIDEST: usize = 60;

impl Loaded {
    /// The configuration in effect, a key a line with its origin as a comment, then the credentials by name, then the
    /// warnings. It can be pasted into a configuration file, and holds no secret.
    pub fn report(&self) -> String {
        let values = toml::Table::try_from(&self.config).unwrap_or_default();
        let lines: Vec<_> = keys::all()
            .iter()
            .filter_map(|key| {
                let value = values.get(&key.section)?.get(&key.leaf)?;
                Some((format!("{} = {value}", key.name), self.origins.get(&key.name).short()))
            })
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= WIDEST).max();
        let width = width.unwrap_or_default();
        let mut report = String::new();
        for (line, origin) in &lines {
            let _ = writeln!(report, "{line:width$}  # {origin}");
        }
        let _ = writeln!(report, "# credential: {}", self.credential());
        if let Some(secret) = self.webhook_secret_name() {
            let _ = writeln!(report, "# webhook secret: {secret}");
        }
        for warning in &self.warnings {
            let _ = writeln!(report, "# warning: {warning}");
        }
        report
    }

    fn credential(&self) -> String {
        let api = &self.config.api;
        match (&self.api_key, &api.key_file, &api.bearer_token_file) {
            (Some(_), _, _) => "AGNTIX_API_KEY (set, not shown)".into(),
            (None, Some(file), _) => format!("the key in {} (api.key_file)", file.display()),
            (None, None, Some(file)) => format!("the token in {} (api.bearer_token_file)", file.display()),
            (None, None, None) => "none".into(),
        }
    }

    fn webhook_secret_name(&self) -> Option<String> {
        let webhook = &self.config.webhook;
        match (&self.webhook_secret, &webhook.secret_file) {
            (Some(_), _) => Some("AGNTIX_WEBHOOK_SECRET (set, not shown)".into()),
            (None, Some(file)) if webhook.enabled => Some(format!("in {} (webhook.secret_file)", file.display())),
            _ => None,
        }
    }
}
