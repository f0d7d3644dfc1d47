//! The OpenAPI document: what the framework writes, with each operation's gate in words.

use serde_json::{Map, Value, json};

/// What the document says of the whole.
pub(crate) const DESCRIPTION: &str = "An archive of derived scientific data that tells, for any row, which release of which code made it, \
from which commit, run when, on which input, handed to whom, asked for by whom.";

/// The finished document as text, without a server: for `hallmark openapi` and the committed copy.
pub fn openapi_document(services: crate::Services) -> String {
    finished(&crate::service(&std::sync::Arc::new(services)).spec())
}

/// The gate rides through the framework in the name of the security scheme (`bearer scope:hooks:write`), because an extractor can say
/// nothing else about its operation. OpenAPI 3.0 has no scopes for bearer schemes, so it becomes `x-hallmark-requires`.
pub(crate) fn finished(spec: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(spec) else {
        return spec.to_owned();
    };
    let operations = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut);
    for operation in operations
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
    {
        let mut requires = None;
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
                }
            }
        }
        let open = operation
            .get("security")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|s| s.as_object().is_some_and(Map::is_empty)));
        let requires = requires.unwrap_or_else(|| {
            if open {
                "nothing: it is public".to_owned()
            } else {
                "a user's token".to_owned()
            }
        });
        operation.insert("x-hallmark-requires".to_owned(), Value::String(requires));
    }
    serde_json::to_string_pretty(&document).map_or_else(|_| spec.to_owned(), |text| text + "\n")
}

fn in_words(what: &str) -> String {
    match what.split_once(':') {
        Some(("scope", scope)) => format!("the scope {scope}, or the role admin"),
        Some(("role", role)) => format!("the role {role} or a higher one"),
        _ => what.to_owned(),
    }
}
