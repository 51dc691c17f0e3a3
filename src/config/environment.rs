//! The environment: which variables belong to the exporter, and the settings in them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ::config::{Value, ValueKind};
use secrecy::SecretString;

use super::error::{ConfigError, credential_advice, may_name_a_credential, shown, shown_name};
use super::keys::{self, Key, Shape, VARIABLE_PREFIX};
use super::layer::Layer;
use super::origin::ConfigOrigin;
use super::typing;

/// The variable that holds the API key.
const API_KEY: &str = "AGNTIX_API_KEY";
/// The variable that holds the signing secrets of the webhook.
const WEBHOOK_SECRET: &str = "AGNTIX_WEBHOOK_SECRET";

/// The variable that names the configuration file where no flag can be given, such as in the health check of an image.
const CONFIG_FILE: &str = "AGNTIX_EXPORTER_CONFIG_FILE";

/// What the variables of the exporter begin with, and those that a Service of that name makes Kubernetes set.
const NAME: &str = "AGNTIX_EXPORTER_";

/// A snapshot of the environment, handed in so that tests set no variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process that belong to the exporter.
    pub fn from_process() -> Self {
        // A value that is not UTF-8 gets replacement characters here, and is rejected when it is read.
        let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self::from_pairs(ours.map(|(name, value)| (name, value.to_string_lossy().into_owned())))
    }

    /// Those of these variables that belong to the exporter; of several with one name the last.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        let is_ours = |name: &str| is_secret(name) || name.starts_with(NAME);
        Self(pairs.filter(|(name, _)| is_ours(name)).collect())
    }

    /// What `AGNTIX_EXPORTER_CONFIG_FILE` names.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.0.get(CONFIG_FILE).filter(|file| !file.is_empty()).map(Path::new)
    }

    /// What the variable of `log.format` holds.
    pub(super) fn log_format(&self) -> Option<&str> {
        self.0.get("AGNTIX_EXPORTER__LOG__FORMAT").map(|text| text.trim())
    }

    /// What `AGNTIX_API_KEY` holds.
    pub(super) fn api_key(&self) -> Option<SecretString> {
        self.secret(API_KEY)
    }

    /// What `AGNTIX_WEBHOOK_SECRET` holds.
    pub fn webhook_secret(&self) -> Option<SecretString> {
        self.secret(WEBHOOK_SECRET)
    }

    /// A sentence about each variable that is not read, and whose name is nearly that of one that is.
    pub(super) fn warnings(&self) -> Vec<String> {
        let unread = self.0.keys().filter(|name| !name.starts_with(VARIABLE_PREFIX) && *name != CONFIG_FILE);
        unread
            .filter_map(|name| {
                let near = near(name.strip_prefix(NAME)?)?;
                Some(format!("environment variable {}: it is not read; did you mean {near}?", shown_name(name)))
            })
            .collect()
    }

    /// What a variable holds, without the white space around it.
    fn secret(&self, variable: &str) -> Option<SecretString> {
        let text = self.0.get(variable)?.trim();
        (!text.is_empty()).then(|| text.into())
    }

    /// The settings in the variables, each turned into what its key holds.
    pub(super) fn layer(&self) -> Result<Layer, ConfigError> {
        let mut layer = Layer::default();
        for (variable, text) in self.0.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)) {
            let origin = ConfigOrigin::Environment(variable.clone());
            let (key, name, shape) = set_by(variable).ok_or_else(|| unknown(variable))?;
            let kind = value(key, shape, text).map_err(|rule| ConfigError::Value {
                origin: origin.clone(),
                key: name.clone(),
                value: shown(text),
                rule,
            })?;
            layer.0.insert(name, Value::new(origin.to_tag().as_ref(), kind));
        }
        Ok(layer)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

