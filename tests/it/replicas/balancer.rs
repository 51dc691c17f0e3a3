//! What stands before replicas and looks at `/-/ready`: an address whose connections go to replicas that were ready a moment ago.
//! A connection that is refused goes to another one, as with `option redispatch` of `HAProxy` and most load balancers; kube-proxy
//! does not do that.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::service::get;

/// How old what is known of a replica may be.
const LAG: Duration = Duration::from_millis(200);
/// A connection over which nothing more is asked is closed after that, so that each scrape may go to another replica.
const IDLE: Duration = Duration::from_millis(500);

/// The address before the replicas.
pub struct Balancer {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Of each replica: its address, and whether it was ready.
    replicas: Vec<(SocketAddr, AtomicBool)>,
    /// How many connections each has been given.
    given: Mutex<Vec<u32>>,
    redispatched: AtomicU32,
    /// Connections without a replica that takes them.
    sent_away: AtomicU32,
    /// The first lines of answers other than 200.
    refusals: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Balancer {
    pub fn before(replicas: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            replicas: replicas.iter().map(|replica| (*replica, AtomicBool::new(false))).collect(),
            given: Mutex::new(vec![0; replicas.len()]),
            redispatched: AtomicU32::new(0),
            sent_away: AtomicU32::new(0),
            refusals: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        for place in 0..replicas.len() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let (replica, is_ready) = &state.replicas[place];
                while !state.is_over.load(Ordering::Relaxed) {
                    is_ready
                        .store(get(*replica, "/-/ready").is_some_and(|reply| reply.status == 200), Ordering::Relaxed);
                    std::thread::sleep(LAG);
                }
            });
        }
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(1);
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (state, seed) = (Arc::clone(&accepting), random.u64(..));
                std::thread::spawn(move || match state.connect(seed) {
                    Some(server) => pass_on(&state, client, server),
                    None => drop(state.sent_away.fetch_add(1, Ordering::Relaxed)),
                });
            }
        });
        Self { address, state }
    }

    /// How many replicas are ready, as far as it is known here.
    pub fn ready(&self) -> usize {
        self.state.replicas.iter().filter(|(_, is_ready)| is_ready.load(Ordering::Relaxed)).count()
    }

    /// How many connections each replica has been given.
    pub fn given(&self) -> Vec<u32> {
        self.state.given.lock().unwrap().clone()
    }

    /// What went wrong: answers other than 200, and connections that no replica has taken.
    pub fn failures(&self) -> (Vec<String>, u32) {
        (self.state.refusals.lock().unwrap().clone(), self.state.sent_away.load(Ordering::Relaxed))
    }

    /// How many connections a replica has refused that was ready a moment before.
    pub fn redispatched(&self) -> u32 {
        self.state.redispatched.load(Ordering::Relaxed)
    }
}

impl State {
    fn connect(&self, seed: u64) -> Option<TcpStream> {
        let mut order: Vec<usize> = (0..self.replicas.len()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        for place in order {
            let (address, is_ready) = &self.replicas[place];
            if is_ready.load(Ordering::Relaxed) {
                if let Ok(server) = TcpStream::connect(address) {
                    self.given.lock().unwrap()[place] += 1;
                    return Some(server);
                }
                self.redispatched.fetch_add(1, Ordering::Relaxed);
            }
        }
        None
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(state: &Arc<State>, mut client: TcpStream, mut server: TcpStream) {
    client.set_read_timeout(Some(IDLE)).unwrap();
    let is_answered = Arc::<AtomicBool>::default();
    let (Ok(mut to_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let (answered, state) = (Arc::clone(&is_answered), Arc::clone(state));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            // What follows the first bytes of an answer is the rest of it.
            if !answered.swap(true, Ordering::Relaxed) && !buffer.starts_with(b"HTTP/1.1 200") {
                let line = buffer[..read].split(|byte| *byte == b'\r').next().unwrap_or_default();
                state.refusals.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
            }
            if to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 1 << 12];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                is_answered.store(false, Ordering::Relaxed);
                if server.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if is_answered.swap(true, Ordering::Relaxed) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    // Whoever goes first takes the other with it.
    let _ = server.shutdown(Shutdown::Both);
}
