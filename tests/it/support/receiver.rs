//! `deploy/alertmanager/receiver.py`, which shows what Alertmanager would send, as a test reads it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Client;
use serde::Deserialize;

use super::PATIENCE;

/// A message as its service would show it.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// The service, or webhook, or e-mail.
    pub kind: String,
    /// The channel, the incident, the receiver or the address.
    pub to: String,
    /// firing or resolved.
    pub state: String,
    pub title: String,
    pub text: String,
    pub links: Vec<Link>,
    pub color: Option<String>,
    pub html: Option<String>,
}

/// What one can click on in a message.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    pub text: String,
    pub url: String,
}

impl Message {
    /// Where the link with these words leads.
    pub fn link(&self, words: &str) -> &str {
        let found = self.links.iter().find(|link| link.text == words);
        &found.unwrap_or_else(|| panic!("no link {words:?} in {self:#?}")).url
    }
}

/// A client for [`latest`] and for what a message links to.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// The latest messages, the oldest first.
pub async fn latest(client: &Client, receiver: SocketAddr) -> Vec<Message> {
    let answer = client.get(format!("http://{receiver}/messages")).send().await.unwrap();
    let mut messages: Vec<Message> = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    messages.reverse();
    messages
}

/// A running receiver. It is killed when this is dropped.
pub struct Receiver {
    pub web: SocketAddr,
    pub mail: SocketAddr,
    child: Child,
}

impl Receiver {
    /// Starts one on free ports.
    pub fn start() -> Self {
        let mut child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alertmanager/receiver.py"))
            .args(["--listen", "127.0.0.1:0", "--smtp", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.next().expect("it says where it listens");
        let address = |key: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(key));
            value.unwrap_or_else(|| panic!("no {key} in {line}")).parse().unwrap()
        };
        let (web, mail) = (address("address="), address("smtp="));
        // Read to its end, so that a full pipe never stops it; shown with what a test prints.
        std::thread::spawn(move || lines.for_each(|line| println!("{line}")));
        Self { web, mail, child }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
