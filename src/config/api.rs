//! `[api]`: where the Agntix API is, with which credential, and how much of it may be used.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::error::{Violation, shown};
use super::{duration, rules};

/// The value of a path that the exporter has to find out.
pub const AUTO_PATH: &str = "auto";

/// See `config.toml`, section `[api]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Scheme, host and port of the API; no credentials in it.
    pub base_url: String,
    /// File that holds the organization's API key; re-read when it changes. `AGNTIX_API_KEY` is the alternative.
    pub key_file: Option<PathBuf>,
    /// File that holds a JWT to send instead of a key; re-read when it changes.
    pub bearer_token_file: Option<PathBuf>,
    /// File with certificates of authorities to trust besides the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Whole request, from connect to the last byte of the answer.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// TCP and TLS handshake.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Requests in flight at once.
    pub max_concurrency: usize,
    /// Share of `X-RateLimit-Limit` that the exporter may use, over any 60 s.
    pub budget_share: f64,
    /// The budget until the headers say more.
    pub requests_per_minute: u32,
    /// Route of one session; `{id}` is replaced, or `auto`.
    pub session_path: String,
    /// Route of the session listing, or `auto`.
    pub list_path: String,
    /// Route of the agents, or `auto`.
    pub agents_path: String,
    /// Route of the event stream, or `auto`.
    pub stream_path: String,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.agntix.ai".into(),
            key_file: None,
            bearer_token_file: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_concurrency: 16,
            budget_share: 0.5,
            requests_per_minute: 50,
            session_path: AUTO_PATH.into(),
            list_path: AUTO_PATH.into(),
            agents_path: AUTO_PATH.into(),
            stream_path: AUTO_PATH.into(),
        }
    }
}

