//! Loading: flag, then environment, then file, then default, into a valid [`Config`].
//!
//! The layers are put together by the `config` crate, each value tagged with its [`ConfigOrigin`], so that a mistake found
//! late still names the line, the variable or the flag that it came from. Nothing is opened but the configuration file;
//! whether key files, directories and addresses can be used shows when they are.

use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;

use super::credential;
use super::environment::Environment;
use super::error::ConfigError;
use super::file;
use super::keys::{self, Key};
use super::layer::Layer;
use super::loaded::Loaded;
use super::origin::{ConfigOrigin, Origins, tag_of};
use super::typing;
use super::{Config, LogFormat};

/// Read when no file is named, if it is there.
const DEFAULT_FILE: &str = "config.toml";

/// What the command line sets; a flag beats everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--web.listen-address`, each time that it was given.
    pub listen_addresses: Vec<String>,
    /// `--web.systemd-socket`
    pub systemd_socket: Option<bool>,
    /// `--web.config.file`
    pub web_config_file: Option<PathBuf>,
    /// `--web.telemetry-path`
    pub telemetry_path: Option<String>,
    /// `--web.external-url`
    pub external_url: Option<String>,
    /// `--web.route-prefix`
    pub route_prefix: Option<String>,
    /// `--web.max-requests`
    pub max_requests: Option<u32>,
    /// `--web.disable-exporter-metrics`
    pub disable_exporter_metrics: Option<bool>,
    /// `--log.level`
    pub log_level: Option<String>,
    /// `--log.format`
    pub log_format: Option<LogFormat>,
}

/// Loads the configuration. Without `file` that is the one that `AGNTIX_EXPORTER_CONFIG_FILE` names, or `config.toml` in the
/// working directory, if it is there.
///
/// # Errors
/// The first mistake, as a sentence for the operator; exactly one credential must be set, and a secret if the webhook is
/// enabled.
pub fn load(file: Option<&Path>, environment: &Environment, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let mut loaded = settle(file, Path::new(DEFAULT_FILE), environment, overrides)?;
    credential::choose(&mut loaded, environment)?;
    credential::choose_webhook_secret(&mut loaded, environment)?;
    Ok(loaded)
}

/// What is wrong with the credentials of a configuration that is valid otherwise.
#[derive(Debug, Default)]
pub struct CredentialFaults {
    /// With the one for the API.
    pub api: Option<ConfigError>,
    /// With the secret of an enabled webhook.
    pub webhook: Option<ConfigError>,
}

/// Like [`load`], but a mistake in the credentials is returned beside the configuration, so that all mistakes are reported.
///
/// # Errors
/// The first other mistake, as a sentence for the operator.
pub fn load_with_faults(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &Overrides,
) -> Result<(Loaded, CredentialFaults), ConfigError> {
    let mut loaded = settle(file, Path::new(DEFAULT_FILE), environment, overrides)?;
    let api = credential::choose(&mut loaded, environment).err();
    let webhook = credential::choose_webhook_secret(&mut loaded, environment).err();
    Ok((loaded, CredentialFaults { api, webhook }))
}

/// Like [`load`], for a daemon that needs no account, such as the demo: neither `AGNTIX_API_KEY` nor
/// `AGNTIX_WEBHOOK_SECRET` is looked at, the files of credentials are cleared, so that a real one cannot reach a
/// simulator, and the webhook is not enabled.
///
/// # Errors
/// The first mistake, as a sentence for the operator.
pub fn load_without_credential(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &Overrides,
) -> Result<Loaded, ConfigError> {
    let mut loaded = settle(file, Path::new(DEFAULT_FILE), environment, overrides)?;
    loaded.config.api.key_file = None;
    loaded.config.api.bearer_token_file = None;
    loaded.config.webhook.secret_file = None;
    loaded.config.webhook.enabled = false;
    Ok(loaded)
}

/// The format of the log, as far as it can be told of a configuration that may have mistakes: they are said in it.
pub fn log_format(file: Option<&Path>, environment: &Environment, overrides: &Overrides) -> LogFormat {
    let known =
        |text: &str| LogFormat::deserialize(text.into_deserializer()).map_err(|_: serde::de::value::Error| ()).ok();
    let of_file = || {
        let file = file.or_else(|| environment.config_file()).unwrap_or_else(|| Path::new(DEFAULT_FILE));
        known(&file::log_format(file)?)
    };
    overrides.log_format.or_else(|| known(environment.log_format()?)).or_else(of_file).unwrap_or_default()
}

