//! The format of exporter-toolkit, key by key. Certificates and keys are not opened here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use rustls::{CipherSuite, NamedGroup};

use super::duration;
use super::error::Mistake;
use super::names::{self, CURVES, ClientAuth, POLICIES, Suite, VERSIONS, Version};
use super::password::PasswordHash;
use super::section::Section;
use super::yaml::Node;
use crate::text::shown;

/// What a file asks for.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub tls: Option<Tls>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub users: BTreeMap<String, PasswordHash>,
    /// Between two requests, and how many at once.
    pub rate_limit: Option<(Duration, u32)>,
    /// What is allowed but probably not meant, or not supported here; a sentence each, without the name of the file.
    pub warnings: Vec<String>,
}

/// `tls_server_config`, if it switches TLS on.
#[derive(Debug)]
pub(super) struct Tls {
    pub cert: Pem,
    pub key: Pem,
    pub client_ca: Option<Pem>,
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must have one.
    pub allowed_sans: Vec<String>,
    pub versions: Versions,
    /// Cipher suites of TLS 1.2, in the order of preference; `None` leaves them to the library.
    pub suites: Option<Vec<CipherSuite>>,
    pub curves: Option<Vec<NamedGroup>>,
    pub prefers_own_order: bool,
}

/// The versions of TLS that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    Only12,
    Only13,
    Both,
}

/// Something in PEM: where it is, and the key and line of the file that say so.
#[derive(Debug)]
pub(super) struct Pem {
    pub key: &'static str,
    pub line: usize,
    pub source: PemSource,
}

pub(super) enum PemSource {
    File(PathBuf),
    Inline(String),
}

impl std::fmt::Debug for PemSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Inline(_) => f.write_str("Inline(not shown)"),
        }
    }
}

const SECTIONS: [&str; 4] = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
const TLS_KEYS: [&str; 13] = [
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];
/// The headers that may be set, and the values that each may have; none means any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Reads a file's tree; relative paths in it begin at `directory`.
pub(super) fn read(root: Option<&Node>, directory: &Path) -> Result<Contents, Mistake> {
    let file = Section::read("", root, &SECTIONS)?;
    let mut contents = Contents::default();
    let tls = Section::read("tls_server_config", file.get("tls_server_config"), &TLS_KEYS)?;
    contents.tls = read_tls(&tls, directory, &mut contents.warnings)?;
    if contents.tls.is_none() && tls.entries().next().is_some() {
        contents.warnings.push("tls_server_config names no certificate, so that TLS is off".into());
    }
    let http = Section::read("http_server_config", file.get("http_server_config"), &["http2", "headers"])?;
    // Read for its type only: HTTP/1.1 is served, which every Prometheus speaks.
    http.truth("http2", true)?;
    contents.headers = read_headers(http.get("headers"))?;
    contents.users = read_users(file.get("basic_auth_users"), &mut contents.warnings)?;
    let limit = Section::read("rate_limit", file.get("rate_limit"), &["interval", "burst"])?;
    contents.rate_limit = read_rate_limit(&limit, &mut contents.warnings)?;
    Ok(contents)
}

