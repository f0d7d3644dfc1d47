//! JSON bodies: size-limited, and validated completely against the type's own schema, so that every fault is reported
//! at once.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use app::Failure;
use app::memory::{Memory, Reserved};
use domain::json::weight::weight;
use domain::json::{MAX_WEIGHT, parse_exact, saturate};
use domain::registry::schema::shortened;
use domain::{Fault, Invalid, Loc};
use poem::error::ReadBodyError;
use poem::http::{StatusCode, header};
use poem::{Request, RequestBody};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::{Map, Value};

use crate::http::client::Client;
use crate::http::problem::{MAX_FAULTS, Problem, is_auth};
use crate::http::query_string::{decoded, pairs};

/// Maximum size of a JSON body, in bytes.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Maximum size of a body below `/auth`, in bytes.
const MAX_AUTH_BYTES: usize = 16 * 1024;
/// A body of at most this size, in bytes, takes its memory without a reservation.
const SMALL: usize = 64 * 1024;
/// So does the value of a body, up to this size.
const LIGHT: usize = 1024 * 1024;

/// Types in which an unlisted key is a fault (WC-1.1: marked **F**). Other types ignore unlisted keys.
const STRICT: &[&str] = &[
    "DeployBody",
    "SchemaBlock",
    "HookBlock",
    "ReleaseBlock",
    "IngesterBlock",
    "DocsBlock",
    "ExampleBlock",
    "NewReleaseBody",
    "LiveBody",
    "YankBody",
    "UnyankBody",
    "RejectBody",
    "RoleBody",
    "DisableBody",
    "NewTaskBody",
    "TaskStatusBody",
    "CancelBody",
    "TaskGrantBody",
    "NewDelegationBody",
    "ParentBlock",
    "ClaimBody",
    "HeldBlock",
    "HeartbeatBody",
    "AttemptBody",
    "ProgressBody",
    "CompleteBody",
    "FailBody",
    "FinishBody",
    "EndBlock",
    "AcknowledgeBody",
    "CallersBody",
    "TableQueryBody",
    "WithdrawBody",
    "RestoreBody",
];

/// A JSON body, with the memory that is reserved for its value: a handler that takes the value holds it until the answer
/// is made.
pub(crate) struct Body<T>(pub(crate) T, pub(crate) Option<Reserved>);

impl<'a, T: ParseFromJSON + 'static> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType {
            content_type: Json::<T>::CONTENT_TYPE,
            schema: T::schema_ref(),
        }];
        Some(MetaRequest {
            description: None,
            content,
            required: !may_be_left_out::<T>(),
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let (bytes, _room) = taken(request, body, "application/json", Json::<T>::check_content_type).await?;
        // What weighs more is refused before it is read.
        let weight = Some(weight(&bytes)).filter(|weight| *weight <= MAX_WEIGHT);
        let room = reserved(request, weight.unwrap_or_default(), LIGHT).await?;
        let parsed = parse(&bytes).map_err(|e| Problem::invalid(&e, "body").on(path(request)))?;
        Ok(Self(parsed, room))
    }
}

/// An `application/x-www-form-urlencoded` body of strings, as browsers send it.
pub(crate) struct FormBody<T>(pub(crate) T);

const FORM: &str = "application/x-www-form-urlencoded";

impl<'a, T: ParseFromJSON + 'static> ApiExtractor<'a> for FormBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType {
            content_type: FORM,
            schema: T::schema_ref(),
        }];
        Some(MetaRequest {
            description: None,
            content,
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let is_form = |given: &str| given.split(';').next().unwrap_or_default().trim() == FORM;
        let (bytes, _room) = taken(request, body, FORM, is_form).await?;
        let parsed = fields_of_form(&bytes).and_then(|fields| parse_value(Value::Object(fields)));
        Ok(Self(
            parsed.map_err(|e| Problem::invalid(&e, "body").on(path(request)))?,
        ))
    }
}

/// Returns the fields of a form. None may come twice (RFC 6749 section 3.2), and all are UTF-8.
fn fields_of_form(form: &[u8]) -> Result<Map<String, Value>, Invalid> {
    let mut fields = Map::new();
    for (key, value) in pairs(form) {
        let (Some(key), Some(value)) = (decoded(key), decoded(value)) else {
            return Err(Invalid::value("is not valid UTF-8"));
        };
        if fields.contains_key(&key) {
            let twice = Fault::typed("duplicate_key", [shortened(&key).into()], "is given twice");
            return Err(Invalid::one(twice));
        }
        fields.insert(key, Value::String(value));
    }
    Ok(fields)
}

