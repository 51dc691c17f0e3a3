//! The web configuration files of the listeners that a configuration has: which file is whose, and who is let in where.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use exporter_web::{Access, WebConfigError, WebConfigFile};
use tokio_util::sync::CancellationToken;

use super::router::probes;
use crate::catalogue::ExporterMetrics;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::tasks::Tasks;

/// The web configuration file of each listener.
#[derive(Clone)]
pub struct Guards {
    /// That of the metrics' listener.
    pub web: Arc<WebConfigFile>,
    /// That of the webhook's own listener, if it has one. If both listeners have the same file it is read twice, so that each
    /// has its own rate limit and queue of password checks: strangers at the public listener take nothing from the scrapes.
    pub webhook: Option<Arc<WebConfigFile>>,
}

impl Guards {
    /// Reads the files that the configuration names. Also returns what is probably not meant in them, a sentence each.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn open(config: &Config) -> Result<(Self, Vec<String>), WebConfigError> {
        let (web_file, webhook) = (config.web.config_file.as_deref(), &config.webhook);
        let mut warnings = Vec::new();
        let web = open(web_file, &mut warnings)?;
        let has_listener = webhook.enabled && webhook.listen_address.is_some();
        let own = match &webhook.web_config_file {
            _ if !has_listener => None,
            Some(file) if Some(file.as_path()) != web_file => Some(open(Some(file), &mut warnings)?),
            // Its warnings are there already.
            _ => Some(open(web_file, &mut Vec::new())?),
        };
        if webhook.enabled && own.as_ref().unwrap_or(&web).requires_certificates() {
            warnings.push(
                "deliveries cannot come in: Agntix has no client certificate, which their listener asks for; give the webhook a listener of its own (webhook.listen_address) with a file of its own (webhook.web_config_file)".into(),
            );
        }
        Ok((Self { web, webhook: own }, warnings))
    }

    /// Reads the files again now.
    ///
    /// # Errors
    /// Why one of them cannot be used. What was in force stays in force.
    pub fn reread(&self) -> Result<(), String> {
        self.each().try_for_each(|(_, security)| security.reread())
    }

    /// The purpose of each listener, and its file.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &Arc<WebConfigFile>)> {
        std::iter::once(("metrics", &self.web)).chain(self.webhook.iter().map(|security| ("webhook", security)))
    }

    /// Watches the files until `shutdown`, and keeps the metrics about them up to date.
    pub fn watch(&self, own: &ExporterMetrics, tasks: &Tasks, shutdown: &CancellationToken) {
        for (listener, security) in self.each() {
            let own = own.clone();
            let seen = move |security: &WebConfigFile| show(&own, listener, security);
            seen(security);
            tasks.spawn("the watcher of the web configuration", Arc::clone(security).watch(seen, shutdown.clone()));
        }
    }

    /// Who is let in to the metrics' listener.
    pub fn access(&self, config: &Config) -> Access {
        let shares = config.webhook.enabled && self.webhook.is_none();
        let access = Access::guarded(Arc::clone(&self.web)).with_open_probes(open_probes(config));
        if shares { access.with_path_without_users(&config.webhook.path) } else { access }
    }

    /// Who is let in to the webhook's own listener, if it has one.
    pub fn webhook_access(&self, config: &Config) -> Option<Access> {
        let access = Access::guarded(Arc::clone(self.webhook.as_ref()?));
        // The route prefix is for the other listener only.
        let probe = config.web.probes_without_credentials.then(|| "/-/healthy".to_owned());
        Some(access.with_open_probes(probe).with_path_without_users(&config.webhook.path))
    }
}

/// When the certificate of a listener expires; `None` without TLS.
pub fn certificate_ends(security: &WebConfigFile) -> Option<Timestamp> {
    let ends = security.certificate_ends()?;
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Some(Timestamp::from_millis(match ends.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }))
}

fn show(own: &ExporterMetrics, listener: &str, security: &WebConfigFile) {
    if let Some(is_up_to_date) = security.is_up_to_date() {
        own.web_config_last_reload_successful.with_label_values(&[listener]).set(i64::from(is_up_to_date));
    }
    if let Some(ends) = certificate_ends(security) {
        own.web_certificate_not_after.with_label_values(&[listener]).set(ends.as_seconds_f64());
    }
}

fn open_probes(config: &Config) -> impl Iterator<Item = String> + use<> {
    let probes = config.web.probes_without_credentials.then(|| probes(&config.web));
    probes.into_iter().flatten()
}

fn open(file: Option<&Path>, warnings: &mut Vec<String>) -> Result<Arc<WebConfigFile>, WebConfigError> {
    let Some(file) = file else { return Ok(Arc::new(WebConfigFile::none())) };
    let file = WebConfigFile::load(file)?;
    warnings.extend(file.warnings());
    Ok(Arc::new(file))
}
