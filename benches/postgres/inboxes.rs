//! Deliveries over 64 connections, to whoever counts and to whoever does not, beside rows of an inbox from a bare client and
//! beside the exporter with SQLite.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bare::insert_deliveries;
use crate::cluster::Cluster;
use crate::deliveries::{Deliveries, deliver};
use crate::exporter::{Api, Exporter};
use crate::replica::{runtime, start};
use crate::{Plan, number, percentile, support};

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);

pub fn measure(plan: &Plan) {
    let (cluster, api, runtime) = (Cluster::start(), Api::empty(), runtime());
    let directory = support::directory("postgres-deliveries");
    let [sqlite, holder, follower] = Exporter::three(directory.clone(), &cluster.url(), &api);
    runtime.block_on(async { start(&cluster.url(), "floor", "floor").await.stop().await });
    let deliveries = Arc::new(Deliveries::new());
    let mut measured =
        ["a bare client, rows of an inbox", "to SQLite", "to the replica that counts", "to a replica that does not"]
            .map(|name| (name, Vec::new(), Vec::new(), Vec::new(), 0));
    let mut drained = Vec::new();
    for _ in 0..plan.rounds {
        let mut took = runtime.block_on(insert_deliveries(&cluster.url(), "floor", CONNECTIONS, plan.measured));
        let (_, rates, halves, tails, _) = &mut measured[0];
        rates.push(number(took.len() as u64) / plan.measured.as_secs_f64());
        halves.push(percentile(&mut took, 500));
        tails.push(percentile(&mut took, 990));
        for (exporter, (_, rates, halves, tails, refused)) in
            [&sqlite, &holder, &follower].into_iter().zip(&mut measured[1..])
        {
            deliver(&deliveries, exporter.webhook, CONNECTIONS, WARM_UP);
            let mut load = deliver(&deliveries, exporter.webhook, CONNECTIONS, plan.measured);
            rates.push(load.per_second());
            halves.push(load.percentile(500));
            tails.push(load.percentile(990));
            *refused += load.refused;
            let waiting = cluster.number("SELECT count(*) FROM agntix_exporter.inbox");
            let began = Instant::now();
            while cluster.number("SELECT count(*) FROM agntix_exporter.inbox") > 0.0 {
                std::thread::sleep(Duration::from_millis(10));
            }
            if waiting > 0.0 {
                drained.push((waiting, began.elapsed().as_secs_f64()));
            }
        }
    }
    println!("| {CONNECTIONS} connections | accepted a second | p50 | p99 | refused |");
    println!("| --- | --- | --- | --- | --- |");
    for (name, rates, halves, tails, refused) in &mut measured {
        let [rate, half, tail] = [rates, halves, tails].map(|samples| support::median(samples));
        println!("| {name} | {rate:.0} | {half:.1} ms | {tail:.1} ms | {refused} |");
    }
    for (waiting, seconds) in drained {
        println!("{waiting:.0} deliveries were in the inbox at the end of a round, and counted within {seconds:.2} s");
    }
    let counted = holder.total("agntix_sessions_ended_total");
    let commits = cluster.number("SELECT sequence FROM agntix_exporter.lease");
    println!(
        "{counted:.0} sessions counted in {commits:.0} commits, {:.4} a session; aim: p99 at most 100 ms",
        commits / counted
    );
    std::fs::remove_dir_all(directory).unwrap();
}
