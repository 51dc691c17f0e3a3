//! `[state]`: where the counts are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::database_url::DatabaseUrl;
use super::error::{Violation, shown};
use super::rules;

/// The longest name that PostgreSQL does not cut.
const MAX_NAME: usize = 63;

/// See `config.toml`, section `[state]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// Directory of the ledger, on a local disk; made if it is missing. Not used with `url`.
    pub path: PathBuf,
    /// The PostgreSQL database that replicas share, in place of `path`.
    pub url: Option<DatabaseUrl>,
    /// File that holds the password of the database's user; read for every connection.
    pub password_file: Option<PathBuf>,
    /// The schema of the tables.
    pub schema: String,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { path: "./data".into(), url: None, password_file: None, schema: "agntix_exporter".into() }
    }
}

impl StateConfig {
    /// Rejects what cannot be a directory or a database. Whether it can be used shows when it is opened.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        rules::path("state.path", &self.path, "directory")?;
        if let Some(url) = &self.url {
            let rule = url.address().err();
            rules::check(rule.is_none(), "state.url", format!("{url:?}"), rule.unwrap_or_default())?;
        }
        if let Some(file) = &self.password_file {
            rules::path("state.password_file", file, "file")?;
            let rule = "must not be set without state.url";
            rules::check(self.url.is_some(), "state.password_file", shown(&file.display().to_string()), rule)?;
            let has_password = self.url.as_ref().is_some_and(DatabaseUrl::has_password);
            let rule = "must not be set if there is a password in state.url: remove one of them";
            rules::check(!has_password, "state.password_file", shown(&file.display().to_string()), rule)?;
        }
        let is_name = !self.schema.is_empty() && self.schema.len() <= MAX_NAME && !self.schema.contains('\0');
        let rule = format!("must be the name of a schema, of at most {MAX_NAME} bytes");
        rules::check(is_name, "state.schema", shown(&self.schema), rule)?;
        let is_reserved = self.schema.starts_with("pg_");
        rules::check(
            !is_reserved,
            "state.schema",
            shown(&self.schema),
            "must not begin with pg_, as PostgreSQL's own do",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_database_are_kept() {
        let error = |change: fn(&mut StateConfig)| {
            let mut config = StateConfig::default();
            change(&mut config);
            config.validate().err().map(|violation| violation.key)
        };
        assert_eq!(error(|_| ()), None);
        assert_eq!(error(|c| c.url = Some("postgres://u@db/x".into())), None);
        assert_eq!(error(|c| c.url = Some("postgresql://db1,db2:7/x?sslmode=require".into())), None);
        assert_eq!(error(|c| c.url = Some("mysql://db/x".into())), Some("state.url"));
        assert_eq!(error(|c| c.url = Some("postgres://".into())), Some("state.url"));
        assert_eq!(error(|c| c.password_file = Some("/p".into())), Some("state.password_file"));
        let both = |c: &mut StateConfig| {
            (c.url, c.password_file) = (Some("postgres://u:p@db/x".into()), Some("/p".into()));
        };
        assert_eq!(error(both), Some("state.password_file"));
        assert_eq!(error(|c| c.schema = String::new()), Some("state.schema"));
        assert_eq!(error(|c| c.schema = "pg_mine".into()), Some("state.schema"));
        assert_eq!(error(|c| c.schema = "x".repeat(64)), Some("state.schema"));
    }
}
