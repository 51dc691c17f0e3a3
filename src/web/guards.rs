//! What guards the listeners of a configuration: the web configuration file of each.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use exporter_web::{Access, WebConfigError, WebConfigFile};
use tokio_util::sync::CancellationToken;

use super::probes;
use crate::catalogue::ExporterMetrics;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::tasks::Tasks;

/// What guards each listener.
#[derive(Clone)]
pub struct Guards {
    /// The one of the metrics.
    pub web: Arc<WebConfigFile>,
    /// The webhook's own, if it has one. Where both have one file it is read twice: strangers who knock at the public
    /// listener use up neither the rate limit of the scrapes nor their turns to have a password checked.
    pub webhook: Option<Arc<WebConfigFile>>,
}

impl Guards {
    /// Reads the files that the configuration names. With what is probably not meant in them, a sentence each.
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
            // What there is to warn of has been said.
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
    /// Why one of them cannot be used; what was in force stays so.
    pub fn reread(&self) -> Result<(), String> {
        self.each().try_for_each(|(_, security)| security.reread())
    }

    /// Each of them, and what its listener is for.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &Arc<WebConfigFile>)> {
        std::iter::once(("metrics", &self.web)).chain(self.webhook.iter().map(|security| ("webhook", security)))
    }

    /// Looks at the files now and then until `shutdown`, and keeps what `own` says of them.
    pub fn watch(&self, own: &ExporterMetrics, tasks: &Tasks, shutdown: &CancellationToken) {
        for (listener, security) in self.each() {
            let own = own.clone();
            let seen = move |security: &WebConfigFile| show(&own, listener, security);
            seen(security);
            tasks.spawn("the watcher of the web configuration", Arc::clone(security).watch(seen, shutdown.clone()));
        }
    }

    /// What is let in to the listener of the metrics.
    pub fn access(&self, config: &Config) -> Access {
        let shares = config.webhook.enabled && self.webhook.is_none();
        let access = Access::guarded(Arc::clone(&self.web)).with_open_probes(open_probes(config));
        if shares { access.with_path_without_users(&config.webhook.path) } else { access }
    }

    /// What is let in to the webhook's own listener, if there is one.
    pub fn webhook_access(&self, config: &Config) -> Option<Access> {
        let access = Access::guarded(Arc::clone(self.webhook.as_ref()?));
        // Its one probe is where it always was: the prefix is of the other listener.
        let probe = config.web.probes_without_credentials.then(|| "/-/healthy".to_owned());
        Some(access.with_open_probes(probe).with_path_without_users(&config.webhook.path))
    }
}

/// When the certificate that a listener shows ends.
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
