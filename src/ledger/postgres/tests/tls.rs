//! TLS and passwords, on a real server: each `sslmode` means what it means to libpq.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use test_postgres::{Server, Setup};

use super::runtime;
use crate::ledger::postgres::{Database, survey};
use crate::tasks::Tasks;

type Authority = CertifiedIssuer<'static, KeyPair>;

const DAY: Duration = Duration::from_secs(86_400);

fn authority(directory: &Path, name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.join(format!("{name}.pem")), issuer.pem()).unwrap();
    issuer
}

/// Certificate and key, in PEM.
fn certificate(issuer: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

/// Whether the connection has TLS; else what is said.
fn connected(url: &str) -> Result<bool, String> {
    runtime().block_on(async {
        let database =
            Database::new(url, None, "agntix_exporter", Tasks::new().0).map_err(|error| error.to_string())?;
        let connection = database.connection().await.map_err(|error| error.to_string())?;
        let facts = survey::facts_of(&connection).await.map_err(|error| error.to_string())?;
        Ok(facts.tls.is_some())
    })
}

fn assert_fails(url: &str, why: &str) {
    let said = connected(url).expect_err(url);
    assert!(said.contains(why), "{url}: {said}");
}

fn server(issuer: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Server {
    let (certificate, key) = certificate(issuer, names, change);
    start(&certificate, &key, &issuer.pem())
}

fn start(certificate: &str, key: &str, clients: &str) -> Server {
    let setup = Setup::default().with_tls(certificate, key, Some(clients)).asking(
        "hostssl all secure 127.0.0.1/32 trust\nhostnossl all plain 127.0.0.1/32 trust\n\
         hostssl all certified 127.0.0.1/32 cert\nhost all scram 127.0.0.1/32 scram-sha-256\n\
         hostssl all clear 127.0.0.1/32 password\nhostssl all hashed 127.0.0.1/32 md5",
    );
    let server = Server::start_with(&setup);
    server.sql(
        "CREATE ROLE secure LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE certified LOGIN; SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD 'p/w'; \
         CREATE ROLE clear LOGIN PASSWORD 'p/w'; SET password_encryption = md5; CREATE ROLE hashed LOGIN PASSWORD 'p/w'",
    );
    server
}

fn url(server: &Server, user: &str, host: &str, query: &str) -> String {
    format!("postgres://{user}@{host}:{}/postgres?{query}", server.port())
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn modes_are_those_of_libpq() {
    let directory = tempfile::tempdir().unwrap();
    let (issuer, _other) = (authority(directory.path(), "authority"), authority(directory.path(), "other"));
    let server = server(&issuer, &["localhost", "127.0.0.1"], |_| ());
    let file = |name: &str| format!("sslrootcert={}", directory.path().join(name).display());
    let (trusted, foreign) = (file("authority.pem"), file("other.pem"));
    // Role, sslmode, and whether it has TLS; `None` if it is not let in.
    for (user, mode, tls) in [
        ("plain", "disable", Some(false)),
        ("secure", "disable", None),
        ("plain", "allow", Some(false)),
        ("secure", "allow", Some(true)),
        ("plain", "prefer", Some(false)),
        ("secure", "prefer", Some(true)),
        ("plain", "require", None),
        ("secure", "require", Some(true)),
    ] {
        let found = connected(&url(&server, user, "127.0.0.1", &format!("sslmode={mode}")));
        assert_eq!(found.clone().ok(), tls, "{user} {mode}: {found:?}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        for host in ["localhost", "127.0.0.1"] {
            let of = |root: &str| url(&server, "secure", host, &format!("sslmode={mode}&{root}"));
            assert_eq!(connected(&of(&trusted)), Ok(true), "{mode} {host}");
            // With an authority to ask, require asks it.
            assert_fails(&of(&foreign), "is signed by no authority that is trusted here; name the file");
        }
    }
    assert_fails(&url(&server, "secure", "127.0.0.1", "sslmode=verify-full"), "is signed by no authority");
    assert_fails(&url(&server, "secure", "127.0.0.1", "sslrootcert=system"), "is signed by no authority");
    assert_fails(&url(&server, "secure", "127.0.0.1", "sslmode=disable"), "set sslmode=verify-full if it wants TLS");
    let is_direct = server.sql("SHOW server_version_num").trim().parse::<u32>().unwrap() >= 170_000;
    let direct = connected(&url(&server, "secure", "127.0.0.1", "sslmode=require&sslnegotiation=direct"));
    assert_eq!(direct.is_ok(), is_direct, "{direct:?}");
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn certificate_for_another_name_or_of_another_time_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = authority(directory.path(), "authority");
    let root = format!("sslrootcert={}", directory.path().join("authority.pem").display());
    let named = server(&issuer, &["db1.example"], |_| ());
    let of = |server: &Server, mode: &str| url(server, "secure", "localhost", &format!("sslmode={mode}&{root}"));
    assert_fails(
        &of(&named, "verify-full"),
        "is not for this host name: it has DnsName(\"db1.example\"); connect by a name",
    );
    assert_eq!(connected(&of(&named, "verify-ca")), Ok(true));
    // One server with the right name beside it: each has a certificate of its own.
    let right = server(&issuer, &["localhost"], |_| ());
    let both = of(&right, "verify-full").replace("@localhost", &format!("@localhost:{},localhost", named.port()));
    assert_eq!(connected(&both), Ok(true));
    let late = server(&issuer, &["localhost"], |params| params.not_after = (SystemTime::now() - DAY).into());
    let early = server(&issuer, &["localhost"], |params| params.not_before = (SystemTime::now() + DAY).into());
    for mode in ["verify-ca", "verify-full"] {
        assert_fails(&of(&late, mode), "has expired; renew the certificate");
        assert_fails(&of(&early, mode), "is not valid yet");
    }
}

/// What `openssl req -x509` makes: PostgreSQL's own documentation says to begin so.
#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn certificate_that_is_its_own_authority_is_trusted_if_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let make = |change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        std::fs::write(directory.path().join("server.pem"), &certificate).unwrap();
        start(&certificate, &key.serialize_pem(), &certificate)
    };
    let query = |mode: &str| format!("sslmode={mode}&sslrootcert={}", directory.path().join("server.pem").display());
    let server = make(|_| ());
    for (mode, host, is_right) in
        [("verify-ca", "localhost", true), ("verify-full", "localhost", true), ("verify-full", "127.0.0.1", false)]
    {
        let found = connected(&url(&server, "secure", host, &query(mode)));
        assert_eq!(found.is_ok(), is_right, "{mode} {host}: {found:?}");
    }
    let server = make(|params| params.not_after = (SystemTime::now() - DAY).into());
    assert_fails(&url(&server, "secure", "localhost", &query("verify-ca")), "has expired");
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn client_shows_its_certificate_and_every_kind_of_password() {
    let directory = tempfile::tempdir().unwrap();
    let (issuer, other) = (authority(directory.path(), "authority"), authority(directory.path(), "other"));
    let server = server(&issuer, &["localhost"], |_| ());
    let write = |name: &str, issuer: &Authority, client: &str| {
        let (certificate, key) = certificate(issuer, &[client], |params| {
            params.distinguished_name.push(DnType::CommonName, client);
        });
        let (crt, file) = (directory.path().join(format!("{name}.crt")), directory.path().join(format!("{name}.key")));
        std::fs::write(&crt, certificate).unwrap();
        std::fs::write(&file, key).unwrap();
        format!("sslmode=require&sslcert={}&sslkey={}", crt.display(), file.display())
    };
    let of = |query: &str| url(&server, "certified", "localhost", query);
    assert_eq!(connected(&of(&write("right", &issuer, "certified"))), Ok(true));
    assert_fails(&of("sslmode=require"), "wants another client certificate");
    assert_fails(&of(&write("name", &issuer, "somebody")), "wants another client certificate");
    assert_fails(&of(&write("foreign", &other, "certified")), "wants another client certificate");
    assert_fails(&of("sslmode=require&sslcert=/no.crt&sslkey=/no.key"), "TLS to localhost");
    for (user, binding, works) in [
        ("scram", "prefer", true),
        ("scram", "require", true),
        ("clear", "prefer", true),
        ("hashed", "prefer", true),
        ("clear", "require", false),
        ("hashed", "require", false),
    ] {
        let query = format!("sslmode=require&channel_binding={binding}");
        let found = connected(&url(&server, &format!("{user}:p%2Fw"), "localhost", &query));
        assert_eq!(found.is_ok(), works, "{user} {binding}: {found:?}");
        assert!(works || found.clone().unwrap_err().contains("does not tie the password"), "{found:?}");
    }
    assert_eq!(connected(&url(&server, "scram:p%2Fw", "localhost", "sslmode=disable")), Ok(false));
    assert_fails(&url(&server, "scram:p%2Fw", "localhost", "channel_binding=require&sslmode=allow"), "does not tie");
}
