//! What stands before replicas: an address whose requests go to some of them.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Reply, durable, samples};

/// How long a client waits for a replica before it turns to another one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes a request, gives it to one or more of the replicas at once, by chance, and hands on what one of them answers.
pub struct Service {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Service {
    pub fn before(replicas: Vec<SocketAddr>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed);
            for client in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let mut chosen = replicas.clone();
                random.shuffle(&mut chosen);
                chosen.truncate(random.usize(1..=replicas.len()));
                std::thread::spawn(move || hand_over(client, chosen));
            }
        });
        Self { address, stop }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Gives one request to all of `replicas`, and its sender the answer of the first of them that answers: those of the others are lost.
fn hand_over(mut client: TcpStream, replicas: Vec<SocketAddr>) -> Option<()> {
    let request = Arc::new(request_of(&mut client)?);
    let send = |replica| {
        let request = Arc::clone(&request);
        std::thread::spawn(move || send(replica, &request))
    };
    let answers: Vec<_> = replicas.into_iter().map(send).collect();
    let first = answers.into_iter().find_map(|answer| answer.join().unwrap())?;
    client.write_all(&first).ok()
}

/// A whole request, as it is to be sent over a connection of its own.
fn request_of(client: &mut TcpStream) -> Option<Vec<u8>> {
    client.set_read_timeout(Some(PATIENCE)).ok()?;
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = client.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&request[..end]).ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if request.len() >= end + 4 + length.unwrap_or(0) {
            let close = b"\r\nconnection: close";
            return Some([&request[..end], close, &request[end..]].concat());
        }
    }
}

fn send(replica: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect_timeout(&replica, PATIENCE).ok()?;
    server.set_read_timeout(Some(PATIENCE)).ok()?;
    server.write_all(request).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// Asks a replica for its page. `None`: it serves none, or takes too long.
pub fn scrape(address: SocketAddr) -> Option<BTreeMap<String, f64>> {
    let reply = get(address, "/metrics")?;
    (reply.status == 200).then(|| durable(&samples(&reply.text())))
}

/// Whether a replica says that it counts.
pub fn is_active(address: SocketAddr) -> bool {
    get(address, "/-/active").is_some_and(|reply| reply.status == 200)
}

/// What a replica answers; `None` if it does not.
pub fn get(address: SocketAddr, path: &str) -> Option<Reply> {
    try_get(address, path).ok()
}

/// What a replica answers, or why it does not.
pub fn try_get(address: SocketAddr, path: &str) -> Result<Reply, String> {
    let failed = |what: &str, error: &std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{what}: nothing for {PATIENCE:?}"),
        _ => format!("{what}: {error}"),
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| failed("not connected", &error))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| failed("not connected", &error))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| failed("not sent", &error))?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let begun = format!("{} bytes of an answer, then", answer.len());
    read.map_err(|error| failed(&begun, &error))?;
    let reply = Reply::parse(&answer).ok_or_else(|| format!("{begun}: the end of the connection"))?;
    let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
    match length.filter(|length| *length != reply.body.len()) {
        Some(length) => Err(format!("cut: {} bytes of {length}", reply.body.len())),
        None => Ok(reply),
    }
}
