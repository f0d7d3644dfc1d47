//! Conventions.

use async_trait::async_trait;
use domain::registry::convention::{Convention, DeployPlan};
use domain::{ConventionSlug, Curation, SchemaRef};
use ports::{Conventions, StoreError};
use serde_json::Value;
use time::OffsetDateTime;

use crate::store::rows::{document, json, parsed};
use crate::store::tx::PgTx;

/// A row of `conventions` with its hooks.
pub(crate) struct ConventionRow {
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) schema_id: String,
    pub(crate) schema_version: String,
    pub(crate) file_requirements: Value,
    pub(crate) ingester: Option<Value>,
    pub(crate) docs: Value,
    pub(crate) curation: Option<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) hooks: Vec<String>,
}

impl ConventionRow {
    pub(crate) fn convention(self) -> Result<Convention, StoreError> {
        const TABLE: &str = "conventions";
        Ok(Convention {
            slug: parsed(TABLE, &self.slug)?,
            title: self.title,
            description: self.description,
            schema: SchemaRef {
                id: parsed(TABLE, &self.schema_id)?,
                version: parsed(TABLE, &self.schema_version)?,
            },
            file_requirements: document(TABLE, self.file_requirements)?,
            hooks: self
                .hooks
                .iter()
                .map(|name| parsed(TABLE, name))
                .collect::<Result<_, _>>()?,
            ingester: self.ingester.map(|value| document(TABLE, value)).transpose()?,
            docs: document(TABLE, self.docs)?,
            curation: self
                .curation
                .map_or(Ok(Curation::Automatic), |text| parsed(TABLE, &text))?,
            created_at: self.created_at,
        })
    }
}

#[async_trait]
impl Conventions for PgTx {
    #[tracing::instrument(name = "db.conventions.lock", skip_all, fields(convention = %slug))]
    async fn lock(&mut self, slug: &ConventionSlug) -> Result<(), StoreError> {
        // The row to lock may not exist yet.
        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended('convention:' || $1, 0))",
            slug.as_str()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.conventions.find", skip_all, fields(convention = %slug))]
    async fn find(&mut self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError> {
        let row = sqlx::query_as!(
            ConventionRow,
            r#"select slug, title, description, schema_id, schema_version, file_requirements, ingester, docs, curation, created_at,
                 array(select hook_name from convention_hooks where convention_slug = slug order by position) as "hooks!"
               from conventions where slug = $1"#,
            slug.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(ConventionRow::convention).transpose()
    }

    #[tracing::instrument(name = "db.conventions.put", skip_all)]
    async fn put(&mut self, plan: &DeployPlan) -> Result<Convention, StoreError> {
        let (schema_id, schema_version) = (
            plan.schema.reference.id.as_str(),
            plan.schema.reference.version.to_string(),
        );
        let created_at = sqlx::query_scalar!(
            "insert into conventions (slug, title, description, schema_id, schema_version, file_requirements, ingester, docs, curation)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (slug) do update set title = $2, description = $3, schema_id = $4, schema_version = $5, file_requirements = $6,
               ingester = $7, docs = $8, curation = $9, updated_at = now()
             returning created_at",
            plan.slug.as_str(),
            plan.title,
            plan.description,
            schema_id,
            schema_version,
            json(&plan.file_requirements)?,
            plan.ingester.as_ref().map(json).transpose()?,
            json(&plan.docs)?,
            (plan.curation == Curation::Required).then_some("required"),
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let hooks: Vec<String> = plan.hooks.iter().map(|hook| hook.name.to_string()).collect();
        sqlx::query!(
            "delete from convention_hooks where convention_slug = $1",
            plan.slug.as_str()
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        sqlx::query!(
            "insert into convention_hooks (convention_slug, position, hook_name)
             select $1, position::int, name from unnest($2::text[]) with ordinality as hook (name, position)",
            plan.slug.as_str(),
            &hooks
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        sqlx::query!(
            "insert into schema_features (schema_id, schema_version, hook_name) select $1, $2, name from unnest($3::text[]) as hook (name)
             on conflict do nothing",
            schema_id,
            schema_version,
            &hooks
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(Convention {
            slug: plan.slug.clone(),
            title: plan.title.clone(),
            description: plan.description.clone(),
            schema: plan.schema.reference.clone(),
            file_requirements: plan.file_requirements.clone(),
            hooks: plan.hooks.iter().map(|hook| hook.name.clone()).collect(),
            ingester: plan.ingester.clone(),
            docs: plan.docs.clone(),
            curation: plan.curation,
            created_at,
        })
    }
}
