//! Files, good and bad, and what happens when they change.

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::stamp::Stamp;

const HASH: &str = "$2y$04$W8L1a1IkTFvpA6pg2DM3hu7KIMJNNvhtwJkJYrWDxGRqF6cYwM2Ru";

/// A directory with a certificate and its key, an authority of clients, and a web configuration file.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.certify("server", |_| ());
        files.certify("clients", |_| ());
        files
    }

    /// A new self-signed certificate and its key.
    fn certify(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        self.write(&format!("{name}.crt"), &params.self_signed(&key).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("web.yml")
    }

    fn open(&self, text: &str) -> Result<(WebConfigFile, Vec<String>), WebConfigError> {
        self.write("web.yml", text);
        WebConfigFile::load(&self.path()).map(|file| {
            let warnings = file.warnings();
            (file, warnings)
        })
    }

    /// What is said of a file: its warnings, or why it is refused.
    fn said(&self, text: &str) -> String {
        let said = match self.open(text) {
            Ok((_, warnings)) => [&["good".to_owned()], &warnings[..]].concat().join("; "),
            Err(error) => error.to_string(),
        };
        said.replace(&format!("{}/", self.0.path().display()), "")
    }
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

#[test]
fn good_files_are_taken() {
    let files = Files::new();
    let indented = |name: &str| files.read(name).lines().map(|line| ["    ", line, "\n"].concat()).collect::<String>();
    let inline =
        format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", indented("server.crt"), indented("server.key"));
    let good = [
        (String::new(), "plain HTTP, open to everybody who can reach it"),
        ("tls_server_config:\nbasic_auth_users: {}\n".into(), "plain HTTP, open to everybody who can reach it"),
        (TLS.into(), "TLS, open to everybody who can reach it"),
        (inline, "TLS, open to everybody who can reach it"),
        (TLS.to_owned() + "  client_auth_type: NoClientCert\n", "TLS, open to everybody who can reach it"),
        (
            TLS.to_owned() + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: clients.crt\n",
            "TLS, client certificates verified if given, open to everybody who can reach it",
        ),
        (
            TLS.to_owned()
                + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n  client_allowed_sans: [a, b]\n",
            "TLS, client certificates required and verified",
        ),
        (
            TLS.to_owned() + &format!("basic_auth_users:\n  alice: {HASH}\n  bob: '{HASH}'\n"),
            "TLS, 2 users (basic authentication)",
        ),
        (format!("basic_auth_users: {{alice: {HASH}}}"), "plain HTTP, 1 user (basic authentication)"),
        (
            TLS.to_owned()
                + "  min_version: TLS13\n  curve_preferences: [CurveP384]\nhttp_server_config: {http2: off}\n",
            "TLS, open to everybody who can reach it",
        ),
        (
            TLS.to_owned()
                + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false\n  max_version: TLS12\n",
            "TLS, open to everybody who can reach it",
        ),
    ];
    for (text, summary) in good {
        let (security, warnings) = files.open(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!((security.summary().as_str(), warnings), (summary, Vec::new()), "{text}");
    }
}

#[test]
fn a_good_file_is_in_force() {
    let files = Files::new();
    let text = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: 1\n    Content-Security-Policy: \"\"\n\
                rate_limit: {interval: 1s, burst: 3}\n";
    let (security, warnings) = files.open(text).unwrap();
    let (snapshot, _) = security.in_force().unwrap();
    let headers: Vec<_> = snapshot.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    assert_eq!(headers, ["x-frame-options: deny", "x-xss-protection: 1"]);
    assert!(snapshot.rate_limit.is_some() && warnings.is_empty());
    let (security, _) = files.open("rate_limit: {interval: 0, burst: 0}").unwrap();
    assert!(security.in_force().unwrap().0.rate_limit.is_none());
}

#[test]
fn mistakes_name_the_file_the_line_and_what_to_do() {
    let files = Files::new();
    files.write("empty.crt", "");
    for (text, expected) in [
        ("just words", "web.yml, line 1: the file must hold keys and values, such as tls_server_config:"),
        (
            "tls_server_confg:\n  cert_file: x",
            "web.yml, line 1: tls_server_confg is not a key; did you mean tls_server_config?",
        ),
        (
            "tls:\n  cert_file: x",
            "web.yml, line 1: tls is not a key; the sections are tls_server_config, http_server_config, basic_auth_users, rate_limit",
        ),
        (
            "\ntls_server_config:\n  cert_filse: server.crt",
            "web.yml, line 3: tls_server_config.cert_filse is not a key; did you mean cert_file?",
        ),
        ("rate_limit: {burst: 1, burst: 2}", "web.yml, line 1: rate_limit.burst is there twice, first on line 1"),
        ("basic_auth_users:\n- a", "web.yml, line 2: basic_auth_users must hold keys and values, one a line"),
        (
            "tls_server_config:\n  key_file: server.key",
            "web.yml, line 2: tls_server_config names no certificate; set tls_server_config.cert_file to its file, or put it into tls_server_config.cert",
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key: \"\"",
            "web.yml, line 2: tls_server_config names no private key; set tls_server_config.key_file to its file, or put it into tls_server_config.key",
        ),
        (
            "tls_server_config:\n  cert_file: none.crt\n  key_file: server.key",
            "web.yml, line 2: tls_server_config.cert_file: none.crt cannot be read: No such file or directory (os error 2)",
        ),
        (
            "tls_server_config:\n  cert_file: empty.crt\n  key_file: server.key",
            "web.yml, line 2: tls_server_config.cert_file: empty.crt holds no certificate; it must be PEM, with a line \"-----BEGIN CERTIFICATE-----\"",
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.crt",
            "web.yml, line 3: tls_server_config.key_file: server.crt holds no private key; it must be PEM, with a line \"-----BEGIN PRIVATE KEY-----\"",
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: clients.key",
            "web.yml, line 3: tls_server_config.key_file: clients.key is not the key of the certificate in tls_server_config.cert_file",
        ),
        (
            "tls_server_config:\n  cert_file: .\n  key_file: clients.key",
            "web.yml, line 2: tls_server_config.cert_file: . cannot be read: it is not a file",
        ),
        (
            "basic_auth_users:\n  john: doe",
            "web.yml, line 2: basic_auth_users: what stands for user 1 is not a bcrypt hash (not shown); make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: foo",
            "web.yml, line 3: http_server_config.headers.X-Frame-Options is \"foo\"; it must be deny or sameorigin",
        ),
        (
            "http_server_config:\n  headers:\n    Content-Type: foo",
            "web.yml, line 3: http_server_config.headers: \"Content-Type\" cannot be set; those that can are Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection",
        ),
        (
            "http_server_config: {http2: maybe}",
            "web.yml, line 1: http_server_config.http2 is \"maybe\"; it must be true or false",
        ),
        (
            "rate_limit: {interval: 1 second}",
            "web.yml, line 1: rate_limit.interval is \"1 second\"; it must be a duration, such as 1s or 250ms, or 0 for no limit",
        ),
        (
            "rate_limit: {interval: 1s, burst: -1}",
            "web.yml, line 1: rate_limit.burst is \"-1\"; it must be a whole number, such as 20",
        ),
        ("a: [", "web.yml, line 1: this is not valid YAML: "),
    ] {
        let said = files.said(text);
        assert!(said.starts_with(expected) && (expected.ends_with(": ") || said == expected), "{said}\n{expected}");
    }
    let missing = WebConfigFile::load(&files.0.path().join("somefile")).err().unwrap().to_string();
    assert!(missing.contains("somefile cannot be read: No such file"), "{missing}");
}

#[test]
fn mistakes_of_tls_name_the_file_the_line_and_what_to_do() {
    let files = Files::new();
    files.write("empty.crt", "");
    for (line, expected) in [
        (
            "client_auth_type: RequireAndVerify",
            "tls_server_config.client_auth_type is \"RequireAndVerify\"; it must be NoClientCert, ",
        ),
        ("client_auth_type: RequireAnyClientCerts", "did you mean RequireAnyClientCert?"),
        (
            "client_ca_file: clients.crt",
            "tls_server_config.client_ca_file is there, but no client is asked for a certificate; set ",
        ),
        ("client_ca_file: none", "no client is asked for a certificate"),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: none",
            "client_ca_file: none cannot be read: No such file",
        ),
        ("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty.crt", "empty.crt holds no certificate"),
        ("client_allowed_sans: [a]", "client_allowed_sans is there, but no client is asked for a certificate"),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n  client_allowed_sans: []",
            "would refuse every client",
        ),
        ("min_version: TLS111", "tls_server_config.min_version is \"TLS111\"; did you mean TLS11?"),
        ("max_version: TLS11", "max_version is older than TLS 1.2, which is not spoken here"),
        ("min_version: TLS13\n  max_version: TLS12", "min_version is newer than max_version"),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]",
            "did you mean TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256?",
        ),
        ("cipher_suites: TLS_AES_128_GCM_SHA256", "cipher_suites must be a list"),
        (
            "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n  max_version: TLS12",
            "names none of TLS 1.2 that is spoken here",
        ),
        (
            "curve_preferences: [CurveP257]",
            "tls_server_config.curve_preferences is \"CurveP257\"; did you mean CurveP256?",
        ),
        ("curve_preferences: [CurveP521]", "names only CurveP521"),
    ] {
        let said = files.said(&format!("{TLS}  {line}\n"));
        assert!(said.starts_with("web.yml, line ") && said.contains(expected), "{line}: {said}");
    }
}