/// Returns the path of a request below `/api/v1`, which routing removed.
fn path(request: &Request) -> &str {
    request.uri().path()
}

/// Reserves memory of the budget for bodies, if it is more than `free`.
async fn reserved(request: &Request, bytes: usize, free: usize) -> poem::Result<Option<Reserved>> {
    match request.data::<Memory>() {
        Some(memory) if bytes > free => match memory.share(Client::named(request)).reserve(bytes).await {
            Ok(room) => Ok(Some(room)),
            Err(busy) => Err(Problem::from(Failure::from(busy)).on(path(request)).into()),
        },
        _ => Ok(None),
    }
}

/// Reads the bytes of a body of this content type, at most [`MAX_BYTES`], with the memory reserved for them.
async fn taken(
    request: &Request,
    body: &mut RequestBody,
    wanted: &'static str,
    fits: impl Fn(&str) -> bool,
) -> poem::Result<(bytes::Bytes, Option<Reserved>)> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or(wanted);
    if !fits(content_type) {
        let message = format!("the body must be {wanted}, not {}", shortened(content_type));
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
        .on(path(request))
        .into());
    }
    // Everyone may call the routes below `/auth`, and their bodies are short.
    let most = if is_auth(path(request)) {
        MAX_AUTH_BYTES
    } else {
        MAX_BYTES
    };
    let told = request.headers().get(header::CONTENT_LENGTH);
    let told = told.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let room = reserved(request, told.unwrap_or(most).min(most), SMALL).await?;
    match body.take()?.into_bytes_limit(most).await {
        Ok(bytes) => Ok((bytes, room)),
        Err(ReadBodyError::PayloadTooLarge) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body is larger than {most} bytes"),
        )
        .on(path(request))
        .into()),
        Err(error) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("reading the body failed: {error}"),
        )
        .on(path(request))
        .into()),
    }
}

fn parse<T: ParseFromJSON + 'static>(bytes: &[u8]) -> Result<T, Invalid> {
    let schemas = schemas::<T>();
    let properties = schemas
        .get(T::name().as_ref())
        .map(|schema| schema.properties.as_slice())
        .unwrap_or_default();
    // An absent body counts as an object without keys, if every key is optional.
    if bytes.is_empty() && properties.is_empty() {
        return Err(Invalid::one(Fault::missing(
            [],
            "is required, but the body is missing",
        )));
    }
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    // What is clamped may have any number of digits.
    let clamped: Vec<&str> = properties
        .iter()
        .filter(|(_, p)| is_clamped(p))
        .map(|(key, _)| *key)
        .collect();
    // It rejects nesting deeper than 128, so neither it nor the walk below can exhaust the stack.
    parse_value(parse_exact(&saturate(bytes, &clamped))?)
}

/// Returns whether a schema is that of [`crate::http::query::Limit`]: all other integers have a format.
fn is_clamped(schema: &MetaSchemaRef) -> bool {
    matches!(schema, MetaSchemaRef::Inline(inline) if inline.ty == "integer" && inline.format.is_none())
}

fn parse_value<T: ParseFromJSON + 'static>(value: Value) -> Result<T, Invalid> {
    let schemas = schemas::<T>();
    let mut walk = Walk {
        schemas: &schemas,
        faults: Vec::new(),
    };
    walk.check(&T::schema_ref(), &value, &mut Vec::new());
    walk.check_nul(&value, &mut Vec::new());
    Invalid::unless_empty(walk.faults)?;
    // Rules that the schema cannot express.
    T::parse_from_json(Some(value)).map_err(|e| Invalid::value(e.into_message()))
}

/// Returns whether an object without keys is a valid body, so that an absent body is valid too. A body with arbitrary
/// keys does not qualify: there the empty object has a meaning.
fn may_be_left_out<T: ParseFromJSON + 'static>() -> bool {
    let schemas = schemas::<T>();
    schemas
        .get(T::name().as_ref())
        .is_some_and(|schema| schema.required.is_empty() && !schema.properties.is_empty())
}

