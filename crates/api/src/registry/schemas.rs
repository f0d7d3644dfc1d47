//! `/schemas` (WC-1.3).

use std::sync::Arc;

use auth::act;
use domain::{Invalid, Schema, SchemaRef};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};
use time::OffsetDateTime;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::http::render::model_time;
use crate::registry::wire::{WireField, WireSchemaId};
use crate::registry::wire_deploy::{self, SchemaBlock};
use crate::services::Services;

#[derive(Tags)]
enum Tag {
    /// Schemas of records.
    Schemas,
}

pub(crate) struct SchemasApi(pub(crate) Arc<Services>);

/// `POST /schemas`.
#[derive(Debug, Object)]
struct NewSchemaBody {
    /// Id of the schema, without the version.
    id: String,
    title: String,
    /// Version of the schema (semantic versioning).
    version: String,
    fields: Vec<WireField>,
}

/// A schema version in a list.
#[derive(Debug, Object)]
struct SchemaSummary {
    id: WireSchemaId,
    title: String,
    field_count: u64,
    created_at: String,
}

/// Schema versions, newest first.
#[derive(Debug, Object)]
struct SchemaList {
    items: Vec<SchemaSummary>,
}

/// A schema version with its fields.
#[derive(Debug, Object)]
struct SchemaDetail {
    id: WireSchemaId,
    title: String,
    fields: Vec<WireField>,
    created_at: String,
}

#[derive(Debug, ApiResponse)]
enum RegisterResponse {
    /// The schema is registered.
    #[oai(status = 201)]
    Created(Json<SchemaSummary>),
}

fn summary(schema: Schema, at: OffsetDateTime) -> SchemaSummary {
    SchemaSummary {
        id: (&schema.reference).into(),
        title: schema.title,
        field_count: schema.fields.len() as u64,
        created_at: model_time(at),
    }
}

#[OpenApi(tag = "Tag::Schemas")]
impl SchemasApi {
    /// Register a schema version.
    ///
    /// A deployed convention registers its own schema; use this operation for a schema without a convention. Its
    /// records table is created at once.
    #[oai(path = "/schemas", method = "post", operation_id = "registerSchema")]
    async fn register(
        &self,
        Gate(permit): Gate<act::WriteSchemas>,
        body: Body<NewSchemaBody>,
    ) -> Result<RegisterResponse, Problem> {
        let body = body.0;
        if body.title.trim().is_empty() {
            let rule = Invalid::value("must not be blank").of_field("title");
            return Err(Problem::invalid(&rule, "body"));
        }
        let block = SchemaBlock {
            id: body.id,
            version: body.version,
            fields: body.fields,
        };
        let schema = wire_deploy::schema(block, &body.title).map_err(|e| Problem::invalid(&e, "body"))?;
        let at = self
            .0
            .registry
            .register_schema
            .run(permit, &schema)
            .await?
            .into_inner();
        Ok(RegisterResponse::Created(Json(summary(schema, at))))
    }

    /// List schema versions, newest first.
    #[oai(path = "/schemas", method = "get", operation_id = "listSchemas")]
    async fn list(&self, Gate(permit): Gate<act::ReadSchemas>) -> Result<Json<SchemaList>, Problem> {
        let all = self.0.registry.read_schemas.list(permit).await?;
        Ok(Json(SchemaList {
            items: all.into_iter().map(|(schema, at)| summary(schema, at)).collect(),
        }))
    }

    /// Get a schema version.
    #[oai(path = "/schemas/:schema", method = "get", operation_id = "getSchema")]
    async fn get(
        &self,
        Gate(permit): Gate<act::ReadSchemas>,
        /// `id@version`.
        schema: Path<String>,
    ) -> Result<Json<SchemaDetail>, Problem> {
        // The fault concerns the whole parameter, not a part of it: the client sent one parameter.
        let reference: SchemaRef = schema.0.parse().map_err(|e: Invalid| {
            let rule = e.faults.first().map_or_else(String::new, |f| f.message.clone());
            Problem::invalid(&Invalid::value(rule).of_field("schema"), "path")
        })?;
        let (schema, at) = self.0.registry.read_schemas.get(permit, &reference).await?;
        Ok(Json(SchemaDetail {
            id: (&schema.reference).into(),
            title: schema.title,
            fields: schema.fields.iter().map(Into::into).collect(),
            created_at: model_time(at),
        }))
    }
}
