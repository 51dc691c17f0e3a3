//! The control: targets that answer every scrape at once. A server that does not get their answer in time has not run, or its
//! machine has not; by that a scrape of the replicas that failed is judged.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use super::balancer::Balancer;
use crate::support::prometheus::Prometheus;

/// The job of the control.
pub const CONTROL: &str = "control";
/// How many targets the control is: a server spreads the scrapes of its targets over each second.
const CONTROLS: usize = 4;
/// How long a scrape of the control takes at least, in seconds, where the machine is what is late.
const STALL: f64 = 0.5;

/// Answers as long as the test runs.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut request = [0; 1 << 12];
                while client.read(&mut request).is_ok_and(|read| read > 0) {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\n";
                    if client.write_all(format!("{head}answer 1\n").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// The targets, for the job's `static_configs`.
pub fn targets(address: SocketAddr) -> Vec<Value> {
    let target =
        |place| json!({ "targets": [address.to_string()], "labels": { "instance": format!("control-{place}") } });
    (0..CONTROLS).map(target).collect()
}

/// A scrape, as a server has stored it.
#[derive(Clone, Copy, Debug)]
struct Scrape {
    /// When it began, as Unix time in seconds.
    at: f64,
    seconds: f64,
    is_good: bool,
}

impl Scrape {
    fn end(&self) -> f64 {
        self.at + self.seconds
    }
}

/// All scrapes of the targets of a job.
async fn scrapes(prometheus: &Prometheus, job: &str) -> Vec<Scrape> {
    let up = prometheus.raw(&format!(r#"up{{job="{job}"}}[2h]"#)).await;
    let lengths = prometheus.raw(&format!(r#"scrape_duration_seconds{{job="{job}"}}[2h]"#)).await;
    let lengths: BTreeMap<&str, _> =
        lengths.iter().map(|series| (series.labels["instance"].as_str(), &series.points)).collect();
    let of_target = up.iter().flat_map(|series| {
        // A target may have been scraped once more between the two queries.
        let lengths = lengths[series.labels["instance"].as_str()];
        series.points.iter().zip(lengths).inspect(|(up, length)| assert_eq!(up.0, length.0))
    });
    of_target.map(|(up, length)| Scrape { at: up.0, seconds: length.1, is_good: up.1 > 0.0 }).collect()
}

/// Whether the machine, or the server, was so late while this scrape was under way that nobody could have answered it in time.
fn is_stalled(scrape: &Scrape, control: &[Scrape]) -> bool {
    let meanwhile = control.iter().filter(|of| of.at <= scrape.end() && of.end() >= scrape.at);
    meanwhile.into_iter().any(|of| !of.is_good || of.seconds >= STALL)
}

/// Every scrape of the one target was answered, but for those of moments in which the machine stood still. How many those are.
pub async fn no_scrape_failed(prometheus: &Prometheus, job: &str, balancer: &Balancer) -> (usize, usize) {
    let (all, control) = (scrapes(prometheus, job).await, scrapes(prometheus, CONTROL).await);
    assert!(control.len() > all.len(), "{} scrapes of the control, {} of the replicas", control.len(), all.len());
    let (stalled, failed): (Vec<&Scrape>, Vec<&Scrape>) =
        all.iter().filter(|scrape| !scrape.is_good).partition(|scrape| is_stalled(scrape, &control));
    for scrape in &failed {
        let near = balancer.answers(scrape.at - 0.5, scrape.end() + 0.5);
        println!("{scrape:?}; as the balancer saw it: {near:#?}");
    }
    assert!(failed.is_empty(), "{} of {} scrapes failed: {failed:?}", failed.len(), all.len());
    (all.len(), stalled.len())
}

#[test]
fn late_scrape_is_the_machines_fault_only_if_the_control_was_late_as_well() {
    let scrape = |at, seconds, is_good| Scrape { at, seconds, is_good };
    let failed = scrape(10.0, 1.0, false);
    assert!(!is_stalled(&failed, &[scrape(9.5, 0.01, true), scrape(10.5, 0.01, true), scrape(11.5, 0.9, true)]));
    assert!(is_stalled(&failed, &[scrape(9.5, 0.6, true)]));
    assert!(is_stalled(&failed, &[scrape(10.9, 0.6, true)]));
    assert!(is_stalled(&failed, &[scrape(10.2, 0.0, false)]));
    assert!(!is_stalled(&failed, &[scrape(10.2, 0.4, true)]));
}
