//! The only way for a handler to get a permit. It is always the first argument: unauthorized callers learn nothing
//! about parameters.

use std::sync::Arc;

use app::identity::Authenticate;
use auth::{Action, Permit, Principal, Requirement};
use poem::http::StatusCode;
use poem::http::header::AUTHORIZATION;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::problem::Problem;
use crate::http::query_string::KnownQuery;

/// Name of the security scheme. The operation's requirement follows it after a space; [`crate::http::spec`] splits the
/// two.
pub(crate) const SCHEME: &str = "bearer";

/// Proof that the caller may do `A`.
pub(crate) struct Gate<A>(pub(crate) Permit<A>);

/// Encodes a requirement for [`crate::http::spec`].
const fn security_name(requirement: Requirement) -> &'static str {
    use auth::Role;
    match requirement {
        Requirement::Anyone | Requirement::AnyUser => "bearer",
        Requirement::Authenticated => "bearer authenticated:",
        Requirement::Known => "bearer known:",
        Requirement::ScopeOrRole(scope, Role::Curator) => match scope.as_bytes() {
            b"activity:read" => "bearer curator-scope:activity:read",
            b"events:read" => "bearer curator-scope:events:read",
            _ => panic!("name the new scope here, so that the OpenAPI document can state it"),
        },
        Requirement::ScopeOrRole(..) => {
            panic!("name the new role here, so that the OpenAPI document can state it")
        }
        Requirement::Role(Role::Superadmin) => "bearer role:superadmin",
        Requirement::Role(Role::Admin) => "bearer role:admin",
        Requirement::Role(Role::Curator) => "bearer role:curator",
        Requirement::Role(_) => "bearer role:depositor",
        Requirement::Scope(scope) => match scope.as_bytes() {
            b"conventions:write" => "bearer scope:conventions:write",
            b"hooks:write" => "bearer scope:hooks:write",
            b"ingestions:write" => "bearer scope:ingestions:write",
            b"ingestions:read" => "bearer scope:ingestions:read",
            b"ingesters:read" => "bearer scope:ingesters:read",
            // Evaluated at compile time for every action that a route names.
            _ => panic!("name the new scope here, so that the OpenAPI document can state it"),
        },
    }
}

impl<'a, A: Action> ApiExtractor<'a> for Gate<A> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("A JSON Web Token: of a user (HS256, from this node) or of a service account (EdDSA, from a configured issuer)."),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![const { security_name(A::REQUIREMENT) }]
    }

    fn has_security_fallback() -> bool {
        matches!(A::REQUIREMENT, Requirement::Anyone | Requirement::Known)
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let permit = permit(request).await;
        match permit.and_then(|permit| check_query(request).map(|()| permit)) {
            Ok(permit) => Ok(Self(permit)),
            Err(problem) => Err(problem.on(request.uri().path()).into()),
        }
    }
}

/// Refuses query parameters that have two readings.
fn check_query(request: &Request) -> Result<(), Problem> {
    match (request.data::<KnownQuery>(), request.uri().query()) {
        (Some(known), Some(query)) => known.check(query).map_err(|e| Problem::invalid(&e, "query")),
        _ => Ok(()),
    }
}

async fn permit<A: Action>(request: &Request) -> Result<Permit<A>, Problem> {
    if matches!(A::REQUIREMENT, Requirement::Anyone) {
        // A public route does not authenticate: neither a bad token (WC-3) nor an unreachable database blocks it.
        return Principal::anonymous()
            .permit::<A>()
            .map_err(|e| Problem::of_error(&e, "header"));
    }
    let authenticate = request.data::<Arc<Authenticate>>();
    let authenticate = authenticate.ok_or_else(|| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "no authenticator",
        )
    })?;
    let principal = authenticate.run(bearer(request)).await?;
    principal
        .permit::<A>()
        .map_err(|e| Problem::of_error(&e, "header"))
}

/// Returns the token of `Authorization: Bearer <token>`; other schemes count as no token (WC-3).
fn bearer(request: &Request) -> Option<&str> {
    request
        .headers()
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Returns a permit for a public action.
pub(crate) fn anyone<A: Action>() -> Result<Permit<A>, Problem> {
    Principal::anonymous()
        .permit::<A>()
        .map_err(|e| Problem::of_error(&e, "header"))
}
