//! How long nobody counts when the replica that counts is gone, with the default lease, and how many scrapes of the other fail.

use std::time::{Duration, Instant};

use crate::Plan;
use crate::cluster::Cluster;
use crate::exporter::{Api, Exporter, Kind};

pub fn measure(plan: &Plan) {
    let (cluster, api) = (Cluster::start(), Api::empty());
    let start = || Exporter::start(&Kind::Shared(cluster.url()), Some(&api), &[]);
    let mut counting = start();
    counting.counts();
    println!("| ended by | another one counts after | scrapes of it meanwhile | failed | aim |");
    println!("| --- | --- | --- | --- | --- |");
    for (name, is_killed, aim, rounds) in
        [("SIGTERM", false, "1 s", plan.rounds), ("kill -9", true, "12 s", plan.rounds)]
    {
        let (mut took, mut scrapes, mut failed) = (Vec::new(), 0, 0);
        for _ in 0..rounds {
            let other = start();
            other.until("/metrics");
            let began = Instant::now();
            let ended = std::thread::spawn(move || counting.end(is_killed));
            while other.get("/-/active", false).is_none_or(|(status, _)| status != 200) {
                scrapes += 1;
                failed += u32::from(other.get("/metrics", true).is_none_or(|(status, _)| status != 200));
                std::thread::sleep(Duration::from_millis(5));
            }
            took.push(began.elapsed().as_secs_f64());
            ended.join().unwrap();
            counting = other;
        }
        took.sort_unstable_by(f64::total_cmp);
        let all: Vec<String> = took.iter().map(|seconds| format!("{seconds:.2}")).collect();
        println!("| {name} | {} s | {scrapes} | {failed} | {aim} |", all.join(", "));
    }
}
