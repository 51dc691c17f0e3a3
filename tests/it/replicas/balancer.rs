//! What stands before replicas and looks at `/-/ready?page`: an address whose connections go to replicas that were ready a moment ago.
//! A connection that is refused goes to another one, as with `option redispatch` of `HAProxy` and most load balancers; kube-proxy
//! does not do that.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use simulator::{Clock as _, SystemClock};

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
    /// What became of each request.
    answers: Mutex<Vec<Answer>>,
    is_over: AtomicBool,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// When it came, as Unix time in seconds.
    pub at: f64,
    /// Which replica got it; `None` if none took the connection.
    pub replica: Option<SocketAddr>,
    /// `None`: the connection ended without an answer.
    pub status: Option<u16>,
    /// From the request to the first bytes of the answer, and to the last ones; without an answer to the end of the connection.
    pub first: Duration,
    pub last: Duration,
}

impl Balancer {
    pub fn before(replicas: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            replicas: replicas.iter().map(|replica| (*replica, AtomicBool::new(false))).collect(),
            given: Mutex::new(vec![0; replicas.len()]),
            redispatched: AtomicU32::new(0),
            answers: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        for place in 0..replicas.len() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let (replica, is_ready) = &state.replicas[place];
                while !state.is_over.load(Ordering::Relaxed) {
                    is_ready.store(
                        get(*replica, "/-/ready?page").is_some_and(|reply| reply.status == 200),
                        Ordering::Relaxed,
                    );
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
                    Some((replica, server)) => pass_on(&state, replica, client, server),
                    None => Exchange::begin(None).end(&state),
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

    /// What became of the requests that came from `from` to `until`, as Unix times.
    pub fn answers(&self, from: f64, until: f64) -> Vec<Answer> {
        let answers = self.state.answers.lock().unwrap();
        answers.iter().filter(|answer| (from..=until).contains(&answer.at)).cloned().collect()
    }

    /// How many connections a replica has refused that was ready a moment before.
    pub fn redispatched(&self) -> u32 {
        self.state.redispatched.load(Ordering::Relaxed)
    }
}

impl State {
    fn connect(&self, seed: u64) -> Option<(SocketAddr, TcpStream)> {
        let mut order: Vec<usize> = (0..self.replicas.len()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        for place in order {
            let (address, is_ready) = &self.replicas[place];
            if is_ready.load(Ordering::Relaxed) {
                if let Ok(server) = TcpStream::connect(address) {
                    self.given.lock().unwrap()[place] += 1;
                    return Some((*address, server));
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

/// A request that is under way.
struct Exchange {
    began: Instant,
    answer: Answer,
}

impl Exchange {
    fn begin(replica: Option<SocketAddr>) -> Self {
        let at = SystemClock.now().as_seconds_f64();
        let answer = Answer { at, replica, status: None, first: Duration::ZERO, last: Duration::ZERO };
        Self { began: Instant::now(), answer }
    }

    fn is_answered(&self) -> bool {
        self.answer.status.is_some()
    }

    fn answered(&mut self, bytes: &[u8]) {
        self.answer.last = self.began.elapsed();
        // What follows the first bytes of an answer is the rest of it.
        if !self.is_answered() {
            let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
            let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
            (self.answer.status, self.answer.first) = (Some(status.unwrap_or_default()), self.answer.last);
        }
    }

    fn end(mut self, state: &State) {
        if !self.is_answered() {
            (self.answer.first, self.answer.last) = (self.began.elapsed(), self.began.elapsed());
        }
        state.answers.lock().unwrap().push(self.answer);
    }
}

fn pass_on(state: &Arc<State>, replica: SocketAddr, mut client: TcpStream, mut server: TcpStream) {
    client.set_read_timeout(Some(IDLE)).unwrap();
    let under_way = Arc::<Mutex<Option<Exchange>>>::default();
    let (Ok(mut to_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let answering = Arc::clone(&under_way);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            if let Some(exchange) = &mut *answering.lock().unwrap() {
                exchange.answered(&buffer[..read]);
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
                let mut under_way = under_way.lock().unwrap();
                if under_way.as_ref().is_none_or(Exchange::is_answered)
                    && let Some(before) = under_way.replace(Exchange::begin(Some(replica)))
                {
                    before.end(state);
                }
                drop(under_way);
                if server.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // Whoever waits for an answer, or has not asked yet, is the one who decides how long.
                if under_way.lock().unwrap().as_ref().is_some_and(Exchange::is_answered) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    // Whoever goes first takes the other with it.
    let _ = server.shutdown(Shutdown::Both);
    let _ = reader.join();
    if let Some(exchange) = under_way.lock().unwrap().take() {
        exchange.end(state);
    }
}
