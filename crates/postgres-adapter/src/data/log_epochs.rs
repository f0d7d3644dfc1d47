//! The order of the activity log across a restore into another cluster (EDG-7).
//!
//! Invariant: an entry that is written comes after every entry that is there, in the order (position, sequence), where
//! a position is the writing transaction's id plus the offset of the newest epoch. Who can break it: a new cluster,
//! whose transaction ids begin anew below the restored ones (the first server that starts there opens an epoch, before
//! it writes), two servers that start there at once (the lock lets one of them open it), and a server that writes
//! meanwhile (the lock waits for it, and the question is asked again below the lock).

use ports::StoreError;
use sqlx::Connection as _;

use crate::store::error::store_error;
use crate::store::tx::PgStore;

impl PgStore {
    /// Opens the next epoch of the activity log if it has entries that no transaction of this cluster can have written
    /// under the present offset. Returns whether it did: then the database was restored from a dump.
    pub async fn continue_log(&self) -> Result<bool, StoreError> {
        if !self.is_log_ahead(&self.pool).await? {
            return Ok(false);
        }
        // A session of its own: one that is cancelled midway must not return to the pool.
        let mut session = self.pool.acquire().await.map_err(store_error)?.detach();
        let mut tx = session.begin().await.map_err(store_error)?;
        // No writer of the log is under way any more, and none begins. The owner's function locks it: the lock takes a
        // right to change the log, which the application's role does not have.
        sqlx::query!("select hold_activity_log()")
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        let opened = self.is_log_ahead(&mut *tx).await?;
        if opened {
            sqlx::query!(
                "insert into log_epochs (xid_offset)
                 select transaction_id::text::bigint + 1 from activity_log order by transaction_id desc limit 1"
            )
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        }
        tx.commit().await.map_err(store_error)?;
        Ok(opened)
    }

    /// Every transaction whose entries this statement sees began before its snapshot's `xmax`.
    async fn is_log_ahead(&self, executor: impl sqlx::PgExecutor<'_>) -> Result<bool, StoreError> {
        sqlx::query_scalar!(
            r#"select coalesce((select transaction_id from activity_log order by transaction_id desc limit 1)
                 >= log_position(pg_snapshot_xmax(pg_current_snapshot())), false) as "ahead!""#
        )
        .fetch_one(executor)
        .await
        .map_err(store_error)
    }
}
