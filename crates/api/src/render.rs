//! How values look on the wire: times, and cells in JSON and CSV (wire contract 7).

use domain::Cell;
use serde_json::Value;
use time::OffsetDateTime;
use time::UtcOffset;

/// A time of a model: `YYYY-MM-DDTHH:MM:SS.ffffffZ`, always six digits.
pub(crate) fn model_time(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{}T{}.{:06}Z", at.date(), clock(at), at.microsecond())
}

/// A time as Python's `isoformat`: `YYYY-MM-DDTHH:MM:SS[.ffffff]+00:00`.
pub(crate) fn iso_time(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let fraction = if at.microsecond() == 0 {
        String::new()
    } else {
        format!(".{:06}", at.microsecond())
    };
    format!("{}T{}{fraction}+00:00", at.date(), clock(at))
}

fn clock(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// A cell in a JSON row. Times are told as the contract has them, which is another form than the one they are read back from.
pub(crate) fn json_cell(cell: &Cell) -> Value {
    match cell {
        Cell::Timestamp(at) => Value::String(iso_time(*at)),
        other => other.to_json(),
    }
}

/// A row of CSV (wire contract 7.5): quotes only where they are needed, CRLF at the end.
pub(crate) fn csv_row<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = std::borrow::Cow<'a, str>>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            out.push(b'"');
            out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A cell in CSV: null is empty, booleans and floats as Python writes them (`True`, `1.0`).
pub(crate) fn csv_cell(cell: &Cell) -> std::borrow::Cow<'_, str> {
    match cell {
        Cell::Null => "".into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Number(number) => format!("{number:?}").into(),
        Cell::Boolean(true) => "True".into(),
        Cell::Boolean(false) => "False".into(),
        Cell::Json(value) => value.to_string().into(),
        other => match json_cell(other) {
            Value::String(text) => text.into(),
            value => value.to_string().into(),
        },
    }
}

/// A log, as a stream (wire contract 1.2). It is what a hook printed, so no browser may take it for anything but text.
pub(crate) struct LogText(pub(crate) app::views::ByteStream);

impl poem_openapi::payload::Payload for LogText {
    const CONTENT_TYPE: &'static str = "text/plain; charset=utf-8";
    fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
        <String as poem_openapi::types::Type>::schema_ref()
    }
}

impl poem::IntoResponse for LogText {
    fn into_response(self) -> poem::Response {
        poem::Response::builder()
            .content_type(<Self as poem_openapi::payload::Payload>::CONTENT_TYPE)
            .header("X-Content-Type-Options", "nosniff")
            .header("Cache-Control", "no-store")
            .body(poem::Body::from_bytes_stream(self.0))
    }
}

impl poem_openapi::ApiResponse for LogText {
    fn meta() -> poem_openapi::registry::MetaResponses {
        poem_openapi::registry::MetaResponses {
            responses: vec![poem_openapi::registry::MetaResponse {
                description: "What was printed.",
                status: Some(200),
                status_range: None,
                content: vec![poem_openapi::registry::MetaMediaType {
                    content_type: <Self as poem_openapi::payload::Payload>::CONTENT_TYPE,
                    schema: <Self as poem_openapi::payload::Payload>::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }
    fn register(_registry: &mut poem_openapi::registry::Registry) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times_have_the_two_forms_of_the_contract() {
        let at = datetime!(2026-11-21 06:05:04.000120 +02:00);
        assert_eq!(model_time(at), "2026-11-21T04:05:04.000120Z");
        assert_eq!(iso_time(at), "2026-11-21T04:05:04.000120+00:00");
        assert_eq!(
            iso_time(datetime!(2026-11-21 06:05:04 UTC)),
            "2026-11-21T06:05:04+00:00"
        );
    }

    #[test]
    fn csv_quotes_only_what_needs_it() {
        let mut out = Vec::new();
        let cells = [
            Cell::Text("a\"b,c".into()),
            Cell::Null,
            Cell::Number(1.0),
            Cell::Boolean(true),
            Cell::Text("x y".into()),
        ];
        csv_row(&mut out, cells.iter().map(csv_cell));
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\"\"b,c\",,1.0,True,x y\r\n");
    }
}
