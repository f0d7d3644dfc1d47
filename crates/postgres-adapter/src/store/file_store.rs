//! The blob store that a database belongs to.

use ports::StoreError;
use uuid::Uuid;

use crate::store::error::store_error;
use crate::store::tx::PgStore;

impl PgStore {
    /// Returns the id of the blob store that this database belongs to. Binds the database to `id` if it belonged to
    /// none. Two servers of one database with different blob stores would lose each other's files, so a server whose
    /// store has another id must not start.
    pub async fn file_store(&self, id: Uuid) -> Result<Uuid, StoreError> {
        sqlx::query!(
            "insert into file_store (id) values ($1) on conflict do nothing",
            id
        )
        .execute(&self.pool)
        .await
        .map_err(store_error)?;
        sqlx::query_scalar!("select id from file_store")
            .fetch_one(&self.pool)
            .await
            .map_err(store_error)
    }
}
