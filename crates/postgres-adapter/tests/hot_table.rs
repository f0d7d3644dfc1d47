//! Migrations on a large table that is in use all the time.
#![cfg(feature = "testing")]
#![expect(
    clippy::disallowed_methods,
    reason = "this test goes behind the adapter's back"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postgres_adapter::migrate;
use postgres_adapter::testing::TestDatabase;
use sqlx::{Connection as _, Executor as _, PgConnection};

const ROWS: i64 = 1_000_000;

/// How long a reader holds the table while the migration wants it for itself.
const READER: Duration = Duration::from_millis(1500);

/// What connections that insert and read met with.
#[derive(Debug, Default)]
struct Met {
    statements: u32,
    /// By this machine's clock, which on a busy machine also counts what has nothing to do with locks.
    longest: Duration,
    /// The statements that PostgreSQL ended because they had waited for a lock for too long.
    waited_too_long: u32,
}

/// One connection: it inserts or reads until it is stopped.
async fn use_table(url: String, inserts: bool, stop: Arc<AtomicBool>) -> Met {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    // The clock cannot tell a wait for a lock from a wait for the processor. PostgreSQL can: it refuses what waits for longer.
    connection.execute("set lock_timeout = '200ms'").await.unwrap();
    // The inner select makes one number of `random()`; bare, it would be another for each row, and every row be looked at.
    let statement = if inserts {
        "insert into tasks (id, kind, name, params) values (gen_random_uuid(), 'ingest_batch', 'hot', '{}')"
    } else {
        "select name from tasks where id = ('00000000-0000-0000-0000-' || lpad(to_hex((select (random() * 999999)::int)), 12, '0'))::uuid"
    };
    let mut met = Met::default();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        if let Err(error) = sqlx::query(statement).execute(&mut connection).await {
            let code = error.as_database_error().and_then(|e| e.code().map(String::from));
            assert_eq!(code.as_deref(), Some("55P03"), "{error}");
            met.waited_too_long += 1;
        }
        met.longest = met.longest.max(begun.elapsed());
        met.statements += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    met
}

/// What six connections meet with while `work` is done.
async fn while_in_use<T>(url: &str, work: impl Future<Output = T>) -> (Met, T) {
    let stop = Arc::new(AtomicBool::new(false));
    let users: Vec<_> = (0..6)
        .map(|n| tokio::spawn(use_table(url.to_owned(), n % 2 == 0, Arc::clone(&stop))))
        .collect();
    let done = work.await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Met::default();
    for user in users {
        let met = user.await.unwrap();
        all.statements += met.statements;
        all.waited_too_long += met.waited_too_long;
        all.longest = all.longest.max(met.longest);
    }
    (all, done)
}

/// A reader in a transaction, which holds the table until it ends.
async fn reader(url: &str) -> PgConnection {
    let mut reader = PgConnection::connect(url).await.unwrap();
    reader
        .execute("begin; select name from tasks limit 1")
        .await
        .unwrap();
    reader
}

// proves AUD-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_waits_while_a_large_hot_table_gets_its_creators() {
    let database = TestDatabase::at(2).await.unwrap();
    let (pool, url) = (&database.pool, database.url.as_str());
    sqlx::query(
        "insert into tasks (id, kind, name, params)
         select ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'ingest_batch', 't', '{}' from generate_series(0, $1 - 1) n",
    )
    .bind(ROWS)
    .execute(pool)
    .await
    .unwrap();

    let (before, ()) = while_in_use(url, tokio::time::sleep(Duration::from_secs(2))).await;
    let mut long_reader = reader(url).await;
    let (during, took) = while_in_use(url, async {
        let begun = Instant::now();
        let read = async {
            tokio::time::sleep(READER).await;
            long_reader.execute("commit").await.unwrap();
        };
        let (migrated, ()) = tokio::join!(migrate(pool, Duration::from_secs(60)), read);
        migrated.unwrap();
        begun.elapsed()
    })
    .await;
    let (after, ()) = while_in_use(url, tokio::time::sleep(Duration::from_secs(2))).await;
    println!("before {before:?}\nduring {during:?}, the migrations took {took:?}\nafter  {after:?}");

    assert_eq!(
        during.waited_too_long, 0,
        "waited for a lock for more than 200 ms"
    );
    assert!(during.statements > 100, "the table was not in use: {during:?}");
    assert!(
        took >= READER,
        "the migration did not have to wait for the reader"
    );
    let (rows, indexes): (i64, i64) = sqlx::query_as(
        "select (select count(creator_user_id) + count(*) from tasks),
                (select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid where i.indisvalid and c.relname like 'ix\\_tasks\\_creator\\_%')",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert!(rows > ROWS);
    assert_eq!(indexes, 2);

    // The measurement is sensitive: it shows a change that queues behind a reader.
    let mut long_reader = reader(url).await;
    let (careless, ()) = while_in_use(url, async {
        let mut change = PgConnection::connect(url).await.unwrap();
        let read = async {
            tokio::time::sleep(READER).await;
            long_reader.execute("commit").await.unwrap();
        };
        let (changed, ()) = tokio::join!(change.execute("alter table tasks add column x bigint"), read);
        changed.unwrap();
    })
    .await;
    println!("careless {careless:?}");
    assert!(careless.waited_too_long > 0);
}
