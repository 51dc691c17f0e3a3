//! Counted ids of forgotten days are deleted bit by bit, and counting does not wait for it.
//!
//! `FORGOTTEN_IDS=1000000 cargo test --lib -- --ignored --nocapture forgotten_ids` measures it with so many.

use std::time::{Duration, Instant};

use test_postgres::Server;

use super::replicas::{LONG, PATIENCE, start, whole};
use super::runtime;

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn forgotten_ids_are_deleted_while_counting_goes_on() {
    let ids: u32 = std::env::var("FORGOTTEN_IDS").map_or(50_000, |ids| ids.parse().unwrap());
    let server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        one.commit_at_last(vec![whole("a")]).await;
        one.stop().await;
        let size = || server.sql("SELECT pg_total_relation_size('agntix_exporter.counted')").trim().parse::<f64>().unwrap();
        let empty = size();
        server.sql(&format!(
            "INSERT INTO agntix_exporter.counted SELECT decode(md5(i::text), 'hex'), 1, -10 FROM generate_series(1, {ids}) i"
        ));
        let bytes = (size() - empty) / f64::from(ids);
        let began = Instant::now();
        let two = start(&server.url(), "two", LONG).await;
        let (mut longest, mut commits) = (Duration::ZERO, 0);
        let left = "SELECT count(*) FROM (SELECT 1 FROM agntix_exporter.counted WHERE day = -10 LIMIT 1) l";
        loop {
            for _ in 0..10 {
                let asked = Instant::now();
                two.commit_at_last(vec![whole(&format!("{commits}"))]).await;
                longest = longest.max(asked.elapsed());
                commits += 1;
                // Longer than nothing may happen until something is deleted.
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            if tokio::task::block_in_place(|| server.sql(left)).trim() == "0" {
                break;
            }
            assert!(began.elapsed() < PATIENCE * 10);
        }
        let took = began.elapsed();
        eprintln!("{ids} ids of {bytes:.0} bytes deleted in {took:?}; {commits} commits meanwhile, the longest took {longest:?}");
        // One deletion takes some milliseconds; a lock would last as long as all of them.
        assert!(longest < Duration::from_secs(5), "{longest:?}");
        assert_eq!(server.sql("SELECT count(*) FROM agntix_exporter.counted WHERE day >= 0").trim(), (commits + 1).to_string());
        two.stop().await;
    });
}
