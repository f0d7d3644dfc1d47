//! Wire formats of values: times, and cells in JSON and CSV (WC-7).

use domain::Cell;
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};

/// Formats a time of a model: `YYYY-MM-DDTHH:MM:SS.ffffffZ`, always with six digits.
pub(crate) fn model_time(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{}T{}.{:06}Z", at.date(), clock(at), at.microsecond())
}

/// Formats a time like Python's `isoformat`: `YYYY-MM-DDTHH:MM:SS[.ffffff]+00:00`.
pub(crate) fn iso_time(at: OffsetDateTime) -> String {
    let mut out = Vec::with_capacity(32);
    push_iso_time(&mut out, at);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends a time like `iso_time`: exports have millions of them.
pub(crate) fn push_iso_time(out: &mut Vec<u8>, at: OffsetDateTime) {
    let at = at.to_offset(UtcOffset::UTC);
    let (date, time) = (at.date(), at.time());
    number(out, date.year().unsigned_abs(), 4);
    for (separator, part) in [
        (b'-', u32::from(u8::from(date.month()))),
        (b'-', u32::from(date.day())),
        (b'T', u32::from(time.hour())),
        (b':', u32::from(time.minute())),
        (b':', u32::from(time.second())),
    ] {
        out.push(separator);
        number(out, part, 2);
    }
    if time.microsecond() != 0 {
        out.push(b'.');
        number(out, time.microsecond(), 6);
    }
    out.extend_from_slice(b"+00:00");
}

/// Appends a number with this many digits.
fn number(out: &mut Vec<u8>, value: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = value / 10_u32.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or_default());
    }
}

fn clock(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// Converts a cell to JSON. Times are written as the contract demands, in another form than the one they are read from.
pub(crate) fn json_cell(cell: &Cell) -> Value {
    match cell {
        Cell::Timestamp(at) => Value::String(iso_time(*at)),
        other => other.to_json(),
    }
}

/// A log as a stream (WC-1.2). It holds the output of a hook, so browsers must treat it as plain text only.
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
                description: "The output.",
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
}