/// Returns the schemas of a body's type by name. They never change, and building them costs more than the rest of a
/// request.
fn schemas<T: ParseFromJSON + 'static>() -> Arc<Schemas> {
    static MADE: LazyLock<RwLock<HashMap<TypeId, Arc<Schemas>>>> = LazyLock::new(RwLock::default);
    let key = TypeId::of::<T>();
    let made = MADE
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&key)
        .cloned();
    made.unwrap_or_else(|| {
        let mut registry = Registry::new();
        T::register(&mut registry);
        let made = Arc::new(registry.schemas);
        let mut all = MADE.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_insert(made))
    })
}

type Schemas = BTreeMap<String, MetaSchema>;

/// Validates a value against a schema of the OpenAPI document.
struct Walk<'a> {
    schemas: &'a Schemas,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn check(&mut self, schema: &MetaSchemaRef, value: &Value, at: &mut Vec<Loc>) {
        match schema {
            MetaSchemaRef::Inline(inline) if !inline.all_of.is_empty() => {
                inline.all_of.iter().for_each(|part| self.check(part, value, at));
            }
            MetaSchemaRef::Inline(inline) => self.check_plain(inline, None, value, at),
            MetaSchemaRef::Reference(name) => {
                if let Some(named) = self.schemas.get(name) {
                    self.check_plain(named, Some(name), value, at);
                }
            }
        }
    }

    /// Rejects the character NUL, which PostgreSQL cannot store.
    fn check_nul(&mut self, value: &Value, at: &mut Vec<Loc>) {
        match value {
            Value::String(text) if text.contains('\0') => {
                self.fault(at, "must not contain the character NUL", "value_error");
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    at.push(index.into());
                    self.check_nul(item, at);
                    at.pop();
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    at.push(shortened(key).into());
                    if key.contains('\0') {
                        self.fault(at, "must not contain the character NUL", "value_error");
                    }
                    self.check_nul(item, at);
                    at.pop();
                }
            }
            _ => {}
        }
    }

    fn fault(&mut self, at: &[Loc], message: impl Into<String>, rule: &'static str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                loc: at.to_vec(),
                message: message.into(),
                rule,
            });
        }
    }

    fn check_plain(&mut self, schema: &MetaSchema, name: Option<&str>, value: &Value, at: &mut Vec<Loc>) {
        let (fits, article, rule) = match schema.ty {
            "object" => (value.is_object(), "an object", "dict_type"),
            "array" => (value.is_array(), "a list", "list_type"),
            "string" => (value.is_string(), "a string", "string_type"),
            "integer" => (
                value.is_i64() || value.is_u64(),
                "an integer of at most 64 bits",
                "int_parsing",
            ),
            "number" => (value.is_number(), "a number", "float_parsing"),
            "boolean" => (value.is_boolean(), "true or false", "bool_parsing"),
            _ => (true, "", ""),
        };
        if !fits {
            return self.fault(at, format!("must be {article}"), rule);
        }
        if !schema.enum_items.is_empty() && !schema.enum_items.contains(value) {
            let known: Vec<String> = schema
                .enum_items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect();
            return self.fault(at, format!("must be one of {}", known.join(", ")), "enum");
        }
        if let (Some(least), Some(number)) = (schema.minimum, value.as_f64())
            && number < least
        {
            return self.fault(at, format!("must be at least {least}"), "greater_than_equal");
        }
        match value {
            Value::Array(items) => {
                if let Some(inner) = &schema.items {
                    for (index, item) in items.iter().enumerate() {
                        at.push(index.into());
                        self.check(inner, item, at);
                        at.pop();
                    }
                }
            }
            Value::Object(map) => {
                for required in schema.required.iter().filter(|key| !map.contains_key(**key)) {
                    at.push((*required).into());
                    self.fault(at, "is required", "missing");
                    at.pop();
                }
                for (key, item) in map {
                    at.push(shortened(key).into());
                    if let Some((known, inner)) = schema.properties.iter().find(|(known, _)| known == key) {
                        // For an optional field, `null` means that the field is absent.
                        if !item.is_null() || schema.required.contains(known) {
                            self.check(inner, item, at);
                        }
                    } else if let Some(inner) = &schema.additional_properties {
                        self.check(inner, item, at);
                    } else if name.is_some_and(|name| STRICT.contains(&name)) {
                        self.fault(at, "is not a known key", "extra_forbidden");
                    }
                    at.pop();
                }
            }
            _ => {}
        }
    }
}
