//! Tasks. Triggers log their creators and states in the activity log (LED-8).

use async_trait::async_trait;
use domain::{Actor, ServiceAccountId, TaskId, TaskStatus, UserId};
use ports::ledger::{LockedTask, NewTask};
use ports::{StoreError, Tasks};
use uuid::Uuid;

use crate::store::rows::{actor, hash, parsed};
use crate::store::tx::PgTx;

/// Returns the pair of columns of an actor, of which at most one is set.
pub(crate) fn ids(actor: &Actor) -> (Option<Uuid>, Option<Uuid>) {
    (
        actor.user().map(UserId::as_uuid),
        actor.service_account().map(ServiceAccountId::as_uuid),
    )
}

#[async_trait]
impl Tasks for PgTx {
    #[tracing::instrument(name = "db.tasks.create", skip_all)]
    async fn create(&mut self, task: &NewTask) -> Result<bool, StoreError> {
        let (user, account) = ids(&task.creator);
        let request = task.request.as_ref();
        sqlx::query!(
            "insert into tasks (id, kind, name, params, creator_user_id, creator_service_account_id, idempotency_key, request_hash)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
            task.id.as_uuid(),
            task.kind.as_str(),
            task.name,
            task.params,
            user,
            account,
            request.and_then(|request| request.key.as_deref()),
            request.map(|request| request.hash.as_slice()),
        )
        .execute(self.conn())
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.tasks.created_today", skip_all, fields(user = %creator))]
    async fn created_today(&mut self, creator: UserId, most: u32) -> Result<u32, StoreError> {
        let number = sqlx::query_scalar!(
            r#"select count(*) as "n!" from (select 1 as one from tasks where creator_user_id = $1 and created_at > now() - interval '1 day' limit $2) t"#,
            creator.as_uuid(),
            i64::from(most)
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(u32::try_from(number).unwrap_or(most))
    }

    #[tracing::instrument(name = "db.tasks.find_request", skip_all)]
    async fn find_request(
        &mut self,
        creator: &Actor,
        key: &str,
    ) -> Result<Option<(TaskId, [u8; 32])>, StoreError> {
        let (user, account) = ids(creator);
        // Two look-ups, so that each has its own partial index.
        let row = sqlx::query!(
            r#"select id as "id!", request_hash from tasks where creator_user_id = $1 and idempotency_key = $3
               union all
               select id, request_hash from tasks where creator_service_account_id = $2 and idempotency_key = $3"#,
            user,
            account,
            key
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            let hashed = row.request_hash.unwrap_or_default();
            Ok((TaskId::from_uuid(row.id), hash("tasks", &hashed)?))
        })
        .transpose()
    }

    #[tracing::instrument(name = "db.tasks.lock", skip_all, fields(task = %id))]
    async fn lock(&mut self, id: TaskId, who: &Actor) -> Result<Option<LockedTask>, StoreError> {
        let (user, account) = ids(who);
        let row = sqlx::query!(
            "select kind, params, status, creator_user_id, creator_service_account_id from tasks where id = $1 for update",
            id.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(row) = row else { return Ok(None) };
        let grant = sqlx::query_scalar!(
            "select can_operate from task_grants where task_id = $1 and (grantee_user_id = $2 or grantee_service_account_id = $3)",
            id.as_uuid(),
            user,
            account
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(Some(LockedTask {
            kind: parsed("tasks", &row.kind)?,
            params: row.params,
            status: parsed("tasks", &row.status)?,
            creator: actor(row.creator_user_id, row.creator_service_account_id),
            grant,
        }))
    }

    #[tracing::instrument(name = "db.tasks.set_status", skip_all, fields(task = %id))]
    async fn set_status(
        &mut self,
        id: TaskId,
        status: TaskStatus,
        detail: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update tasks set status = $2, status_detail = coalesce($3, status_detail), updated_at = now()
             where id = $1 and status in ('queued', 'running')",
            id.as_uuid(),
            status.as_str(),
            detail
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.tasks.share", skip_all, fields(task = %id))]
    async fn share(
        &mut self,
        id: TaskId,
        grantee: &Actor,
        can_operate: bool,
        by: &Actor,
    ) -> Result<bool, StoreError> {
        let (user, account) = ids(grantee);
        let (by_user, by_account) = ids(by);
        let known = sqlx::query_scalar!(
            r#"select exists (select 1 from users where id = $1) or exists (select 1 from service_accounts where id = $2) as "known!""#,
            user,
            account
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if !known {
            return Ok(false);
        }
        // The task's row is locked, so its grants are not written by others meanwhile.
        self.unshare(id, grantee).await?;
        sqlx::query!(
            "insert into task_grants (task_id, grantee_user_id, grantee_service_account_id, can_operate, granted_by_user_id, granted_by_service_account_id, task_created_at)
             select $1, $2, $3, $4, $5, $6, created_at from tasks where id = $1",
            id.as_uuid(),
            user,
            account,
            can_operate,
            by_user,
            by_account
        )
        .execute(self.conn())
        .await
        .map(|_| true)
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.tasks.unshare", skip_all, fields(task = %id))]
    async fn unshare(&mut self, id: TaskId, grantee: &Actor) -> Result<bool, StoreError> {
        let (user, account) = ids(grantee);
        sqlx::query!(
            "delete from task_grants where task_id = $1 and (grantee_user_id = $2 or grantee_service_account_id = $3)",
            id.as_uuid(),
            user,
            account
        )
        .execute(self.conn())
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(|e| self.fail(e))
    }
}
