//! The shape of a filter: kinds, operands, operators, and the limits that bound its cost.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{FilterColumn, FilterOp, QueryError};
use crate::kind::{Fault, Loc};
use crate::names::HookName;
use crate::registry::schema::shortened;

/// Limits on the size of a filter (WC-7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterLimits {
    /// Maximum depth; a single predicate has depth 1.
    pub depth: usize,
    /// Maximum number of predicates.
    pub predicates: usize,
    /// Maximum number of different hooks.
    pub hooks: usize,
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self {
            depth: 10,
            predicates: 200,
            hooks: 10,
        }
    }
}

/// A predicate with an unchecked column and value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawPredicate {
    pub(super) at: Vec<Loc>,
    pub(super) column: FilterColumn,
    pub(super) op: FilterOp,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawNode {
    Predicate(RawPredicate),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
}

/// A filter with a valid shape and unchecked columns.
#[derive(Clone, Debug, PartialEq)]
pub struct RawFilter {
    pub(super) root: RawNode,
    hooks: BTreeSet<HookName>,
}

impl RawFilter {
    /// Parses the shape of a filter from JSON.
    pub fn parse(value: &Value, limits: FilterLimits) -> Result<Self, QueryError> {
        let mut parser = Parser {
            limits,
            predicates: 0,
            hooks: BTreeSet::new(),
        };
        let root = parser.node(value, &mut vec!["filter".into()], 1)?;
        Ok(Self {
            root,
            hooks: parser.hooks,
        })
    }

    /// Returns the hooks that the filter names.
    pub const fn hooks(&self) -> &BTreeSet<HookName> {
        &self.hooks
    }
}

struct Parser {
    limits: FilterLimits,
    predicates: usize,
    hooks: BTreeSet<HookName>,
}

fn shape(at: &[Loc], message: impl Into<String>) -> QueryError {
    QueryError::new(
        "VALIDATION_ERROR",
        Fault::value(at.iter().cloned(), message.into()),
    )
}

fn beyond(code: &'static str, at: &[Loc], message: String) -> QueryError {
    QueryError::new(code, Fault::value(at.iter().cloned(), message))
}

fn keyed(at: &[Loc], key: &str) -> Vec<Loc> {
    let mut at = at.to_vec();
    at.push(key.into());
    at
}

fn only(object: &Map<String, Value>, allowed: &[&str], at: &[Loc]) -> Result<(), QueryError> {
    match object.keys().find(|key| !allowed.contains(&key.as_str())) {
        Some(key) => Err(QueryError::new(
            "VALIDATION_ERROR",
            Fault {
                loc: keyed(at, &shortened(key)),
                message: format!("is not a known key; allowed: {}", allowed.join(", ")),
                rule: "extra_forbidden",
            },
        )),
        None => Ok(()),
    }
}

impl Parser {
    fn node(&mut self, value: &Value, at: &mut Vec<Loc>, depth: usize) -> Result<RawNode, QueryError> {
        if depth > self.limits.depth {
            return Err(beyond(
                "filter_depth_exceeded",
                at,
                format!(
                    "is nested deeper than {} levels; a single predicate is one level",
                    self.limits.depth
                ),
            ));
        }
        let object = value
            .as_object()
            .ok_or_else(|| shape(at, "must be an object with a kind"))?;
        match object.get("kind").and_then(Value::as_str) {
            Some("predicate") => {
                only(object, &["kind", "field", "op", "value"], at)?;
                self.predicate(object, at).map(RawNode::Predicate)
            }
            Some(kind @ ("and" | "or")) => {
                only(object, &["kind", "operands"], at)?;
                let and = kind == "and";
                let operands = self.operands(object, at, depth)?;
                Ok(if and {
                    RawNode::And(operands)
                } else {
                    RawNode::Or(operands)
                })
            }
            Some("not") => {
                only(object, &["kind", "operand"], at)?;
                let operand = object.get("operand").ok_or_else(|| missing(at, "operand"))?;
                at.push("operand".into());
                let node = self.node(operand, at, depth + 1)?;
                at.pop();
                Ok(RawNode::Not(Box::new(node)))
            }
            _ => Err(QueryError::new(
                "VALIDATION_ERROR",
                Fault {
                    loc: keyed(at, "kind"),
                    message: "must be predicate, and, or, or not".to_owned(),
                    rule: if object.contains_key("kind") {
                        "union_tag_invalid"
                    } else {
                        "union_tag_not_found"
                    },
                },
            )),
        }
    }