/// The variable that was probably meant by a name with single underscores.
fn near(rest: &str) -> Option<String> {
    // AGNTIX_EXPORTER_PORT_9899_TCP_ADDR, AGNTIX_EXPORTER_WEB_SERVICE_HOST: what Kubernetes sets.
    let is_of_service = ["SERVICE_HOST", "SERVICE_PORT", "PORT"]
        .iter()
        .any(|word| rest.split(word).count() > 1 && (rest.ends_with(word) || rest.contains(&format!("{word}_"))));
    if is_of_service {
        return None;
    }
    let known = keys::all().iter().map(|key| (key.variable().replace("__", "_"), key.variable()));
    let secrets = [("API_KEY", API_KEY), ("WEBHOOK_SECRET", WEBHOOK_SECRET)];
    let secrets = secrets.map(|(name, variable)| (format!("{NAME}{name}"), variable.to_owned()));
    let known: Vec<_> = secrets.into_iter().chain(known).collect();
    let wrong = format!("{NAME}{rest}");
    let meant = keys::nearest_of(&wrong, known.iter().map(|(name, _)| name.as_str()))?;
    known.iter().find(|(name, _)| name == meant).map(|(_, variable)| variable.clone())
}

fn is_secret(variable: &str) -> bool {
    matches!(variable, API_KEY | WEBHOOK_SECRET)
}

/// The key that a variable sets, what that or a field of it is called, and what it holds.
fn set_by(variable: &str) -> Option<(&'static Key, String, &'static Shape)> {
    if let Some(key) = keys::all().iter().find(|key| key.variable() == variable) {
        return Some((key, key.name.clone(), &key.shape));
    }
    let (key, field, _) = keys::of_table(variable)?;
    let (field, shape) = field?;
    Some((key, format!("{}.{field}", key.name), shape))
}

/// The value of a variable, or the rule that it breaks.
fn value(key: &Key, shape: &Shape, text: &str) -> Result<ValueKind, String> {
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err("must be UTF-8 text".into());
    }
    let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let number = |text: &str| text.parse().map_err(|_| typing::must_be("f64", key));
    let trimmed = text.trim();
    Ok(match shape {
        Shape::Boolean => ValueKind::Boolean(trimmed.parse().map_err(|_| typing::must_be("a boolean", key))?),
        Shape::Integer => ValueKind::I64(trimmed.parse().map_err(|_| typing::must_be("usize", key))?),
        Shape::Number => ValueKind::Float(number(trimmed)?),
        Shape::Text => ValueKind::String(trimmed.into()),
        Shape::Texts => ValueKind::Array(items().map(Value::from).collect()),
        Shape::Numbers => {
            let numbers: Result<Vec<_>, _> = items().map(|item| number(item).map(Value::from)).collect();
            ValueKind::Array(numbers.map_err(|_| "must be a list of numbers, such as 1,2.5,10".to_owned())?)
        }
        Shape::TextTable => typing::text_table(&items().map(entry).collect::<Result<Vec<_>, _>>()?)?,
        Shape::Table(fields) => {
            let variables: Vec<_> =
                fields.iter().map(|(field, _)| format!("{}__{}", key.variable(), field.to_uppercase())).collect();
            return Err(format!("must be set field by field, in {}", variables.join(", ")));
        }
        Shape::Tables(_) => return Err("must be set in the configuration file; text cannot hold it".into()),
    })
}

/// An entry of a table, written `name=value`.
fn entry(text: &str) -> Result<(&str, &str), String> {
    let (name, value) =
        text.split_once('=').ok_or("must be a list of names and values, such as organization=acme,region=eu")?;
    Ok((name.trim_end(), value.trim_start()))
}

