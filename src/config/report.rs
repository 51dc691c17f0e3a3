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
        for line in self.database() {
            let _ = writeln!(report, "# state: {line}");
        }
        for warning in &self.warnings {
            let _ = writeln!(report, "# warning: {warning}");
        }
        report
    }

    /// Where the counts are, if they are in a database. Nothing is asked of it.
    fn database(&self) -> Vec<String> {
        let state = &self.config.state;
        let Some((url, address)) = state.url.as_ref().and_then(|url| Some((url, url.address().ok()?))) else {
            return Vec::new();
        };
        let user = address.user.as_deref().unwrap_or("the user of the process");
        let password = match &state.password_file {
            Some(file) => format!("the password in {} (state.password_file)", file.display()),
            None if url.has_password() => "the password in state.url (not shown)".into(),
            None => "no password".into(),
        };
        vec![
            format!("PostgreSQL at {}, schema {}, as {user} with {password}, sslmode={}; state.path is not used", address.name(), state.schema, address.tls.mode),
            "agntix-exporter doctor asks it: which server is the primary, which replica counts, whether commits are synchronous".into(),
        ]
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
