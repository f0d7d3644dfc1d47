//! Tables by path; the suffix of the path selects the format (WC-7.1).

mod csv;
mod page;
mod parquet;

use app::Failure;
use app::data::read_data::{Page, TableRequest};
use app::views::{RowStream, TableColumn};
use auth::{Permit, act};
use domain::data::cell::parse_timestamp;
use domain::data::lineage::Lineage;
use domain::data::page::clamp_limit;
use domain::data::record::DataError;
use domain::{Cell, Invalid};
use futures::{StreamExt as _, TryStreamExt as _};
use poem::http::StatusCode;
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, payload::Payload};
use serde_json::Value;
use time::OffsetDateTime;

use crate::http::problem::Problem;
use crate::http::query::refused;
use crate::services::Services;

pub(crate) use page::RenderedPage;

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

macro_rules! whole_tables {
    ($($(#[$doc:meta])* $name:ident: $format:expr, $what:literal;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Body);

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                Response::builder().content_type($format.content_type()).body(self.0)
            }
        }

        impl ApiResponse for $name {
            fn meta() -> MetaResponses {
                let content = MetaMediaType {
                    content_type: $format.content_type(),
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

/// A query of a table.
#[derive(Debug, Object)]
pub(crate) struct TableQueryBody {
    /// Only rows that match this filter (WC-7.4).
    filter: Option<Value>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Number of rows per page (1–1000, default 50). Does not apply to whole tables.
    limit: Option<i64>,
    /// `column[:asc|:desc]`; separate several columns by commas. Rows without a value come last.
    sort: Option<String>,
    /// Reads the data that was current at this time (RFC 3339, or a date).
    as_of: Option<String>,
}

/// Parses an RFC 3339 time, or a date, which means its first moment.
pub(crate) fn moment(field: &str, text: &str) -> Result<OffsetDateTime, Problem> {
    // An unescaped `+` in a query arrives as a space.
    let mended = text.trim().replace(' ', "+");
    let read = parse_timestamp(text)
        .or_else(|| parse_timestamp(&mended))
        .or_else(|| parse_timestamp(&format!("{text}T00:00:00Z")));
    read.ok_or_else(|| {
        refused(
            field,
            Invalid::value("must be a date, or a date and time with an offset (RFC 3339)"),
        )
    })
}

/// Validated parameters of a table request.
pub(crate) struct TableParams {
    asked: TableRequest,
    limit: Option<i64>,
    /// Part of the request that holds the parameters: `body` or `query`.
    place: &'static str,
}

impl TableParams {
    /// Checks the parameters of a body.
    pub(crate) fn of_body(body: TableQueryBody) -> Result<Self, Problem> {
        Self::new(body, "body")
    }

    fn new(body: TableQueryBody, place: &'static str) -> Result<Self, Problem> {
        let as_of = body.as_of.filter(|text| !text.is_empty());
        Ok(Self {
            asked: TableRequest {
                filter: body.filter.filter(|filter| !filter.is_null()),
                sort: body.sort,
                as_of: as_of.map(|text| moment("as_of", &text)).transpose()?,
                cursor: body.cursor.filter(|text| !text.is_empty()),
            },
            limit: body.limit,
            place,
        })
    }

    /// Checks the parameters of a query string, in which the filter is JSON text.
    pub(crate) fn of_query(
        filter: Option<String>,
        cursor: Option<String>,
        limit: Option<i64>,
        sort: Option<String>,
        as_of: Option<String>,
    ) -> Result<Self, Problem> {
        let filter = match filter.filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(
                serde_json::from_str(&text)
                    .map_err(|e| refused("filter", Invalid::value(format!("is not valid JSON: {e}"))))?,
            ),
        };
        let body = TableQueryBody {
            filter,
            cursor,
            limit,
            sort,
            as_of,
        };
        Self::new(body, "query")
    }

    /// Reads a page of a table: `records`, or the table of a hook.
    pub(crate) async fn page(
        &self,
        services: &Services,
        permit: &Permit<act::ReadData>,
        schema: &str,
        name: &str,
    ) -> Result<Page, Problem> {
        let feature = Some(name).filter(|name| *name != "records");
        let page =
            services
                .data
                .read_data
                .page(permit, schema, feature, &self.asked, clamp_limit(self.limit));
        page.await.map_err(|e| self.refusal(&e))
    }

    /// Reads the provenance of a page.
    pub(crate) async fn lineage(
        &self,
        services: &Services,
        permit: &Permit<act::ReadProvenance>,
        read: &Permit<act::ReadData>,
        table: (&str, &str),
    ) -> Result<Lineage, Problem> {
        let limit = clamp_limit(self.limit);
        let lineage = services
            .data
            .read_lineage
            .table(permit, read, table, &self.asked, limit);
        lineage.await.map_err(|e| self.refusal(&e))
    }

    /// Streams a whole table in `format`.
    pub(crate) async fn whole(
        &self,
        services: &Services,
        permit: &Permit<act::ReadData>,
        (schema, name): (&str, &str),
        format: Format,
    ) -> Result<Body, Problem> {
        let feature = Some(name).filter(|name| *name != "records");
        let read = services
            .data
            .read_data
            .stream(permit, schema, feature, &self.asked);
        let (columns, rows) = read.await.map_err(|e| self.refusal(&e))?;
        whole(format, &columns, rows)
    }

    /// Reads the table that a path names: `records` or a hook, with an optional suffix.
    pub(crate) async fn read(
        &self,
        services: &Services,
        permit: &Permit<act::ReadData>,
        schema: &str,
        path: &str,
    ) -> Result<TableResponse, Problem> {
        let (name, format) = Format::of(path);
        if format == Format::Page {
            let page = self.page(services, permit, schema, name).await?;
            return Ok(TableResponse::Page(page.into()));
        }
        Ok(TableResponse::Whole {
            content_type: format.content_type(),
            body: self.whole(services, permit, (schema, name), format).await?,
        })
    }
}

/// Streams a whole table in `format`.
pub(crate) fn whole(format: Format, columns: &[TableColumn], rows: RowStream) -> Result<Body, Problem> {
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
            encoded(rows, encoder)
        }
        Format::CsvGz => encoded(rows, csv::CsvGz::new(columns)),
        Format::Csv | Format::Page => encoded(rows, csv::Csv::new(columns)),
    };
    // A failure midway ends the connection without the final chunk, so the client sees the table as incomplete.
    Ok(Body::from_bytes_stream(pieces))
}

impl TableParams {
    /// Maps a failure to a problem. A schema or table is a fault of the path; other faults lie where the parameters
    /// are.
    fn refusal(&self, failure: &Failure) -> Problem {
        let place = match failure {
            Failure::Data(DataError::Query(_)) => self.place,
            _ => "path",
        };
        Problem::of_error(failure, place)
    }
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

/// Streams a table through an encoder, chunk by chunk.
fn encoded(rows: RowStream, encoder: impl Encoder) -> Pieces {
    futures::stream::try_unfold(Some((rows, encoder)), |going| async move {
        let Some((mut rows, mut encoder)) = going else {
            return Ok(None);
        };
        match rows.next().await {
            Some(Ok(chunk)) => Ok(Some((encoder.rows(&chunk)?, Some((rows, encoder))))),
            Some(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "reading a table failed midway"
                );
                Err(std::io::Error::other("reading the table failed midway"))
            }
            None => Ok(Some((encoder.end()?, None))),
        }
    })
    .try_filter(|piece| std::future::ready(!piece.is_empty()))
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn an_ending_chooses_the_form() {
        assert_eq!(Format::of("records"), ("records", Format::Page));
        assert_eq!(Format::of("shape.csv"), ("shape", Format::Csv));
        assert_eq!(Format::of("shape.csv.gz"), ("shape", Format::CsvGz));
        assert_eq!(Format::of("records.parquet"), ("records", Format::Parquet));
    }

    #[test]
    fn moments_are_times_or_days() {
        for text in [
            "2026-11-25",
            "2026-11-25T00:00:00Z",
            "2026-11-25T01:00:00+01:00",
            "2026-11-25T01:00:00 01:00",
        ] {
            assert_eq!(
                moment("as_of", text).unwrap(),
                datetime!(2026-11-25 0:00 UTC),
                "{text}"
            );
        }
        for text in ["", "now", "2026-13-01", "2026-11-25T00:00:00"] {
            assert!(moment("as_of", text).is_err(), "{text}");
        }
    }
}
