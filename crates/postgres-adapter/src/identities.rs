//! Users and service accounts.

use async_trait::async_trait;
use domain::{ServiceAccountId, UserId};
use ports::queries::UserProfile;
use ports::{IdentityQueries, StoreError};

use crate::error::store_error;
use crate::tx::PgStore;

#[async_trait]
impl IdentityQueries for PgStore {
    async fn user(&self, id: UserId) -> Result<Option<UserProfile>, StoreError> {
        let row = sqlx::query!(
            r#"select display_name, provider, external_id, array(select role from role_assignments where user_id = u.id order by role) as "roles!"
               from users u where id = $1"#,
            id.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(row.map(|row| UserProfile {
            id,
            display_name: row.display_name,
            provider: row.provider,
            external_id: row.external_id,
            roles: row.roles,
        }))
    }

    async fn see_service_account(&self, issuer: &str, subject: &str) -> Result<bool, StoreError> {
        let id = ServiceAccountId::of(issuer, subject).as_uuid();
        let seen = sqlx::query!("select disabled_at, last_seen < now() - interval '1 minute' as \"stale!\" from service_accounts where id = $1", id)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        match seen {
            Some(account) if !account.stale => Ok(account.disabled_at.is_none()),
            _ => sqlx::query_scalar!(
                r#"insert into service_accounts (id, issuer, subject) values ($1, $2, $3)
                   on conflict (id) do update set last_seen = now() returning disabled_at is null as "enabled!""#,
                id,
                issuer,
                subject
            )
            .fetch_one(&self.pool)
            .await
            .map_err(store_error),
        }
    }

    async fn ensure_local_admin(&self) -> Result<(), StoreError> {
        let id = UserId::LOCAL_ADMIN.as_uuid();
        sqlx::query!(
            "insert into users (id, provider, external_id, display_name) values ($1, 'local', 'admin@osa.local', 'Local Admin') on conflict do nothing",
            id
        )
        .execute(&self.pool)
        .await
        .map_err(store_error)?;
        sqlx::query!("insert into role_assignments (id, user_id, role) values (gen_random_uuid(), $1, 'superadmin') on conflict do nothing", id)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(store_error)
    }
}
