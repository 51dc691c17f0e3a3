//! A scraper that hops over all replicas, and holds each page against all that were served before it was asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::service::try_get;
use crate::support::{is_durable, samples};

/// Asks the replicas one after the other, every so often, whether or not the one before has answered.
pub struct Scraper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    seen: Arc<Mutex<Seen>>,
}

/// What a scraper has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Pages with something on them.
    pub pages: u32,
    /// Scrapes without a page: when they began, how long they took, which replica was asked, and why there is none.
    pub gaps: Vec<String>,
    /// What was less than before, or not there any more.
    pub falls: Vec<String>,
    /// The most that was seen of each series.
    most: Arc<BTreeMap<String, f64>>,
}

impl Scraper {
    pub fn over(replicas: Vec<SocketAddr>, every: Duration) -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Seen>>::default());
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&seen));
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut under_way: Vec<JoinHandle<()>> = Vec::new();
            for replica in replicas.into_iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                under_way.retain(|scrape| !scrape.is_finished());
                let noted = Arc::clone(&noted);
                under_way.push(std::thread::spawn(move || {
                    let before = Arc::clone(&noted.lock().unwrap().most);
                    let asked = began.elapsed();
                    match scrape(replica) {
                        Ok(page) => noted.lock().unwrap().note(replica, &before, page),
                        Err(why) => {
                            let took = began.elapsed().saturating_sub(asked);
                            let gap = format!("after {asked:.3?}, for {took:.3?}, {replica}: {why}");
                            noted.lock().unwrap().gaps.push(gap);
                        }
                    }
                }));
                std::thread::sleep(every);
            }
            for scrape in under_way {
                scrape.join().unwrap();
            }
        });
        Self { stop, thread, seen }
    }

    /// What it has seen; it scrapes no more.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// The durable samples, those included that are 0; or why there are none.
fn scrape(replica: SocketAddr) -> Result<BTreeMap<String, f64>, String> {
    let reply = try_get(replica, "/metrics")?;
    if reply.status != 200 {
        return Err(format!("{} {}", reply.status, reply.text().trim_end()));
    }
    Ok(samples(&reply.text()).into_iter().filter(|(name, _)| is_durable(name)).collect())
}

impl Seen {
    /// `before`: the most that was seen when the page was asked for.
    fn note(&mut self, replica: SocketAddr, before: &BTreeMap<String, f64>, page: BTreeMap<String, f64>) {
        // Until the look-back is done or cut short there are no session metrics at all.
        if page.is_empty() && before.is_empty() {
            return;
        }
        self.pages += 1;
        for (name, before) in before {
            if page.get(name).is_none_or(|now| now < before) {
                self.falls.push(format!("{name} fell from {before} to {:?} on {replica}", page.get(name)));
            }
        }
        let most = Arc::make_mut(&mut self.most);
        for (name, value) in page {
            let most = most.entry(name).or_insert(value);
            *most = most.max(value);
        }
    }
}
