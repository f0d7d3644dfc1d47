//! Hooks, releases, and pointers. Every write about one hook happens under `FOR UPDATE` of its row, so numbers have
//! no gaps and every answer is true at the commit (REG-2, REG-3).

use async_trait::async_trait;
use domain::registry::hook::{HookRelease, ImageLocation, Locations};
use domain::{
    Actor, Event, FeatureContract, HookName, NewRelease, Reason, ReleaseId, ReleaseVersion, ServiceAccountId,
    UserId, Yank,
};
use ports::registry::LockedHook;
use ports::{Hooks, StoreError};
use time::OffsetDateTime;

use crate::store::rows::{ReleaseRow, document, json, release_version, releases};
use crate::store::tx::PgTx;

#[async_trait]
impl Hooks for PgTx {
    #[tracing::instrument(name = "db.hooks.register", skip_all, fields(hook = %name))]
    async fn register(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
        content: Option<[u8; 32]>,
    ) -> Result<LockedHook, StoreError> {
        sqlx::query!(
            "insert into hooks (name, contract) values ($1, $2) on conflict do nothing",
            name.as_str(),
            json(contract)?
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        self.lock(name, content)
            .await?
            .ok_or_else(|| StoreError::corrupt("hooks", "a hook that was just registered is gone"))
    }

    #[tracing::instrument(name = "db.hooks.lock", skip_all, fields(hook = %name))]
    async fn lock(
        &mut self,
        name: &HookName,
        content: Option<[u8; 32]>,
    ) -> Result<Option<LockedHook>, StoreError> {
        // Two statements: the second one's snapshot is taken after the lock is held, so it sees every release of
        // earlier lock holders.
        let locked = sqlx::query!(
            "select contract, live_release_id from hooks where name = $1 for update",
            name.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(locked) = locked else { return Ok(None) };
        // Three look-ups in indexes, independent of the number of releases: other writers of this hook wait
        // meanwhile.
        let versions = sqlx::query!(
            "select (select max(version) from hook_releases where hook_name = $1) as last, (select version from hook_releases where id = $2) as live,
               (select version from hook_releases where hook_name = $1 and content_key = $3) as same",
            name.as_str(),
            locked.live_release_id,
            content.as_ref().map(<[u8; 32]>::as_slice)
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let live = match (locked.live_release_id, versions.live) {
            (Some(id), Some(version)) => Some((ReleaseId::from_uuid(id), release_version(version)?)),
            _ => None,
        };
        Ok(Some(LockedHook {
            contract: document("hooks", locked.contract)?,
            live,
            last: versions.last.map(release_version).transpose()?,
            same: versions.same.map(release_version).transpose()?,
        }))
    }

    #[tracing::instrument(name = "db.hooks.update_descriptions", skip_all, fields(hook = %name))]
    async fn update_descriptions(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update hooks set contract = $2 where name = $1",
            name.as_str(),
            json(contract)?
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.hooks.find_version", skip_all, fields(hook = %name, version = %version))]
    async fn find_version(
        &mut self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<HookRelease>, StoreError> {
        let row = releases!(
            "where r.hook_name = $1 and r.version = $2",
            name.as_str(),
            version.get().cast_signed()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(ReleaseRow::release).transpose()
    }

    #[tracing::instrument(name = "db.hooks.insert_live", skip_all, fields(release = %id, hook = %name, version = %version))]
    async fn insert_live(
        &mut self,
        id: ReleaseId,
        name: &HookName,
        version: ReleaseVersion,
        release: &NewRelease,
        built_by: &Actor,
        log: &Event,
    ) -> Result<HookRelease, StoreError> {
        let content = &release.content;
        let key = content.key();
        // One statement, because other writers of this hook wait for each round trip. The parts that read see the
        // hook as it was before.
        let built_at = sqlx::query_scalar!(
            r#"with before as (select live_release_id from hooks where name = $2),
                 last as (select move, moved_at from hook_live_moves where hook_name = $2 order by move desc limit 1),
                 made as (
                   insert into hook_releases (id, hook_name, version, image, digest, config, limits, content_key, source_ref, built_by_user_id, built_by_service_account_id)
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning built_at
                 ),
                 moved as (update hooks set live_release_id = $1 where name = $2),
                 recorded as (
                   insert into hook_live_moves (hook_name, move, from_release_id, to_release_id, moved_by_user_id, moved_by_service_account_id, moved_at)
                   select $2, coalesce((select move from last), 0) + 1, live_release_id, $1, $10, $11, greatest(clock_timestamp(), (select moved_at from last))
                   from before
                 ),
                 logged as (
                   insert into activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
                   values ($12, $13, $14, $15, $16)
                 )
               select built_at as "built_at!" from made"#,
            id.as_uuid(),
            name.as_str(),
            version.get().cast_signed(),
            release.image,
            content.digest.as_str(),
            serde_json::Value::Object(content.config.clone()),
            json(&content.limits)?,
            key.as_slice(),
            release.source_ref,
            built_by.user().map(UserId::as_uuid),
            built_by.service_account().map(ServiceAccountId::as_uuid),
            log.kind,
            log.subject,
            log.actor.user().map(UserId::as_uuid),
            log.actor.service_account().map(ServiceAccountId::as_uuid),
            log.payload,
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(HookRelease {
            id,
            hook: name.clone(),
            version,
            release: release.clone(),
            locations: Locations::new(ImageLocation {
                image: release.image.clone(),
                by: built_by.clone(),
                at: built_at,
            }),
            built_by: built_by.clone(),
            built_at,
            yanked: None,
        })
    }

    #[tracing::instrument(name = "db.hooks.add_location", skip_all, fields(hook = %name, release = %release))]
    async fn add_location(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        image: &str,
        by: &Actor,
    ) -> Result<ImageLocation, StoreError> {
        let at = sqlx::query_scalar!(
            r#"with last as (select position, registered_at from hook_release_locations where release_id = $2 order by position desc limit 1)
             insert into hook_release_locations (hook_name, release_id, position, image, registered_by_user_id, registered_by_service_account_id, registered_at)
             select $1, id, coalesce((select position from last), 1) + 1, $3, $4, $5,
               greatest(clock_timestamp(), coalesce((select registered_at from last), built_at))
             from hook_releases where id = $2
             returning registered_at as "registered_at!""#,
            name.as_str(),
            release.as_uuid(),
            image,
            by.user().map(UserId::as_uuid),
            by.service_account().map(ServiceAccountId::as_uuid),
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(ImageLocation {
            image: image.to_owned(),
            by: by.clone(),
            at,
        })
    }

    #[tracing::instrument(name = "db.hooks.move_live", skip_all, fields(hook = %name, release = %to))]
    async fn move_live(
        &mut self,
        name: &HookName,
        to: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError> {
        // One statement: the parts that read see the hook as it was before it.
        let inserted = sqlx::query!(
            "with before as (select live_release_id from hooks where name = $1),
                  last as (select move, moved_at from hook_live_moves where hook_name = $1 order by move desc limit 1),
                  moved as (update hooks set live_release_id = $2 where name = $1)
             insert into hook_live_moves (hook_name, move, from_release_id, to_release_id, reason, moved_by_user_id, moved_by_service_account_id, moved_at)
             select $1, coalesce((select move from last), 0) + 1, live_release_id, $2, $3, $4, $5, greatest(clock_timestamp(), (select moved_at from last))
             from before",
            name.as_str(),
            to.as_uuid(),
            reason.map(Reason::as_str),
            by.user().map(UserId::as_uuid),
            by.service_account().map(ServiceAccountId::as_uuid),
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if inserted.rows_affected() == 1 {
            Ok(())
        } else {
            Err(self.poison(StoreError::corrupt(
                "hooks",
                "a hook that was just locked is gone",
            )))
        }
    }

    #[tracing::instrument(name = "db.hooks.yank", skip_all, fields(hook = %name, release = %release))]
    async fn yank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Yank, StoreError> {
        let at = self.change_yank(name, release, true, by, Some(reason)).await?;
        Ok(Yank {
            reason: reason.as_str().to_owned(),
            by: by.clone(),
            at,
        })
    }

    #[tracing::instrument(name = "db.hooks.unyank", skip_all, fields(hook = %name, release = %release))]
    async fn unyank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError> {
        self.change_yank(name, release, false, by, reason)
            .await
            .map(|_| ())
    }
}

impl PgTx {
    async fn change_yank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        yanked: bool,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<OffsetDateTime, StoreError> {
        sqlx::query_scalar!(
            "insert into hook_release_yanks (hook_name, release_id, change, yanked, reason, changed_by_user_id, changed_by_service_account_id)
             select $1, $2, coalesce((select max(change) from hook_release_yanks where release_id = $2), 0) + 1, $3, $4, $5, $6
             returning changed_at",
            name.as_str(),
            release.as_uuid(),
            yanked,
            reason.map(Reason::as_str),
            by.user().map(UserId::as_uuid),
            by.service_account().map(ServiceAccountId::as_uuid),
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))
    }
}
