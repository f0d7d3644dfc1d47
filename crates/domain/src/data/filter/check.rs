//! Converts the shape of a filter to a filter with existing columns and correctly typed values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::raw::{RawNode, RawPredicate};
use super::{Filter, FilterColumn, FilterOp, FilterValue, QueryError, RawFilter};
use crate::data::cell::{Cell, ColumnType};
use crate::kind::{Fault, Loc};
use crate::names::HookName;
use crate::registry::schema::shortened;

/// Maximum number of values in a list.
const MAX_VALUES: usize = 1000;

/// Type of a filterable column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterColumnType {
    /// Type of the column's values.
    pub column_type: ColumnType,
    /// Whether the column holds ontology terms. Terms can be compared for equality only.
    pub term: bool,
}

impl FilterColumnType {
    /// Creates a column of this type without ontology terms.
    pub const fn of(column_type: ColumnType) -> Self {
        Self {
            column_type,
            term: false,
        }
    }

    /// Returns the operators that this column supports (WC-7.4).
    pub const fn operators(self) -> &'static [FilterOp] {
        use FilterOp::{Contains, Eq, Gt, Gte, In, IsNull, Lt, Lte, Neq};
        match self.column_type {
            ColumnType::Text if self.term => &[Eq, Neq, In, IsNull],
            ColumnType::Text => &[Eq, Neq, In, Contains, IsNull],
            ColumnType::Number | ColumnType::Integer | ColumnType::Date | ColumnType::Timestamp => {
                &[Eq, Neq, Gt, Gte, Lt, Lte, In, IsNull]
            }
            ColumnType::Uuid => &[Eq, Neq, In, IsNull],
            ColumnType::Boolean | ColumnType::Json => &[Eq, IsNull],
        }
    }
}

/// The columns that a filter may name.
#[derive(Clone, Debug, Default)]
pub struct ColumnScope {
    /// Columns that the server adds to the table.
    pub implicit: BTreeMap<String, FilterColumnType>,
    /// Fields of the records' metadata.
    pub metadata: BTreeMap<String, FilterColumnType>,
    /// Columns of feature tables: at least those of the named hooks that the schema has.
    pub features: BTreeMap<HookName, BTreeMap<String, FilterColumnType>>,
}

impl RawFilter {
    /// Checks the filter against these columns.
    pub fn check(&self, scope: &ColumnScope) -> Result<Filter, QueryError> {
        node(&self.root, scope)
    }
}

fn node(raw: &RawNode, scope: &ColumnScope) -> Result<Filter, QueryError> {
    let all = |operands: &[RawNode]| {
        operands
            .iter()
            .map(|o| node(o, scope))
            .collect::<Result<Vec<_>, _>>()
    };
    match raw {
        RawNode::Predicate(raw) => predicate(raw, scope),
        RawNode::And(operands) => all(operands).map(Filter::And),
        RawNode::Or(operands) => all(operands).map(Filter::Or),
        RawNode::Not(operand) => Ok(Filter::Not(Box::new(node(operand, scope)?))),
    }
}

fn fault(code: &'static str, at: &[Loc], key: &str, message: String) -> QueryError {
    let mut loc = at.to_vec();
    loc.push(key.into());
    QueryError::new(code, Fault::value(loc, message))
}

/// Lists some of the names, as a hint after a typo.
fn among<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.take(20).map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn column_type(raw: &RawPredicate, scope: &ColumnScope) -> Result<FilterColumnType, QueryError> {
    match &raw.column {
        FilterColumn::Implicit(name) => scope.implicit.get(name).copied().ok_or_else(|| {
            fault(
                "unknown_column",
                &raw.at,
                "field",
                format!(
                    "{:?} is not an implicit column of this table ({}); \
                     write fields as metadata.<field> and columns of hooks as features.<hook>.<column>",
                    shortened(name),
                    among(scope.implicit.keys())
                ),
            )
        }),
        FilterColumn::Metadata(name) => scope.metadata.get(name).copied().ok_or_else(|| {
            fault(
                "unknown_metadata_field",
                &raw.at,
                "field",
                format!(
                    "{:?} is not a field of the schema; its fields are {}",
                    shortened(name),
                    among(scope.metadata.keys())
                ),
            )
        }),
        FilterColumn::Feature { hook, column } => {
            let columns = scope.features.get(hook).ok_or_else(|| {
                fault(
                    "unknown_feature_column",
                    &raw.at,
                    "field",
                    format!("{hook} is not a hook of this schema"),
                )
            })?;
            columns.get(column).copied().ok_or_else(|| {
                fault(
                    "unknown_feature_column",
                    &raw.at,
                    "field",
                    format!(
                        "{:?} is not a column of {hook}; its columns are {}",
                        shortened(column),
                        among(columns.keys())
                    ),
                )
            })
        }
    }
}

