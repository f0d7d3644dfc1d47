//! Markdown as a response.

use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;

/// A document in Markdown.
pub(crate) struct Markdown(pub(crate) Response);

impl IntoResponse for Markdown {
    fn into_response(self) -> Response {
        self.0
    }
}

impl poem_openapi::ApiResponse for Markdown {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The description in Markdown.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: pages::MARKDOWN,
                    schema: String::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
