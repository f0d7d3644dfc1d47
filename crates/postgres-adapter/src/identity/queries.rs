//! Reads of users and service accounts, and the two writes that belong to no use case: recording that an account was
//! seen, and the local administrator.

use async_trait::async_trait;
use domain::{ServiceAccountId, UserId};
use ports::identity::{Disabled, RoleAssignment, ServiceAccountView, UserProfile};
use ports::{IdentityQueries, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::error::store_error;
use crate::store::tx::PgStore;

/// A row of `users`, with the roles.
pub(crate) struct UserRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) provider: String,
    pub(crate) external_id: String,
    pub(crate) roles: Vec<String>,
}

impl UserRow {
    pub(crate) fn profile(self) -> UserProfile {
        UserProfile {
            id: UserId::from_uuid(self.id),
            display_name: self.display_name,
            provider: self.provider,
            external_id: self.external_id,
            roles: self.roles,
        }
    }
}

/// A row of `role_assignments`.
pub(crate) struct RoleRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) role: String,
    pub(crate) assigned_by: Option<Uuid>,
    pub(crate) assigned_at: OffsetDateTime,
}

impl RoleRow {
    pub(crate) fn assignment(self) -> RoleAssignment {
        RoleAssignment {
            id: self.id,
            user: UserId::from_uuid(self.user_id),
            role: self.role,
            assigned_by: self.assigned_by.map(UserId::from_uuid),
            assigned_at: self.assigned_at,
        }
    }
}

/// A row of `service_accounts`.
pub(crate) struct AccountRow {
    pub(crate) id: Uuid,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) first_seen: OffsetDateTime,
    pub(crate) last_seen: OffsetDateTime,
    pub(crate) disabled_at: Option<OffsetDateTime>,
    pub(crate) disabled_by: Option<Uuid>,
    pub(crate) disabled_reason: Option<String>,
}

impl AccountRow {
    pub(crate) fn view(self) -> ServiceAccountView {
        let (by, reason) = (self.disabled_by.map(UserId::from_uuid), self.disabled_reason);
        ServiceAccountView {
            id: ServiceAccountId::from_uuid(self.id),
            issuer: self.issuer,
            subject: self.subject,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            disabled: self.disabled_at.map(|at| Disabled { at, by, reason }),
        }
    }
}

#[async_trait]
impl IdentityQueries for PgStore {
    #[tracing::instrument(name = "db.identity_queries.user", skip_all, fields(user = %id))]
    async fn user(&self, id: UserId) -> Result<Option<UserProfile>, StoreError> {
        let row = sqlx::query_as!(
            UserRow,
            r#"select id, display_name, provider, external_id, array(select role from role_assignments where user_id = u.id order by role) as "roles!"
               from users u where id = $1"#,
            id.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(row.map(UserRow::profile))
    }

    #[tracing::instrument(name = "db.identity_queries.roles", skip_all, fields(user = %id))]
    async fn roles(&self, id: UserId) -> Result<Option<Vec<RoleAssignment>>, StoreError> {
        let rows = sqlx::query_as!(
            RoleRow,
            "select id, user_id, role, assigned_by, assigned_at from role_assignments where user_id = $1 order by role",
            id.as_uuid()
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        if rows.is_empty() && self.user(id).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(rows.into_iter().map(RoleRow::assignment).collect()))
    }

    #[tracing::instrument(name = "db.identity_queries.users", skip_all)]
    async fn users(&self, after: Option<UserId>, most: u32) -> Result<Vec<UserProfile>, StoreError> {
        let rows = sqlx::query_as!(
            UserRow,
            r#"select id, display_name, provider, external_id, array(select role from role_assignments where user_id = u.id order by role) as "roles!"
               from users u where $1::uuid is null or id > $1 order by id limit $2"#,
            after.map(UserId::as_uuid),
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(rows.into_iter().map(UserRow::profile).collect())
    }

    #[tracing::instrument(name = "db.identity_queries.see_service_account", skip_all)]
    async fn see_service_account(&self, issuer: &str, subject: &str) -> Result<bool, StoreError> {
        let id = ServiceAccountId::of(issuer, subject).as_uuid();
        let seen = sqlx::query!("select disabled_at, last_seen < now() - interval '1 minute' as \"stale!\" from service_accounts where id = $1", id)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        match seen {
            Some(account) if !account.stale => Ok(account.disabled_at.is_none()),
            _ => {
                // On any conflict: with one index named, two concurrent first calls of an account could clash on the
                // other index, and that is an error.
                sqlx::query!(
                    "insert into service_accounts (id, issuer, subject) values ($1, $2, $3) on conflict do nothing",
                    id,
                    issuer,
                    subject
                )
                .execute(&self.pool)
                .await
                .map_err(store_error)?;
                sqlx::query_scalar!(
                    r#"update service_accounts set last_seen = now() where id = $1 returning disabled_at is null as "enabled!""#,
                    id
                )
                .fetch_one(&self.pool)
                .await
                .map_err(store_error)
            }
        }
    }

    #[tracing::instrument(name = "db.identity_queries.is_session_open", skip_all)]
    async fn is_session_open(&self, family: Uuid) -> Result<bool, StoreError> {
        sqlx::query_scalar!(
            r#"select exists (select 1 from refresh_token_families where id = $1 and revoked_at is null) as "open!""#,
            family
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)
    }

    #[tracing::instrument(name = "db.identity_queries.service_account", skip_all, fields(service_account = %id))]
    async fn service_account(&self, id: ServiceAccountId) -> Result<Option<ServiceAccountView>, StoreError> {
        let row = sqlx::query_as!(
            AccountRow,
            "select id, issuer, subject, first_seen, last_seen, disabled_at, disabled_by, disabled_reason from service_accounts where id = $1",
            id.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(row.map(AccountRow::view))
    }

    #[tracing::instrument(name = "db.identity_queries.service_accounts", skip_all)]
    async fn service_accounts(
        &self,
        after: Option<ServiceAccountId>,
        most: u32,
    ) -> Result<Vec<ServiceAccountView>, StoreError> {
        let rows = sqlx::query_as!(
            AccountRow,
            "select id, issuer, subject, first_seen, last_seen, disabled_at, disabled_by, disabled_reason from service_accounts
             where $1::uuid is null or id > $1 order by id limit $2",
            after.map(ServiceAccountId::as_uuid),
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(rows.into_iter().map(AccountRow::view).collect())
    }

    #[tracing::instrument(name = "db.identity_queries.ensure_local_admin", skip_all)]
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
