//! `/depositions`: drafts, their files and metadata, and submission (WC-1.5).

use std::collections::BTreeMap;
use std::sync::Arc;

use app::Failure;
use app::views::{ByteStream, DepositionFile, DepositionView};
use auth::act;
use domain::{ConventionSlug, Invalid};
use poem::http::StatusCode;
use poem::{Body as RawBody, IntoResponse, Response};
use poem_openapi::param::Path;
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::MetaSchemaRef;
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::http::render::model_time;
use crate::http::upload::Upload;
use crate::registry::conventions::{TemplateResponse, template_of};
use crate::services::Services;

#[derive(Tags)]
pub(crate) enum Tag {
    /// Drafts of records, with their files and metadata.
    Depositions,
}

pub(crate) struct DepositionsApi(pub(crate) Arc<Services>);

/// `POST /depositions`.
#[derive(Debug, Object)]
#[oai(rename = "NewDepositionBody")]
struct NewBody {
    /// Slug of the convention.
    convention_id: String,
}

/// A new draft.
#[derive(Debug, Object)]
struct NewDeposition {
    srn: String,
}

#[derive(Debug, ApiResponse)]
enum CreateResponse {
    /// Created.
    #[oai(status = 201)]
    Created(Json<NewDeposition>),
}

/// A file of a deposition.
#[derive(Debug, Object)]
#[oai(rename = "DepositionFile")]
struct File {
    name: String,
    /// Size in bytes.
    size: u64,
    /// `sha256:` and the hash in hexadecimal.
    checksum: String,
    /// Always `null`: the type that a client declares is unverified.
    content_type: Option<String>,
    uploaded_at: String,
}

impl From<DepositionFile> for File {
    fn from(file: DepositionFile) -> Self {
        Self {
            name: file.name.as_str().to_owned(),
            size: file.bytes,
            checksum: format!("sha256:{}", domain::registry::digest::hex(&file.sha256)),
            content_type: None,
            uploaded_at: model_time(file.uploaded_at),
        }
    }
}

/// An uploaded file.
#[derive(Debug, Object)]
struct UploadedFileBody {
    file: File,
}

/// A deposition in a list.
#[derive(Debug, Object)]
struct DepositionSummary {
    srn: String,
    convention_id: String,
    /// `draft`, `in_validation`, `in_review` or `accepted`.
    status: String,
    file_count: u64,
    created_at: String,
    updated_at: String,
}

/// The newest depositions that the caller may read, at most 1000.
#[derive(Debug, Object)]
struct DepositionList {
    items: Vec<DepositionSummary>,
    /// Total number of depositions that the caller may read.
    total: u64,
}

/// The result of the newest submission.
#[derive(Debug, Object)]
#[oai(rename = "DepositionValidation")]
struct Validation {
    /// Id for `/validation/runs/{id}`.
    run_id: String,
    /// `pending`, `running`, `completed`, `rejected` or `failed`.
    status: String,
    /// Why it did not pass: which hook or curator rejected it, and why.
    reasons: Vec<String>,
}

/// A deposition.
#[derive(Debug, Object)]
#[oai(rename = "Deposition")]
struct Detail {
    srn: String,
    convention_id: String,
    /// `draft`, `in_validation`, `in_review` or `accepted`.
    status: String,
    metadata: BTreeMap<String, Value>,
    files: Vec<File>,
    /// SRN of the published record.
    record_srn: Option<String>,
    created_at: String,
    updated_at: String,
    /// The result of the newest submission; `null` before the first.
    validation: Option<Validation>,
}

/// An empty response body.
#[derive(Debug, Object)]
pub(crate) struct Done {}

/// An invalid field of a spreadsheet.
#[derive(Debug, Object)]
struct SheetError {
    field: String,
    message: String,
}

/// Result of parsing a spreadsheet.
#[derive(Debug, Object)]
struct SheetResult {
    metadata: BTreeMap<String, Value>,
    warnings: Vec<String>,
    /// Empty if the metadata was stored.
    errors: Vec<SheetError>,
}

/// Result of filling a draft from a spreadsheet.
#[derive(Debug, Object)]
struct FilledBody {
    parse_result: SheetResult,
}

/// A file, as a stream.
struct FileContent(ByteStream);

