//! The API behind a real proxy, tinyproxy: with and without TLS, with a password and without it, and not there at all.
//!
//! The API is at 0.0.0.0, which is no address of this machine by the rules of proxies and leads there all the same.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::crypto::ring;
use simulator::{Clock as _, SimulatorConfig, SystemClock};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::support::certificates::{Authority, Certified};
use crate::support::{Api, Daemon, Setup, free_address, tool, until};

struct Tinyproxy {
    child: Child,
    address: SocketAddr,
}

impl Tinyproxy {
    /// Lets through what goes to the port of `api`. `more` is what its configuration says besides.
    fn start(directory: &Path, api: SocketAddr, more: &str) -> Self {
        Self::start_at(free_address(), directory, api, more)
    }

    fn start_at(address: SocketAddr, directory: &Path, api: SocketAddr, more: &str) -> Self {
        let (host, port, api) = (address.ip(), address.port(), api.port());
        let file = directory.join("tinyproxy.conf");
        let text = format!(
            "Listen {host}\nPort {port}\nTimeout 60\nAllow 127.0.0.0/8\nAllow ::1\nConnectPort {api}\n{more}\n"
        );
        std::fs::write(&file, text).unwrap();
        let program = tool::locate("TINYPROXY", "tinyproxy/usr/bin/tinyproxy");
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("the proxy to listen", || TcpStream::connect(address).ok());
        Self { child, address }
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Leads what comes to a free port of `host` to the API, by TLS if that is given. It ends with the runtime.
fn in_front(host: &str, api: SocketAddr, tls: Option<TlsAcceptor>, runtime: &Runtime) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind((host, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let server = || async { tokio::net::TcpStream::connect(api).await.unwrap() };
                let _ = if let Some(tls) = tls {
                    let Ok(mut client) = tls.accept(client).await else { return };
                    tokio::io::copy_bidirectional(&mut client, &mut server().await).await
                } else {
                    tokio::io::copy_bidirectional(&mut client, &mut server().await).await
                };
            });
        }
    });
    address
}

/// TLS as the certificate's owner speaks it.
fn tls(certified: &Certified) -> TlsAcceptor {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certified.chain(), certified.private_key())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Sessions that are all over and analysed by now.
fn few() -> SimulatorConfig {
    SimulatorConfig::load(SystemClock.now().minus(std::time::Duration::from_secs(600)), 2.0, 20)
}

fn setup(api: &Api, directory: &Path, scheme: &str, port: u16) -> Setup {
    Setup::new(api.address, &directory.join("state")).set("API__BASE_URL", &format!("{scheme}://0.0.0.0:{port}"))
}

fn not_ready(daemon: &Daemon, words: &str) -> String {
    until(words, || {
        let (status, text) = daemon.get("/-/ready");
        (status == 503 && text.contains(words)).then_some(text)
    })
}

#[test]
#[ignore = "needs tinyproxy (.ci/tools)"]
fn sessions_are_counted_through_a_proxy_and_its_failure_names_it() {
    let (api, directory) = (Api::start(few()), tempfile::tempdir().unwrap());
    let proxy = Tinyproxy::start(directory.path(), api.address, "");
    let url = format!("http://{}", proxy.address);
    let setup = setup(&api, directory.path(), "http", api.address.port()).env("http_proxy", &url);
    let daemon = setup.start();
    daemon.shows(&api.truth());
    assert_eq!(daemon.lines_with("requests to the API go through a proxy"), 1, "{}", daemon.log());
    drop(proxy);
    let expected = format!("connection refused, through the proxy {url} (http_proxy)");
    until("the failure to be logged", || (daemon.lines_with(&expected) > 0).then_some(()));
    until("the page to say so", || daemon.get("/").1.contains("through the proxy").then_some(()));
}

#[test]
#[ignore = "needs tinyproxy (.ci/tools)"]
fn tls_goes_through_a_proxy_and_trusts_the_authority_of_the_file() {
    let (api, directory) = (Api::start(few()), tempfile::tempdir().unwrap());
    let runtime = runtime();
    let certified = Authority::new(directory.path(), "private").server_at("0.0.0.0");
    let front = in_front("127.0.0.1", api.address, Some(tls(&certified)), &runtime);
    let proxy = Tinyproxy::start(directory.path(), front, "");
    let url = format!("http://{}", proxy.address);
    let setup = setup(&api, directory.path(), "https", front.port()).env("HTTPS_PROXY", &url);
    let untrusted = setup.clone().set("STATE__PATH", &directory.path().join("other").display().to_string()).start();
    let said = not_ready(&untrusted, "api.ca_file");
    assert!(said.contains(&format!("through the proxy {url} (HTTPS_PROXY)")), "{said}");
    untrusted.kill();
    let setup = setup.set("API__CA_FILE", &directory.path().join("private.pem").display().to_string());
    setup.start().shows(&api.truth());
    let wrong = setup.set("API__CA_FILE", &directory.path().join("tinyproxy.conf").display().to_string());
    let (code, said) = wrong.run();
    assert!(code == Some(1) && said.contains("api.ca_file is") && said.contains("holds no certificate"), "{said}");
}

