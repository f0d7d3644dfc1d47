//! A page of a table as JSON (WC-7.2).

use std::collections::BTreeMap;

use app::data::read_data::Page;
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::Value;

use crate::http::render::json_cell;

/// A page of a table.
#[derive(Debug, Object)]
#[oai(rename = "Page")]
struct PageBody {
    /// The rows, each an object with one key per column.
    rows: Vec<BTreeMap<String, Value>>,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    has_more: bool,
}

/// A rendered page. It keeps the columns in wire order, which a map of values would not.
#[derive(Debug)]
pub(crate) struct RenderedPage(String);

impl Payload for RenderedPage {
    const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";
    fn schema_ref() -> MetaSchemaRef {
        PageBody::schema_ref()
    }
    fn register(registry: &mut Registry) {
        PageBody::register(registry);
    }
}

impl IntoResponse for RenderedPage {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

impl From<Page> for RenderedPage {
    fn from(page: Page) -> Self {
        let mut text = String::from("{\"rows\":[");
        let names: Vec<String> = page
            .columns
            .iter()
            .map(|c| Value::from(c.name.as_str()).to_string())
            .collect();
        for (index, row) in page.rows.iter().enumerate() {
            text.push_str(if index == 0 { "{" } else { ",{" });
            for (at, (name, cell)) in names.iter().zip(row).enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(name);
                text.push(':');
                text.push_str(&json_cell(cell).to_string());
            }
            text.push('}');
        }
        let more = page.next_cursor.is_some();
        text.push_str(&format!(
            "],\"next_cursor\":{},\"has_more\":{more}}}",
            page.next_cursor.map_or(Value::Null, Value::String)
        ));
        Self(text)
    }
}
