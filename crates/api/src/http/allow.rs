//! The `Allow` header of a 405 (RFC 9110 15.5.6) and the query parameters of an operation, from the OpenAPI document: the
//! framework does not expose them.

use serde_json::Value;

use crate::http::query_string::KnownQuery;

/// A path of the document.
struct Template {
    /// Its segments, in which `None` matches any text.
    segments: Vec<Option<String>>,
    /// Its methods, as `Allow` has them.
    methods: String,
    operations: Vec<Operation>,
}

/// An operation of a path.
struct Operation {
    method: String,
    id: String,
    query: KnownQuery,
}

/// The allowed methods of every path.
pub(crate) struct Allowed(Vec<Template>);

impl Allowed {
    /// Collects the methods from an OpenAPI document.
    pub(crate) fn of(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let paths = document["paths"].as_object();
        let template = |(path, operations): (&String, &Value)| {
            let segment =
                |segment: &str| Some(segment.to_owned()).filter(|segment| !segment.starts_with('{'));
            let operations: Vec<Operation> = operations
                .as_object()
                .into_iter()
                .flatten()
                .map(|(method, operation)| Operation {
                    method: method.to_uppercase(),
                    id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
                    query: KnownQuery::of(operation),
                })
                .collect();
            let methods: Vec<&str> = operations.iter().map(|o| o.method.as_str()).collect();
            Template {
                segments: path.split('/').map(segment).collect(),
                methods: methods.join(", "),
                operations,
            }
        };
        Self(paths.into_iter().flatten().map(template).collect())
    }

    /// Returns the methods of a path. Paths outside the document, such as the document itself, allow GET only.
    pub(crate) fn at(&self, path: &str) -> &str {
        self.template(path).map_or("GET", |template| &template.methods)
    }

    /// Returns the `operationId` of a request; empty for what is not in the document.
    pub(crate) fn operation(&self, method: &str, path: &str) -> &str {
        self.find(method, path).map_or("", |operation| &operation.id)
    }

    /// Returns the query parameters of a request; none for what is not in the document.
    pub(crate) fn query(&self, method: &str, path: &str) -> KnownQuery {
        self.find(method, path)
            .map_or_else(KnownQuery::default, |operation| operation.query.clone())
    }

    fn find(&self, method: &str, path: &str) -> Option<&Operation> {
        let operations = &self.template(path)?.operations;
        operations.iter().find(|operation| operation.method == method)
    }

    fn template(&self, path: &str) -> Option<&Template> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &&Template| {
            template.segments.len() == segments.len()
                && template
                    .segments
                    .iter()
                    .zip(&segments)
                    .all(|(known, given)| known.as_deref().is_none_or(|known| known == *given))
        };
        // As in the router: a literal segment precedes a parameter, from the left.
        self.0.iter().filter(fits).min_by_key(|template| {
            let parameters = template.segments.iter().map(Option::is_none);
            parameters.collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Allowed;

    #[test]
    fn the_methods_of_a_path_are_listed_and_a_text_goes_before_a_parameter() {
        let allowed = Allowed::of(
            r#"{"paths": {"/a/{id}": {"get": {"operationId": "getA"}, "put": {}}, "/a/new": {"post": {}}, "/{b}/{c}": {"delete": {}}}}"#,
        );
        assert_eq!(allowed.at("/a/1"), "GET, PUT");
        assert_eq!(allowed.at("/a/new"), "POST");
        assert_eq!(allowed.at("/b/1"), "DELETE");
        assert_eq!(allowed.at("/docs"), "GET");
        assert_eq!(
            (
                allowed.operation("GET", "/a/1"),
                allowed.operation("GET", "/docs")
            ),
            ("getA", "")
        );
    }
}
