//! `multipart/form-data` with one file (RFC 7578), read as a stream: a file is never held in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use app::views::ByteStream;
use domain::Invalid;
use futures::{StreamExt as _, TryStreamExt as _};
use poem::http::{StatusCode, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::http::query::refused_body;

/// Name of the form field that holds the file.
const FIELD: &str = "file";

/// Maximum number of bytes of a form before its file.
const MAX_OUTSIDE: usize = 64 * 1024;

/// A form with a file, of which nothing has been read yet.
pub(crate) struct Upload {
    form: multer::Multipart<'static>,
    /// Whether the file is being read; the reader limits its size.
    in_file: Arc<AtomicBool>,
    /// The size of the form, in bytes, if its sender tells it.
    size: Option<u64>,
    /// The name of its sender.
    client: String,
}

/// The file of a form.
pub(crate) struct UploadedFile {
    /// File name from the client.
    pub(crate) name: String,
    /// Its content.
    pub(crate) content: ByteStream,
}

impl<'a> ApiExtractor<'a> for Upload {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(_registry: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        let file = MetaSchema {
            description: Some("The file and its file name."),
            ..MetaSchema::new_with_format("string", "binary")
        };
        let form = MetaSchema {
            properties: vec![(FIELD, MetaSchemaRef::Inline(Box::new(file)))],
            required: vec![FIELD],
            ..MetaSchema::new("object")
        };
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "multipart/form-data",
                schema: MetaSchemaRef::Inline(Box::new(form)),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be multipart/form-data, with its boundary in Content-Type",
            )
        })?;
        let in_file = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&in_file);
        let mut outside = 0;
        // multer buffers its input until it finds a boundary or the end of a part's headers: without this limit, a
        // whole body that has none.
        let stream = body.take()?.into_bytes_stream().map(move |piece| {
            let piece = piece?;
            if !seen.load(Ordering::Relaxed) {
                if outside > MAX_OUTSIDE {
                    let why = format!("it has more than {MAX_OUTSIDE} bytes before its file");
                    return Err(std::io::Error::other(why));
                }
                outside += piece.len();
            }
            Ok(piece)
        });
        let size = request.headers().get(header::CONTENT_LENGTH);
        Ok(Self {
            form: multer::Multipart::new(stream, boundary),
            in_file,
            size: size.and_then(|size| size.to_str().ok()?.parse().ok()),
            client: Client::named(request).to_owned(),
        })
    }
}

impl Upload {
    /// Returns the size of the form, in bytes, if its sender tells it. Its file has at most as many.
    pub(crate) const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the name of the client that sends it.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// Returns the file: the form's field `file`. Fields before it are skipped; fields after it are not read.
    pub(crate) async fn file(mut self) -> Result<UploadedFile, Problem> {
        let broken = |e: multer::Error| {
            // For a stream that ended early only the source error holds the cause.
            let why = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            refused_body(FIELD, Invalid::value(format!("reading the form failed: {why}")))
        };
        while let Some(field) = self.form.next_field().await.map_err(broken)? {
            if field.name() != Some(FIELD) {
                continue;
            }
            let Some(name) = field.file_name().map(ToOwned::to_owned) else {
                let why = "must be a file: its part of the form must have a filename";
                return Err(refused_body(FIELD, Invalid::value(why)));
            };
            // The form must outlive its field.
            self.in_file.store(true, Ordering::Relaxed);
            let form = self.form;
            let content = field.map_err(std::io::Error::other).map(move |piece| {
                let _ = &form;
                piece
            });
            return Ok(UploadedFile {
                name,
                content: content.boxed(),
            });
        }
        Err(refused_body(
            FIELD,
            Invalid::value("is required, but the form has no such part"),
        ))
    }
}

impl UploadedFile {
    /// Reads the whole content, at most `most` bytes.
    pub(crate) async fn bytes(mut self, most: u64) -> Result<Vec<u8>, Problem> {
        let mut all = Vec::new();
        while let Some(piece) = self.content.next().await {
            let piece = piece.map_err(|e| {
                let why = format!("the upload ended unexpectedly: {e}");
                refused_body(FIELD, Invalid::value(why))
            })?;
            if (all.len() + piece.len()) as u64 > most {
                return Err(refused_body(
                    FIELD,
                    Invalid::value(format!("has more than {most} bytes")),
                ));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