fn read_tls(tls: &Section<'_>, directory: &Path, warnings: &mut Vec<String>) -> Result<Option<Tls>, Mistake> {
    let allowed_sans = tls.texts("client_allowed_sans")?;
    let versions = read_versions(tls, warnings)?;
    let suites = read_suites(tls, versions, warnings)?;
    let curves = read_curves(tls, warnings)?;
    let prefers_own_order = tls.truth("prefer_server_cipher_suites", true)?;
    let client_auth = tls.one_of("client_auth_type", &POLICIES)?;
    let cert = pem(tls, ("cert_file", "cert"), directory, warnings)?;
    let key = pem(tls, ("key_file", "key"), directory, warnings)?;
    let client_ca = pem(tls, ("client_ca_file", "client_ca"), directory, warnings)?;
    if cert.is_none() && key.is_none() && client_ca.is_none() && client_auth.is_none() {
        if allowed_sans.is_some() {
            let what = "tls_server_config.client_allowed_sans is there, but no certificate, so that TLS would be off";
            return Err(Mistake::new(tls.line_of("client_allowed_sans"), what));
        }
        return Ok(None);
    }
    let missing = |file: &str, inline: &str, what: &str| {
        let what = format!(
            "tls_server_config names no {what}; set tls_server_config.{file} to its file, or put it into tls_server_config.{inline}"
        );
        Mistake::new(tls.line, what)
    };
    let cert = cert.ok_or_else(|| missing("cert_file", "cert", "certificate"))?;
    let key = key.ok_or_else(|| missing("key_file", "key", "private key"))?;
    let client_auth = client_auth.unwrap_or_default();
    if let (Some(client_ca), ClientAuth::None) = (&client_ca, client_auth) {
        let what = format!(
            "tls_server_config.{} is there, but no client is asked for a certificate; set tls_server_config.client_auth_type to RequireAndVerifyClientCert",
            client_ca.key
        );
        return Err(Mistake::new(client_ca.line, what));
    }
    if let Some(names) = &allowed_sans {
        let line = tls.line_of("client_allowed_sans");
        if client_auth == ClientAuth::None {
            let what = "tls_server_config.client_allowed_sans is there, but no client is asked for a certificate; set tls_server_config.client_auth_type to RequireAndVerifyClientCert";
            return Err(Mistake::new(line, what));
        }
        if names.is_empty() {
            let what = "tls_server_config.client_allowed_sans is empty, which would refuse every client; name one, or leave the key out";
            return Err(Mistake::new(line, what));
        }
    }
    if client_auth == ClientAuth::Request || client_auth == ClientAuth::RequireAny {
        warnings.push(
            "tls_server_config.client_auth_type takes any certificate, whoever made it; only RequireAndVerifyClientCert keeps strangers out".into(),
        );
    }
    let allowed_sans = allowed_sans.into_iter().flatten().map(|(name, _)| name.to_owned()).collect();
    Ok(Some(Tls { cert, key, client_ca, client_auth, allowed_sans, versions, suites, curves, prefers_own_order }))
}

/// The PEM that one of the two keys names: a file, or else inline.
fn pem(
    tls: &Section<'_>,
    (file, inline): (&'static str, &'static str),
    directory: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<Pem>, Mistake> {
    let (path, text) = (tls.text(file)?, tls.text(inline)?);
    if path.is_some() && text.is_some() {
        warnings.push(format!("tls_server_config.{file} beats tls_server_config.{inline}, which is not used"));
    }
    let (key, source) = match (path, text) {
        (Some(path), _) if path.contains("-----BEGIN") => {
            return Err(tls.rule(
                file,
                path,
                &format!("must be the path of a file; what is in it belongs into {inline}"),
            ));
        }
        (Some(path), _) => (file, PemSource::File(directory.join(path))),
        (None, Some(text)) => (inline, PemSource::Inline(text.to_owned())),
        (None, None) => return Ok(None),
    };
    Ok(Some(Pem { key, line: tls.line_of(key), source }))
}

fn read_versions(tls: &Section<'_>, warnings: &mut Vec<String>) -> Result<Versions, Mistake> {
    let least = tls.one_of("min_version", &VERSIONS)?.unwrap_or(Version::Tls12);
    let most = tls.one_of("max_version", &VERSIONS)?.unwrap_or(Version::Tls13);
    if most == Version::Older {
        let what = "tls_server_config.max_version is older than TLS 1.2, which is not spoken here; set it to TLS12 or TLS13, or leave it out";
        return Err(Mistake::new(tls.line_of("max_version"), what));
    }
    if least > most {
        let what = "tls_server_config.min_version is newer than max_version, so that no version is left";
        return Err(Mistake::new(tls.line_of("min_version"), what));
    }
    if least == Version::Older {
        warnings.push(
            "tls_server_config.min_version is older than TLS 1.2, which is not spoken here; TLS 1.2 is the minimum"
                .into(),
        );
    }
    Ok(match (least, most) {
        (Version::Tls13, _) => Versions::Only13,
        (_, Version::Tls13) => Versions::Both,
        _ => Versions::Only12,
    })
}

fn read_suites(
    tls: &Section<'_>,
    versions: Versions,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<CipherSuite>>, Mistake> {
    let named = tls.texts("cipher_suites")?.unwrap_or_default();
    if named.is_empty() {
        return Ok(None);
    }
    let (mut suites, mut legacy) = (Vec::new(), Vec::new());
    for (name, line) in named {
        match names::suite(name) {
            Some(Suite::Tls12(suite)) if !suites.contains(&suite) => suites.push(suite),
            Some(Suite::Tls12(_) | Suite::Tls13) => {}
            Some(Suite::Legacy) => legacy.push(name),
            None => {
                return Err(tls.none_of("cipher_suites", name, line, names::suites().collect::<Vec<_>>().into_iter()));
            }
        }
    }
    if suites.is_empty() && versions == Versions::Only12 {
        let what = "tls_server_config.cipher_suites names none of TLS 1.2 that is spoken here, and max_version is TLS12; name one with GCM or CHACHA20, or allow TLS13";
        return Err(Mistake::new(tls.line_of("cipher_suites"), what));
    }
    if !legacy.is_empty() {
        warnings.push(format!(
            "tls_server_config.cipher_suites: {} is not spoken here, as it is neither forward secret nor authenticated well enough; the others are",
            legacy.join(", ")
        ));
    }
    if suites.is_empty() && versions == Versions::Both {
        warnings
            .push("tls_server_config.cipher_suites leaves no suite of TLS 1.2, so that only TLS 1.3 is spoken".into());
    }
    Ok(Some(suites))
}

fn read_curves(tls: &Section<'_>, warnings: &mut Vec<String>) -> Result<Option<Vec<NamedGroup>>, Mistake> {
    let named = tls.texts("curve_preferences")?.unwrap_or_default();
    if named.is_empty() {
        return Ok(None);
    }
    let (mut groups, mut left_out) = (Vec::new(), false);
    for (name, line) in named {
        match names::find(&CURVES, name) {
            Some(Some(group)) if !groups.contains(&group) => groups.push(group),
            Some(Some(_)) => {}
            Some(None) => left_out = true,
            None => return Err(tls.none_of("curve_preferences", name, line, CURVES.iter().map(|(name, _)| *name))),
        }
    }
    if groups.is_empty() {
        let what = "tls_server_config.curve_preferences names only CurveP521, which is not spoken here; add X25519, CurveP256 or CurveP384";
        return Err(Mistake::new(tls.line_of("curve_preferences"), what));
    }
    if left_out {
        warnings.push("tls_server_config.curve_preferences: CurveP521 is not spoken here; the others are".into());
    }
    Ok(Some(groups))
}

fn read_headers(node: Option<&Node>) -> Result<Vec<(HeaderName, HeaderValue)>, Mistake> {
    const SECTION: &str = "http_server_config.headers";
    let section = Section::map(SECTION, node)?;
    let mut headers = Vec::new();
    for (name, node) in section.entries() {
        let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let known = HEADERS.map(|(known, _)| known).join(", ");
            let what = format!("{SECTION}: {} cannot be set; those that can are {known}", shown(name));
            return Err(Mistake::new(node.line, what));
        };
        let text = section.text(name)?.unwrap_or_default();
        if !allowed.is_empty() && !allowed.contains(&text) {
            return Err(section.rule(name, text, &format!("must be {}", allowed.join(" or "))));
        }
        if text.is_empty() {
            continue;
        }
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(text).ok());
        headers.push(header.ok_or_else(|| section.rule(name, text, "must be one line of plain text"))?);
    }
    Ok(headers)
}

