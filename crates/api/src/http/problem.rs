//! Every failure that a client sees: one body (RFC 9457, WC-0 "Errors"), and one place that maps failures to statuses.

use app::Failure;
use domain::data::record::DataError;
use domain::kind::{Coded, Kind, Loc};
use domain::{Fault, Invalid, Withdrawal};
use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Object};
use serde_json::{Value, json};

use crate::http::render::model_time;

/// Maximum number of faults in one response.
pub(crate) const MAX_FAULTS: usize = 100;

/// One fault of a request.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Fault")]
pub(crate) struct FaultBody {
    /// Path to the faulty value: `["body", "hooks", 0, "name"]`.
    loc: Vec<Value>,
    /// Description of the fault.
    msg: String,
    /// Stable type of the fault.
    #[oai(rename = "type")]
    rule: String,
}

/// A problem (RFC 9457).
#[derive(Clone, Debug, Object)]
#[oai(rename = "Problem")]
pub(crate) struct ProblemBody {
    /// URI of the problem type; `about:blank` means that the status alone describes it.
    #[oai(rename = "type")]
    uri: String,
    /// HTTP status text.
    title: String,
    /// HTTP status code.
    status: u16,
    /// Description of the problem. On `/api/v1/auth/*` an object `{code, message}`.
    detail: Value,
    /// Stable error code.
    code: String,
    /// Description of the problem.
    message: String,
    /// The faulty field, if the problem concerns one field.
    #[oai(skip_serializing_if_is_none)]
    field: Option<String>,
    /// Every fault found in the request.
    #[oai(skip_serializing_if_is_none)]
    errors: Option<Vec<FaultBody>>,
    /// The withdrawal, if the record is withdrawn.
    #[oai(skip_serializing_if_is_none)]
    withdrawal: Option<WithdrawalBody>,
    /// The code for OAuth clients (RFC 6749 5.2), on `/api/v1/auth/*`.
    #[oai(skip_serializing_if_is_none)]
    error: Option<String>,
    /// The description for OAuth clients.
    #[oai(skip_serializing_if_is_none)]
    error_description: Option<String>,
}

/// A withdrawal that is in force.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Withdrawal")]
pub(crate) struct WithdrawalBody {
    /// Reason for the withdrawal.
    reason: String,
    withdrawn_at: String,
    /// The ingest run whose records were withdrawn together; `null` if the record itself was withdrawn.
    ingest_run_id: Option<String>,
}

impl From<&Withdrawal> for WithdrawalBody {
    fn from(withdrawal: &Withdrawal) -> Self {
        Self {
            reason: withdrawal.reason.clone(),
            withdrawn_at: model_time(withdrawal.at),
            ingest_run_id: withdrawal.run.map(|run| run.to_string()),
        }
    }
}

/// `application/problem+json`.
#[derive(Clone, Debug)]
pub(crate) struct ProblemJson(pub(crate) Box<ProblemBody>);

impl Payload for ProblemJson {
    const CONTENT_TYPE: &'static str = "application/problem+json";
    fn schema_ref() -> MetaSchemaRef {
        ProblemBody::schema_ref()
    }
    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

impl IntoResponse for ProblemJson {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::builder()
            .status(status)
            .content_type(Self::CONTENT_TYPE);
        if self.0.status == 401 {
            // RFC 9110 11.6.1: a 401 names the scheme.
            response = response.header(header::WWW_AUTHENTICATE, "Bearer");
        }
        if self.0.status == 429 {
            response = response.header(header::RETRY_AFTER, "60");
        }
        response.body(self.0.to_json_string())
    }
}

impl ProblemBody {
    /// Returns status, title and message, for an HTML page.
    pub(crate) fn said(self: Box<Self>) -> (u16, String, String) {
        (self.status, self.title, self.message)
    }
}

