//! A push: its body in each of its forms, its parameters and its report.

use app::ingest::push_decoder::PushFormat;
use app::ingest::push_report::PushReport;
use domain::Invalid;
use domain::ingest::csv::{CsvOptions, Dialect};
use domain::ingest::refused::RefusedLine;
use poem::{Body as RawBody, Request, RequestBody};
use poem_openapi::payload::{Binary, ParsePayload, Payload};
use poem_openapi::registry::MetaSchemaRef;
use poem_openapi::{ApiRequest, Object};
use serde_json::Value;

use crate::http::problem::Problem;
use crate::http::query::refused;
use crate::http::query_params::query_params;

/// The body of a push, read as a stream.
#[derive(ApiRequest)]
pub(crate) enum PushBody {
    /// JSON Lines: one `{"source_id": ..., "metadata": {...}}` per line.
    JsonLines(JsonLinesBody),
    /// CSV with a header row. A column fills the field of the same name. Otherwise its name is converted to lower case,
    /// with every run of characters other than a-z and 0-9 replaced by one underscore.
    Csv(CsvBody),
    /// Tab-separated values with a header row, without quoting: a quote is a character like others.
    Tsv(TsvBody),
}

/// Declares bodies that are read as a stream, by content type. Parameters such as `charset` may follow the type.
macro_rules! streamed {
    ($($(#[$doc:meta])* $name:ident: $content_type:literal;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name(RawBody);

        impl Payload for $name {
            const CONTENT_TYPE: &'static str = $content_type;

            fn check_content_type(content_type: &str) -> bool {
                let essence = content_type.split(';').next().unwrap_or_default();
                essence.trim().eq_ignore_ascii_case($content_type)
            }

            fn schema_ref() -> MetaSchemaRef {
                <Binary<RawBody> as Payload>::schema_ref()
            }
        }

        impl ParsePayload for $name {
            const IS_REQUIRED: bool = true;

            async fn from_request(_: &Request, body: &mut RequestBody) -> poem::Result<Self> {
                Ok(Self(body.take()?))
            }
        }
    )+};
}
streamed! {
    /// A body in JSON Lines.
    JsonLinesBody: "application/x-ndjson";
    /// A body in CSV.
    CsvBody: "text/csv";
    /// A body of tab-separated values.
    TsvBody: "text/tab-separated-values";
}

/// Returns how the cells of a table are separated: `?delimiter=`, else the parameter of the content type, else as the
/// type says. Parameters that say the body is something that would be misread are refused.
fn dialect(request: &Request, dialect: Dialect, delimiter: Option<&str>) -> Result<Dialect, Problem> {
    let content_type = request.content_type().unwrap_or_default();
    let mut of_type = None;
    // A quoted value may be the semicolon itself.
    let mut quoted = false;
    let parameters = content_type.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    for parameter in parameters.skip(1) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "delimiter" => of_type = Some(value),
            // RFC 4180 section 3.
            "header" if value.eq_ignore_ascii_case("absent") => {
                return Err(refused_header("header=absent: the first row must be a header"));
            }
            "charset" if !matches!(value.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "us-ascii") => {
                return Err(refused_header("the charset must be UTF-8"));
            }
            _ => {}
        }
    }
    let delimited = |text: &str| {
        dialect
            .delimited_by(text)
            .map_err(|rule| refused("delimiter", rule))
    };
    let of_query = delimiter
        .filter(|text| !text.is_empty())
        .map(delimited)
        .transpose()?;
    let of_type = of_type.map(delimited).transpose()?;
    match (of_query, of_type) {
        (Some(one), Some(other)) if one != other => {
            let rule =
                Invalid::value("is another one than the parameter delimiter of the content type names");
            Err(refused("delimiter", rule))
        }
        (of_query, of_type) => Ok(of_query.or(of_type).unwrap_or(dialect)),
    }
}

fn refused_header(rule: &str) -> Problem {
    Problem::invalid(&Invalid::value(rule).of_field("content-type"), "header")
}

