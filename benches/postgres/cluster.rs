//! The databases: a primary that acknowledges nothing before its standby has it on the disk, and a way to it that counts round
//! trips.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use test_postgres::{Server, Setup};

/// A primary and its synchronous standby.
pub struct Cluster {
    pub primary: Server,
    _standby: Server,
}

impl Cluster {
    pub fn start() -> Self {
        let settings = "fsync = on\nmax_connections = 200\nshared_buffers = 256MB\nmax_wal_size = 2GB".into();
        let primary = Server::start_with(&Setup { settings, ..Setup::default() });
        let standby = primary.synchronous_standby();
        Self { primary, _standby: standby }
    }

    pub fn url(&self) -> String {
        self.primary.url()
    }

    /// The one number that a query answers.
    pub fn number(&self, query: &str) -> f64 {
        self.primary.sql(query).trim().parse().unwrap()
    }
}

/// Passes connections on to the primary, and counts how often a client speaks after the server has: each is a round trip that the
/// client waited for.
pub struct Turnstile {
    pub url: String,
    turns: Arc<AtomicU64>,
}

impl Turnstile {
    pub fn before(cluster: &Cluster) -> Self {
        let (listener, server) = (TcpListener::bind("127.0.0.1:0").unwrap(), cluster.primary.port());
        let (port, turns) = (listener.local_addr().unwrap().port(), Arc::<AtomicU64>::default());
        let counted = Arc::clone(&turns);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let has_spoken = Arc::<AtomicBool>::default();
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (turns, asked) = (Arc::clone(&counted), Arc::clone(&has_spoken));
                std::thread::spawn(move || {
                    pass(from, to, || {
                        if !asked.swap(true, Ordering::Relaxed) {
                            turns.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
                std::thread::spawn(move || pass(server, client, || has_spoken.store(false, Ordering::Relaxed)));
            }
        });
        Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), turns }
    }

    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut each: impl FnMut()) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        each();
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Whoever goes first takes the other with it.
    let _ = to.shutdown(Shutdown::Both);
}
