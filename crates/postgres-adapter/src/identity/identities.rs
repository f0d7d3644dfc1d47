//! Users, roles and service accounts in a unit of work.

use async_trait::async_trait;
use domain::{Actor, ServiceAccountId, UserId};
use ports::identity::{RoleAssignment, ServiceAccountView, UserProfile};
use ports::{Identities, StoreError};
use uuid::Uuid;

use crate::identity::queries::{AccountRow, RoleRow, UserRow};
use crate::store::tx::PgTx;

/// The key of the advisory lock for changes to superadmins ("super" in ASCII).
const SUPERADMINS: i64 = 0x73_7570_6572;

#[async_trait]
impl Identities for PgTx {
    #[tracing::instrument(name = "db.identities.sign_in", skip_all, fields(user = %id))]
    async fn sign_in(
        &mut self,
        id: UserId,
        provider: &str,
        external_id: &str,
        display_name: &str,
    ) -> Result<(UserProfile, bool), StoreError> {
        // The update locks the conflicting row, so that two concurrent first sign-ins of one person create one user.
        // A name that the provider changed is taken over.
        let found = sqlx::query!(
            r#"insert into users (id, provider, external_id, display_name) values ($1, $2, $3, $4)
               on conflict (provider, external_id) do update set display_name = excluded.display_name
               returning id, id = $1 as "is_new!""#,
            id.as_uuid(),
            provider,
            external_id,
            display_name
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let user = self.lock_user(UserId::from_uuid(found.id)).await?;
        let user = user.ok_or_else(|| StoreError::corrupt("users", "a user that was just stored is gone"))?;
        Ok((user, found.is_new))
    }

    #[tracing::instrument(name = "db.identities.lock_user", skip_all, fields(user = %id))]
    async fn lock_user(&mut self, id: UserId) -> Result<Option<UserProfile>, StoreError> {
        let row = sqlx::query_as!(
            UserRow,
            r#"select id, display_name, provider, external_id, array(select role from role_assignments where user_id = u.id order by role) as "roles!"
               from users u where id = $1 for no key update"#,
            id.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(row.map(UserRow::profile))
    }

    #[tracing::instrument(name = "db.identities.lock_superadmins", skip_all)]
    async fn lock_superadmins(&mut self) -> Result<Vec<UserId>, StoreError> {
        sqlx::query!("select pg_advisory_xact_lock($1)", SUPERADMINS)
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        // A separate statement: its snapshot is taken once the lock is held.
        let ids = sqlx::query_scalar!("select user_id from role_assignments where role = 'superadmin'")
            .fetch_all(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        Ok(ids.into_iter().map(UserId::from_uuid).collect())
    }

    #[tracing::instrument(name = "db.identities.grant_role", skip_all, fields(user = %user))]
    async fn grant_role(
        &mut self,
        id: Uuid,
        user: UserId,
        role: &str,
        by: Option<UserId>,
    ) -> Result<Option<RoleAssignment>, StoreError> {
        let row = sqlx::query_as!(
            RoleRow,
            "insert into role_assignments (id, user_id, role, assigned_by) values ($1, $2, $3, $4) on conflict (user_id, role) do nothing
             returning id, user_id, role, assigned_by, assigned_at",
            id,
            user.as_uuid(),
            role,
            by.map(UserId::as_uuid)
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(row.map(RoleRow::assignment))
    }

    #[tracing::instrument(name = "db.identities.revoke_role", skip_all, fields(user = %user))]
    async fn revoke_role(&mut self, user: UserId, role: &str) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "delete from role_assignments where user_id = $1 and role = $2",
            user.as_uuid(),
            role
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(done.rows_affected() > 0)
    }

    #[tracing::instrument(name = "db.identities.set_disabled", skip_all, fields(service_account = %id))]
    async fn set_disabled(
        &mut self,
        id: ServiceAccountId,
        disabled: Option<(&Actor, &str)>,
    ) -> Result<Option<(ServiceAccountView, bool)>, StoreError> {
        let before = sqlx::query_scalar!(
            r#"select disabled_at is not null as "disabled!" from service_accounts where id = $1 for no key update"#,
            id.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(before) = before else { return Ok(None) };
        let changes = before != disabled.is_some();
        let (by, reason) = disabled.unzip();
        let row = sqlx::query_as!(
            AccountRow,
            "update service_accounts set
               disabled_at = case when $2 then coalesce(disabled_at, clock_timestamp()) end,
               disabled_by = case when $2 and disabled_at is not null then disabled_by else $3 end,
               disabled_reason = case when $2 and disabled_at is not null then disabled_reason else $4 end
             where id = $1
             returning id, issuer, subject, first_seen, last_seen, disabled_at, disabled_by, disabled_reason",
            id.as_uuid(),
            disabled.is_some(),
            by.and_then(Actor::user).map(UserId::as_uuid),
            reason
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(Some((row.view(), changes)))
    }
}