fn predicate(raw: &RawPredicate, scope: &ColumnScope) -> Result<Filter, QueryError> {
    let of = column_type(raw, scope)?;
    if !of.operators().contains(&raw.op) {
        let may: Vec<&str> = of.operators().iter().map(|op| op.as_str()).collect();
        return Err(fault(
            "unsupported_operator",
            &raw.at,
            "op",
            format!(
                "this column does not support {}; it supports {}",
                raw.op.as_str(),
                may.join(", ")
            ),
        ));
    }
    let bad = |message: String| fault("invalid_value_for_op", &raw.at, "value", message);
    let one = |value: &Value| cell(value, of.column_type).map_err(|rule| bad(rule.to_owned()));
    let asked = |op: FilterOp, value: FilterValue| Filter::Predicate {
        column: raw.column.clone(),
        column_type: of.column_type,
        op,
        value,
    };
    let integer = of.column_type == ColumnType::Integer;
    if integer && let Some(filter) = fraction(&raw.value).and_then(|n| between_integers(raw.op, n, &asked)) {
        return Ok(filter);
    }
    let value = match raw.op {
        FilterOp::IsNull => return Ok(asked(FilterOp::IsNull, FilterValue::Nothing)),
        FilterOp::Eq if raw.value.is_null() => return Ok(asked(FilterOp::IsNull, FilterValue::Nothing)),
        FilterOp::Neq if raw.value.is_null() => {
            return Ok(asked(FilterOp::IsNotNull, FilterValue::Nothing));
        }
        FilterOp::In => {
            let list = raw.value.as_array().ok_or_else(|| bad("must be a list".into()))?;
            if list.len() > MAX_VALUES {
                return Err(bad(format!("must have at most {MAX_VALUES} values")));
            }
            if list.iter().any(Value::is_null) {
                return Err(bad("must not contain null; use is_null for missing values".into()));
            }
            // No integer equals a number with a fraction.
            let values = list.iter().filter(|value| !integer || fraction(value).is_none());
            FilterValue::Many(values.map(one).collect::<Result<_, _>>()?)
        }
        _ if raw.value.is_null() => {
            return Err(bad("must not be null; use is_null for missing values".into()));
        }
        _ => FilterValue::One(one(&raw.value)?),
    };
    Ok(asked(raw.op, value))
}

/// Returns the number if it has a fraction.
fn fraction(value: &Value) -> Option<f64> {
    value.as_f64().filter(|n| n.is_finite() && n.fract() != 0.0)
}

/// Returns the comparison of an integer column with a number that has a fraction, in terms of integers; `None` for an
/// operator that compares with no single number.
fn between_integers(
    op: FilterOp,
    number: f64,
    asked: &impl Fn(FilterOp, FilterValue) -> Filter,
) -> Option<Filter> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float with a fraction is below 2^52"
    )]
    let below = FilterValue::One(Cell::Integer(number.floor() as i64));
    match op {
        FilterOp::Gt | FilterOp::Gte => Some(asked(FilterOp::Gt, below)),
        FilterOp::Lt | FilterOp::Lte => Some(asked(FilterOp::Lte, below)),
        FilterOp::Eq => Some(asked(FilterOp::In, FilterValue::Many(Vec::new()))),
        FilterOp::Neq => Some(Filter::Or(vec![
            asked(FilterOp::IsNull, FilterValue::Nothing),
            asked(FilterOp::IsNotNull, FilterValue::Nothing),
        ])),
        FilterOp::In | FilterOp::Contains | FilterOp::IsNull | FilterOp::IsNotNull => None,
    }
}

/// Converts a value to the column's type. Text columns accept strings only: comparing text with a number would be a
/// guess.
fn cell(value: &Value, column: ColumnType) -> Result<Cell, &'static str> {
    match (column, value) {
        (ColumnType::Text, Value::String(_)) => Cell::from_json(value, column),
        (ColumnType::Text, _) => Err("must be a string"),
        // A day means its first moment, so that `gte` a date works on points in time.
        (ColumnType::Timestamp, Value::String(text)) if text.len() == 10 => {
            Cell::from_json(&Value::String(format!("{text}T00:00:00Z")), column)
                .map_err(|_| "must be a date, or a date and time with an offset (RFC 3339)")
        }
        _ => Cell::from_json(value, column),
    }
}