macro_rules! problems {
    ($($status:literal $name:ident $what:literal),+ $(,)?) => {
        /// A failure, by HTTP status.
        #[derive(Debug, ApiResponse)]
        pub(crate) enum Problem {
            $(#[doc = $what] #[oai(status = $status)] $name(ProblemJson),)+
        }

        impl Problem {
            fn of(body: Box<ProblemBody>) -> Self {
                match body.status {
                    $($status => Self::$name(ProblemJson(body)),)+
                    _ => Self::Internal(ProblemJson(body)),
                }
            }

            /// Returns the body of the problem.
            pub(crate) fn into_body(self) -> Box<ProblemBody> {
                match self { $(Self::$name(ProblemJson(body)) => body,)+ }
            }
        }
    };
}
problems! {
    400 BadRequest "The name is reserved, or the request is malformed.",
    401 Unauthorized "Missing or invalid credentials.",
    403 Forbidden "The caller lacks the required permission.",
    404 NotFound "The resource does not exist.",
    405 MethodNotAllowed "The path does not support this method.",
    408 TooSlow "The request did not arrive in time.",
    409 Conflict "The request conflicts with the current state.",
    410 Gone "The record is withdrawn. `withdrawal` states since when and why.",
    413 TooLarge "The body is too large.",
    415 UnsupportedMediaType "The content type of the body is not supported.",
    429 TooMany "Too many requests. `Retry-After` states when to retry.",
    422 Invalid "The request breaks a rule. Every fault is listed.",
    500 Internal "Internal server error.",
    503 Unavailable "A dependency of the server is temporarily unavailable.",
}

impl Problem {
    /// Creates a problem with this status.
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::of(Box::new(ProblemBody {
            uri: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: Value::String(message.clone()),
            code: code.to_owned(),
            message,
            field: None,
            errors: None,
            withdrawal: None,
            error: None,
            error_description: None,
        }))
    }

    /// Maps an error to a problem. Its faults lie in `place` (`body`, `query`, `path`).
    pub(crate) fn of_error(error: &(impl Coded + 'static), place: &'static str) -> Self {
        let status = match error.kind() {
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Reserved | Kind::Refused => StatusCode::BAD_REQUEST,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Gone => StatusCode::GONE,
            Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable | Kind::Full => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // Internal causes go to the log; the client only learns that the server failed.
        let message = match error.kind() {
            Kind::Bug => "internal server error; the fault was logged".to_owned(),
            Kind::Unavailable => "temporarily unavailable; try again later".to_owned(),
            _ => error.to_string(),
        };
        if matches!(error.kind(), Kind::Bug | Kind::Unavailable | Kind::Full) {
            tracing::error!(error = error as &dyn std::error::Error, "request failed");
        }
        let mut body = Self::new(status, error.code(), message).into_body();
        let faults = error.faults();
        if !faults.is_empty() {
            body.field = faults.first().map(Fault::field).filter(|field| !field.is_empty());
            body.errors = Some(faults.iter().map(|fault| fault_body(fault, place)).collect());
        }
        Self::of(body)
    }

    /// Creates a problem for faults in a part of the request.
    pub(crate) fn invalid(invalid: &Invalid, place: &'static str) -> Self {
        Self::of_error(invalid, place)
    }

    /// Adapts the problem to the path of its request.
    pub(crate) fn on(self, path: &str) -> Self {
        if is_auth(path) { self.for_auth() } else { self }
    }

    /// Adapts the problem to `/auth/*`: osa-py reads `body["detail"]["code"]` there (WC-0).
    pub(crate) fn for_auth(self) -> Self {
        let mut body = self.into_body();
        body.detail = json!({"code": body.code, "message": body.message});
        if body.status == 400 {
            body.error = Some(body.code.clone());
            body.error_description = Some(body.message.clone());
        }
        Self::of(body)
    }
}

/// Returns whether errors at this path have the form of `/auth/*` (WC-0). Handlers see it without `/api/v1`.
pub(crate) fn is_auth(path: &str) -> bool {
    path.strip_prefix("/api/v1").unwrap_or(path).starts_with("/auth/")
}

fn fault_body(fault: &Fault, place: &str) -> FaultBody {
    let step = |loc: &Loc| match loc {
        Loc::Key(name) | Loc::Item { index: None, name } => Value::String(name.clone()),
        Loc::Index(index)
        | Loc::Item {
            index: Some(index), ..
        } => json!(index),
    };
    let loc = std::iter::once(Value::String(place.to_owned()))
        .chain(fault.loc.iter().map(step))
        .collect();
    FaultBody {
        loc,
        msg: fault.message.clone(),
        rule: fault.rule.to_owned(),
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let place = match failure {
            Failure::Data(DataError::Cursor(_)) => "query",
            Failure::Data(_) | Failure::Provenance(_) => "path",
            _ => "body",
        };
        let problem = Self::of_error(&failure, place);
        let Failure::Data(DataError::Withdrawn { withdrawal, .. }) = &failure else {
            return problem;
        };
        let mut body = problem.into_body();
        body.withdrawal = Some(withdrawal.into());
        Self::of(body)
    }
}

/// Parses a path parameter, or returns a problem that names it.
pub(crate) fn path<T: std::str::FromStr<Err = Invalid>>(
    name: &'static str,
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|e: Invalid| Problem::invalid(&e.of_field(name), "path"))
}
