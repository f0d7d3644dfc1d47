//! The site for people, agents and scrapers: the front page, pages of tables, records and traces, `/SKILL.md` and the
//! description of a schema (WC-1.11). HTML is plain and needs no scripts; clients that accept JSON get JSON at `/`.

mod documents;
mod metrics;
mod tables;
mod traces;

use crate::http::gate::anyone;
use std::sync::Arc;

use pages::paths;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Request, Response, Route};
use serde_json::json;

use crate::http::problem::Problem;
use crate::services::Services;

pub(crate) use documents::schema_description;

/// Adds the routes, in matching order.
pub(crate) fn add(route: Route, services: &Arc<Services>) -> Route {
    route
        .at(paths::STYLE.route(), poem::get(poem::endpoint::make_sync(style)))
        .at(paths::FRONT.route(), get(services, front))
        .at(paths::SKILL.route(), get(services, skill))
        .at(
            paths::METRICS.route(),
            get(services, crate::site::metrics::metrics),
        )
        .at("/data/records/:id", get(services, record))
        .at("/data/:schema/:table", get(services, table))
        .at("/data/:schema/:feature/rows/:row_id", get(services, trace))
}

fn get<F, Fut>(services: &Arc<Services>, handler: F) -> poem::RouteMethod
where
    F: Fn(Arc<Services>, Request) -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let services = Arc::clone(services);
    poem::get(poem::endpoint::make(move |request: Request| {
        let services = Arc::clone(&services);
        async move {
            let html = wants_html(request.headers()) || request.uri().path().starts_with("/data/");
            let answer = handler(Arc::clone(&services), request).await;
            Ok::<_, poem::Error>(answer.unwrap_or_else(|problem| refusal(problem, html, &services)))
        }
    }))
}

/// Returns whether the client prefers HTML to JSON (RFC 9110 12.5.1): browsers do, programs do not.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let quality = |wanted: &str| {
        accept.unwrap_or_default().split(',').find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            let q = parts
                .find_map(|part| part.strip_prefix("q="))
                .and_then(|q| q.parse::<f32>().ok())
                .unwrap_or(1.0);
            named.then_some(q)
        })
    };
    match (quality("text/html"), quality("application/json")) {
        (Some(html), Some(json)) => html > json,
        (Some(html), None) => html > 0.0,
        (None, _) => false,
    }
}

fn style(_: Request) -> Response {
    Response::builder()
        .content_type("text/css; charset=utf-8")
        .header(header::CACHE_CONTROL, "public, max-age=3600")
        .header("X-Content-Type-Options", "nosniff")
        .body(pages::STYLESHEET)
}

/// Creates an HTML response. Its content is external, so it may load and run nothing.
fn html(status: StatusCode, text: String) -> Response {
    let mut response = text.with_content_type(pages::HTML).into_response();
    response.set_status(status);
    for (name, value) in [
        ("Content-Security-Policy", pages::CONTENT_SECURITY_POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

pub(crate) fn markdown(text: String) -> Response {
    let mut response = text.with_content_type(pages::MARKDOWN).into_response();
    response
        .headers_mut()
        .insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    response
}

fn refusal(problem: Problem, as_html: bool, services: &Services) -> Response {
    if !as_html {
        return problem.into_response();
    }
    let (status, title, detail) = problem.into_body().said();
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    html(
        code,
        pages::error_page(&pages::ErrorPage {
            base: services.node.base.clone(),
            status,
            title,
            detail,
        }),
    )
}

/// Returns a parameter of the path.
fn parameter(request: &Request, name: &str) -> Result<String, Problem> {
    request
        .path_params::<std::collections::HashMap<String, String>>()
        .ok()
        .and_then(|mut all| all.remove(name))
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not_found", "no resource at this path"))
}

/// Converts the node for pages.
pub(crate) fn node(services: &Services) -> pages::Node {
    let node = &services.node;
    pages::Node {
        name: node.name.clone(),
        domain: node.domain.to_string(),
        description: node.description.clone(),
        base: node.base.clone(),
        version: node.version.to_owned(),
    }
}

async fn front(services: Arc<Services>, request: Request) -> Result<Response, Problem> {
    let permit = anyone()?;
    if wants_html(request.headers()) {
        let overview = services.data.read_overview.all(&permit).await?;
        return Ok(html(
            StatusCode::OK,
            pages::front_page(&documents::front(node(&services), &overview)),
        ));
    }
    let entries = services.data.read_data.catalogue(&permit).await?;
    let (node, base) = (&services.node, &services.node.base);
    let schemas: Vec<String> = entries.iter().map(|entry| entry.schema.to_string()).collect();
    let body = json!({
        "node": {"name": node.name, "domain": node.domain.to_string(), "description": node.description, "osa_version": node.version},
        "skill_url": base.url(&paths::SKILL),
        "reference_base": format!("{}/", base.url(&paths::CATALOGUE)),
        "data_url": base.url(&paths::CATALOGUE),
        "openapi_url": base.url(&paths::OPENAPI),
        "schemas": schemas,
    });
    Ok(Response::builder()
        .content_type("application/json")
        .header(header::VARY, "Accept")
        .body(body.to_string()))
}

async fn skill(services: Arc<Services>, _: Request) -> Result<Response, Problem> {
    let permit = anyone()?;
    let overview = services.data.read_overview.all(&permit).await?;
    let older = services.data.read_overview.older_majors(&permit).await?;
    Ok(markdown(pages::skill_md(&documents::skill(
        node(&services),
        &overview,
        &older,
    ))))
}

async fn table(services: Arc<Services>, request: Request) -> Result<Response, Problem> {
    let (schema, name) = (parameter(&request, "schema")?, parameter(&request, "table")?);
    let page = tables::table(
        &services,
        &schema,
        &name,
        request.uri().query().unwrap_or_default(),
    )
    .await?;
    Ok(html(StatusCode::OK, pages::table_page(&page)))
}

async fn record(services: Arc<Services>, request: Request) -> Result<Response, Problem> {
    let page = tables::record(&services, &parameter(&request, "id")?).await?;
    Ok(html(StatusCode::OK, pages::record_page(&page)))
}

async fn trace(services: Arc<Services>, request: Request) -> Result<Response, Problem> {
    let (schema, feature) = (parameter(&request, "schema")?, parameter(&request, "feature")?);
    let row = parameter(&request, "row_id")?;
    let page = traces::trace(&services, &schema, &feature, &row).await?;
    Ok(html(StatusCode::OK, pages::trace_page(&page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves DAT-1
    #[test]
    fn browsers_get_html_and_programs_json() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            wants_html(&headers)
        };
        assert!(wants(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(wants("application/json;q=0.5, text/html"));
        assert!(!wants("application/json"));
        assert!(!wants("*/*"));
        assert!(!wants("text/html;q=0.2, application/json;q=0.9"));
        assert!(!wants("text/html;q=0"));
        assert!(!wants_html(&HeaderMap::new()));
    }
}
