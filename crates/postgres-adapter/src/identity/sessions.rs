//! Refresh tokens and devices.

use std::time::Duration;

use async_trait::async_trait;
use domain::UserId;
use ports::identity::{DeviceBounds, DeviceRequest, RefreshToken};
use ports::{Sessions, StoreError};
use uuid::Uuid;

use crate::store::tx::PgTx;

/// The key of the advisory lock for counting device requests ("device" in ASCII).
const DEVICES: i64 = 0x6465_7669_6365;

struct DeviceRow {
    user_code: String,
    status: String,
    user_id: Option<Uuid>,
    expired: bool,
}

impl DeviceRow {
    fn request(self) -> DeviceRequest {
        DeviceRequest {
            user_code: self.user_code,
            user: self.user_id.map(UserId::from_uuid),
            consumed: self.status == "consumed",
            expired: self.expired,
        }
    }
}

#[async_trait]
impl Sessions for PgTx {
    #[tracing::instrument(name = "db.sessions.open_family", skip_all, fields(user = %user))]
    async fn open_family(&mut self, family: Uuid, user: UserId) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into refresh_token_families (id, user_id) values ($1, $2)",
            family,
            user.as_uuid()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.sessions.store_token", skip_all, fields(user = %user))]
    async fn store_token(
        &mut self,
        hash: [u8; 32],
        family: Uuid,
        user: UserId,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into refresh_tokens (token_hash, family_id, user_id, expires_at) values ($1, $2, $3, now() + make_interval(secs => $4))",
            hash.as_slice(),
            family,
            user.as_uuid(),
            lifetime.as_secs_f64()
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        // A deleted token is refused like an unknown one. Expired tokens are kept for a month, so that they can still
        // be reported as expired. Locked rows are skipped, so that two sign-ins never wait for each other here.
        sqlx::query!(
            "delete from refresh_tokens where token_hash in (
               select token_hash from refresh_tokens where expires_at < now() - interval '30 days' order by expires_at limit 20 for update skip locked)"
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.sessions.lock_token", skip_all)]
    async fn lock_token(&mut self, hash: [u8; 32]) -> Result<Option<RefreshToken>, StoreError> {
        let family = sqlx::query_scalar!(
            "select f.id from refresh_token_families f join refresh_tokens t on t.family_id = f.id where t.token_hash = $1 for update of f",
            hash.as_slice()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if family.is_none() {
            return Ok(None);
        }
        // A separate statement: its snapshot is taken once the lock is held.
        let row = sqlx::query!(
            r#"select t.family_id, t.user_id, t.used_at is not null as "used!", t.expires_at <= now() as "expired!", f.revoked_at is not null as "revoked!"
               from refresh_tokens t join refresh_token_families f on f.id = t.family_id where t.token_hash = $1"#,
            hash.as_slice()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(row.map(|row| RefreshToken {
            family: row.family_id,
            user: UserId::from_uuid(row.user_id),
            used: row.used,
            expired: row.expired,
            revoked: row.revoked,
        }))
    }

    #[tracing::instrument(name = "db.sessions.use_token", skip_all)]
    async fn use_token(&mut self, hash: [u8; 32]) -> Result<(), StoreError> {
        sqlx::query!(
            "update refresh_tokens set used_at = now() where token_hash = $1",
            hash.as_slice()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.sessions.revoke_family", skip_all)]
    async fn revoke_family(&mut self, family: Uuid, why: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update refresh_token_families set revoked_at = now(), revoked_for = $2 where id = $1 and revoked_at is null",
            family,
            why
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.sessions.store_device", skip_all)]
    async fn store_device(
        &mut self,
        hash: [u8; 32],
        user_code: &str,
        client: [u8; 32],
        lifetime: Duration,
        bounds: DeviceBounds,
    ) -> Result<bool, StoreError> {
        sqlx::query!("select pg_advisory_xact_lock($1)", DEVICES)
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        // Kept for an hour after they expire, so that a slow device learns that its request has expired.
        sqlx::query!("delete from device_authorizations where expires_at < now() - interval '1 hour'")
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        // The oldest ones of this client, beyond those that leave room for one more.
        sqlx::query!(
            "delete from device_authorizations where device_code_hash in (
               select device_code_hash from device_authorizations where client_hash = $1 and status = 'pending' and expires_at > now()
               order by created_at desc, device_code_hash offset $2)",
            client.as_slice(),
            i64::from(bounds.per_client.saturating_sub(1))
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let done = sqlx::query!(
            "insert into device_authorizations (device_code_hash, user_code, client_hash, expires_at)
             select $1, $2, $3, now() + make_interval(secs => $4)
             where (select count(*) from device_authorizations where expires_at > now() and status = 'pending') < $5
             on conflict do nothing",
            hash.as_slice(),
            user_code,
            client.as_slice(),
            lifetime.as_secs_f64(),
            i64::from(bounds.total)
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(done.rows_affected() == 1)
    }

    #[tracing::instrument(name = "db.sessions.lock_user_code", skip_all)]
    async fn lock_user_code(&mut self, user_code: &str) -> Result<Option<DeviceRequest>, StoreError> {
        let row = sqlx::query_as!(
            DeviceRow,
            r#"select user_code, status, user_id, expires_at <= now() as "expired!" from device_authorizations where user_code = $1 for update"#,
            user_code
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(row.map(DeviceRow::request))
    }

    #[tracing::instrument(name = "db.sessions.authorize_device", skip_all, fields(user = %user))]
    async fn authorize_device(&mut self, user_code: &str, user: UserId) -> Result<(), StoreError> {
        sqlx::query!(
            "update device_authorizations set status = 'authorized', user_id = $2 where user_code = $1 and status = 'pending'",
            user_code,
            user.as_uuid()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.sessions.lock_device", skip_all)]
    async fn lock_device(&mut self, hash: [u8; 32]) -> Result<Option<DeviceRequest>, StoreError> {
        let row = sqlx::query_as!(
            DeviceRow,
            r#"select user_code, status, user_id, expires_at <= now() as "expired!" from device_authorizations where device_code_hash = $1 for update"#,
            hash.as_slice()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(row.map(DeviceRow::request))
    }

    #[tracing::instrument(name = "db.sessions.consume_device", skip_all)]
    async fn consume_device(&mut self, hash: [u8; 32]) -> Result<(), StoreError> {
        sqlx::query!(
            "update device_authorizations set status = 'consumed' where device_code_hash = $1",
            hash.as_slice()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}
