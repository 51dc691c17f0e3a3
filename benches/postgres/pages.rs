//! Scrapes of a page that has changed since the last one: of a replica that does not count, of the one that does, and of the
//! exporter with SQLite.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::deliveries::{Deliveries, deliver};
use crate::exporter::{Api, Exporter};
use crate::replica::{fill_postgres, fill_sqlite};
use crate::{Plan, percentile, support};

/// Long enough for one delivery.
const ONE: Duration = Duration::from_micros(1);

pub fn measure(plan: &Plan) {
    let (cluster, api) = (Cluster::start(), Api::empty());
    let directory = support::directory("postgres-pages");
    let series = plan.series[0];
    fill_sqlite(&directory, series);
    fill_postgres(&cluster.url(), "agntix_exporter", series);
    let [sqlite, holder, follower] = Exporter::three(directory.clone(), &cluster.url(), &api);
    let deliveries = Arc::new(Deliveries::new());
    let mut measured = ["SQLite", "the replica that counts", "a replica that does not"].map(|name| (name, Vec::new()));
    for _ in 0..plan.scrapes {
        for (counts, scraped, place) in [(&sqlite, &sqlite, 0), (&holder, &holder, 1), (&holder, &follower, 2)] {
            // So that the page is another one each time.
            deliver(&deliveries, counts.webhook, 1, ONE);
            measured[place].1.push(scraped.scrape());
        }
    }
    println!("| a changed page in gzip, {} samples | p50 | p99 |", follower.samples().len());
    println!("| --- | --- | --- |");
    for (name, samples) in &mut measured {
        println!("| {name} | {:.1} ms | {:.1} ms |", percentile(samples, 500), percentile(samples, 990));
    }
    let [sqlite, _, follower] =
        measured.map(|(_, samples)| samples).map(|mut samples| [500, 990].map(|p| percentile(&mut samples, p)));
    println!(
        "a follower's scrape takes {:.1} ms (p50) and {:.1} ms (p99) more than SQLite's; aims: 5 ms and 20 ms",
        follower[0] - sqlite[0],
        follower[1] - sqlite[1]
    );
    std::fs::remove_dir_all(directory).unwrap();
}
