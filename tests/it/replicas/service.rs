//! What stands before replicas: an address whose connections go to any one of them, and a scraper that hops over them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Reply, durable, samples};

/// How long a client waits for a replica before it turns to another one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hands each connection to a replica by chance, as a load balancer does that knows nothing of them.
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
                let replica = replicas[random.usize(..replicas.len())];
                std::thread::spawn(move || {
                    let Ok(server) = TcpStream::connect_timeout(&replica, PATIENCE) else { return };
                    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
                    std::thread::spawn(move || copy(from, to));
                    copy(server, client);
                });
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

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // Whoever goes first takes the other with it.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
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
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Reply::parse(&answer)
}

/// Scrapes one replica after the other, and holds each page against the one before, whoever served it.
pub struct Scraper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

/// What a scraper has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Pages with something on them.
    pub pages: u32,
    /// Scrapes without a page.
    pub gaps: u32,
    /// What was less than before.
    pub falls: Vec<String>,
    last: BTreeMap<String, f64>,
}

impl Scraper {
    pub fn over(replicas: Vec<SocketAddr>, every: Duration) -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Seen>>::default());
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            for replica in replicas.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let page = scrape(*replica);
                noted.lock().unwrap().note(*replica, page);
                std::thread::sleep(every);
            }
        });
        Self { stop, thread: Some(thread), seen }
    }

    /// What it has seen; it scrapes no more.
    pub fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.seen.lock().unwrap().clone()
    }
}

impl Seen {
    fn note(&mut self, replica: SocketAddr, page: Option<BTreeMap<String, f64>>) {
        let Some(page) = page else {
            self.gaps += 1;
            return;
        };
        // Until the look-back is done or cut short there are no session metrics at all.
        if page.is_empty() && self.last.is_empty() {
            return;
        }
        self.pages += 1;
        for (name, before) in &self.last {
            if page.get(name).is_none_or(|now| now < before) {
                self.falls.push(format!("{name} fell from {before} to {:?} on {replica}", page.get(name)));
            }
        }
        self.last = page;
    }
}
