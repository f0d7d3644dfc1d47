//! Reads of hooks and conventions.

use async_trait::async_trait;
use domain::convention::Convention;
use domain::hook::HookRelease;
use domain::{ConventionSlug, HookName, ReleaseVersion};
use ports::queries::HookSummary;
use ports::{RegistryQueries, StoreError};
use serde_json::Value;

use crate::conventions::ConventionRow;
use crate::error::store_error;
use crate::rows::{ReleaseRow, document, parsed};
use crate::tx::PgStore;

impl PgStore {
    async fn summaries(&self, only: Option<&str>) -> Result<Vec<HookSummary>, StoreError> {
        let hooks = sqlx::query!(
            "select name, contract from hooks where $1::text is null or name = $1 order by name",
            only
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let live = sqlx::query_as!(
            ReleaseRow,
            "select r.id, r.hook_name, r.version, r.image, r.digest, r.config, r.limits, r.source_ref, r.built_by_user_id, r.built_by_service_account_id, r.built_at
             from hooks h join hook_releases r on r.id = h.live_release_id where $1::text is null or h.name = $1",
            only
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let mut live: std::collections::BTreeMap<String, ReleaseRow> =
            live.into_iter().map(|row| (row.hook_name.clone(), row)).collect();
        let summary = |name: String, contract: Value, release: Option<ReleaseRow>| {
            Ok(HookSummary {
                name: parsed("hooks", &name)?,
                contract: document("hooks", contract)?,
                live: release.map(ReleaseRow::release).transpose()?,
            })
        };
        hooks
            .into_iter()
            .map(|row| {
                let release = live.remove(&row.name);
                summary(row.name, row.contract, release)
            })
            .collect()
    }
}

#[async_trait]
impl RegistryQueries for PgStore {
    async fn hooks(&self) -> Result<Vec<HookSummary>, StoreError> {
        self.summaries(None).await
    }

    async fn hook(&self, name: &HookName) -> Result<Option<HookSummary>, StoreError> {
        Ok(self.summaries(Some(name.as_str())).await?.pop())
    }

    async fn releases(&self, name: &HookName) -> Result<Vec<HookRelease>, StoreError> {
        let rows = sqlx::query_as!(
            ReleaseRow,
            "select id, hook_name, version, image, digest, config, limits, source_ref, built_by_user_id, built_by_service_account_id, built_at
             from hook_releases where hook_name = $1 order by version desc",
            name.as_str()
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(ReleaseRow::release).collect()
    }

    async fn release(
        &self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<HookRelease>, StoreError> {
        let row = sqlx::query_as!(
            ReleaseRow,
            "select id, hook_name, version, image, digest, config, limits, source_ref, built_by_user_id, built_by_service_account_id, built_at
             from hook_releases where hook_name = $1 and version = $2",
            name.as_str(),
            version.get().cast_signed()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        row.map(ReleaseRow::release).transpose()
    }

    async fn conventions(&self) -> Result<Vec<Convention>, StoreError> {
        let rows = sqlx::query_as!(
            ConventionRow,
            r#"select slug, title, description, schema_id, schema_version, file_requirements, ingester, docs, created_at,
                 array(select hook_name from convention_hooks where convention_slug = slug order by position) as "hooks!"
               from conventions order by created_at desc, slug"#
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(ConventionRow::convention).collect()
    }

    async fn convention(&self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError> {
        let row = sqlx::query_as!(
            ConventionRow,
            r#"select slug, title, description, schema_id, schema_version, file_requirements, ingester, docs, created_at,
                 array(select hook_name from convention_hooks where convention_slug = slug order by position) as "hooks!"
               from conventions where slug = $1"#,
            slug.as_str()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        row.map(ConventionRow::convention).transpose()
    }
}
