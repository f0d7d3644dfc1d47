//! The activity log: appended to in the transaction that it describes, never changed.

use async_trait::async_trait;
use domain::{Actor, Event, ServiceAccountId, UserId};
use ports::{Activity, StoreError};

use crate::store::tx::PgTx;

#[async_trait]
impl Activity for PgTx {
    #[tracing::instrument(name = "db.activity.acting", skip_all)]
    async fn acting(&mut self, actor: &Actor) -> Result<(), StoreError> {
        sqlx::query!("select set_config('hallmark.actor', $1, true)", actor.to_string())
            .fetch_one(self.conn())
            .await
            .map(|_| ())
            .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.activity.append", skip_all)]
    async fn append(&mut self, event: &Event) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
             values ($1, $2, $3, $4, $5)",
            event.kind,
            event.subject,
            event.actor.user().map(UserId::as_uuid),
            event.actor.service_account().map(ServiceAccountId::as_uuid),
            event.payload,
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}