fn list(text: Option<String>) -> Vec<String> {
    text.map(|t| {
        t.split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    })
    .unwrap_or_default()
}

query_params! {
    /// How a push is read.
    pub(crate) struct PushQuery {
        /// CSV only: comma-separated columns that identify a record; their values are joined by `:`. Default: the
        /// column `source_id` or `id`.
        source_id: Option<String>,
        /// CSV only: comma-separated texts that mean "no value". An empty cell always does.
        null_values: Option<String>,
        /// CSV only: the character between two cells, `comma`, `tab`, `semicolon` or `pipe`. A parameter `delimiter` of
        /// the content type means the same.
        delimiter: Option<String>,
        /// Only check: every line is judged as in a push, and nothing is stored or counted. At most 100000 new records.
        pub(crate) dry_run: Option<bool>,
    }
}

impl PushBody {
    /// Returns how this body is to be read, and the body.
    pub(crate) fn read_as(
        self,
        query: PushQuery,
        request: &Request,
    ) -> Result<(PushFormat, RawBody), Problem> {
        let (of_type, body) = match self {
            Self::JsonLines(body) => return Ok((PushFormat::JsonLines, body.0)),
            Self::Csv(body) => (Dialect::CSV, body.0),
            Self::Tsv(body) => (Dialect::TSV, body.0),
        };
        let options = CsvOptions {
            dialect: dialect(request, of_type, query.delimiter.as_deref())?,
            id_columns: list(query.source_id),
            null_values: list(query.null_values),
        };
        Ok((PushFormat::Csv(options), body))
    }
}

/// One fault of a line.
#[derive(Debug, Object)]
pub(crate) struct LineFault {
    /// Path to the faulty value in the line: `["metadata", "mass"]`.
    loc: Vec<Value>,
    msg: String,
    #[oai(rename = "type")]
    rule: String,
}

impl From<domain::ingest::refused::LineFault> for LineFault {
    fn from(fault: domain::ingest::refused::LineFault) -> Self {
        Self {
            loc: fault.loc,
            msg: fault.message,
            rule: fault.rule,
        }
    }
}

/// A refused line.
#[derive(Debug, Object)]
#[oai(rename = "RefusedLine")]
pub(crate) struct Refused {
    /// Line number in the body, from 1. For CSV: the line on which the row begins.
    line: u64,
    /// The source id that the line names; `null` if it cannot be read.
    source_id: Option<String>,
    /// What is wrong with it, at most 20 faults.
    errors: Vec<LineFault>,
}

impl From<RefusedLine> for Refused {
    fn from(line: RefusedLine) -> Self {
        Self {
            line: line.line,
            source_id: line.source_id,
            errors: line.faults.into_iter().map(Into::into).collect(),
        }
    }
}

/// The result of a push. Of a dry run: what the result of the push would be.
#[derive(Debug, Object)]
#[oai(rename = "PushReport")]
pub(crate) struct Pushed {
    /// Whether nothing was stored, because `dry_run` was requested.
    dry_run: bool,
    /// Number of this upload in its run, from 1; 0 in a dry run.
    upload: u32,
    /// Lines that are new in this run.
    accepted: u64,
    /// Lines that are new in this run but equal to published records; they cause no work.
    unchanged: u64,
    /// Lines that this run already has with the same content; they change nothing.
    repeated: u64,
    /// Refused lines.
    refused: u64,
    /// The first 1000 refused lines. `/ingestions/{id}/refusals` has those of the whole run.
    refused_lines: Vec<Refused>,
}

impl From<PushReport> for Pushed {
    fn from(report: PushReport) -> Self {
        Self {
            dry_run: report.dry_run,
            upload: report.upload,
            accepted: report.accepted,
            unchanged: report.unchanged,
            repeated: report.repeated,
            refused: report.refused,
            refused_lines: report.refused_lines.into_iter().map(Into::into).collect(),
        }
    }
}