#[test]
fn settings_without_effect_are_warned_of() {
    let files = Files::new();
    for (line, expected) in [
        ("min_version: TLS10", "TLS 1.2 is the minimum"),
        (
            "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not spoken here",
        ),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", "so that only TLS 1.3 is spoken"),
        ("curve_preferences: [CurveP521, X25519]", "CurveP521 is not spoken here"),
        ("client_auth_type: RequireClientCert", "takes any certificate, whoever made it"),
        ("cert: x", "cert_file beats tls_server_config.cert"),
    ] {
        let said = files.said(&format!("{TLS}  {line}\n"));
        assert!(said.starts_with("good; web.yml: ") && said.contains(expected), "{line}: {said}");
    }
    assert!(files.said("tls_server_config: {min_version: TLS13}").contains("so that TLS is off"));
    assert!(files.said("rate_limit: {interval: 1s}").contains("every request is refused"));
    assert!(files.said(&format!("basic_auth_users: {{a: {}}}", HASH.replace("$04$", "$18$"))).contains("cost 18"));
    files.certify("server", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let said = files.said(TLS);
    assert!(said.starts_with("good; web.yml: the certificate in server.crt has expired ("), "{said}");
}

#[test]
fn nothing_secret_is_shown() {
    let files = Files::new();
    let key = files.read("server.key");
    let body = key.lines().nth(1).unwrap().to_owned();
    for text in [
        format!("tls_server_config:\n  cert_file: server.crt\n  key: {body}\n"),
        format!("tls_server_config:\n  cert_file: server.crt\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    {body}\n"),
        format!("tls_server_config:\n  cert_file: server.crt\n  key: [{body}]\n"),
        format!("tls_server_config:\n  cert_file: server.crt\n  key_file: |\n    {}\n", key.replace('\n', "\n    ")),
        format!("tls_server_config:\n  key: \"{body}\n"),
        format!("tls_server_config:\n  key: |\n{body}\n"),
        format!("tls_server_config:\n  key: *{body}\n"),
        format!("tls_server_config:\n  key: !{body} x\n"),
        format!("tls_server_config:\n{body}\n  a: b\n"),
        format!("basic_auth_users:\n  \"{HASH}\": alice\n").replace(HASH, &format!("{HASH}{body}")),
        format!("basic_auth_users:\n  alice: [{body}]\n"),
        format!("basic_auth_users: {body}\n"),
    ] {
        let said = files.said(&text);
        assert!(said != "good" && !said.contains(&body) && !said.contains(HASH), "{said}\n{text}");
    }
    let root = yaml::parse(&format!("{TLS}  key: {body}\nbasic_auth_users: {{a: {HASH}}}")).unwrap();
    let shown = format!("{:?}", file::read(root.as_ref(), Path::new("")).unwrap());
    assert!(!shown.contains(&body) && !shown.contains("W8L1a1"), "{shown}");
}

/// Two checks: the first sees the change, the second sees that it is stable.
fn check_twice(security: &WebConfigFile) {
    security.check();
    security.check();
}

fn certificate(security: &WebConfigFile) -> *const ServerConfig {
    Arc::as_ptr(&security.tls().unwrap())
}

#[test]
fn new_certificate_is_taken_when_it_is_stable_and_a_bad_one_never() {
    let files = Files::new();
    let (security, _) = files.open(TLS).unwrap();
    let first = certificate(&security);
    check_twice(&security);
    assert_eq!(certificate(&security), first, "nothing has changed");

    // Between two renames there is a pair that does not belong together.
    let (old_key, mut old) = (files.read("server.key"), files.read("server.crt"));
    files.certify("server", |_| ());
    let new_key = files.read("server.key");
    files.write("server.key", &old_key);
    check_twice(&security);
    assert_eq!(certificate(&security), first);
    let rejection = security.0.as_ref().unwrap().checks().rejection.clone().unwrap();
    assert!(rejection.contains("is not the key of the certificate"), "{rejection}");
    files.write("server.key", &new_key);
    security.check();
    assert_eq!(certificate(&security), first, "it may still be being written");
    security.check();
    let second = certificate(&security);
    assert_ne!(second, first);

    old.truncate(old.len() / 2);
    files.write("server.crt", &old);
    check_twice(&security);
    std::fs::remove_file(files.0.path().join("server.crt")).unwrap();
    check_twice(&security);
    assert_eq!(certificate(&security), second);
    files.certify("server", |_| ());
    check_twice(&security);
    assert_ne!(certificate(&security), second);
    assert_eq!(security.0.as_ref().unwrap().checks().rejection, None);
}

#[test]
fn users_change_without_restart_but_the_last_one_cannot_be_removed() {
    let files = Files::new();
    let users = |names: &[&str]| {
        let users: String = names.iter().map(|name| ["  ", name, ": ", HASH, "\n"].concat()).collect();
        format!("{TLS}basic_auth_users:\n{users}")
    };
    let (security, _) = files.open(&users(&["alice"])).unwrap();
    let names = || security.in_force().unwrap().0.users.keys().cloned().collect::<Vec<_>>();
    files.write("web.yml", &users(&["alice", "bob"]));
    check_twice(&security);
    assert_eq!(names(), ["alice", "bob"]);
    files.write("web.yml", &users(&["bob"]));
    assert_eq!(security.reread(), Ok(()));
    assert_eq!(names(), ["bob"]);
    for (text, why) in [
        (String::new(), "it would switch TLS off"),
        (TLS.to_owned(), "it would let everybody in without a password"),
        (users(&[]), "it would let everybody in without a password"),
        (users(&["bob"]).replace("server.crt", "nothing.crt"), "nothing.crt cannot be read"),
        ("basic_auth_users: {".into(), "this is not valid YAML"),
    ] {
        files.write("web.yml", &text);
        check_twice(&security);
        let error = security.reread().unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!((names(), security.has_tls()), (vec!["bob".to_owned()], true), "{why}");
    }
    std::fs::remove_file(files.path()).unwrap();
    check_twice(&security);
    assert_eq!(names(), ["bob"]);
}

#[test]
fn client_certificates_stay_required_until_a_restart() {
    let files = Files::new();
    let strict = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n  client_allowed_sans: [a]\n"
    );
    let (security, _) = files.open(&strict).unwrap();
    assert!(security.requires_certificates());
    for weaker in [
        strict.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
        strict.replace("  client_allowed_sans: [a]\n", ""),
        TLS.to_owned(),
    ] {
        files.write("web.yml", &weaker);
        let error = security.reread().unwrap_err();
        assert!(error.contains("it would let clients in whose certificates are refused now"), "{error}");
    }
    files.write("web.yml", &strict.replace("[a]", "[a, b]"));
    assert_eq!(security.reread(), Ok(()));
    // The file was cut off after a line: clients with a certificate of any authority of the system would be let in.
    files.write("web.yml", &strict.replace("  client_ca_file: clients.crt\n", ""));
    let error = security.reread().unwrap_err();
    assert!(error.contains("it would let any authority of the system vouch for clients"), "{error}");
    // Named, but no longer verified.
    let if_given = strict.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven");
    let (security, _) = files.open(&if_given).unwrap();
    files.write(
        "web.yml",
        &strict
            .replace("RequireAndVerifyClientCert", "RequestClientCert")
            .replace("  client_ca_file: clients.crt\n", ""),
    );
    let error = security.reread().unwrap_err();
    assert!(error.contains("it would let clients in whose certificates are refused now"), "{error}");
}

