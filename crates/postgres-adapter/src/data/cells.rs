//! Decoding the cells of tables.

use domain::{Cell, ColumnType};
use ports::StoreError;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use crate::data::json_text::JsonText;

/// Decodes the cells of a row whose columns have these types.
///
/// The types are not compared with PostgreSQL's for each value, which would be a good part of an export's work: the
/// statement that returned the row was built from the same columns. A value that cannot be decoded as its type is an
/// error all the same.
pub(crate) fn cells(row: &PgRow, types: &[ColumnType]) -> Result<Vec<Cell>, StoreError> {
    decoded(row, types, |row, index| {
        row.try_get_unchecked::<Option<serde_json::Value>, _>(index)
            .map(|value| value.map_or(Cell::Null, Cell::Json))
    })
}

/// Decodes the cells of a row for a format in which JSON is text anyway: it is neither parsed nor written anew, which
/// would be more work than all else in an export.
pub(crate) fn cells_as_text(row: &PgRow, types: &[ColumnType]) -> Result<Vec<Cell>, StoreError> {
    decoded(row, types, |row, index| {
        row.try_get_unchecked::<Option<JsonText>, _>(index)
            .map(|value| value.map_or(Cell::Null, |JsonText(text)| Cell::Text(text)))
    })
}

fn decoded(
    row: &PgRow,
    types: &[ColumnType],
    json: impl Fn(&PgRow, usize) -> Result<Cell, sqlx::Error>,
) -> Result<Vec<Cell>, StoreError> {
    macro_rules! get {
        ($index:expr, $rust:ty, $variant:path) => {
            row.try_get_unchecked::<Option<$rust>, _>($index)
                .map(|value| value.map_or(Cell::Null, $variant))
        };
    }
    let mut cells = Vec::with_capacity(types.len());
    for (index, column) in types.iter().enumerate() {
        let cell = match column {
            ColumnType::Text => get!(index, String, Cell::Text),
            ColumnType::Number => get!(index, f64, Cell::Number),
            ColumnType::Integer => get!(index, i64, Cell::Integer),
            ColumnType::Boolean => get!(index, bool, Cell::Boolean),
            ColumnType::Date => get!(index, time::Date, Cell::Date),
            ColumnType::Timestamp => get!(index, OffsetDateTime, Cell::Timestamp),
            ColumnType::Uuid => get!(index, uuid::Uuid, Cell::Uuid),
            ColumnType::Json => json(row, index),
        };
        cells.push(cell.map_err(|e| StoreError::corrupt("features or metadata", e))?);
    }
    Ok(cells)
}
