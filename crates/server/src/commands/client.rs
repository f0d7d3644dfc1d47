//! Client for a running server.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::Value;

use super::Remote;
use crate::output;

/// Environment variable of the caller's token. It is not part of a server's configuration.
pub(crate) const TOKEN: &str = "HALLMARK_TOKEN";
/// Environment variable of the server's address. It is not part of a server's configuration.
pub(crate) const SERVER: &str = "HALLMARK_SERVER";

/// A server and the credentials for it.
pub(super) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    json: bool,
}

/// Returns the first of these variables that is set and not empty.
fn variable(names: [&str; 2]) -> Option<String> {
    names
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

impl Client {
    pub(super) fn new(remote: &Remote) -> Self {
        let server = remote.server.clone().or_else(|| variable([SERVER, "OSA_SERVER"]));
        let server = server.unwrap_or_else(|| "http://127.0.0.1:8000".to_owned());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Self {
            agent,
            base: format!("{}/api/v1", server.trim_end_matches('/')),
            token: variable([TOKEN, "OSA_TOKEN"]),
            json: remote.json,
        }
    }

    /// Returns the response body. A problem becomes an error with the server's message.
    pub(super) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = match body {
            Some(body) => self.agent.run(
                request
                    .header("content-type", "application/json")
                    .body(body.to_string())
                    .context("cannot build the request")?,
            ),
            None => self
                .agent
                .run(request.body(()).context("cannot build the request")?),
        };
        let mut answer = answer.with_context(|| format!("cannot reach {}", self.base))?;
        let status = answer.status();
        let value: Value = answer.body_mut().read_json().with_context(|| {
            format!("{url} responded with {status} but not with JSON; is it a Hallmark server?")
        })?;
        if !status.is_success() {
            bail!("{}", problem_text(status.as_u16(), &value, self.token.is_some()));
        }
        Ok(value)
    }

    /// Prints a response: as JSON, or in this form.
    pub(super) fn print(&self, answer: &Value, form: impl FnOnce(&Value) -> String) -> Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(answer)?
        } else {
            form(answer)
        };
        output::print(&format!("{text}\n"))
    }
}

/// Formats a problem and its faults as text.
fn problem_text(status: u16, problem: &Value, has_token: bool) -> String {
    let mut text = problem["message"]
        .as_str()
        .unwrap_or("the server refused the request")
        .to_owned();
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let place: Vec<String> = fault["loc"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned))
            .collect();
        text.push_str(&format!(
            "\n  {}: {}",
            place.join("."),
            fault["msg"].as_str().unwrap_or_default()
        ));
    }
    if status == 401 && !has_token {
        text.push_str(&format!("; set {TOKEN}"));
    }
    format!("{text} ({status})")
}

/// Formats rows under a header.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

/// Escapes a text for one segment of a URL's path.
pub(super) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Formats a value for a table.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
