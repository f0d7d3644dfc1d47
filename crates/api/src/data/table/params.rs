//! The parameters of a read of a table, from the query or the body, and the read itself (WC-7).

use app::Failure;
use app::data::read_data::{Page, TableRequest};
use auth::{Permit, act};
use domain::Invalid;
use domain::data::cell::parse_timestamp;
use domain::data::lineage::Lineage;
use domain::data::page::clamp_limit;
use domain::data::record::DataError;
use domain::json::parse_exact;
use poem::Body;
use poem_openapi::Object;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Format, TableResponse, whole};
use crate::http::problem::Problem;
use crate::http::query::{Limit, refused};
use crate::http::query_params::query_params;
use crate::services::Services;

query_params! {
    /// A query of a table in the query string.
    pub(crate) struct TableQuery {
        pub(crate) cursor: Option<String>,
        pub(crate) limit: Option<Limit>,
        pub(crate) sort: Option<String>,
        pub(crate) filter: Option<String>,
        pub(crate) as_of: Option<String>,
    }
}

/// A query of a table.
#[derive(Debug, Object)]
pub(crate) struct TableQueryBody {
    /// Only rows that match this filter (WC-7.4).
    filter: Option<Value>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Number of rows per page (1–1000, default 50). Other numbers are clamped. Does not apply to whole tables.
    limit: Option<Limit>,
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

impl TryFrom<TableQueryBody> for TableParams {
    type Error = Problem;

    fn try_from(body: TableQueryBody) -> Result<Self, Problem> {
        Self::new(body, "body")
    }
}

impl TryFrom<TableQuery> for TableParams {
    type Error = Problem;

    /// In a query string the filter is JSON text.
    fn try_from(query: TableQuery) -> Result<Self, Problem> {
        let filter = match query.filter.filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(parse_exact(text.as_bytes()).map_err(|e| refused("filter", e))?),
        };
        let body = TableQueryBody {
            filter,
            cursor: query.cursor,
            limit: query.limit,
            sort: query.sort,
            as_of: query.as_of,
        };
        Self::new(body, "query")
    }
}

impl TableParams {
    fn new(body: TableQueryBody, place: &'static str) -> Result<Self, Problem> {
        let as_of = body.as_of.filter(|text| !text.is_empty());
        Ok(Self {
            asked: TableRequest {
                filter: body.filter.filter(|filter| !filter.is_null()),
                sort: body.sort,
                as_of: as_of.map(|text| moment("as_of", &text)).transpose()?,
                cursor: body.cursor.filter(|text| !text.is_empty()),
            },
            limit: body.limit.map(|Limit(number)| number),
            place,
        })
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
        whole(format, &columns, rows, &services.stream_threads)
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

    /// Maps a failure to a problem. A schema or table is a fault of the path; other faults lie where the parameters
    /// are.
    fn refusal(&self, failure: &Failure) -> Problem {
        let place = match failure {
            Failure::Data(DataError::Query(_) | DataError::Cursor(_)) => self.place,
            _ => "path",
        };
        Problem::of_error(failure, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

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
