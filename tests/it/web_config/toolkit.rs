//! The cases of exporter-toolkit's own tests, and some more, as files of ours: the verdicts are those of `promtool check
//! web-config`, but for the few that are listed with their reasons.

use std::path::Path;

use exporter_web::WebConfigFile;

use super::{Site, TLS};
use crate::support::certificates::Authority;
use crate::support::prometheus::Version;
use crate::support::promtool;

/// A file, whether it can be used here, and whether it can be in Prometheus.
struct Case {
    name: &'static str,
    text: String,
    good: bool,
    prometheus: Prometheus,
}

#[derive(Clone, Copy, PartialEq)]
enum Prometheus {
    /// It says the same.
    Agrees,
    /// It says the same since 3.x; 2.42 does not know a key yet.
    AgreesSince3,
    /// It says the opposite: why it is right here to differ.
    Differs(&'static str),
}

use Prometheus::{Agrees, AgreesSince3, Differs};

fn case(name: &'static str, text: impl Into<String>, good: bool, prometheus: Prometheus) -> Case {
    Case { name, text: text.into(), good, prometheus }
}

/// TLS, and more lines of its section.
fn tls(lines: &str) -> String {
    lines.lines().fold(TLS.to_owned(), |text, line| text + "  " + line + "\n")
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn cases(directory: &Path) -> Vec<Case> {
    let section = |lines: &str| lines.lines().fold("tls_server_config:\n".to_owned(), |text, l| text + "  " + l + "\n");
    let inline = |file: &str| {
        let text = std::fs::read_to_string(directory.join(file)).unwrap();
        text.lines().map(|line| ["    ", line, "\n"].concat()).collect::<String>()
    };
    let given = "client_auth_type: VerifyClientCertIfGiven\n";
    let given = |lines: &str| tls(&format!("{given}{lines}"));
    let hash = |cost| bcrypt::hash("dave123", cost).unwrap();
    let header = |line: &str| format!("http_server_config:\n  headers:\n    {line}\n");
    let every_suite = "cipher_suites:\n- TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n- TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n\
        - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n\
        - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\n- TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\n\
        - TLS_AES_128_GCM_SHA256\n- TLS_AES_256_GCM_SHA384\n- TLS_CHACHA20_POLY1305_SHA256\n\
        - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA\n- TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA\n\
        - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\n- TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA";
    vec![
        case("empty", "", true, Agrees),
        case("junk", "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n", false, Agrees),
        case("junk key", section("cert_filse: server.crt"), false, Agrees),
        case("cert_file empty", section("cert_file: \"\"\nkey_file: server.key"), false, Agrees),
        case("cert empty", section("cert: \"\"\nkey_file: server.key"), false, Agrees),
        case("key_file empty", section("cert_file: server.crt\nkey_file: \"\""), false, Agrees),
        case("key empty", section("cert_file: server.crt\nkey: \"\""), false, Agrees),
        case("both empty", section("cert_file: \"\"\nkey_file: \"\"\nclient_auth_type: \"x\""), false, Agrees),
        case("cert_file missing", section("cert_file: somefile\nkey_file: server.key"), false, Agrees),
        case("key_file missing", section("cert_file: server.crt\nkey_file: somefile"), false, Agrees),
        case("both missing", section("cert_file: somefile\nkey_file: somefile"), false, Agrees),
        case("an authority without a policy", tls("client_ca_file: clients.pem"), false, Agrees),
        case("an authority that is missing", tls("client_ca_file: somefile"), false, Agrees),
        case("user list invalid", format!("{TLS}basic_auth_users:\n  john: doe\n"), false, Agrees),
        case("invented suites", given("cipher_suites:\n- TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048"), false, Agrees),
        case("invented curves", given("curve_preferences:\n- CurveP257"), false, Agrees),
        case("wrong version", given("min_version: TLS111"), false, Agrees),
        case("a policy that is none", tls("client_auth_type: Always"), false, Agrees),
        case("no clients", TLS, true, Agrees),
        case("verify if given", given(""), true, Agrees),
        case(
            "require and verify, by the system's authorities",
            tls("client_auth_type: RequireAndVerifyClientCert"),
            true,
            Agrees,
        ),
        case(
            "require and verify",
            tls("client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: clients.pem"),
            true,
            Agrees,
        ),
        case("require any", tls("client_auth_type: RequireAnyClientCert"), true, Agrees),
        case("require, by its old name", tls("client_auth_type: RequireClientCert"), true, Agrees),
        case("request", tls("client_auth_type: RequestClientCert"), true, Agrees),
        case(
            "key inline",
            format!("tls_server_config:\n  cert_file: server.crt\n  key: |\n{}", inline("server.key")),
            true,
            AgreesSince3,
        ),
        case(
            "all inline",
            format!(
                "tls_server_config:\n  cert: |\n{}  key: |\n{}  client_ca: |\n{}  client_auth_type: RequireAndVerifyClientCert\n",
                inline("server.crt"),
                inline("server.key"),
                inline("clients.pem")
            ),
            true,
            AgreesSince3,
        ),
        case(
            "allowed names",
            tls(
                "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: clients.pem\nclient_allowed_sans: [one, test3]",
            ),
            true,
            AgreesSince3,
        ),
        case("every suite", given(every_suite), true, Agrees),
        case(
            "some suites",
            given(
                "cipher_suites:\n- TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\nmin_version: TLS12\nmax_version: TLS12",
            ),
            true,
            Agrees,
        ),
        case(
            "some suites in the client's order",
            given(
                "cipher_suites:\n- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\nprefer_server_cipher_suites: false\nmax_version: TLS12",
            ),
            true,
            Agrees,
        ),
        case("every curve", given("curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]"), true, Agrees),
        case("one curve", given("min_version: TLS13\ncurve_preferences: [CurveP384]"), true, Agrees),
        case("the oldest version", given("min_version: TLS10"), true, Agrees),
        case("no HTTP/2", TLS.to_owned() + "http_server_config:\n  http2: false\n", true, Agrees),
        case(
            "a suite that HTTP/2 does not do with",
            given("cipher_suites:\n- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\nmax_version: TLS12"),
            true,
            Agrees,
        ),
        case(
            "headers",
            "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    \
             X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    Content-Security-Policy: \"default-src 'self' *.test.example.net\"\n",
            true,
            Agrees,
        ),
        case("a header with another value", header("X-Content-Type-Options: sniff"), false, Agrees),
        case("another header with another value", header("X-Frame-Options: foo"), false, Agrees),
        case("a header with no value", header("X-Frame-Options: \"\""), false, Agrees),
        case("a header that cannot be set", header("Content-Type: foo"), false, Agrees),
        case("a header in other letters", header("x-frame-options: deny"), false, Agrees),
        case("users", format!("{TLS}basic_auth_users:\n  carol: {}\n  dave: {}\n", hash(4), hash(5)), true, Agrees),
        case("users without TLS", format!("basic_auth_users:\n  dave: {}\n", hash(4)), true, Agrees),
        case("users by an alias", format!("basic_auth_users:\n  carol: &h {}\n  dave: *h\n", hash(4)), true, Agrees),
        case("a user twice", format!("basic_auth_users:\n  dave: {0}\n  dave: {0}\n", hash(4)), false, Agrees),
        case(
            "a cost that is too low",
            format!("basic_auth_users: {{a: {}}}", hash(4).replace("$04$", "$03$")),
            false,
            Agrees,
        ),
        case("no limit", "rate_limit:\n  interval: 0\n  burst: 0\n", true, AgreesSince3),
        case("a limit", "rate_limit:\n  interval: \"1s\"\n  burst: 0\n", true, AgreesSince3),
        case("a limit that is none", "rate_limit:\n  interval: often\n", false, Agrees),
        case("a list where keys belong", "tls_server_config:\n- cert_file\n", false, Agrees),
        case("a key twice", "tls_server_config: {}\ntls_server_config: {}\n", false, Agrees),
        case("a section that is empty", "tls_server_config:\nbasic_auth_users:\n", true, Agrees),
        case("a truth in another word", "http_server_config:\n  http2: off\n", true, Agrees),
        case("no truth", "http_server_config:\n  http2: perhaps\n", false, Agrees),
        case("not YAML", "tls_server_config: {", false, Agrees),
        case(
            "only the curve P-521",
            given("min_version: TLS13\ncurve_preferences:\n- CurveP521"),
            false,
            Differs("ring does not have it, so that no handshake could succeed"),
        ),
        case(
            "a version that is too old",
            tls("max_version: TLS11"),
            false,
            Differs("nothing older than TLS 1.2 is spoken; and Go would speak none either, as its minimum is TLS 1.2"),
        ),
        case(
            "an authority without a certificate",
            tls("client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: server.key"),
            false,
            Differs("Go would start and refuse every client"),
        ),
        case(
            "two documents",
            format!("basic_auth_users: {{}}\n---\nbasic_auth_users:\n  a: {}\n", hash(4)),
            false,
            Differs("Go would read the first and let everybody in"),
        ),
    ]
}

/// Those that only later versions of Prometheus know the keys of, and that differ there.
fn later_cases() -> Vec<Case> {
    vec![case(
        "allowed names without a policy",
        tls("client_allowed_sans: [one]"),
        false,
        Differs("Go would ask no client for a certificate and let everybody in"),
    )]
}

fn site() -> Site {
    let site = Site::new();
    Authority::new(site.path(), "clients");
    site
}

#[test]
fn the_verdicts_are_those_that_are_listed() {
    let site = site();
    for case in cases(site.path()).into_iter().chain(later_cases()) {
        site.write("web.yml", &case.text);
        let opened = WebConfigFile::load(&site.web_config());
        let why = opened.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert_eq!(opened.is_ok(), case.good, "{}: {why}", case.name);
        assert!(case.good || why.contains("web.yml"), "{}: {why}", case.name);
    }
    assert!(WebConfigFile::load(&site.path().join("nothing.yml")).is_err());
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn promtool_says_the_same_but_for_what_is_listed() {
    let site = site();
    for version in [Version::V2, Version::V3] {
        let later = if version == Version::V3 { later_cases() } else { Vec::new() };
        for case in cases(site.path()).into_iter().chain(later) {
            if case.prometheus == AgreesSince3 && version == Version::V2 {
                continue;
            }
            site.write("web.yml", &case.text);
            let (good, said) = promtool::check_web_config(version, &site.web_config());
            match case.prometheus {
                Agrees | AgreesSince3 => assert_eq!(good, case.good, "{version:?}: {}: {said}", case.name),
                Differs(why) => assert_ne!(good, case.good, "{version:?}: {}: {said}\nno longer: {why}", case.name),
            }
        }
    }
}

#[test]
fn the_check_of_the_configuration_checks_the_file_too_and_a_mistake_opens_nothing() {
    let site = site();
    for (text, flag) in
        [("tls_server_config:\n  cert_filse: x\n", true), ("tls_server_config:\n  cert_filse: x\n", false)]
    {
        let setup = site.setup(text);
        let setup = if flag { setup.argument("--config.check") } else { setup };
        let (code, said) = setup.run();
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("web.yml, line 2: tls_server_config.cert_filse is not a key; did you mean cert_file?"),
            "{said}"
        );
        assert!(!site.path().join("state").exists(), "nothing was opened");
    }
    let (code, said) =
        site.setup(&format!("{TLS}basic_auth_users:\n{}", super::user("a", "b"))).argument("--config.check").run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\n# web: TLS, 1 user (basic authentication)\n"), "{said}");
    let line = said.lines().find(|line| line.starts_with("web.config_file = ")).unwrap();
    assert!(line.ends_with("# --web.config.file"), "{line}");
}
