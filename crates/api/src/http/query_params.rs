//! Query parameters as a struct.
//!
//! To the framework an argument of a handler is one parameter. [`QueryParams`] is therefore one parameter, whose schema
//! lists the fields of its struct. [`Expanded`] replaces it with a parameter for each field before the OpenAPI document
//! is written.

use std::collections::HashMap;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Request, RequestBody};
use poem_openapi::param::Query;
use poem_openapi::registry::{MetaApi, MetaOperationParam, MetaParamIn, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::ParseFromParameter;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, OpenApi};

/// Type of the schema that lists parameters, which no JSON value has.
const LIST: &str = "query parameters";

/// The query parameters that `T` declares.
pub(crate) struct QueryParams<T>(pub(crate) T);

/// A struct of query parameters, declared with `query_params!`.
pub(crate) trait FromQuery: Sized + Send {
    /// Returns a schema with one property per parameter.
    fn schema() -> MetaSchema;

    /// Registers the types of the parameters.
    fn register(registry: &mut Registry);

    /// Reads the parameters in their order. The first invalid one is the error.
    fn read(request: &Request, body: &mut RequestBody) -> impl Future<Output = poem::Result<Self>> + Send;
}

/// Declares a struct of query parameters. A field is a parameter of that name, and its doc comment is the description
/// in the OpenAPI document.
macro_rules! query_params {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field_vis:vis $field:ident: $type:ty,)+
        }
    ) => {
        $(#[doc = $about])*
        $vis struct $name {
            $($(#[doc = $doc])* $field_vis $field: $type,)+
        }

        impl $crate::http::query_params::FromQuery for $name {
            fn schema() -> ::poem_openapi::registry::MetaSchema {
                $crate::http::query_params::list(vec![$(
                    $crate::http::query_params::listed::<$type>(
                        stringify!($field),
                        concat!($($doc, "\n"),*),
                    ),
                )+])
            }

            fn register(registry: &mut ::poem_openapi::registry::Registry) {
                $(<$type as ::poem_openapi::types::Type>::register(registry);)+
            }

            async fn read(
                request: &::poem::Request,
                body: &mut ::poem::RequestBody,
            ) -> ::poem::Result<Self> {
                Ok(Self {
                    $($field: $crate::http::query_params::read(stringify!($field), request, body).await?,)+
                })
            }
        }
    };
}
pub(crate) use query_params;

/// A parameter in a list: its name, whether it is required, and its schema with its description.
type Listed = (&'static str, bool, MetaSchemaRef);

/// Lists a parameter. The description wraps the schema, because a reference to a schema cannot hold one.
pub(crate) fn listed<F: ParseFromParameter>(name: &'static str, description: &'static str) -> Listed {
    let schema = MetaSchema {
        description: Some(description),
        all_of: vec![F::schema_ref()],
        ..MetaSchema::ANY
    };
    (name, F::IS_REQUIRED, MetaSchemaRef::Inline(Box::new(schema)))
}

/// Returns the schema that lists these parameters.
pub(crate) fn list(params: Vec<Listed>) -> MetaSchema {
    let required = params.iter().filter(|(_, required, _)| *required);
    MetaSchema {
        required: required.map(|(name, ..)| *name).collect(),
        properties: params
            .into_iter()
            .map(|(name, _, schema)| (name, schema))
            .collect(),
        ..MetaSchema::new(LIST)
    }
}

/// Reads one parameter.
pub(crate) async fn read<F: ParseFromParameter>(
    name: &'static str,
    request: &Request,
    body: &mut RequestBody,
) -> poem::Result<F> {
    let options = ExtractParamOptions {
        name,
        ..ExtractParamOptions::default()
    };
    let query = <Query<F> as ApiExtractor>::from_request(request, body, options).await?;
    Ok(query.0)
}

impl<'a, T: FromQuery> ApiExtractor<'a> for QueryParams<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        T::read(request, body).await.map(Self)
    }
}

/// An API in whose OpenAPI document each field of a [`QueryParams`] is a parameter.
pub(crate) struct Expanded<A>(pub(crate) A);

impl<A: OpenApi> OpenApi for Expanded<A> {
    fn meta() -> Vec<MetaApi> {
        let mut apis = A::meta();
        let paths = apis.iter_mut().flat_map(|api| &mut api.paths);
        for operation in paths.flat_map(|path| &mut path.operations) {
            let params = std::mem::take(&mut operation.params);
            operation.params = params.into_iter().flat_map(expand).collect();
        }
        apis
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        self.0.add_routes(routes);
    }
}

/// Returns the parameters that a parameter lists, or the parameter itself if it is none of [`QueryParams`].
fn expand(param: MetaOperationParam) -> Vec<MetaOperationParam> {
    let list = match param.schema {
        MetaSchemaRef::Inline(schema) if schema.ty == LIST => *schema,
        _ => return vec![param],
    };
    let MetaSchema {
        properties, required, ..
    } = list;
    let of = |(name, listed): (&'static str, MetaSchemaRef)| {
        let MetaSchemaRef::Inline(listed) = listed else {
            return None;
        };
        let lines: Vec<&str> = listed
            .description
            .unwrap_or_default()
            .lines()
            .map(str::trim)
            .collect();
        Some(MetaOperationParam {
            name: name.to_owned(),
            schema: listed.all_of.into_iter().next()?,
            in_type: MetaParamIn::Query,
            description: Some(lines.join("\n")).filter(|text| !text.is_empty()),
            required: required.contains(&name),
            deprecated: false,
            explode: true,
            style: None,
        })
    };
    properties.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::test::TestClient;
    use poem_openapi::OpenApiService;
    use poem_openapi::payload::PlainText;

    query_params! {
        /// Every kind of parameter that the API has.
        struct Fields {
            /// A text.
            text: Option<String>,
            number: Option<i64>,
            /// May be repeated.
            ///
            /// In two paragraphs.
            list: Option<Vec<String>>,
            needed: String,
        }
    }

    struct Struct;

    #[OpenApi]
    impl Struct {
        /// Get.
        #[oai(path = "/", method = "get")]
        async fn get(
            &self,
            QueryParams(query): QueryParams<Fields>,
            last: Query<Option<String>>,
        ) -> PlainText<String> {
            let Fields {
                text,
                number,
                list,
                needed,
            } = query;
            PlainText(format!("{text:?} {number:?} {list:?} {needed:?} {:?}", last.0))
        }
    }

    struct Arguments;

    #[OpenApi]
    impl Arguments {
        /// Get.
        #[oai(path = "/", method = "get")]
        async fn get(
            &self,
            /// A text.
            text: Query<Option<String>>,
            number: Query<Option<i64>>,
            /// May be repeated.
            ///
            /// In two paragraphs.
            list: Query<Option<Vec<String>>>,
            needed: Query<String>,
            last: Query<Option<String>>,
        ) -> PlainText<String> {
            PlainText(format!(
                "{:?} {:?} {:?} {:?} {:?}",
                text.0, number.0, list.0, needed.0, last.0
            ))
        }
    }

    #[test]
    fn a_struct_and_its_arguments_have_one_document() {
        let of_struct = OpenApiService::new(Expanded(Struct), "t", "1").spec();
        assert_eq!(of_struct, OpenApiService::new(Arguments, "t", "1").spec());
        assert!(!of_struct.contains(LIST));
    }

    #[tokio::test]
    async fn a_struct_is_read_as_its_arguments_are() {
        let of_struct = TestClient::new(OpenApiService::new(Expanded(Struct), "t", "1"));
        let arguments = TestClient::new(OpenApiService::new(Arguments, "t", "1"));
        for (query, status) in [
            ("", 400),
            ("needed=", 200),
            ("needed=a&needed=b", 200),
            ("NEEDED=a", 400),
            ("needed=a&text=&number=-7&list=", 200),
            (
                "needed=a&text=b&text=c&number=1&number=2&list=d,e&list=f&last=g",
                200,
            ),
            ("needed=a&number=", 400),
            ("needed=a&number=x", 400),
            ("needed=a&number=9223372036854775808", 400),
            ("number=x", 400),
            ("needed=%ff&text=a+b%2b&unknown=1", 200),
            ("needed", 200),
        ] {
            let read = of_struct.get(format!("/?{query}")).send().await.0;
            let expected = arguments.get(format!("/?{query}")).send().await.0;
            assert_eq!(read.status(), expected.status(), "{query}");
            assert_eq!(expected.status().as_u16(), status, "{query}");
            let read = read.into_body().into_string().await.unwrap();
            assert_eq!(read, expected.into_body().into_string().await.unwrap(), "{query}");
        }
    }
}
