//! Provenance in standard formats: `?format=prov-json | ro-crate | openlineage`.

use domain::Invalid;
use domain::data::lineage::Lineage;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;

use crate::http::problem::Problem;
use crate::http::query::refused;

/// Format of a provenance export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// W3C PROV-JSON.
    ProvJson,
    /// Metadata document of a Process Run Crate 0.5 (RO-Crate 1.1).
    RoCrate,
    /// Run events of `OpenLineage` 2-0-2, one per line.
    OpenLineage,
}

impl ExportFormat {
    const ALL: [Self; 3] = [Self::ProvJson, Self::RoCrate, Self::OpenLineage];

    const fn name(self) -> &'static str {
        match self {
            Self::ProvJson => "prov-json",
            Self::RoCrate => "ro-crate",
            Self::OpenLineage => "openlineage",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::ProvJson => "application/prov+json",
            Self::RoCrate => "application/ld+json",
            Self::OpenLineage => "application/x-ndjson",
        }
    }

    /// Parses the `format` parameter.
    pub(crate) fn of(text: &str) -> Result<Self, Problem> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                refused("format", Invalid::value(format!("must be one of {names}")))
            })
    }

    /// Writes a lineage in this format.
    pub(crate) fn write(self, lineage: &Lineage) -> Export {
        let text = match self {
            Self::ProvJson => lineage::prov_json(lineage).to_string(),
            Self::RoCrate => lineage::ro_crate(lineage).to_string(),
            Self::OpenLineage => {
                let events = lineage::openlineage(lineage);
                events.iter().map(|event| format!("{event}\n")).collect()
            }
        };
        Export(self, text)
    }
}

/// A rendered export and its format.
pub(crate) struct Export(ExportFormat, String);

impl IntoResponse for Export {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(self.0.content_type())
            .header("X-Content-Type-Options", "nosniff")
            .body(self.1)
    }
}

/// Written by hand: the derive gives a status one media type.
impl ApiResponse for Export {
    fn meta() -> MetaResponses {
        let content = ExportFormat::ALL.map(|format| MetaMediaType {
            content_type: format.content_type(),
            schema: String::schema_ref(),
        });
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The provenance in the requested format.",
                status: Some(200),
                status_range: None,
                content: content.into(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
