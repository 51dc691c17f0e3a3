//! From the start of a process to its first page, and how much memory it takes then.

use crate::bare::read_series;
use crate::cluster::Cluster;
use crate::exporter::{Api, Exporter, Kind};
use crate::replica::{fill_postgres, fill_sqlite, runtime};
use crate::{Plan, support};

pub fn measure(plan: &Plan) {
    println!("| series | | first page after | memory after a scrape in gzip | at most |");
    println!("| --- | --- | --- | --- | --- |");
    let mut floors = Vec::new();
    for series in plan.series {
        let (cluster, api) = (Cluster::start(), Api::empty());
        let directory = support::directory("postgres-starts");
        fill_sqlite(&directory, series);
        fill_postgres(&cluster.url(), "agntix_exporter", series);
        let mut floor: Vec<f64> =
            (0..3).map(|_| runtime().block_on(read_series(&cluster.url(), "agntix_exporter"))).collect();
        floors.push((series, support::median(&mut floor)));
        let mut medians = ["SQLite", "the replica that counts", "a replica that does not"]
            .map(|name| (name, Vec::<f64>::new(), Vec::<f64>::new(), Vec::<f64>::new()));
        for _ in 0..plan.rounds.min(3) {
            let mut note = |place: usize, exporter: &Exporter| {
                let first = exporter.until("/metrics").as_secs_f64() * 1e3;
                exporter.scrape();
                let (now, most) = exporter.memory();
                let (_, firsts, nows, mosts) = &mut medians[place];
                firsts.push(first);
                nows.push(now);
                mosts.push(most);
            };
            let sqlite = Exporter::start(&Kind::Sqlite(directory.clone()), Some(&api), &[]);
            note(0, &sqlite);
            sqlite.end(false);
            let holder = Exporter::start(&Kind::Shared(cluster.url()), Some(&api), &[]);
            holder.counts();
            note(1, &holder);
            let follower = Exporter::start(&Kind::Shared(cluster.url()), Some(&api), &[]);
            note(2, &follower);
            follower.end(false);
            holder.end(false);
        }
        for (name, mut firsts, mut nows, mut mosts) in medians {
            let [first, now, most] = [&mut firsts, &mut nows, &mut mosts].map(|samples| support::median(samples));
            println!("| {series} | {name} | {first:.0} ms | {now:.0} MiB | {most:.0} MiB |");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
    for (series, floor) in floors {
        println!("a bare client reads the rows of {series} series in {floor:.0} ms");
    }
    println!("aim: a page within 3,000 ms with 100,000 series");
}
