//! The proxy that requests go through, by the variables that curl and most other programs read. Said to people, and checked before
//! anything is sent; the requests themselves are routed by the HTTP library, by the very same rules.

use std::collections::BTreeMap;
use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use crate::address;

/// Of each pair the first one counts if it is set, even to nothing: as the HTTP library reads them.
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The variables of the environment that are about proxies. They may hold a password.
#[derive(Clone, Default)]
pub struct ProxyVariables(BTreeMap<&'static str, String>);

/// A proxy, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme, host and port.
    pub address: String,
    /// The variable that names it.
    pub variable: &'static str,
}

/// Why no proxy can be used, although a variable names one. Holds nothing of what it is set to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another protocol than that of HTTP proxies.
    #[error(
        "{variable} names a SOCKS proxy, and only HTTP proxies are supported: name one that takes CONNECT, as http://host:port, or put the API's host into NO_PROXY"
    )]
    Socks {
        /// The variable.
        variable: &'static str,
    },
    /// Neither a URL nor a host with a port.
    #[error(
        "{variable} is set to what is no proxy (not shown, since there may be a password in it): write it as http://host:port, or unset it"
    )]
    Malformed {
        /// The variable.
        variable: &'static str,
    },
}

impl Proxy {
    /// With the variable, as the end of a sentence.
    pub(super) fn named(&self) -> String {
        format!("{} ({})", self.address, self.variable)
    }

    /// Its host, with the port.
    pub(super) fn host(&self) -> &str {
        self.address.split_once("://").map_or(&self.address, |(_, host)| host)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyVariables").field(&self.0.keys()).finish()
    }
}

impl ProxyVariables {
    /// Those of this process.
    pub fn from_process() -> Self {
        Self::from_lookup(|name| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned()))
    }

    /// Those that `lookup` knows.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let all = [HTTPS, HTTP, ALL, NO].into_iter().flatten();
        Self(all.filter_map(|name| Some((name, lookup(name)?))).collect())
    }

    /// The proxy for requests to `base_url`; `None` if they go straight to it, as those to this machine always do.
    ///
    /// # Errors
    /// If a variable that would be used names what is no HTTP proxy. The HTTP library would ignore it, or fail with each request.
    pub fn proxy_for(&self, base_url: &str) -> Result<Option<Proxy>, ProxyError> {
        // What is wrong with it is said elsewhere.
        let Ok(base_url) = &address::base(base_url) else { return Ok(None) };
        let of_scheme = if base_url.scheme() == "https" { HTTPS } else { HTTP };
        let first =
            |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, self.0.get(name)?.trim())));
        let text = |names| first(names).map_or("", |(_, text)| text);
        let named = first(of_scheme).filter(|(_, text)| !text.is_empty()).or_else(|| first(ALL));
        let Some((variable, value)) = named.filter(|(_, text)| !text.is_empty()) else { return Ok(None) };
        if address::is_loopback(base_url) || !is_meant(base_url, text(NO)) {
            return Ok(None);
        }
        let url = if value.contains("://") { Url::parse(value) } else { Url::parse(&format!("http://{value}")) };
        let url = url.ok().filter(Url::has_host).ok_or(ProxyError::Malformed { variable })?;
        match url.scheme() {
            "http" | "https" => {}
            scheme if scheme.starts_with("socks") => return Err(ProxyError::Socks { variable }),
            _ => return Err(ProxyError::Malformed { variable }),
        }
        let is_taken =
            Matcher::builder().all(value).build().intercept(&http::Uri::from_static("http://agntix.example")).is_some();
        if !is_taken {
            return Err(ProxyError::Malformed { variable });
        }
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
        Ok(Some(Proxy { address: format!("{}://{host}{port}", url.scheme()), variable }))
    }
}

