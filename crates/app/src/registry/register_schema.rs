//! `POST /schemas`: a schema version without a convention, with its metadata table (WC-D23).

use std::sync::Arc;

use auth::{Permit, act};
use domain::registry::convention::ConventionError;
use domain::{Actor, Event, FieldDefinition, Schema, SchemaId};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::registry::deploy::settle_schema;
use crate::retry::retried;

/// Registers schemas.
pub struct RegisterSchema {
    store: Arc<dyn Store>,
}

impl RegisterSchema {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Registers a new version; an existing one is refused, even if it is the same. Returns the time of its
    /// registration.
    #[tracing::instrument(name = "app.register_schema", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::WriteSchemas>,
        schema: &Schema,
    ) -> Result<Committed<OffsetDateTime>, Failure> {
        SchemaId::for_new_schema(schema.reference.id.as_str(), schema.reference.version.major())
            .map_err(ConventionError::from)?;
        schema.check()?;
        let actor = permit.actor();
        retried!(self.attempt(&actor, schema))
    }

    async fn attempt(&self, actor: &Actor, schema: &Schema) -> Result<Committed<OffsetDateTime>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let registered = settle_schema(&mut *uow, schema, &[]).await?;
        let at = registered.ok_or_else(|| ConventionError::SchemaExists(schema.reference.clone()))?;
        let (id, version) = (&schema.reference.id, &schema.reference.version);
        uow.schemas()
            .sync_columns(id, version.major(), &schema.fields)
            .await?;
        let fields: Vec<_> = schema.fields.iter().map(FieldDefinition::shown).collect();
        uow.activity()
            .append(&Event {
                kind: "SchemaRegistered",
                subject: format!("schema:{}", schema.reference),
                actor: actor.clone(),
                payload: json!({"schema_id": {"id": id.as_str(), "version": version.to_string()}, "fields": fields}),
            })
            .await?;
        Ok(uow.commit(at).await?)
    }
}