impl Payload for FileContent {
    const CONTENT_TYPE: &'static str = "application/octet-stream";
    fn schema_ref() -> MetaSchemaRef {
        poem_openapi::types::Binary::<Vec<u8>>::schema_ref()
    }
}

impl IntoResponse for FileContent {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(Self::CONTENT_TYPE)
            .header("X-Content-Type-Options", "nosniff")
            .body(RawBody::from_bytes_stream(self.0))
    }
}

#[derive(ApiResponse)]
enum FileResponse {
    /// The file.
    #[oai(status = 200)]
    Content(
        FileContent,
        #[oai(header = "Content-Disposition")] String,
        #[oai(header = "Content-Length")] u64,
    ),
}

/// Returns the `Content-Disposition` of a download under the file's own name (RFC 6266, 4.3; RFC 8187).
fn attachment(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-() ".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let encoded: String = name
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"._-~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

impl DepositionsApi {
    fn summary(&self, found: &DepositionView) -> DepositionSummary {
        DepositionSummary {
            srn: found.id.srn(&self.0.node.domain),
            convention_id: found.convention.to_string(),
            status: found.status.as_str().to_owned(),
            file_count: found.file_count,
            created_at: model_time(found.created_at),
            updated_at: model_time(found.updated_at),
        }
    }
}

#[OpenApi(tag = "Tag::Depositions")]
impl DepositionsApi {
    /// Create a draft.
    #[oai(path = "/depositions", method = "post", operation_id = "createDeposition")]
    async fn create(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        body: Body<NewBody>,
    ) -> Result<CreateResponse, Problem> {
        let convention: ConventionSlug = body
            .0
            .convention_id
            .parse()
            .map_err(|e: Invalid| Problem::invalid(&e.of_field("convention_id"), "body"))?;
        let id = self
            .0
            .deposit
            .create_deposition
            .run(permit, convention)
            .await?
            .into_inner();
        Ok(CreateResponse::Created(Json(NewDeposition {
            srn: id.srn(&self.0.node.domain),
        })))
    }

    /// List the caller's depositions. Curators see those of all users.
    #[oai(path = "/depositions", method = "get", operation_id = "listDepositions")]
    async fn list(&self, Gate(permit): Gate<act::UseDepositions>) -> Result<Json<DepositionList>, Problem> {
        let (items, total) = self.0.deposit.read_depositions.list(permit).await?;
        Ok(Json(DepositionList {
            items: items.iter().map(|found| self.summary(found)).collect(),
            total,
        }))
    }

    /// Get a deposition, as its owner or a curator.
    #[oai(path = "/depositions/:srn", method = "get", operation_id = "getDeposition")]
    async fn get(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
    ) -> Result<Json<Detail>, Problem> {
        let (found, files) = self.0.deposit.read_depositions.get(&permit, &srn.0).await?;
        let summary = self.summary(&found);
        Ok(Json(Detail {
            srn: summary.srn,
            convention_id: summary.convention_id,
            status: summary.status,
            metadata: found.metadata.into_iter().collect(),
            files: files.into_iter().map(Into::into).collect(),
            record_srn: found.record.map(|srn| srn.to_string()),
            created_at: summary.created_at,
            updated_at: summary.updated_at,
            validation: found.submission.map(|(run, status, reasons)| Validation {
                run_id: run.to_string(),
                status: status.as_str().to_owned(),
                reasons,
            }),
        }))
    }

    /// Replace a draft's metadata. It is validated when the draft is submitted.
    #[oai(
        path = "/depositions/:srn/metadata",
        method = "patch",
        operation_id = "setDepositionMetadata"
    )]
    async fn set_metadata(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
        body: Body<BTreeMap<String, Value>>,
    ) -> Result<Json<Done>, Problem> {
        let metadata = body.0.into_iter().collect();
        self.0
            .deposit
            .edit_deposition
            .set_metadata(permit, &srn.0, metadata)
            .await?
            .into_inner();
        Ok(Json(Done {}))
    }

    /// Upload a file. A file with the same name is replaced.
    #[oai(
        path = "/depositions/:srn/files",
        method = "post",
        operation_id = "uploadDepositionFile"
    )]
    async fn upload(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
        form: Upload,
    ) -> Result<Json<UploadedFileBody>, Problem> {
        let ticket = self.0.deposit.upload_file.begin(permit, &srn.0).await?;
        let file = form.file().await?;
        let stored = self
            .0
            .deposit
            .upload_file
            .run(&ticket, &file.name, file.content)
            .await?;
        Ok(Json(UploadedFileBody { file: stored.into() }))
    }

    /// Download a file, as the deposition's owner or a curator.
    #[oai(
        path = "/depositions/:srn/files/:filename",
        method = "get",
        operation_id = "downloadDepositionFile"
    )]
    async fn download(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
        filename: Path<String>,
    ) -> Result<FileResponse, Problem> {
        let (file, content) = self
            .0
            .deposit
            .read_depositions
            .file(&permit, &srn.0, &filename.0)
            .await?;
        Ok(FileResponse::Content(
            FileContent(content),
            attachment(file.name.as_str()),
            file.bytes,
        ))
    }

    /// Delete a file of a draft.
    #[oai(
        path = "/depositions/:srn/files/:filename",
        method = "delete",
        operation_id = "deleteDepositionFile"
    )]
    async fn delete(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
        filename: Path<String>,
    ) -> Result<Json<Done>, Problem> {
        self.0
            .deposit
            .edit_deposition
            .delete_file(permit, &srn.0, &filename.0)
            .await?;
        Ok(Json(Done {}))
    }

    /// Fill a draft's metadata from a completed template.
    ///
    /// Row 1 holds the field names, row 2 their descriptions, row 3 the record. The metadata is stored only if there
    /// are no errors.
    #[oai(
        path = "/depositions/:srn/spreadsheet",
        method = "post",
        operation_id = "fillDepositionFromSpreadsheet"
    )]
    async fn spreadsheet(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
        form: Upload,
    ) -> Result<Json<FilledBody>, Problem> {
        let ticket = self.0.deposit.upload_file.begin(permit, &srn.0).await?;
        let share = self.0.memory.share(form.client());
        let room = share.reserve(crate::deposit::sheet::memory(form.size())).await;
        let room = room.map_err(Failure::from)?;
        let bytes = form.file().await?.bytes(crate::deposit::sheet::MAX_BYTES).await?;
        let sheet = tokio::task::spawn_blocking(move || {
            // Reading goes on when the client has left.
            let _room = room;
            crate::deposit::sheet::read(&bytes)
        })
        .await;
        let sheet = sheet.map_err(|error| {
            tracing::error!(%error, "reading a spreadsheet failed");
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "VALIDATION_ERROR",
                "the file is not a readable workbook",
            )
        })?;
        let sheet = sheet.map_err(|e| Problem::invalid(&e, "body"))?;
        let filled = self.0.deposit.fill_from_spreadsheet.run(&ticket, &sheet).await?;
        Ok(Json(FilledBody {
            parse_result: SheetResult {
                metadata: filled.metadata.into_iter().collect(),
                warnings: filled.warnings,
                errors: filled
                    .errors
                    .into_iter()
                    .map(|(field, message)| SheetError { field, message })
                    .collect(),
            },
        }))
    }

    /// Download the spreadsheet template of a deposition's convention.
    #[oai(
        path = "/depositions/:srn/template",
        method = "get",
        operation_id = "getDepositionTemplate"
    )]
    async fn template(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
    ) -> Result<TemplateResponse, Problem> {
        let (title, schema) = self.0.deposit.read_depositions.schema(&permit, &srn.0).await?;
        template_of(&title, &schema)
    }

    /// Submit a draft. Its metadata is validated, every fault is reported, and its hooks run over it.
    #[oai(
        path = "/depositions/:srn/submit",
        method = "post",
        operation_id = "submitDeposition"
    )]
    async fn submit(
        &self,
        Gate(permit): Gate<act::UseDepositions>,
        srn: Path<String>,
    ) -> Result<Json<Done>, Problem> {
        self.0
            .deposit
            .submit_deposition
            .run(permit, &srn.0)
            .await?
            .into_inner();
        Ok(Json(Done {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_in_a_header_stays_in_it() {
        assert_eq!(
            attachment("a\"b\r\nc é.cif"),
            "attachment; filename=\"a_b__c _.cif\"; filename*=UTF-8''a%22b%0D%0Ac%20%C3%A9.cif"
        );
    }
}
