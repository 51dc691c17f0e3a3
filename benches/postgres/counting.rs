//! Sessions a second: one replica counts, another one follows and serves its page each second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_exporter::ledger::Ledger as _;
use exposition::negotiation::{Encoding, Format};
use simulator::{Clock as _, SimulatorConfig, SystemClock};

use crate::bare::Commits;
use crate::cluster::{Cluster, Turnstile};
use crate::exporter::{Api, Exporter, Kind};
use crate::replica::{Running, runtime, start};
use crate::{Plan, number, sessions, support};

const BATCHES: [usize; 3] = [1, 64, 512];
/// Of the whole way.
const LISTED: u64 = 60_000;

pub fn measure(plan: &Plan) {
    by_batch(plan);
    whole_way(plan);
}

/// The ledger alone, beside the floor.
fn by_batch(plan: &Plan) {
    let (cluster, runtime) = (Cluster::start(), runtime());
    let turnstile = Turnstile::before(&cluster);
    runtime.block_on(async {
        let holder = start(&turnstile.url, "holder", "shared").await;
        let ledger = holder.counts().await;
        let follower = start(&cluster.url(), "follower", "shared").await;
        // The floor has tables of its own.
        start(&cluster.url(), "floor", "floor").await.stop().await;
        let mut floor = Commits::new(&cluster.url(), "floor").await;
        let scrapes = tokio::spawn(each_second(follower));
        let mut next = 0;
        println!("| sessions a commit | sessions a second | the same statements from a bare client | ratio | bytes of a row of additions | commits a session | round trips a session |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for sessions in BATCHES {
            // One by one they take longer.
            let batches = if sessions == 1 { plan.batches * 4 } else { plan.batches };
            let (mut ours, mut bare) = (Vec::new(), Vec::new());
            let mut turns = 0;
            let (mut commits, mut counted) = (0.0, 0.0);
            for _ in 0..plan.rounds {
                let before = cluster.number("SELECT sequence FROM shared.lease");
                let turns_before = turnstile.turns();
                let began = Instant::now();
                for _ in 0..batches {
                    let changes = (next..next + sessions as u64).map(sessions::usual).collect();
                    next += sessions as u64;
                    ledger.commit(changes).await.unwrap();
                }
                let took = began.elapsed().as_secs_f64();
                turns += turnstile.turns() - turns_before;
                commits += cluster.number("SELECT sequence FROM shared.lease") - before;
                counted += number((batches * sessions) as u64);
                ours.push(number((batches * sessions) as u64) / took);
                let news = cluster.number("SELECT coalesce(avg(octet_length(news)), 0)::integer FROM (SELECT news FROM shared.commits ORDER BY sequence DESC LIMIT 20) latest");
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a length")]
                let news = news as usize;
                let began = Instant::now();
                for _ in 0..batches {
                    floor.commit(sessions, news).await;
                }
                bare.push(number((batches * sessions) as u64) / began.elapsed().as_secs_f64());
            }
            let news = cluster.number("SELECT avg(octet_length(news))::integer FROM (SELECT news FROM shared.commits ORDER BY sequence DESC LIMIT 20) latest");
            let (ours, bare) = (support::median(&mut ours), support::median(&mut bare));
            println!(
                "| {sessions} | {ours:.0} | {bare:.0} | {:.2} | {news:.0} | {:.4} | {:.4} |",
                ours / bare,
                commits / counted,
                number(turns) / counted
            );
        }
        scrapes.abort_handle().abort();
        drop(ledger);
        holder.stop().await;
    });
    let ids = cluster.number("SELECT count(*) FROM shared.counted");
    cluster.primary.sql("VACUUM shared.counted");
    let size = |of: &str| cluster.number(&format!("SELECT {of}")) / ids;
    println!(
        "\n{ids:.0} counted ids take {:.0} bytes each: {:.0} the table, {:.0} its key, {:.0} the index by day",
        size("pg_total_relation_size('shared.counted')"),
        size("pg_relation_size('shared.counted')"),
        size("pg_relation_size('shared.counted_pkey')"),
        size("pg_relation_size('shared.counted_by_day')")
    );
}

async fn each_second(follower: Running) {
    loop {
        follower.reader.current().await.unwrap();
        follower.exposition.page(Format::Text, Encoding::Gzip, Instant::now()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// From the API to the page of the replica that does not count.
fn whole_way(plan: &Plan) {
    let listed = if plan.rounds == 1 { LISTED / 20 } else { LISTED };
    let mut rates = Vec::new();
    for _ in 0..plan.rounds.min(3) {
        let cluster = Cluster::start();
        let start = SystemClock.now().minus(Duration::from_secs(1_800));
        let api = Api::start(SimulatorConfig::load(start, 1_000.0, listed));
        let holder = Exporter::start(&Kind::Shared(cluster.url()), Some(&api), &[]);
        holder.counts();
        let follower = Exporter::start(&Kind::Shared(cluster.url()), Some(&api), &[]);
        let began = Instant::now();
        let before = follower.total("agntix_sessions_ended_total");
        let counted = loop {
            let counted = follower.total("agntix_sessions_ended_total");
            if counted >= number(listed) {
                break counted - before;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{counted} of {listed}");
            std::thread::sleep(Duration::from_millis(20));
        };
        rates.push(counted / began.elapsed().as_secs_f64());
        drop(Arc::new(api));
    }
    println!(
        "\nfrom the listing of the API to the page of a follower: {:.0} sessions a second (aim: 5,000)",
        support::median(&mut rates)
    );
}
