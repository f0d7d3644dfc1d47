//! The store's contract, on PostgreSQL, as the role that owns nothing.
#![cfg(feature = "testing")]
// proves AUD-1, AUD-5, LED-8, PIP-1, DAT-1, EDG-3, EDG-4, PRV-7, REG-2, REG-3, REG-4, REG-6, REG-8, AUT-1, AUT-3, PRV-2, PRV-4, LED-2, LED-3, LED-5, LED-6, PIP-2, PIP-6, ISO-2

use ports::contract::Subject;
use postgres_adapter::PgQueue;
use postgres_adapter::testing::{TestDatabase, store_on};

macro_rules! run {
    ($name:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let database = TestDatabase::new().await.unwrap();
            let pool = database.application().await.unwrap();
            let store = store_on(&pool);
            let queue = PgQueue::start(pool.clone(), "hallmark:workers");
            ports::contract::$name(&Subject {
                store: &store,
                queue: &queue,
                identities: &store,
                registry: &store,
                data: &store,
                recall: &store,
                depositions: &store,
                tasks: &store,
                activity: &store,
                ingests: &store,
                ingest_detail: &store,
            })
            .await;
        }
    };
}
ports::for_each_store_contract!(run);
