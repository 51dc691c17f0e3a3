//! `[state]`: where the counts are kept.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};

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
            let rule = "must be a URL such as \"postgres://exporter@db1,db2/agntix?sslmode=verify-full\"";
            rules::check(url.is_postgres(), "state.url", shown(&url.redacted()), rule)?;
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

/// The URL of a database. Its password is never shown, in whatever way it is printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole of it, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// It with three stars for a password.
    pub fn redacted(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return self.0.clone() };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = match authority.rsplit_once('@') {
            Some((user, hosts)) => match user.split_once(':') {
                Some((user, _)) => format!("{user}:***@{hosts}"),
                None => authority.to_owned(),
            },
            None => authority.to_owned(),
        };
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = format!("{scheme}://{authority}{path}");
        for (place, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(if is_password(pair) { "password=***" } else { pair });
        }
        url
    }

    fn is_postgres(&self) -> bool {
        let rest = self.0.strip_prefix("postgres://").or_else(|| self.0.strip_prefix("postgresql://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()))
    }

    fn has_password(&self) -> bool {
        self.redacted() != self.0
    }
}

/// Whether a parameter of the URL is a password, however it is spelt.
fn is_password(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or(pair);
    percent_decode_str(name).decode_utf8_lossy().eq_ignore_ascii_case("password")
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.redacted(), f)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_in_no_print_of_a_url() {
        for (url, shown) in [
            ("postgres://u:s3cret@db1,db2:1/x?a=b", "postgres://u:***@db1,db2:1/x?a=b"),
            ("postgres://u:s3:c@ret@db/x", "postgres://u:***@db/x"),
            ("postgres://u@db/x?a=b&password=s3cret&c=d", "postgres://u@db/x?a=b&password=***&c=d"),
            ("postgres://u@db/x?pass%77ord=s3cret", "postgres://u@db/x?password=***"),
            ("postgres://u@db/x?sslmode=require", "postgres://u@db/x?sslmode=require"),
        ] {
            let url = DatabaseUrl::from(url);
            assert_eq!(url.redacted(), shown);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
            assert_eq!(url.has_password(), shown.contains("***"));
        }
    }

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
