//! Tables by path; the suffix of the path selects the format (WC-7.1).

mod csv;
mod page;
mod params;
mod parquet;

use app::views::{RowStream, TableColumn};
use domain::Cell;
use futures::{StreamExt as _, TryStreamExt as _};
use poem::http::StatusCode;
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, payload::Payload};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tracing::Instrument as _;

use crate::http::problem::Problem;

pub(crate) use page::RenderedPage;
pub(crate) use params::{TableParams, TableQuery, TableQueryBody, moment};

/// Format in which a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One page as JSON.
    Page,
    /// The whole table as CSV.
    Csv,
    /// The whole table as gzip-compressed CSV.
    CsvGz,
    /// The whole table as Parquet.
    Parquet,
}

impl Format {
    const CSV: &'static str = "text/csv; charset=utf-8";
    const GZIP: &'static str = "application/gzip";
    const PARQUET: &'static str = "application/vnd.apache.parquet";

    const fn content_type(self) -> &'static str {
        match self {
            Self::Page => RenderedPage::CONTENT_TYPE,
            Self::Csv => Self::CSV,
            Self::CsvGz => Self::GZIP,
            Self::Parquet => Self::PARQUET,
        }
    }

    /// Splits a path into the table's name and the format that its suffix selects. Hook names contain no dot.
    pub(crate) fn of(path: &str) -> (&str, Self) {
        for (ending, format) in [
            (".csv.gz", Self::CsvGz),
            (".csv", Self::Csv),
            (".parquet", Self::Parquet),
        ] {
            if let Some(name) = path.strip_suffix(ending) {
                return (name, format);
            }
        }
        (path, Self::Page)
    }
}

/// A table in one of its formats.
pub(crate) enum TableResponse {
    Page(RenderedPage),
    Whole { content_type: &'static str, body: Body },
}

impl IntoResponse for TableResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Whole { content_type, body } => Response::builder().content_type(content_type).body(body),
        }
    }
}

/// Written by hand: the derive gives a status one media type. Of two variants with one status, the document keeps the
/// last.
impl ApiResponse for TableResponse {
    fn meta() -> MetaResponses {
        let page = MetaMediaType {
            content_type: RenderedPage::CONTENT_TYPE,
            schema: RenderedPage::schema_ref(),
        };
        let whole = [Format::CSV, Format::GZIP, Format::PARQUET].map(|content_type| MetaMediaType {
            content_type,
            schema: String::schema_ref(),
        });
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A page; with a suffix, the whole table.",
                status: Some(200),
                status_range: None,
                content: std::iter::once(page).chain(whole).collect(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        <RenderedPage as Payload>::register(registry);
    }
}

/// A response that is a whole table in one format.
pub(crate) trait WholeTable: From<Body> {
    /// The format.
    const FORMAT: Format;
}

macro_rules! whole_tables {
    ($($(#[$doc:meta])* $name:ident: $format:expr, $what:literal;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name(Body);

        impl From<Body> for $name {
            fn from(body: Body) -> Self {
                Self(body)
            }
        }

        impl WholeTable for $name {
            const FORMAT: Format = $format;
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                Response::builder().content_type(Self::FORMAT.content_type()).body(self.0)
            }
        }

        impl ApiResponse for $name {
            fn meta() -> MetaResponses {
                let content = MetaMediaType {
                    content_type: Self::FORMAT.content_type(),
                    schema: String::schema_ref(),
                };
                MetaResponses {
                    responses: vec![MetaResponse {
                        description: $what,
                        status: Some(200),
                        status_range: None,
                        content: vec![content],
                        headers: Vec::new(),
                    }],
                }
            }
            fn register(_registry: &mut Registry) {}
        }
    )+};
}
whole_tables! {
    /// The whole table as CSV.
    CsvTable: Format::Csv, "The whole table as CSV.";
    /// The whole table as gzip-compressed CSV.
    GzipTable: Format::CsvGz, "The whole table as gzip-compressed CSV.";
    /// The whole table as Parquet.
    ParquetTable: Format::Parquet, "The whole table as Parquet.";
}

/// A page has one media type where the path accepts no suffix.
impl ApiResponse for RenderedPage {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A page.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: Self::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }
}