/// Whether `exceptions` do not have it.
fn is_meant(base_url: &Url, exceptions: &str) -> bool {
    let matcher = Matcher::builder().all("http://proxy.example").no(exceptions).build();
    base_url.as_str().parse().is_ok_and(|uri| matcher.intercept(&uri).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, set: &[(&str, &str)]) -> Result<Option<(String, &'static str)>, String> {
        let lookup = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        let found = ProxyVariables::from_lookup(lookup).proxy_for(url);
        found.map(|found| found.map(|proxy| (proxy.to_string(), proxy.variable))).map_err(|error| error.to_string())
    }

    #[test]
    fn proxy_is_the_one_of_the_scheme_without_its_password() {
        let set = [("HTTPS_PROXY", "http://user:secret@proxy.example:3128/"), ("http_proxy", "plain.example:8080")];
        let through = |address: &str, variable| Ok(Some((address.to_owned(), variable)));
        assert_eq!(proxy("https://api.agntix.ai", &set), through("http://proxy.example:3128", "HTTPS_PROXY"));
        assert_eq!(proxy("http://api.agntix.ai", &set), through("http://plain.example:8080", "http_proxy"));
        let all = [("all_proxy", "https://[fd00::1]:8443")];
        assert_eq!(proxy("https://api.agntix.ai", &all), through("https://[fd00::1]:8443", "all_proxy"));
        assert_eq!(proxy("https://api.agntix.ai", &[("HTTP_PROXY", "http://plain.example")]), Ok(None));
        // What is set to nothing hides the one in small letters, and ALL_PROXY stays.
        let hidden = [("HTTPS_PROXY", ""), ("https_proxy", "http://a.example"), ("ALL_PROXY", "http://b.example")];
        assert_eq!(proxy("https://api.agntix.ai", &hidden), through("http://b.example:80", "ALL_PROXY"));
    }

    #[test]
    fn no_proxy_makes_exceptions_and_this_machine_is_one() {
        let with = |no: &'static str| [("HTTPS_PROXY", "http://proxy.example:3128"), ("NO_PROXY", no)];
        for (no, url) in [
            ("agntix.ai", "https://api.agntix.ai"),
            (" .agntix.ai , other", "https://api.agntix.ai/prefix"),
            ("10.0.0.0/8", "https://10.1.2.3"),
            ("*", "https://api.agntix.ai"),
            ("", "https://127.0.0.1:8443"),
            ("", "https://localhost"),
        ] {
            assert_eq!(proxy(url, &with(no)), Ok(None), "{no} {url}");
        }
        assert!(proxy("https://api.agntix.ai", &with("ntix.ai")).unwrap().is_some());
    }

    #[test]
    fn what_is_no_http_proxy_is_a_mistake_and_is_not_shown() {
        for wrong in ["http://", "://x", "ftp://u:secret@host", "http://host:port", "http://a b", "http:/x:y:z"] {
            let said = proxy("https://api.agntix.ai", &[("HTTPS_PROXY", wrong)]).unwrap_err();
            assert!(said.starts_with("HTTPS_PROXY is set to what is no proxy") && !said.contains("secret"), "{said}");
        }
        for socks in ["socks5://u:secret@host:1080", "socks5h://host", "socks4://host"] {
            let said = proxy("https://api.agntix.ai", &[("ALL_PROXY", socks)]).unwrap_err();
            assert!(said.starts_with("ALL_PROXY names a SOCKS proxy") && !said.contains("secret"), "{said}");
        }
        // Nothing that is not used is a mistake.
        let unused = [("ALL_PROXY", "socks5://host"), ("HTTPS_PROXY", "http://proxy.example")];
        assert!(proxy("https://api.agntix.ai", &unused).unwrap().is_some());
        assert_eq!(proxy("https://api.agntix.ai", &[("HTTP_PROXY", "nonsense://")]), Ok(None));
    }

    #[test]
    fn debug_shows_names_alone() {
        let variables = ProxyVariables::from_lookup(|_| Some("http://u:secret@proxy".into()));
        assert!(!format!("{variables:?}").contains("secret"));
    }
}
