//! Typed filters of tables (WC-7.4, WC-D9): what a client sends becomes a tree whose every column is known and whose every value
//! has that column's type, or an error that names the place and the rule.
//!
//! Two steps, because which columns there are depends on which hooks a filter names: [`RawFilter::parse`] knows shapes and limits,
//! [`RawFilter::check`] knows columns and types.

mod check;
mod raw;
#[cfg(test)]
mod tests;

pub use check::{ColumnScope, FilterColumnType};
pub use raw::{FilterLimits, RawFilter};

use crate::data::cell::Cell;
use crate::kind::{Coded, Fault, Kind};
use crate::names::HookName;

/// What a predicate asks of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterOp {
    /// Equal; with null, [`FilterOp::IsNull`].
    Eq,
    /// Different, or no value; with null, any value.
    Neq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal to one of a list; the empty list holds nothing.
    In,
    /// Has this text inside, whatever the case of its letters.
    Contains,
    /// Has no value.
    IsNull,
    /// Has a value: what [`FilterOp::Neq`] with null becomes. On the wire it has no name of its own.
    IsNotNull,
}

impl FilterOp {
    /// Every operator.
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

    /// Its name on the wire.
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

/// Which column a predicate looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterColumn {
    /// One that the server adds to the table that is read.
    Implicit(String),
    /// A field of the record's metadata.
    Metadata(String),
    /// A column of a feature table. On the hook's own table it is the row's; anywhere else the predicate asks whether the record
    /// has a current row for which it holds.
    Feature {
        /// The hook.
        hook: HookName,
        /// The column.
        column: String,
    },
}

/// What a predicate compares with.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterValue {
    /// A value of the column's type; never null.
    One(Cell),
    /// Values of the column's type, none of them null.
    Many(Vec<Cell>),
    /// Nothing: the operator says it all.
    Nothing,
}

/// A filter that was checked against the columns of its table.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// A question about one column. `Eq` and `Neq` with null have become [`FilterOp::IsNull`] and
    /// [`FilterOp::IsNotNull`].
    Predicate {
        /// The column.
        column: FilterColumn,
        /// The column's type.
        column_type: crate::ColumnType,
        /// The question.
        op: FilterOp,
        /// What it compares with.
        value: FilterValue,
    },
    /// All hold.
    And(Vec<Self>),
    /// At least one holds.
    Or(Vec<Self>),
    /// It does not hold. What is unknown, because there is no value, does not hold either, so its negation does.
    Not(Box<Self>),
}

impl Filter {
    /// Whether a predicate looks at the record's metadata.
    pub fn asks_metadata(&self) -> bool {
        match self {
            Self::Predicate { column, .. } => matches!(column, FilterColumn::Metadata(_)),
            Self::And(operands) | Self::Or(operands) => operands.iter().any(Self::asks_metadata),
            Self::Not(operand) => operand.asks_metadata(),
        }
    }
}

/// Why a filter or an order cannot be taken.
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
