//! `multipart/form-data` with one file (RFC 7578), read as a stream: a file is never held in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, ready};

use app::views::ByteStream;
use domain::Invalid;
use futures::StreamExt as _;
use futures::stream::{poll_fn, try_unfold};
use poem::http::{StatusCode, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::http::query::refused_body;

/// Name of the form field that holds the file.
const FIELD: &str = "file";

/// Maximum number of bytes of a form besides its file.
const MAX_OUTSIDE: usize = 64 * 1024;

/// A form with a file, of which nothing has been read yet.
pub(crate) struct Upload {
    form: multer::Multipart<'static>,
    outside: Arc<Outside>,
    /// The size of the form, in bytes, if its sender tells it.
    size: Option<u64>,
    /// The name of its sender.
    client: String,
}

/// Counts what is read of a form besides its file, before and after it. The reader of the file limits the file's size.
#[derive(Debug, Default)]
struct Outside {
    in_file: AtomicBool,
    bytes: AtomicUsize,
}

impl Outside {
    /// Counts a piece. Part of the last one before the file may be the file's.
    fn count(&self, piece: usize) -> io::Result<()> {
        if self.in_file.load(Ordering::Relaxed)
            || self.bytes.fetch_add(piece, Ordering::Relaxed) <= MAX_OUTSIDE
        {
            return Ok(());
        }
        let why = format!("it has more than {MAX_OUTSIDE} bytes besides its file");
        Err(io::Error::other(why))
    }

    fn file_begins(&self) {
        self.in_file.store(true, Ordering::Relaxed);
    }

    fn file_ends(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.in_file.store(false, Ordering::Relaxed);
    }
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
        let outside = Arc::<Outside>::default();
        let counted = Arc::clone(&outside);
        // multer buffers its input until it finds a boundary or the end of a part's headers: without this limit, a
        // whole body that has none.
        // It also takes pieces until none is ready, and only then looks at what it has: pieces of the file, which are
        // ready at once in a compressed form, would count as what is before it.
        let mut pieces = body.take()?.into_bytes_stream().boxed();
        let mut has_one = false;
        let stream = poll_fn(move |cx| {
            if std::mem::take(&mut has_one) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let piece = ready!(pieces.poll_next_unpin(cx));
            has_one = piece.is_some();
            Poll::Ready(piece.map(|piece| {
                let piece = piece?;
                counted.count(piece.len())?;
                Ok::<_, io::Error>(piece)
            }))
        });
        let size = request.headers().get(header::CONTENT_LENGTH);
        Ok(Self {
            form: multer::Multipart::new(stream, boundary),
            outside,
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

    /// Returns the file: the form's field `file`. Other fields are skipped; a second file is an error at the end of the
    /// first, because it would be lost.
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
            self.outside.file_begins();
            return Ok(UploadedFile {
                name,
                content: content(self.form, field, self.outside),
            });
        }
        Err(refused_body(
            FIELD,
            Invalid::value("is required, but the form has no such part"),
        ))
    }
}

/// Returns the content of a file, and reads the form to its end.
fn content(
    form: multer::Multipart<'static>,
    file: multer::Field<'static>,
    outside: Arc<Outside>,
) -> ByteStream {
    let pieces = try_unfold(
        (form, file, outside),
        |(mut form, mut file, outside)| async move {
            if let Some(piece) = file.chunk().await.map_err(io::Error::other)? {
                return Ok(Some((piece, (form, file, outside))));
            }
            // The form goes on when its field is gone.
            drop(file);
            outside.file_ends();
            while let Some(field) = form.next_field().await.map_err(io::Error::other)? {
                if field.name() == Some(FIELD) {
                    return Err(io::Error::other("the form has two files, and takes one"));
                }
            }
            Ok(None)
        },
    );
    pieces.boxed()
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