fn unknown(variable: &str) -> ConfigError {
    let name = variable.trim_start_matches(VARIABLE_PREFIX).replace("__", ".").to_lowercase();
    let of_table = keys::of_table(variable).and_then(|(key, _, field)| {
        let Shape::Table(fields) = &key.shape else { return None };
        let names = fields.iter().map(|(name, _)| name.as_str());
        Some(match keys::nearest_of(&field, names.clone()) {
            Some(near) => format!("did you mean {}__{}?", key.variable(), near.to_uppercase()),
            None => format!("those of {} are {}", key.name, names.collect::<Vec<_>>().join(", ")),
        })
    });
    let advice = of_table.unwrap_or_else(|| match keys::nearest(&name) {
        Some(near) => format!("did you mean {}?", near.variable()),
        None if may_name_a_credential(&name) => credential_advice(&name).into(),
        None => format!("variables are named {VARIABLE_PREFIX}SECTION__KEY, after the keys in config.toml"),
    });
    ConfigError::Unknown {
        origin: ConfigOrigin::Environment(shown_name(variable)),
        key: shown_name(&name),
        what: "key",
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(variable: &str, text: &str) -> String {
        Environment::from_pairs([(variable, text)]).layer().unwrap_err().to_string()
    }

    #[test]
    fn only_variables_with_a_double_underscore_are_read() {
        let kubernetes = [
            ("AGNTIX_EXPORTER_PORT", "tcp://10.0.0.1:9899"),
            ("AGNTIX_EXPORTER_SERVICE_PORT_METRICS", "9899"),
            ("AGNTIX_EXPORTER_PORT_9899_TCP_ADDR", "10.0.0.1"),
        ];
        assert!(Environment::from_pairs(kubernetes).layer().unwrap().0.is_empty());
    }

    #[test]
    fn variables_with_single_underscores_are_told_the_right_name() {
        let warned = |name: &str| Environment::from_pairs([(name, "5s")]).warnings();
        for (wrong, right) in [
            ("AGNTIX_EXPORTER_POLL_LISTING_INTERVAL", "AGNTIX_EXPORTER__POLL__LISTING_INTERVAL"),
            ("AGNTIX_EXPORTER_POLL__LISTING_INTERVAL", "AGNTIX_EXPORTER__POLL__LISTING_INTERVAL"),
            ("AGNTIX_EXPORTER_WEB_LISTEN_ADDRES", "AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS"),
            ("AGNTIX_EXPORTER_API_KEY", "AGNTIX_API_KEY"),
            ("AGNTIX_EXPORTER_API_KEY_FILE", "AGNTIX_EXPORTER__API__KEY_FILE"),
        ] {
            assert_eq!(warned(wrong), [format!("environment variable {wrong}: it is not read; did you mean {right}?")]);
        }
        for other in [
            "AGNTIX_EXPORTER_PORT",
            "AGNTIX_EXPORTER_PORT_9899_TCP_ADDR",
            "AGNTIX_EXPORTER_SERVICE_HOST",
            "AGNTIX_EXPORTER_WEB_SERVICE_PORT_METRICS",
            "AGNTIX_EXPORTER_CONFIG_FILE",
            "AGNTIX_EXPORTER_COLOUR_OF_THE_BICYCLE_SHED",
            "AGNTIX_EXPORTER__POLL__LISTING_INTERVAL",
            "AGNTIX_API_KEY",
        ] {
            assert_eq!(warned(other), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn errors_name_the_variable_and_the_rule() {
        for (variable, text, expected) in [
            (
                "AGNTIX_EXPORTER__POLL__OPEN_INTERVALL",
                "1s",
                "environment variable AGNTIX_EXPORTER__POLL__OPEN_INTERVALL: poll.open_intervall is not a key; did you mean AGNTIX_EXPORTER__POLL__OPEN_INTERVAL?",
            ),
            (
                "AGNTIX_EXPORTER__poll__open_interval",
                "1s",
                "environment variable AGNTIX_EXPORTER__poll__open_interval: poll.open_interval is not a key; did you mean AGNTIX_EXPORTER__POLL__OPEN_INTERVAL?",
            ),
            (
                "AGNTIX_EXPORTER__TRACKER__CAPACITY",
                "5",
                "environment variable AGNTIX_EXPORTER__TRACKER__CAPACITY: tracker.capacity is not a key; variables are named AGNTIX_EXPORTER__SECTION__KEY, after the keys in config.toml",
            ),
            (
                "AGNTIX_EXPORTER__API__MAX_CONCURRENCY",
                "many",
                "environment variable AGNTIX_EXPORTER__API__MAX_CONCURRENCY: api.max_concurrency is \"many\"; it must be a whole number, 0 or more, such as 16",
            ),
            (
                "AGNTIX_EXPORTER__SESSIONS__LISTING",
                "yes",
                "environment variable AGNTIX_EXPORTER__SESSIONS__LISTING: sessions.listing is \"yes\"; it must be true or false",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__DURATION_BUCKETS",
                "1,x",
                "environment variable AGNTIX_EXPORTER__METRICS__DURATION_BUCKETS: metrics.duration_buckets is \"1,x\"; it must be a list of numbers, such as 1,2.5,10",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__EXTRACTED",
                "[]",
                "environment variable AGNTIX_EXPORTER__METRICS__EXTRACTED: metrics.extracted is \"[]\"; it must be set in the configuration file; text cannot hold it",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS",
                "phone",
                "environment variable AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS: metrics.repeat_contacts is \"phone\"; it must be set field by field, in AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__FIELD, AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__KEY_FILE, AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__WINDOWS",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__WINDOW",
                "7d",
                "environment variable AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__WINDOW: metrics.repeat_contacts.window is not a key; did you mean AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__WINDOWS?",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__EVERYBODY",
                "7d",
                "environment variable AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__EVERYBODY: metrics.repeat_contacts.everybody is not a key; those of metrics.repeat_contacts are field, key_file, windows",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__STATIC_LABELS",
                "acme",
                "environment variable AGNTIX_EXPORTER__METRICS__STATIC_LABELS: metrics.static_labels is \"acme\"; it must be a list of names and values, such as organization=acme,region=eu",
            ),
            (
                "AGNTIX_EXPORTER__METRICS__STATIC_LABELS",
                "region=eu, region=us",
                "environment variable AGNTIX_EXPORTER__METRICS__STATIC_LABELS: metrics.static_labels is \"region=eu, region=us\"; it must name each label once",
            ),
            (
                "AGNTIX_EXPORTER__LOG__LEVEL",
                "\u{fffd}",
                "environment variable AGNTIX_EXPORTER__LOG__LEVEL: log.level is \"\u{fffd}\"; it must be UTF-8 text",
            ),
        ] {
            assert_eq!(error(variable, text), expected);
        }
    }

    #[test]
    fn values_are_not_printed() {
        let pairs = [(API_KEY, "pk_live_42"), (WEBHOOK_SECRET, "whsec_1"), ("AGNTIX_EXPORTER__API__TIMEOUT", "1s")];
        assert_eq!(
            format!("{:?}", Environment::from_pairs(pairs)),
            "Environment([\"AGNTIX_API_KEY\", \"AGNTIX_EXPORTER__API__TIMEOUT\", \"AGNTIX_WEBHOOK_SECRET\"])"
        );
        let message = error("AGNTIX_EXPORTER__API__KEY", "pk_live_42");
        assert_eq!(
            message,
            "environment variable AGNTIX_EXPORTER__API__KEY: api.key is not a key; put the credential (not shown) into a file and name it in api.key_file, or into AGNTIX_API_KEY"
        );
        assert_eq!(
            error("AGNTIX_EXPORTER__WEBHOOK__SECRET", "whsec_1"),
            "environment variable AGNTIX_EXPORTER__WEBHOOK__SECRET: webhook.secret is not a key; put the secret (not shown) into a file and name it in webhook.secret_file, or into AGNTIX_WEBHOOK_SECRET"
        );
    }
}
