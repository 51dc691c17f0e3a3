//! The floor: a bare client that sends the statements of the exporter, with nothing to decide in between.

use std::time::{Duration, Instant};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    // It ends with the client.
    tokio::spawn(connection);
    client
}

/// What a commit of so many counted sessions sends, with a row of additions of so many bytes, in the tables of `schema`.
pub struct Commits {
    client: Client,
    schema: &'static str,
    sequence: i64,
    random: fastrand::Rng,
}

impl Commits {
    pub async fn new(url: &str, schema: &'static str) -> Self {
        let client = connect(url).await;
        let row = client.query_one(&format!("SELECT sequence FROM {schema}.lease"), &[]).await.unwrap();
        Self { client, schema, sequence: row.get(0), random: fastrand::Rng::with_seed(7) }
    }

    pub async fn commit(&mut self, sessions: usize, news: usize) {
        let Self { client, schema, sequence, random } = self;
        let ids: Vec<Vec<u8>> = (0..sessions).map(|_| format!("{:037x}", random.u128(..)).into_bytes()).collect();
        let mut keys: Vec<Vec<u8>> = (0..sessions).map(|_| random.u128(..).to_le_bytes().to_vec()).collect();
        keys.sort_unstable();
        let pending = format!(
            "SELECT id, created, stage, ended, channel, heard, source FROM {schema}.pending WHERE id = ANY($1)"
        );
        let counted = format!("SELECT key, parts, day FROM {schema}.counted WHERE key = ANY($1)");
        let of_pending: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::BYTEA_ARRAY)];
        let of_keys: [(&(dyn ToSql + Sync), Type); 1] = [(&keys, Type::BYTEA_ARRAY)];
        tokio::try_join!(client.query_typed(&pending, &of_pending), client.query_typed(&counted, &of_keys)).unwrap();
        let (news, parts, days) = (vec![7_u8; news], vec![255_i64; sessions], vec![20_000_i64; sessions]);
        let next = *sequence + 1;
        let lease = format!(
            "UPDATE {schema}.lease SET sequence = CASE WHEN sequence = $1 THEN sequence + 1 END, \
             expires = clock_timestamp() + $2 * interval '1 millisecond'"
        );
        let row = format!("INSERT INTO {schema}.commits (sequence, epoch, news) VALUES ($1, 1, $2)");
        let insert = format!(
            "INSERT INTO {schema}.counted SELECT * FROM unnest($1, $2, $3) \
             ON CONFLICT (key) DO UPDATE SET parts = excluded.parts, day = excluded.day"
        );
        let of_lease: [(&(dyn ToSql + Sync), Type); 2] = [(sequence, Type::INT8), (&10_000_i64, Type::INT8)];
        let of_row: [(&(dyn ToSql + Sync), Type); 2] = [(&next, Type::INT8), (&news, Type::BYTEA)];
        let of_counted: [(&(dyn ToSql + Sync), Type); 3] =
            [(&keys, Type::BYTEA_ARRAY), (&parts, Type::INT8_ARRAY), (&days, Type::INT8_ARRAY)];
        tokio::try_join!(
            client.batch_execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 10000"),
            client.execute_typed(&lease, &of_lease),
            client.execute_typed(&row, &of_row),
            client.execute_typed(&insert, &of_counted),
            client.batch_execute("COMMIT")
        )
        .unwrap();
        self.sequence = next;
    }
}

/// Rows of an inbox, over so many connections, each one row after the other: milliseconds of each.
pub async fn insert_deliveries(url: &str, schema: &'static str, connections: usize, time: Duration) -> Vec<f64> {
    let began = Instant::now();
    let mut senders = Vec::new();
    for _ in 0..connections {
        let client = connect(url).await;
        senders.push(tokio::spawn(async move {
            let insert = format!("INSERT INTO {schema}.inbox (delivery) SELECT * FROM unnest($1)");
            let (delivery, mut took) = (vec![vec![7_u8; 500]], Vec::new());
            while began.elapsed() < time {
                let asked = Instant::now();
                let parameters = [(&delivery as &(dyn ToSql + Sync), Type::BYTEA_ARRAY)];
                client.execute_typed(&insert, &parameters).await.unwrap();
                took.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            took
        }));
    }
    let mut all = Vec::new();
    for sender in senders {
        all.extend(sender.await.unwrap());
    }
    all
}

/// Reads all series of a schema as a start does; milliseconds.
pub async fn read_series(url: &str, schema: &str) -> f64 {
    let client = connect(url).await;
    let began = Instant::now();
    let query = format!("SELECT id, family, labels, buckets, created, counts, held FROM {schema}.series ORDER BY id");
    let rows = client.query_typed(&query, &[]).await.unwrap();
    assert!(!rows.is_empty());
    began.elapsed().as_secs_f64() * 1e3
}
