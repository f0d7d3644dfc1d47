//! Tasks.

use async_trait::async_trait;
use domain::{ServiceAccountId, UserId};
use ports::repos::NewTask;
use ports::{StoreError, Tasks};

use crate::tx::PgTx;

#[async_trait]
impl Tasks for PgTx {
    async fn create(&mut self, task: &NewTask) -> Result<bool, StoreError> {
        sqlx::query!(
            "insert into tasks (id, kind, name, params, creator_user_id, creator_service_account_id) values ($1, $2, $3, $4, $5, $6)
             on conflict do nothing",
            task.id.as_uuid(),
            task.kind.as_str(),
            task.name,
            task.params,
            task.creator.user().map(UserId::as_uuid),
            task.creator.service_account().map(ServiceAccountId::as_uuid),
        )
        .execute(self.conn())
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| self.fail(e))
    }
}
