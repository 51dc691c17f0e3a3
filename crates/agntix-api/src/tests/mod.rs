//! Tests of the client over real connections, against the simulator and against servers that do worse.

mod answers;
mod hostile;
mod oracle;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const KEY: &str = "pk_test_never_printed";

fn credential() -> CredentialSource {
    let place = CredentialPlace::Key(Secret::new(KEY).unwrap());
    CredentialSource { name: "AGNTIX_API_KEY".into(), place }
}

/// Asks `scheme://address` with the key; `change` has the last word on the options.
fn client_with(base_url: String, roots: Roots, change: impl FnOnce(&mut ClientOptions)) -> Client {
    install_crypto_provider();
    let mut options = ClientOptions::new(base_url, credential());
    change(&mut options);
    Client::with_roots(options, roots).unwrap()
}

fn client(address: SocketAddr, change: impl FnOnce(&mut ClientOptions)) -> Client {
    client_with(format!("http://{address}"), Roots::Only(Vec::new()), change)
}

fn status_of(answer: &Answer) -> Option<u16> {
    match answer.result {
        Err(ApiError::Status { status, .. }) => Some(status),
        _ => None,
    }
}

/// What a [`Stub`] does after its answer.
#[derive(Clone, Copy)]
enum After {
    /// Ends the connection.
    Close,
    /// Keeps it open, in silence, until the client ends it.
    Hold,
}

/// A server that gives every connection the same bytes, whatever it asks.
struct Stub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn new(answer: impl Into<Vec<u8>>, after: After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer.into()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&answer), after, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A failure is the client's end of the connection, which is its right.
async fn converse(
    mut stream: TcpStream,
    answer: Arc<Vec<u8>>,
    after: After,
    seen: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    seen.lock().unwrap().push(String::from_utf8(request).unwrap());
    stream.write_all(&answer).await?;
    if matches!(after, After::Hold) {
        stream.read_to_end(&mut Vec::new()).await?;
    }
    stream.shutdown().await
}

/// An answer with `head` (status and more headers, one a line) and a body whose length is announced.
fn whole(head: &str, body: &[u8]) -> Vec<u8> {
    let head = head.replace('\n', "\r\n");
    let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// The result of one request for a session, from a server that answers so.
async fn ask(answer: impl Into<Vec<u8>>, after: After) -> Answer {
    let stub = Stub::new(answer, after).await;
    client(stub.address, |_| {}).session("a").await
}

/// The same with a time-out that is soon over.
async fn ask_in_haste(answer: impl Into<Vec<u8>>) -> Answer {
    let stub = Stub::new(answer, After::Hold).await;
    client(stub.address, |options| options.timeout = Duration::from_millis(100)).session("a").await
}