/// Everything but the credential.
pub(super) fn settle(
    file: Option<&Path>,
    default_file: &Path,
    environment: &Environment,
    overrides: &Overrides,
) -> Result<Loaded, ConfigError> {
    let file = file.or_else(|| environment.config_file());
    let file = file.or_else(|| default_file.exists().then_some(default_file));
    let mut layers = vec![defaults()?];
    layers.extend(file.map(file::layer).transpose()?);
    layers.push(environment.layer()?);
    layers.push(flags(overrides)?);
    let settled = ::config::Config::builder().add_source(layers).build().map_err(internal)?;
    let origin = |key: &Key| match &settled.cache.kind {
        ValueKind::Table(sections) => match sections.get(&key.section).map(|section| &section.kind) {
            Some(ValueKind::Table(keys)) => ConfigOrigin::from_tag(keys.get(&key.leaf).and_then(tag_of)),
            _ => ConfigOrigin::Default,
        },
        _ => ConfigOrigin::Default,
    };
    let origins: Origins = keys::all().iter().map(|key| (key.name.as_str(), origin(key))).collect();
    let mut config = typing::read(&settled.cache)?;
    fit_defaults(&mut config, &origins);
    config.validate().map_err(|violation| {
        let origin = origins.get(violation.key);
        violation.at(origin)
    })?;
    let warnings = [environment.warnings(), warn(&mut config, &origins)].concat();
    Ok(Loaded { config, api_key: None, webhook_secret: None, origins, file: file.map(Into::into), warnings })
}

/// Makes room for what is set: where two keys bound each other and one of them is a default, that one gives way.
fn fit_defaults(config: &mut Config, origins: &Origins) {
    let is_default = |key| origins.get(key) == ConfigOrigin::Default;
    let (api, sessions) = (&mut config.api, &mut config.sessions);
    if is_default("api.connect_timeout") {
        api.connect_timeout = api.connect_timeout.min(api.timeout);
    } else if is_default("api.timeout") {
        api.timeout = api.timeout.max(api.connect_timeout);
    }
    if is_default("sessions.retention") {
        sessions.retention = sessions.retention.max(sessions.recent_window);
    }
}

fn defaults() -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    let sections = toml::Table::try_from(Config::default()).map_err(internal)?;
    for (section, keys) in sections {
        for (leaf, value) in keys.as_table().into_iter().flatten() {
            layer.0.insert(format!("{section}.{leaf}"), value.clone().try_into().map_err(internal)?);
        }
    }
    Ok(layer)
}

fn flags(overrides: &Overrides) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    let format = match overrides.log_format {
        Some(format) => toml::Value::try_from(format).map_err(internal)?.as_str().map(Into::into),
        None => None,
    };
    let addresses = (!overrides.listen_addresses.is_empty()).then(|| overrides.listen_addresses.join(","));
    let file = overrides.web_config_file.as_ref().map(|file| file.display().to_string());
    let text = |text: &Option<String>| text.clone().map(ValueKind::from);
    let switch = |on: Option<bool>| on.map(ValueKind::Boolean);
    for (key, flag, value) in [
        ("web.listen_address", "--web.listen-address", text(&addresses)),
        ("web.systemd_socket", "--web.systemd-socket", switch(overrides.systemd_socket)),
        ("web.config_file", "--web.config.file", text(&file)),
        ("web.telemetry_path", "--web.telemetry-path", text(&overrides.telemetry_path)),
        ("web.external_url", "--web.external-url", text(&overrides.external_url)),
        ("web.route_prefix", "--web.route-prefix", text(&overrides.route_prefix)),
        ("web.max_requests", "--web.max-requests", overrides.max_requests.map(|most| ValueKind::I64(most.into()))),
        ("web.disable_exporter_metrics", "--web.disable-exporter-metrics", switch(overrides.disable_exporter_metrics)),
        ("log.level", "--log.level", text(&overrides.log_level)),
        ("log.format", "--log.format", text(&format)),
    ] {
        if let Some(value) = value {
            let tag = ConfigOrigin::Flag(flag.into()).to_tag();
            layer.0.insert(key.into(), Value::new(tag.as_ref(), value));
        }
    }
    Ok(layer)
}

/// Corrects what can be corrected, and warns of what is probably not meant.
fn warn(config: &mut Config, origins: &Origins) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(host) = config.api.unencrypted_host() {
        let origin = origins.get("api.base_url");
        warnings.push(format!(
            "{origin}: api.base_url is an http:// address, so the credential and what sessions hold go to {host} unencrypted; use https:// if it is there"
        ));
    }
    let repeated = config.sessions.drop_repeated_ids();
    if repeated > 0 {
        let origin = origins.get("sessions.ids");
        warnings.push(format!(
            "{origin}: sessions.ids holds ids more than once ({repeated} dropped); each is followed once"
        ));
    }
    warnings
}

fn internal(error: impl std::fmt::Display) -> ConfigError {
    ConfigError::Internal(error.to_string())
}