/// Streams a whole table in `format`, encoded on these threads.
pub(crate) fn whole(
    format: Format,
    columns: &[TableColumn],
    rows: RowStream,
    threads: &Handle,
) -> Result<Body, Problem> {
    let pieces = match format {
        Format::Parquet => {
            let encoder = parquet::Parquet::new(columns).map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot start a Parquet file"
                );
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal_error",
                    "internal server error; the fault was logged",
                )
            })?;
            encoded(rows, encoder, threads)
        }
        Format::CsvGz => encoded(rows, csv::CsvGz::new(columns), threads),
        Format::Csv | Format::Page => encoded(rows, csv::Csv::new(columns), threads),
    };
    // A failure midway ends the connection without the final chunk, so the client sees the table as incomplete.
    Ok(Body::from_bytes_stream(pieces))
}

/// The chunks of a whole table.
type Pieces = futures::stream::BoxStream<'static, Result<Vec<u8>, std::io::Error>>;

/// Encodes rows in one format.
trait Encoder: Send + 'static {
    /// Returns the bytes of these rows, with the header before the first ones. May be empty.
    fn rows(&mut self, rows: &[Vec<Cell>]) -> std::io::Result<Vec<u8>>;
    /// Returns the last bytes.
    fn end(self) -> std::io::Result<Vec<u8>>;
}

/// The number of encoded chunks that wait for their way to the client.
const AHEAD: usize = 2;

/// Streams a table through an encoder, chunk by chunk.
///
/// Encoding keeps a processor busy (a row group of Parquet for many milliseconds), so it happens on threads of its own,
/// and those that answer requests only pass the bytes on.
fn encoded(rows: RowStream, encoder: impl Encoder, threads: &Handle) -> Pieces {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    let encoding = async move {
        match encode(rows, encoder, &sender).await {
            // The reader left.
            Ok(None) => {}
            Ok(Some(last)) => {
                let _ = sender.send(Piece::Last(last)).await;
            }
            Err(error) => {
                let _ = sender.send(Piece::Failed(error)).await;
            }
        }
    };
    drop(threads.spawn(encoding.in_current_span()));
    futures::stream::try_unfold(Some(receiver), |receiver| async move {
        let Some(mut receiver) = receiver else {
            return Ok(None);
        };
        match receiver.recv().await {
            Some(Piece::Next(bytes)) => Ok(Some((bytes, Some(receiver)))),
            Some(Piece::Last(bytes)) => Ok(Some((bytes, None))),
            Some(Piece::Failed(error)) => Err(error),
            // Otherwise the client would take the rows so far for the whole table.
            None => Err(std::io::Error::other("encoding the table broke off")),
        }
    })
    .try_filter(|piece| std::future::ready(!piece.is_empty()))
    .boxed()
}

/// What the encoding task says.
enum Piece {
    Next(Vec<u8>),
    Last(Vec<u8>),
    Failed(std::io::Error),
}

/// Returns the last bytes, after sending all before them; `None` if the reader left.
async fn encode(
    mut rows: RowStream,
    mut encoder: impl Encoder,
    to: &Sender<Piece>,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        let chunk = tokio::select! {
            chunk = rows.next() => chunk,
            // Noticed even before the first row is there.
            () = to.closed() => return Ok(None),
        };
        let Some(chunk) = chunk else {
            return encoder.end().map(Some);
        };
        let chunk = chunk.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "reading a table failed midway"
            );
            std::io::Error::other("reading the table failed midway")
        })?;
        if to.send(Piece::Next(encoder.rows(&chunk)?)).await.is_err() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_chooses_the_form() {
        assert_eq!(Format::of("records"), ("records", Format::Page));
        assert_eq!(Format::of("shape.csv"), ("shape", Format::Csv));
        assert_eq!(Format::of("shape.csv.gz"), ("shape", Format::CsvGz));
        assert_eq!(Format::of("records.parquet"), ("records", Format::Parquet));
    }
}