impl ApiConfig {
    /// Rejects values that no request could be sent with.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        self.validate_base_url()?;
        for (key, file) in [
            ("api.key_file", &self.key_file),
            ("api.bearer_token_file", &self.bearer_token_file),
            ("api.ca_file", &self.ca_file),
        ] {
            if let Some(file) = file {
                rules::path(key, file, "file")?;
            }
        }
        let least = Duration::from_nanos(1);
        let bounds = (least, Duration::from_secs(300));
        rules::duration("api.timeout", self.timeout, bounds, "must be more than 0s and at most 5m")?;
        let whole = rules::written(self.timeout);
        let rule = format!("must be more than 0s and at most api.timeout, which is {whole}");
        rules::duration("api.connect_timeout", self.connect_timeout, (least, self.timeout), &rule)?;
        let (requests, share) = (self.max_concurrency, self.budget_share);
        rules::check((1..=256).contains(&requests), "api.max_concurrency", requests, "must be from 1 to 256")?;
        rules::check(share > 0.0 && share <= 1.0, "api.budget_share", share, "must be more than 0 and at most 1")?;
        rules::check(self.requests_per_minute >= 1, "api.requests_per_minute", "0", "must be 1 or more")?;
        let route = &self.session_path;
        if route != AUTO_PATH {
            let once = route.matches("{id}").count() == 1;
            rules::check(once, "api.session_path", shown(route), "must have {id} in it exactly once")?;
            rules::route("api.session_path", &route.replace("{id}", "id"))
                .map_err(|violation| Violation { value: shown(route), ..violation })?;
        }
        let paths = [
            ("api.list_path", &self.list_path),
            ("api.agents_path", &self.agents_path),
            ("api.stream_path", &self.stream_path),
        ];
        paths.into_iter().filter(|(_, path)| *path != AUTO_PATH).try_for_each(|(key, path)| rules::route(key, path))
    }

    /// Whether the same routes are asked under `other`, with a credential from the same place.
    pub fn is_asked_like(&self, other: &Self) -> bool {
        let asked = |api: &Self| {
            let paths = [&api.session_path, &api.list_path, &api.agents_path, &api.stream_path].map(String::clone);
            (api.base_url.clone(), api.key_file.clone(), api.bearer_token_file.clone(), paths)
        };
        asked(self) == asked(other)
    }

    fn validate_base_url(&self) -> Result<(), Violation> {
        // Checked first, because the messages below show the value.
        let secret = self.base_url.contains('@');
        let rule = "must not hold credentials; set AGNTIX_API_KEY or api.key_file";
        rules::check(!secret, "api.base_url", "a URL with a user or a password (not shown)", rule)?;
        let check = |kept, rule: &str| rules::check(kept, "api.base_url", shown(&self.base_url), rule);
        let url = self.url();
        let web = url.as_ref().is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        check(web, "must be a URL with scheme and host, such as \"https://api.agntix.ai\"")?;
        let bare = url.is_some_and(|url| url.query().is_none() && url.fragment().is_none());
        check(bare, "must have no query and no fragment")
    }

    /// The host, if requests to it carry the credential over a network without encryption.
    pub(super) fn unencrypted_host(&self) -> Option<String> {
        let url = self.url().filter(|url| url.scheme() == "http")?;
        let host = url.host_str()?;
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let local = host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|a| a.is_loopback());
        (!local).then(|| host.to_owned())
    }

    fn url(&self) -> Option<Url> {
        // The URL parser accepts spaces and line breaks, which the client would have to handle.
        let plain = !self.base_url.contains(|c: char| c.is_whitespace() || c.is_control());
        plain.then(|| Url::parse(&self.base_url).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut ApiConfig)) -> String {
        let mut config = ApiConfig::default();
        change(&mut config);
        config.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    #[test]
    fn the_base_url_is_a_bare_web_address() {
        let said = |url: &str| said(|c| c.base_url = url.into());
        for good in
            ["https://api.agntix.ai", "http://127.0.0.1:8080/", "https://gateway.example/agntix", "http://[::1]:1"]
        {
            assert_eq!(said(good), "kept", "{good}");
        }
        for bad in
            ["", "api.agntix.ai", "ftp://host", "https://", "https://ho st", "file:///etc/passwd", "http://x:99999"]
        {
            assert!(
                said(bad).ends_with("it must be a URL with scheme and host, such as \"https://api.agntix.ai\""),
                "{bad}"
            );
        }
        assert_eq!(
            said("https://me:hunter2@host"),
            "api.base_url is a URL with a user or a password (not shown); it must not hold credentials; set AGNTIX_API_KEY or api.key_file"
        );
        assert_eq!(
            said("https://host/?key=hunter2"),
            "api.base_url is something that looks like a credential (not shown); it must have no query and no fragment"
        );
        assert_eq!(
            said("https://host/#x"),
            "api.base_url is \"https://host/#x\"; it must have no query and no fragment"
        );
    }

    #[test]
    fn only_unencrypted_networks_give_a_warning() {
        let host = |url: &str| ApiConfig { base_url: url.into(), ..ApiConfig::default() }.unencrypted_host();
        for quiet in ["https://host", "http://localhost:1", "http://127.1.2.3", "http://[::1]", "http://api.localhost"]
        {
            assert_eq!(host(quiet), None, "{quiet}");
        }
        assert_eq!(host("http://gateway:8080").as_deref(), Some("gateway"));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(
            said(|c| c.timeout = Duration::ZERO),
            "api.timeout is \"0s\"; it must be more than 0s and at most 5m"
        );
        assert_eq!(
            said(|c| c.timeout = Duration::from_secs(2)),
            "api.connect_timeout is \"5s\"; it must be more than 0s and at most api.timeout, which is \"2s\""
        );
        assert_eq!(said(|c| c.max_concurrency = 257), "api.max_concurrency is 257; it must be from 1 to 256");
        for share in [0.0, -0.5, 1.01, f64::NAN] {
            assert!(said(|c| c.budget_share = share).ends_with("it must be more than 0 and at most 1"));
        }
        assert_eq!(said(|c| c.requests_per_minute = 0), "api.requests_per_minute is 0; it must be 1 or more");
    }

    #[test]
    fn the_routes_are_plain_paths() {
        for bad in ["/sessions", "/{id}/{id}"] {
            assert!(said(|c| c.session_path = bad.into()).ends_with("it must have {id} in it exactly once"));
        }
        assert_eq!(
            said(|c| c.session_path = "sessions/{id}".into()),
            "api.session_path is \"sessions/{id}\"; it must begin with a slash"
        );
        assert_eq!(
            said(|c| c.list_path = "/a?b".into()),
            "api.list_path is \"/a?b\"; it must be a plain path, without spaces, braces, queries or fragments"
        );
        assert_eq!(said(|c| c.agents_path = String::new()), "api.agents_path is \"\"; it must begin with a slash");
        assert_eq!(said(|c| c.stream_path = "x".into()), "api.stream_path is \"x\"; it must begin with a slash");
    }
}
