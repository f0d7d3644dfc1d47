//! Typed filters of tables (WC-7.4, WC-D9). A client's filter becomes a tree in which every column is known and every
//! value has the type of its column, or an error that names the place and the rule.
//!
//! Two steps, because the available columns depend on the hooks that a filter names: [`RawFilter::parse`] checks shape
//! and limits, [`RawFilter::check`] checks columns and types.

mod check;
mod raw;
#[cfg(test)]
mod tests;

pub use check::{ColumnScope, FilterColumnType};
pub use raw::{FilterLimits, RawFilter};

use crate::data::cell::Cell;
use crate::kind::{Coded, Fault, Kind};
use crate::names::HookName;

/// Operator of a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterOp {
    /// Equal; with null: [`FilterOp::IsNull`].
    Eq,
    /// Different or without a value; with null: any value.
    Neq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal to one value of a list; the empty list matches nothing.
    In,
    /// Contains this text, case-insensitively.
    Contains,
    /// Has no value.
    IsNull,
    /// Has a value: the meaning of [`FilterOp::Neq`] with null. It has no wire name of its own.
    IsNotNull,
}

impl FilterOp {
    /// All operators with a wire name.
    pub const ALL: [Self; 9] = [
        Self::Eq,
        Self::Neq,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::In,
        Self::Contains,
        Self::IsNull,
    ];

    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::In => "in",
            Self::Contains => "contains",
            Self::IsNull => "is_null",
            Self::IsNotNull => "neq null",
        }
    }
}

/// The column of a predicate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterColumn {
    /// A column that the server adds to the table.
    Implicit(String),
    /// A field of the record's metadata.
    Metadata(String),
    /// A column of a feature table. In a query of the hook's own table it is the row's column. In any other query the
    /// predicate holds if the record has a current row that satisfies it.
    Feature {
        /// The hook.
        hook: HookName,
        /// The column.
        column: String,
    },
}

/// The value of a predicate.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterValue {
    /// One value of the column's type; never null.
    One(Cell),
    /// Several values of the column's type, none of them null.
    Many(Vec<Cell>),
    /// No value: the operator needs none.
    Nothing,
}

/// A filter that was checked against the columns of its table.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// A condition on one column. `Eq` and `Neq` with null have become [`FilterOp::IsNull`] and
    /// [`FilterOp::IsNotNull`].
    Predicate {
        /// The column.
        column: FilterColumn,
        /// The column's type.
        column_type: crate::ColumnType,
        /// The operator.
        op: FilterOp,
        /// The value.
        value: FilterValue,
    },
    /// All filters hold.
    And(Vec<Self>),
    /// At least one filter holds.
    Or(Vec<Self>),
    /// The filter does not hold. A condition on a missing value does not hold, so its negation does.
    Not(Box<Self>),
}

/// Columns of the server with an index: by the value of one of them a table finds its rows without looking at others.
const KEYS: [&str; 3] = ["id", "srn", "record_srn"];

impl Filter {
    /// Returns whether only rows with listed keys match, so that a table finds them without looking at all its rows.
    pub fn is_by_key(&self) -> bool {
        match self {
            Self::Predicate { column, op, .. } => {
                matches!(column, FilterColumn::Implicit(name) if KEYS.contains(&name.as_str()))
                    && matches!(op, FilterOp::Eq | FilterOp::In)
            }
            Self::And(operands) => operands.iter().any(Self::is_by_key),
            Self::Or(operands) => !operands.is_empty() && operands.iter().all(Self::is_by_key),
            Self::Not(_) => false,
        }
    }

    /// Returns whether a predicate uses the record's metadata.
    pub fn asks_metadata(&self) -> bool {
        match self {
            Self::Predicate { column, .. } => matches!(column, FilterColumn::Metadata(_)),
            Self::And(operands) | Self::Or(operands) => operands.iter().any(Self::asks_metadata),
            Self::Not(operand) => operand.asks_metadata(),
        }
    }
}

/// Reason for refusing a filter or a sort order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct QueryError {
    code: &'static str,
    fault: Fault,
}

impl QueryError {
    pub(crate) const fn new(code: &'static str, fault: Fault) -> Self {
        Self { code, fault }
    }
}

impl Coded for QueryError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        self.code
    }
    fn faults(&self) -> &[Fault] {
        std::slice::from_ref(&self.fault)
    }
}
