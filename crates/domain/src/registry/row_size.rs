//! Whether a row of a table can be stored: a contract or a schema whose rows cannot be is refused when it is deployed
//! (EDG-3), not record by record.

use crate::data::cell::ColumnType;
use crate::kind::{Fault, Invalid};

/// Maximum size of a stored row, in bytes: a page of 8192 less its header and the row's pointer (`MaxHeapTupleSize` in
/// PostgreSQL's `htup_details.h`; "Database Page Layout" in its documentation).
pub const MAX_ROW_BYTES: usize = 8160;
/// Bytes of a value of variable length that stay in the row at worst. PostgreSQL moves longer values out ("TOAST" in
/// its documentation; `toast_tuple_find_biggest_attribute`), and leaves a pointer of 18 bytes.
const VARIABLE: usize = 24;
/// Bytes of a row's header without its bitmap of nulls (`SizeofHeapTupleHeader`).
const HEADER: usize = 23;
/// Columns that tables have beside the declared ones, at most: those of a table of features, as migration 0043 makes it.
const IMPLICIT: [(usize, usize); 5] = [(8, 8), (VARIABLE, 1), (16, 1), (8, 8), (16, 1)];

/// Size and alignment of a value in a row, in bytes.
const fn size(column: ColumnType) -> (usize, usize) {
    match column {
        ColumnType::Text | ColumnType::Json => (VARIABLE, 1),
        ColumnType::Number | ColumnType::Integer | ColumnType::Timestamp => (8, 8),
        ColumnType::Boolean => (1, 1),
        ColumnType::Date => (4, 4),
        ColumnType::Uuid => (16, 1),
    }
}

/// Returns the size of the largest row that has no optional values, in bytes, if that is more than PostgreSQL stores.
///
/// `columns` are the declared columns, each with its type and whether it is required. Optional values are left out,
/// because they usually are: a row that gets too large by them is errored alone.
fn too_large(columns: impl Iterator<Item = (ColumnType, bool)>) -> Option<usize> {
    let mut count = IMPLICIT.len();
    let mut end = 0_usize;
    let mut add = |(size, alignment): (usize, usize)| end = end.next_multiple_of(alignment) + size;
    IMPLICIT.into_iter().for_each(&mut add);
    for (column, required) in columns {
        count += 1;
        if required {
            add(size(column));
        }
    }
    let bytes = (HEADER + count.div_ceil(8)).next_multiple_of(8) + end;
    (bytes > MAX_ROW_BYTES).then_some(bytes)
}

/// Refuses columns of which [`too_large`] tells a size. `what` is their name in the request.
pub(crate) fn check(what: &str, columns: impl Iterator<Item = (ColumnType, bool)>) -> Result<(), Invalid> {
    let Some(bytes) = too_large(columns) else {
        return Ok(());
    };
    let message = format!(
        "a row may need {bytes} bytes for its required {what}, and at most {MAX_ROW_BYTES} can be stored; split them, \
         make some optional, or put several values into one JSON value"
    );
    Err(Invalid::one(Fault::value([what.into()], message)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(column: ColumnType, required: usize, optional: usize) -> Option<usize> {
        too_large((0..required + optional).map(|n| (column, n < required)))
    }

    // proves EDG-3
    #[test]
    fn only_required_columns_make_a_row_too_large() {
        assert_eq!(of(ColumnType::Number, 500, 0), None);
        assert_eq!(of(ColumnType::Uuid, 499, 1), None);
        assert_eq!(of(ColumnType::Uuid, 0, 500), None);
        assert_eq!(of(ColumnType::Text, 300, 200), None);
        assert!(of(ColumnType::Text, 340, 0).is_some());
        assert!(of(ColumnType::Json, 500, 0).is_some());
    }

    proptest! {
        #[test]
        fn a_required_column_more_never_makes_a_row_smaller(required in 0_usize..600, optional in 0_usize..100) {
            let (some, more) = (of(ColumnType::Text, required, optional), of(ColumnType::Text, required + 1, optional));
            prop_assert!(some.is_none() || more > some);
        }
    }
}