    fn operands(
        &mut self,
        object: &Map<String, Value>,
        at: &mut Vec<Loc>,
        depth: usize,
    ) -> Result<Vec<RawNode>, QueryError> {
        let operands = object.get("operands").ok_or_else(|| missing(at, "operands"))?;
        at.push("operands".into());
        let operands = operands
            .as_array()
            .ok_or_else(|| shape(at, "must be a list of filters"))?;
        if operands.len() < 2 {
            return Err(QueryError::new(
                "VALIDATION_ERROR",
                Fault {
                    loc: at.clone(),
                    message: "must have at least 2 filters".to_owned(),
                    rule: "too_short",
                },
            ));
        }
        let mut nodes = Vec::new();
        for (index, operand) in operands.iter().enumerate() {
            at.push(index.into());
            nodes.push(self.node(operand, at, depth + 1)?);
            at.pop();
        }
        at.pop();
        Ok(nodes)
    }

    fn predicate(&mut self, object: &Map<String, Value>, at: &[Loc]) -> Result<RawPredicate, QueryError> {
        self.predicates += 1;
        if self.predicates > self.limits.predicates {
            return Err(beyond(
                "filter_predicates_exceeded",
                at,
                format!("exceeds the maximum of {} predicates", self.limits.predicates),
            ));
        }
        let field = object.get("field").ok_or_else(|| missing(at, "field"))?;
        let column = column(field, &keyed(at, "field"))?;
        if let FilterColumn::Feature { hook, .. } = &column {
            self.hooks.insert(hook.clone());
            if self.hooks.len() > self.limits.hooks {
                return Err(beyond(
                    "filter_joins_exceeded",
                    &keyed(at, "field"),
                    format!("exceeds the maximum of {} hooks", self.limits.hooks),
                ));
            }
        }
        let name = object
            .get("op")
            .ok_or_else(|| missing(at, "op"))?
            .as_str()
            .unwrap_or_default();
        let op = FilterOp::ALL.into_iter().find(|op| op.as_str() == name);
        let op = op.ok_or_else(|| {
            QueryError::new(
                "VALIDATION_ERROR",
                Fault {
                    loc: keyed(at, "op"),
                    message: format!(
                        "must be one of {}",
                        FilterOp::ALL.map(FilterOp::as_str).join(", ")
                    ),
                    rule: "enum",
                },
            )
        })?;
        let value = match object.get("value") {
            Some(value) => value.clone(),
            None if op == FilterOp::IsNull => Value::Null,
            None => return Err(missing(at, "value")),
        };
        Ok(RawPredicate {
            at: at.to_vec(),
            column,
            op,
            value,
        })
    }
}

fn missing(at: &[Loc], key: &str) -> QueryError {
    QueryError::new("VALIDATION_ERROR", Fault::missing(keyed(at, key), "is required"))
}

/// Parses a column: `metadata.<field>`, `features.<hook>.<column>`, the name of an implicit column, or the same as an
/// object.
fn column(field: &Value, at: &[Loc]) -> Result<FilterColumn, QueryError> {
    let rule = || {
        shape(
            at,
            "must be metadata.<field>, features.<hook>.<column>, or the name of an implicit column",
        )
    };
    let text = |key: &str, object: &Map<String, Value>| {
        object
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| missing(at, key))
    };
    let feature = |hook: &str, column: &str| {
        let hook: HookName = hook.parse().map_err(|_| {
            QueryError::new(
                "unknown_feature_column",
                Fault::value(at.iter().cloned(), "names an unknown hook"),
            )
        })?;
        Ok(FilterColumn::Feature {
            hook,
            column: column.to_owned(),
        })
    };
    match field {
        Value::String(name) => match name.split('.').collect::<Vec<_>>().as_slice() {
            ["metadata", field] => Ok(FilterColumn::Metadata((*field).to_owned())),
            ["features", hook, column] => feature(hook, column),
            [name] => Ok(FilterColumn::Implicit((*name).to_owned())),
            _ => Err(rule()),
        },
        Value::Object(object) => match object.get("path").and_then(Value::as_str) {
            Some("metadata") => {
                only(object, &["path", "field"], at)?;
                Ok(FilterColumn::Metadata(text("field", object)?))
            }
            Some("features") => {
                only(object, &["path", "hook", "column"], at)?;
                feature(&text("hook", object)?, &text("column", object)?)
            }
            _ => Err(rule()),
        },
        _ => Err(rule()),
    }
}
