//! Reads of hooks and conventions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_trait::async_trait;
use domain::registry::convention::Convention;
use domain::registry::hook::{HookRelease, LiveMove};
use domain::{ConventionSlug, HookName, ReleaseVersion, Schema, SchemaRef};
use ports::registry::{HookSummary, HooksState};
use ports::{RegistryQueries, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::registry::conventions::ConventionRow;
use crate::store::error::store_error;
use crate::store::rows::{ReleaseRow, actor, document, parsed, release_version, releases, small};
use crate::store::tx::PgStore;

/// A row of `hook_live_moves`, with the numbers of its releases.
struct MoveRow {
    number: i32,
    from_version: Option<i32>,
    to_version: i32,
    reason: Option<String>,
    moved_by_user_id: Option<Uuid>,
    moved_by_service_account_id: Option<Uuid>,
    moved_at: OffsetDateTime,
}

impl MoveRow {
    fn live_move(self) -> Result<LiveMove, StoreError> {
        Ok(LiveMove {
            number: small("hook_live_moves", self.number)?,
            from: self.from_version.map(release_version).transpose()?,
            to: release_version(self.to_version)?,
            reason: self.reason,
            by: actor(self.moved_by_user_id, self.moved_by_service_account_id),
            at: self.moved_at,
        })
    }
}

/// A row of `schemas`.
struct SchemaRow {
    id: String,
    version: String,
    title: String,
    fields: Value,
    created_at: OffsetDateTime,
}

impl SchemaRow {
    fn schema(self) -> Result<(Schema, OffsetDateTime), StoreError> {
        const TABLE: &str = "schemas";
        let schema = Schema {
            reference: SchemaRef {
                id: parsed(TABLE, &self.id)?,
                version: parsed(TABLE, &self.version)?,
            },
            title: self.title,
            fields: document(TABLE, self.fields)?,
        };
        Ok((schema, self.created_at))
    }
}

impl PgStore {
    /// Returns the hooks, or one of them, and the state of their list.
    async fn summaries(&self, only: Option<&str>) -> Result<(HooksState, Vec<HookSummary>), StoreError> {
        let hooks = sqlx::query!(
            r#"select name, contract, live_release_id, md5(contract::text) as "contract_hash!"
               from hooks where $1::text is null or name = $1 order by name"#,
            only
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let parts = hooks
            .iter()
            .map(|row| (row.name.as_str(), row.live_release_id, row.contract_hash.as_str()));
        let state = state(parts);
        // By id, so that the list is that of its state even if a pointer moves in between.
        let live: Vec<Uuid> = hooks.iter().filter_map(|row| row.live_release_id).collect();
        let live = releases!("where r.id = any($1)", &live[..])
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let mut live: BTreeMap<String, ReleaseRow> =
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
            .collect::<Result<_, _>>()
            .map(|hooks| (state, hooks))
    }
}

/// Joins what a list of hooks depends on: each name, live release, and hash of the contract.
fn state<'a>(hooks: impl Iterator<Item = (&'a str, Option<Uuid>, &'a str)>) -> HooksState {
    let mut text = String::new();
    for (name, live, contract) in hooks {
        let live = live.unwrap_or_default().simple();
        // Names contain no space.
        let _ = write!(text, "{name} {live} {contract} ");
    }
    HooksState(text)
}

#[async_trait]
impl RegistryQueries for PgStore {
    #[tracing::instrument(name = "db.registry_queries.hooks", skip_all)]
    async fn hooks(&self) -> Result<(HooksState, Vec<HookSummary>), StoreError> {
        self.summaries(None).await
    }

    #[tracing::instrument(name = "db.registry_queries.hooks_state", skip_all)]
    async fn hooks_state(&self) -> Result<HooksState, StoreError> {
        let pool = self.pool.clone();
        let read = move |askers: Vec<()>| {
            let pool = pool.clone();
            async move {
                let read = sqlx::query!(
                    r#"select name, live_release_id, md5(contract::text) as "contract_hash!" from hooks order by name"#
                )
                .fetch_all(&pool)
                .await;
                match read {
                    Ok(rows) => {
                        let parts = rows
                            .iter()
                            .map(|row| (row.name.as_str(), row.live_release_id, row.contract_hash.as_str()));
                        Some(vec![state(parts); askers.len()])
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the state of the hooks could not be read for all who asked");
                        None
                    }
                }
            }
        };
        match self.hooks_state.get((), read).await {
            Some(state) => Ok(state),
            // With the reason, for this caller.
            None => Ok(self.summaries(None).await?.0),
        }
    }

    #[tracing::instrument(name = "db.registry_queries.hook", skip_all, fields(hook = %name))]
    async fn hook(&self, name: &HookName) -> Result<Option<HookSummary>, StoreError> {
        Ok(self.summaries(Some(name.as_str())).await?.1.pop())
    }

    #[tracing::instrument(name = "db.registry_queries.releases", skip_all, fields(hook = %name))]
    async fn releases(&self, name: &HookName) -> Result<Vec<HookRelease>, StoreError> {
        let rows = releases!("where r.hook_name = $1 order by r.version desc", name.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.into_iter().map(ReleaseRow::release).collect()
    }

    #[tracing::instrument(name = "db.registry_queries.release", skip_all, fields(hook = %name, version = %version))]
    async fn release(
        &self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<(HookRelease, bool)>, StoreError> {
        self.releases.read(&self.pool, name, version).await
    }

    #[tracing::instrument(name = "db.registry_queries.live_moves", skip_all, fields(hook = %name))]
    async fn live_moves(
        &self,
        name: &HookName,
        before: Option<u32>,
        most: u32,
    ) -> Result<Vec<LiveMove>, StoreError> {
        let rows = sqlx::query_as!(
            MoveRow,
            r#"select m.move as number, f.version as "from_version?", t.version as to_version, m.reason, m.moved_by_user_id, m.moved_by_service_account_id, m.moved_at
               from hook_live_moves m join hook_releases t on t.id = m.to_release_id left join hook_releases f on f.id = m.from_release_id
               where m.hook_name = $1 and m.move < $2 order by m.move desc limit $3"#,
            name.as_str(),
            before.and_then(|b| i32::try_from(b).ok()).unwrap_or(i32::MAX),
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(MoveRow::live_move).collect()
    }

    #[tracing::instrument(name = "db.registry_queries.live_at", skip_all, fields(hook = %name))]
    async fn live_at(
        &self,
        name: &HookName,
        at: Option<OffsetDateTime>,
    ) -> Result<(OffsetDateTime, Option<(LiveMove, HookRelease)>), StoreError> {
        // Now means the last move, regardless of the clock: a clock that was set back must not hide it.
        let until = at;
        let at = match at {
            Some(at) => at,
            None => sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
                .fetch_one(&self.pool)
                .await
                .map_err(store_error)?,
        };
        let row = sqlx::query_as!(
            MoveRow,
            r#"select m.move as number, f.version as "from_version?", t.version as to_version, m.reason, m.moved_by_user_id, m.moved_by_service_account_id, m.moved_at
               from hook_live_moves m join hook_releases t on t.id = m.to_release_id left join hook_releases f on f.id = m.from_release_id
               where m.hook_name = $1 and ($2::timestamptz is null or m.moved_at <= $2) order by m.move desc limit 1"#,
            name.as_str(),
            until
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok((at, None)) };
        let moved = row.live_move()?;
        let release = self.release(name, moved.to).await?;
        let (release, _) =
            release.ok_or_else(|| StoreError::corrupt("hook_live_moves", "a move to no release"))?;
        Ok((at, Some((moved, release))))
    }

    #[tracing::instrument(name = "db.registry_queries.schema", skip_all)]
    async fn schema(&self, reference: &SchemaRef) -> Result<Option<(Schema, OffsetDateTime)>, StoreError> {
        let row = sqlx::query_as!(
            SchemaRow,
            "select id, version, title, fields, created_at from schemas where id = $1 and version = $2",
            reference.id.as_str(),
            reference.version.to_string()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        row.map(SchemaRow::schema).transpose()
    }

    #[tracing::instrument(name = "db.registry_queries.schemas", skip_all)]
    async fn schemas(&self) -> Result<Vec<(Schema, OffsetDateTime)>, StoreError> {
        let rows = sqlx::query_as!(
            SchemaRow,
            "select id, version, title, fields, created_at from schemas order by created_at desc, id, version"
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(SchemaRow::schema).collect()
    }

    #[tracing::instrument(name = "db.registry_queries.conventions", skip_all)]
    async fn conventions(&self) -> Result<Vec<Convention>, StoreError> {
        let rows = sqlx::query_as!(
            ConventionRow,
            r#"select slug, title, description, schema_id, schema_version, file_requirements, ingester, docs, curation, created_at,
                 array(select hook_name from convention_hooks where convention_slug = slug order by position) as "hooks!"
               from conventions order by created_at desc, slug"#
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(ConventionRow::convention).collect()
    }

    #[tracing::instrument(name = "db.registry_queries.convention", skip_all, fields(convention = %slug))]
    async fn convention(&self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError> {
        let row = sqlx::query_as!(
            ConventionRow,
            r#"select slug, title, description, schema_id, schema_version, file_requirements, ingester, docs, curation, created_at,
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
