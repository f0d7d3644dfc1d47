//! The OpenAPI document: the framework's output, with each operation's gate in words.

use serde_json::{Map, Value, json};

/// Description of the whole API.
pub(crate) const DESCRIPTION: &str = "An archive of derived scientific data that records, for every row, \
which release of which code made it, from which commit, when it ran, on which input, to whom the work was \
delegated and who requested it.";

/// Returns the finished document as text, without a server: for `hallmark openapi` and the committed copy.
pub fn openapi_document(services: crate::services::Services) -> String {
    finished(&crate::service(&std::sync::Arc::new(services)).spec())
}

/// Finishes the framework's document.
///
/// The gate passes through the framework in the name of the security scheme, such as `bearer scope:hooks:write`,
/// because an extractor can state nothing else about its operation. OpenAPI 3.0 has no scopes for bearer schemes, so
/// the requirement becomes `x-hallmark-requires`.
pub(crate) fn finished(spec: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(spec) else {
        return spec.to_owned();
    };
    let operations = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut);
    for (method, operation) in operations
        .filter_map(Value::as_object_mut)
        .flatten()
        .filter_map(|(method, operation)| Some((method, operation.as_object_mut()?)))
    {
        let mut requires = None;
        let mut scope = None;
        let mut known = false;
        for entry in operation
            .get_mut("security")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let Some(schemes) = entry.as_object_mut() else {
                continue;
            };
            let names: Vec<String> = schemes.keys().cloned().collect();
            for name in names {
                if let Some((scheme, what)) = name.split_once(' ') {
                    schemes.remove(&name);
                    schemes.insert(scheme.to_owned(), json!([]));
                    requires = Some(in_words(what));
                    let scoped = what.strip_prefix("curator-scope:");
                    scope = scoped.or_else(|| what.strip_prefix("scope:")).map(str::to_owned);
                    known = what.starts_with("known:");
                }
            }
        }
        let open = operation
            .get("security")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|s| s.as_object().is_some_and(Map::is_empty)));
        let requires = requires.unwrap_or_else(|| {
            if open {
                "none".to_owned()
            } else {
                "user token".to_owned()
            }
        });
        let described = operation.get("description").and_then(Value::as_str);
        let described = described.map_or_else(String::new, |text| format!("{text}\n\n"));
        let text = Value::String(format!("{described}Authorization: {requires}."));
        operation.insert("description".to_owned(), text);
        operation.insert("x-hallmark-requires".to_owned(), Value::String(requires));
        if let Some(scope) = scope {
            operation.insert("x-hallmark-scopes".to_owned(), json!([scope]));
        }
        // Credentials that are checked can be refused.
        only_possible(method, operation, open && !known);
    }
    media_types(&mut document);
    annotations(&mut document);
    nulls(&mut document);
    serde_json::to_string_pretty(&document).map_or_else(|_| spec.to_owned(), |text| text + "\n")
}

/// The operations that read one record, which may be withdrawn.
const READ_ONE_RECORD: [&str; 4] = ["exportRecord", "getRecord", "getRecordProvenance", "traceRow"];

/// Removes the responses that an operation cannot return: the framework lists every status of
/// [`crate::http::problem::Problem`] everywhere.
fn only_possible(method: &str, operation: &mut Map<String, Value>, open: bool) {
    let has = |operation: &Map<String, Value>, key: &str| operation.contains_key(key);
    let in_path = operation
        .get("parameters")
        .and_then(Value::as_array)
        .is_some_and(|all| all.iter().any(|parameter| parameter["in"] == "path"));
    let reads_record = operation
        .get("operationId")
        .and_then(Value::as_str)
        .is_some_and(|id| READ_ONE_RECORD.contains(&id));
    let takes_body = has(operation, "requestBody");
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let takes_something = takes_body || parameters.is_some_and(|all| !all.is_empty());
    // On the sign-in routes 401 concerns the submitted data, not a bearer token.
    let is_auth = operation
        .get("tags")
        .and_then(Value::as_array)
        .is_some_and(|tags| tags.contains(&json!("Auth")));
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    responses.retain(|status, _| match status.as_str() {
        // A property of the path, not of one of its operations.
        "405" => false,
        "401" => !open || is_auth,
        "403" => !open,
        "404" => method != "get" || in_path || is_auth,
        "409" => method != "get",
        "410" => reads_record,
        "413" | "415" => takes_body,
        "422" => takes_something,
        _ => true,
    });
}

/// Strips parameters from media types: generators look for `application/json` without `; charset=utf-8`. Text content
/// becomes a string, which the framework declares as a file.
fn media_types(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(content)) = map.get_mut("content") {
                *content = std::mem::take(content)
                    .into_iter()
                    .map(|(name, mut media)| {
                        let name = name.split(';').next().unwrap_or_default().trim().to_owned();
                        let schema = media.get_mut("schema").and_then(Value::as_object_mut);
                        if let Some(schema) = schema.filter(|_| name.starts_with("text/")) {
                            schema.remove("format");
                        }
                        (name, media)
                    })
                    .collect();
            }
            map.values_mut().for_each(media_types);
        }
        Value::Array(items) => items.iter_mut().for_each(media_types),
        _ => {}
    }
}

/// Merges a property's annotations with the type that it refers to. The framework puts them into a separate schema in
/// `allOf`, and generators cannot determine the type of that one.
fn annotations(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(parts)) = map.remove("allOf") {
                let says_nothing = |part: &Value| {
                    let mut keys = part.as_object().into_iter().flat_map(Map::keys);
                    keys.all(|key| matches!(key.as_str(), "description" | "title" | "default" | "deprecated"))
                };
                let (said, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(says_nothing);
                for part in said {
                    map.extend(part.as_object().cloned().into_iter().flatten());
                }
                map.insert("allOf".to_owned(), Value::Array(parts));
            }
            map.values_mut().for_each(annotations);
        }
        Value::Array(items) => items.iter_mut().for_each(annotations),
        _ => {}
    }
}

/// Marks optional properties as `nullable`: the framework writes `null` for them and [`crate::http::body`] accepts
/// `null`, but the framework's document states neither. A property with a default is always written.
fn nulls(document: &mut Value) {
    let schemas = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut);
    for schema in schemas.into_iter().flat_map(Map::values_mut) {
        let required = schema.get("required").and_then(Value::as_array).cloned();
        let required = required.unwrap_or_default();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            let always = required.iter().any(|key| key == name);
            let Some(property) = property.as_object_mut().filter(|_| !always) else {
                continue;
            };
            if let Some(reference) = property.remove("$ref") {
                // OpenAPI 3.0 ignores siblings of `$ref`.
                property.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            let typed = property.contains_key("type") || property.contains_key("allOf");
            if typed && !property.contains_key("default") {
                property.insert("nullable".to_owned(), Value::Bool(true));
                if let Some(Value::Array(items)) = property.get_mut("enum") {
                    items.push(Value::Null);
                }
            }
        }
    }
}

fn in_words(what: &str) -> String {
    match what.split_once(':') {
        Some(("known", _)) => "none; credentials, if sent, must be valid".to_owned(),
        Some(("authenticated", _)) => "user or service account token".to_owned(),
        Some(("curator-scope", scope)) => {
            format!("scope {scope}, or role curator or higher")
        }
        Some(("scope", scope)) => format!("scope {scope}, or role admin"),
        Some(("role", role)) => format!("role {role} or higher"),
        _ => what.to_owned(),
    }
}
