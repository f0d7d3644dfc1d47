//! Provenance in the forms that other tools read: `?format=prov-json | ro-crate | openlineage`.

use domain::Invalid;
use domain::lineage::Lineage;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;

use crate::problem::Problem;
use crate::query::refused;

/// A form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// W3C PROV-JSON.
    ProvJson,
    /// The metadata document of a Process Run Crate 0.5 (RO-Crate 1.1).
    RoCrate,
    /// Run events of `OpenLineage` 2-0-2, one on each line.
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

    /// The one that a query names, if it names one.
    pub(crate) fn of(text: Option<&str>) -> Result<Option<Self>, Problem> {
        match text {
            None | Some("" | "json") => Ok(None),
            Some(text) => Self::ALL
                .into_iter()
                .find(|format| format.name() == text)
                .map(Some)
                .ok_or_else(|| {
                    let names = Self::ALL.map(Self::name).join(", ");
                    refused("format", Invalid::value(format!("must be json, {names}")))
                }),
        }
    }

    /// A lineage in this form.
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

/// An export.
pub(crate) struct Export(ExportFormat, String);

impl IntoResponse for Export {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(self.0.content_type())
            .header("X-Content-Type-Options", "nosniff")
            .body(self.1)
    }
}

/// The media types of exports, for a document.
pub(crate) fn media_types() -> [MetaMediaType; 3] {
    ExportFormat::ALL.map(|format| MetaMediaType {
        content_type: format.content_type(),
        schema: String::schema_ref(),
    })
}

/// The usual answer, or an export.
pub(crate) enum OrExport<T> {
    Usual(T),
    Export(Export),
}

impl<T: IntoResponse> IntoResponse for OrExport<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Usual(usual) => usual.into_response(),
            Self::Export(export) => export.into_response(),
        }
    }
}

/// By hand: the derive gives a status one media type.
impl<T: Payload> ApiResponse for OrExport<T> {
    fn meta() -> MetaResponses {
        let usual = MetaMediaType {
            content_type: T::CONTENT_TYPE,
            schema: T::schema_ref(),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "What is asked for; with `format`, its provenance in that form.",
                status: Some(200),
                status_range: None,
                content: std::iter::once(usual).chain(media_types()).collect(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
