//! The `Allow` header of a 405 (RFC 9110 15.5.6), from the OpenAPI document: the framework knows the methods and does not tell.

use serde_json::Value;

/// A path's segments, where `None` takes any text, and its methods.
type Template = (Vec<Option<String>>, String);

/// The methods of every path.
pub(crate) struct Allowed(Vec<Template>);

impl Allowed {
    /// Those of a document.
    pub(crate) fn of(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let paths = document["paths"].as_object();
        let template = |(path, operations): (&String, &Value)| {
            let segment =
                |segment: &str| Some(segment.to_owned()).filter(|segment| !segment.starts_with('{'));
            let methods: Vec<String> = operations
                .as_object()
                .into_iter()
                .flatten()
                .map(|(method, _)| method.to_uppercase())
                .collect();
            (path.split('/').map(segment).collect(), methods.join(", "))
        };
        Self(paths.into_iter().flatten().map(template).collect())
    }

    /// The methods at a path. What is not in the document, such as the document itself, is only read.
    pub(crate) fn at(&self, path: &str) -> &str {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |(template, _): &&Template| {
            template.len() == segments.len()
                && template
                    .iter()
                    .zip(&segments)
                    .all(|(known, given)| known.as_deref().is_none_or(|known| known == *given))
        };
        // As the router does: a text before a parameter, from the left.
        let best = self
            .0
            .iter()
            .filter(fits)
            .min_by_key(|(template, _)| template.iter().map(Option::is_none).collect::<Vec<_>>());
        best.map_or("GET", |(_, methods)| methods)
    }
}

#[cfg(test)]
mod tests {
    use super::Allowed;

    #[test]
    fn the_methods_of_a_path_are_told_and_a_text_goes_before_a_parameter() {
        let allowed = Allowed::of(
            r#"{"paths": {"/a/{id}": {"get": {}, "put": {}}, "/a/new": {"post": {}}, "/{b}/{c}": {"delete": {}}}}"#,
        );
        assert_eq!(allowed.at("/a/1"), "GET, PUT");
        assert_eq!(allowed.at("/a/new"), "POST");
        assert_eq!(allowed.at("/b/1"), "DELETE");
        assert_eq!(allowed.at("/docs"), "GET");
    }
}
