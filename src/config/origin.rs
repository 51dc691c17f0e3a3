//! Where the value of a key came from.

use std::collections::BTreeMap;
use std::fmt;

use ::config::{Value, ValueKind};

/// Where the value of a key came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// It is not set.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// As it was named.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl ConfigOrigin {
    /// As the text that the `config` crate carries along with each value.
    pub(super) fn to_tag(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::File { path, line } => Some(format!("file:{line}:{path}")),
            Self::Environment(variable) => Some(format!("environment:{variable}")),
            Self::Flag(flag) => Some(format!("flag:{flag}")),
        }
    }

    /// Reads what [`to_tag`](Self::to_tag) wrote.
    pub(super) fn from_tag(tag: Option<&str>) -> Self {
        match tag.and_then(|tag| tag.split_once(':')) {
            Some(("flag", flag)) => Self::Flag(flag.into()),
            Some(("environment", variable)) => Self::Environment(variable.into()),
            Some(("file", place)) => {
                let (line, path) = place.split_once(':').unwrap_or_default();
                Self::File { path: path.into(), line: line.parse().unwrap_or_default() }
            }
            _ => Self::Default,
        }
    }

    /// In one word, for `--config.check`.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Default => "default".into(),
            Self::File { path, line } => format!("{path}:{line}"),
            Self::Environment(name) | Self::Flag(name) => name.clone(),
        }
    }
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}, line {line}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The tag of where a value came from. Layers of a table are merged field by field, and only the fields keep their tags.
pub(super) fn tag_of(value: &Value) -> Option<&str> {
    let of_field = || match &value.kind {
        ValueKind::Table(fields) => fields.iter().min_by_key(|(name, _)| *name).and_then(|(_, field)| field.origin()),
        _ => None,
    };
    value.origin().or_else(of_field)
}

/// Where the value of each key came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<&'static str, ConfigOrigin>);

impl Origins {
    /// Of the key of this name, such as `api.timeout`, or of the table that a field stands in.
    pub fn get(&self, key: &str) -> ConfigOrigin {
        let table = || key.rsplit_once('.').and_then(|(table, _)| self.0.get(table));
        self.0.get(key).or_else(table).cloned().unwrap_or_default()
    }
}

impl FromIterator<(&'static str, ConfigOrigin)> for Origins {
    fn from_iter<T: IntoIterator<Item = (&'static str, ConfigOrigin)>>(origins: T) -> Self {
        Self(origins.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_survives_the_config_crate() {
        for origin in [
            ConfigOrigin::Default,
            ConfigOrigin::File { path: "/etc/a:b, flag:x/config.toml".into(), line: 12 },
            ConfigOrigin::Environment("AGNTIX_EXPORTER__API__TIMEOUT".into()),
            ConfigOrigin::Flag("--log.level".into()),
        ] {
            assert_eq!(ConfigOrigin::from_tag(origin.to_tag().as_deref()), origin);
        }
    }
}