fn read_users(node: Option<&Node>, warnings: &mut Vec<String>) -> Result<BTreeMap<String, PasswordHash>, Mistake> {
    let section = Section::map("basic_auth_users", node)?;
    let mut users = BTreeMap::new();
    let mut slow = 0;
    for (at, (name, node)) in section.entries().enumerate() {
        // Names are not shown: a line may have been written the wrong way round.
        let number = at + 1;
        let hash = section.text(name)?.and_then(PasswordHash::parse).ok_or_else(|| {
            let what = format!(
                "basic_auth_users: what stands for user {number} is not a bcrypt hash (not shown); make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'"
            );
            Mistake::new(node.line, what)
        })?;
        if name.contains(':') {
            let what =
                format!("basic_auth_users: the name of user {number} has a colon in it, which no client can send");
            return Err(Mistake::new(node.line, what));
        }
        slow = slow.max(hash.cost());
        users.insert(name.to_owned(), hash);
    }
    if slow > PasswordHash::USUAL_COST {
        warnings.push(format!(
            "basic_auth_users has a hash of cost {slow}: each step above 10 doubles the time of a first request, and no other password is checked meanwhile"
        ));
    }
    Ok(users)
}

fn read_rate_limit(limit: &Section<'_>, warnings: &mut Vec<String>) -> Result<Option<(Duration, u32)>, Mistake> {
    let interval = match limit.text("interval")? {
        None => Duration::ZERO,
        Some(text) => duration::parse(text).ok_or_else(|| {
            limit.rule("interval", text, "must be a duration, such as 1s or 250ms, or 0 for no limit")
        })?,
    };
    let burst = match limit.text("burst")? {
        None => 0,
        Some(text) => text.parse().map_err(|_| limit.rule("burst", text, "must be a whole number, such as 20"))?,
    };
    if interval.is_zero() {
        return Ok(None);
    }
    if burst == 0 {
        warnings.push("rate_limit.burst is 0, so that every request is refused".into());
    }
    Ok(Some((interval, burst)))
}