#[test]
#[ignore = "needs tinyproxy (.ci/tools)"]
fn proxy_that_wants_a_password_gets_it_and_is_named_without_it() {
    let (api, directory) = (Api::start(few()), tempfile::tempdir().unwrap());
    let proxy = Tinyproxy::start(directory.path(), api.address, "BasicAuth exporter opensesame");
    let setup = setup(&api, directory.path(), "http", api.address.port());
    let refused = setup.clone().env("HTTP_PROXY", &format!("http://{}", proxy.address)).start();
    not_ready(&refused, "407, a proxy that asks who is there");
    refused.kill();
    // With TLS it refuses before there is anything to answer.
    let encrypted = setup.clone().set("API__BASE_URL", &format!("https://0.0.0.0:{}", api.address.port()));
    let refused = encrypted.clone().env("HTTPS_PROXY", &format!("http://{}", proxy.address)).start();
    let said = not_ready(&refused, "password");
    assert!(said.contains(&format!("the proxy http://{} (HTTPS_PROXY) asks", proxy.address)), "{said}");
    refused.kill();
    let wrong = encrypted.env("HTTPS_PROXY", &format!("http://exporter:closesame@{}", proxy.address)).start();
    let said = not_ready(&wrong, "does not let a connection to 0.0.0.0");
    assert!(!said.contains("closesame"), "{said}");
    wrong.kill();
    let setup = setup.env("HTTP_PROXY", &format!("http://exporter:opensesame@{}", proxy.address));
    let daemon = setup.start();
    daemon.shows(&api.truth());
    assert!(!daemon.log().contains("opensesame"), "{}", daemon.log());
}

#[test]
#[ignore = "needs tinyproxy (.ci/tools)"]
fn addresses_of_ipv6_are_taken_for_the_api_the_proxy_and_the_exceptions() {
    let (api, directory) = (Api::start(few()), tempfile::tempdir().unwrap());
    let runtime = runtime();
    let front = in_front("::1", api.address, None, &runtime);
    let free = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
    let proxy = Tinyproxy::start_at(free, directory.path(), front, "");
    let url = format!("http://{}", proxy.address);
    // As 0.0.0.0, it is no address of this machine by the rules of proxies.
    let base = format!("http://[::]:{}", front.port());
    let setup = Setup::new(api.address, &directory.path().join("state")).set("API__BASE_URL", &base);
    let through = setup.clone().env("HTTP_PROXY", &url);
    let daemon = through.start();
    daemon.shows(&api.truth());
    let line = "requests to the API go through a proxy";
    assert_eq!(daemon.lines_with(line), 1, "{}", daemon.log());
    assert!(daemon.log().contains(&proxy.address.to_string()), "{}", daemon.log());
    let none = through.env("NO_PROXY", "::").argument("--config.check").run().1;
    assert!(!none.contains("# proxy"), "{none}");
}

#[test]
fn proxy_in_effect_is_shown_and_what_is_none_is_a_mistake() {
    let (api, directory) = (Api::start(few()), tempfile::tempdir().unwrap());
    let nobody = free_address();
    let setup = setup(&api, directory.path(), "http", nobody.port());
    let through = |value: &str| setup.clone().env("HTTP_PROXY", value);
    let (code, shown) = through(&format!("http://me:opensesame@{nobody}")).argument("--config.check").run();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&format!("# proxy: http://{nobody}, as HTTP_PROXY says")), "{shown}");
    assert!(!shown.contains("opensesame"), "{shown}");
    let (code, said) = through(&format!("http://{nobody}")).argument("doctor").run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("go through http://{nobody}, as HTTP_PROXY says")), "{said}");
    let none = through(&format!("http://{nobody}")).env("NO_PROXY", "0.0.0.0").argument("--config.check").run().1;
    assert!(!none.contains("# proxy"), "{none}");
    for (value, words) in [("http://me:opensesame@:x", "is no proxy"), ("socks5://me:opensesame@host:1", "SOCKS")] {
        let (code, said) = through(value).run();
        assert!(code == Some(2) && said.contains("HTTP_PROXY") && said.contains(words), "{code:?} {said}");
        assert!(!said.contains("opensesame"), "{said}");
    }
}
