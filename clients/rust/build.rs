//! Generates the client. Three things that a document may say and progenitor cannot are first said otherwise; none is a fault of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

/// The media types of request bodies that progenitor knows.
const BODIES: [&str; 3] = ["application/json", "application/octet-stream", "text/plain"];

fn main() -> Result<()> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
    println!("cargo::rerun-if-changed={}", document.display());
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(document)?)?;
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for path in paths.context("the document has no paths")?.values_mut() {
        path.as_object_mut()
            .context("a path is no object")?
            .retain(|_, operation| adapt(operation));
    }
    let mut generator = progenitor::Generator::default();
    let tokens = generator.generate_tokens(&serde_json::from_value(document)?)?;
    let code = prettyplease::unparse(&syn::parse2(tokens)?);
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("client.rs"), code)?;
    Ok(())
}

/// Makes an operation one that progenitor can express; `false` if it cannot.
fn adapt(operation: &mut Value) -> bool {
    let id = operation["operationId"].as_str().unwrap_or("?").to_owned();
    // It knows one media type for a body, and few.
    let body = operation
        .pointer("/requestBody/content")
        .and_then(Value::as_object);
    if body.is_some_and(|content| content.len() != 1 || !content.keys().all(|key| BODIES.contains(&&**key))) {
        println!("cargo::warning=progenitor has no word for the body of {id}; it is left out");
        return false;
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return true;
    };
    // It knows JSON by one name only.
    for content in responses
        .values_mut()
        .filter_map(|r| r.get_mut("content")?.as_object_mut())
    {
        if let Some(problem) = content.remove("application/problem+json") {
            content.insert("application/json".to_owned(), problem);
        }
    }
    // It knows one type of success and one of failure; the most frequent one stays typed, the others are unexpected responses.
    keep_one_type(responses, |status| status.starts_with('2'));
    keep_one_type(responses, |status| !status.starts_with('2'));
    true
}

fn keep_one_type(responses: &mut Map<String, Value>, of_class: fn(&str) -> bool) {
    let kind = |response: &Value| {
        let json = response.pointer("/content/application~1json/schema");
        json.map_or_else(|| response.get("content").is_some().to_string(), Value::to_string)
    };
    let mut frequencies: BTreeMap<String, usize> = BTreeMap::new();
    for (_, response) in responses.iter().filter(|(status, _)| of_class(status)) {
        *frequencies.entry(kind(response)).or_default() += 1;
    }
    let most = frequencies.into_iter().max_by_key(|(_, times)| *times);
    responses.retain(|status, response| {
        !of_class(status) || most.as_ref().is_none_or(|(most, _)| *most == kind(response))
    });
}