#[test]
fn a_client_is_asked_for_its_certificate_at_every_connection() {
    let files = Files::new();
    let strict = format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n");
    let (asks, _) = files.open(&strict).unwrap();
    let (asks_not, _) = files.open(TLS).unwrap();
    // One that is resumed would not be asked again.
    assert_eq!(asks.tls().unwrap().send_tls13_tickets, 0);
    assert!(!asks.tls().unwrap().session_storage.can_cache());
    assert!(asks_not.tls().unwrap().session_storage.can_cache());
}

#[test]
fn unusable_files_are_read_again_although_they_have_not_changed() {
    let files = Files::new();
    let (security, _) = files.open(TLS).unwrap();
    let first = certificate(&security);
    let guard = security.0.as_ref().unwrap();
    // As after a moment without memory: the new files are seen, and were not read.
    files.write("web.yml", "tls_server_config: {");
    check_twice(&security);
    files.write("web.yml", TLS);
    let now: Stamps = guard.checks().read.iter().map(|(path, _)| (path.clone(), Stamp::of(path))).collect();
    guard.checks().read.clone_from(&now);
    guard.checks().seen = now;
    assert!(guard.checks().rejection.is_some());
    for _ in 0..=RETRY_AFTER {
        security.check();
    }
    assert_eq!(guard.checks().rejection, None);
    assert_ne!(certificate(&security), first, "it was read again");
}

#[test]
fn no_file_is_plain_http_for_everybody() {
    let security = WebConfigFile::none();
    check_twice(&security);
    assert_eq!(security.reread(), Ok(()));
    assert!(security.in_force().is_none() && security.tls().is_none() && !security.has_users());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(
        lines in prop::collection::vec(
            "(tls_server_config|http_server_config|basic_auth_users|rate_limit|  [a-z_]{1,12}|  cert|  key|  headers|  interval|  burst|  cipher_suites|  min_version|- ):( (\\PC|[\\[\\]{}&*!|>'\"-]|[0-9a-zµ.]){0,12})?",
            0..8,
        ),
    ) {
        if let Ok(root) = yaml::parse(&lines.join("\n")) {
            let _ = file::read(root.as_ref(), Path::new("/nowhere"));
        }
    }
}
