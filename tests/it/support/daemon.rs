//! A daemon that runs: signals to it, requests to it, and what it shows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{self, Wait};
use super::{ask, check_names, durable, ledger, request, samples, until};

/// A running daemon; killed when dropped.
pub struct Daemon {
    pub(super) child: Child,
    pub address: SocketAddr,
    pub(super) log: Arc<Mutex<String>>,
    /// Where its state is, if that is on the shared server.
    pub(super) schema: Option<String>,
}

/// Sends a signal to a process. A small Debian has no `kill` for it.
pub fn signal(child: &Child, name: &str) {
    let signal = match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => panic!("{name} is none of the signals that tests send"),
    };
    kill_process(Pid::from_child(child), signal).unwrap();
}

impl Daemon {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it as a power cut would, as far as the process goes.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.expire_lease();
    }

    fn expire_lease(&self) {
        if let Some(schema) = &self.schema {
            ledger::expire_lease(schema);
        }
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("the daemon to end", || self.child.try_wait().unwrap())
    }

    /// Signals it, and makes sure that it ends well and in time.
    pub fn stops_on(&mut self, signal: &str) {
        let began = Instant::now();
        self.signal(signal);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after {signal}:\n{}", self.log());
        assert!(began.elapsed() < Duration::from_secs(5), "{signal} took {:?}:\n{}", began.elapsed(), self.log());
    }

    /// How many lines of the log hold `text`.
    pub fn lines_with(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// `GET`: status and body; `None` if nobody answers.
    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        request(self.address, "GET", path)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let get = || self.try_get(path).unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.log()));
        let is_gap = |(status, _): &(u16, String)| self.schema.is_some() && (*status, path) == (503, "/metrics");
        // A page that is not known to be current is an error, which Prometheus shows as a gap.
        let (status, body) = until("a page that is current", || Some(get()).filter(|answer| !is_gap(answer)));
        if (status, path) == (200, "/metrics") {
            check_names(&body);
            wait::seen(&body);
        }
        (status, body)
    }

    /// The page in OpenMetrics.
    pub fn open_metrics(&self) -> String {
        let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
        let get = || ask(self.address, "GET", "/metrics", &accept).filter(|page| page.status == 200);
        let page = until("a page that is current", get).text();
        assert!(page.ends_with("# EOF\n"), "not OpenMetrics: {page}");
        page
    }

    /// Scrapes as quickly as the daemon answers, until a page is `last`; all pages, that one included.
    pub fn scrape_until(&self, what: &str, mut last: impl FnMut(&Scrape) -> bool) -> Vec<Scrape> {
        let mut scrapes = Vec::new();
        until(what, || {
            let asked = Instant::now();
            let samples = self.samples();
            let scrape = Scrape { asked, answered: Instant::now(), samples };
            let is_last = last(&scrape);
            scrapes.push(scrape);
            is_last.then_some(())
        });
        scrapes
    }

    /// `VmRSS` or `VmHWM` of the process, in MiB.
    pub fn memory_mib(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1024.0
    }

    pub fn post(&self, path: &str) -> (u16, String) {
        request(self.address, "POST", path).unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.log()))
    }

    /// The samples of the page, by name and labels.
    pub fn samples(&self) -> BTreeMap<String, f64> {
        samples(&self.get("/metrics").1)
    }

    /// The samples of the page; none if it is an error now.
    pub fn samples_if_any(&self) -> BTreeMap<String, f64> {
        self.try_get("/metrics")
            .filter(|(status, _)| *status == 200)
            .map(|(_, page)| samples(&page))
            .unwrap_or_default()
    }

    /// One sample of the page.
    pub fn sample(&self, name: &str) -> Option<f64> {
        self.samples().get(name).copied()
    }

    /// Waits until the durable families show exactly this. A page that is an error meanwhile is waited for.
    pub fn shows(&self, truth: &BTreeMap<String, f64>) {
        self.shows_as(truth, |samples| samples);
    }

    /// The same, of what `view` makes of the samples.
    pub fn shows_as(&self, truth: &BTreeMap<String, f64>, view: fn(BTreeMap<String, f64>) -> BTreeMap<String, f64>) {
        let truth = &view(truth.clone());
        let mut wait = Wait::begin();
        let last = loop {
            let (status, page) = self.try_get("/metrics").unwrap_or_default();
            let shown = if status == 200 {
                wait::seen(&page);
                check_names(&page);
                view(durable(&samples(&page)))
            } else {
                BTreeMap::new()
            };
            if status == 200 && shown == *truth {
                return;
            }
            if wait.is_in_vain() {
                assert!(status == 200, "no page: {status} {page}\n{}", self.log());
                break shown;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let differs: Vec<String> = truth
            .keys()
            .chain(last.keys())
            .filter(|key| truth.get(*key) != last.get(*key))
            .map(|key| format!("{key}: shown {:?}, true {:?}", last.get(key), truth.get(key)))
            .take(20)
            .collect();
        panic!("the page differs from the truth:\n{}\n{}", differs.join("\n"), self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let was_running = self.child.try_wait().is_ok_and(|ended| ended.is_none());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if was_running && !std::thread::panicking() {
            self.expire_lease();
        }
    }
}

/// One page, and when it was asked for and read.
pub struct Scrape {
    pub asked: Instant,
    pub answered: Instant,
    pub samples: BTreeMap<String, f64>,
}
