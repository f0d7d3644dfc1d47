//! Converts the data row of a filled-in template to metadata (WC-1.5).
//!
//! Invariant: nothing of the workbook is altered or left out in silence (EDG-1). Where a cell shows something else than
//! it holds, where programs read it differently, or where a part is not read, a warning or an error names the cell and
//! the reason. Who can break it: a new kind of value or format that `convert` takes without comparing both.

pub mod cell;
mod convert;
mod decimal;
mod format_code;
mod moment;
mod shown;

use serde_json::{Map, Value};

use crate::deposit::spreadsheet::cell::{Sheet, SheetColumn, SheetValue, column_name};
use crate::deposit::spreadsheet::convert::Conversion;
use crate::kind::Loc;
use crate::registry::schema::{FieldDefinition, MetadataChecker, shortened};

/// Metadata read from a spreadsheet, with warnings and errors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SheetMetadata {
    /// Metadata of the data row.
    pub metadata: Map<String, Value>,
    /// What was left out, or read differently from what a person sees; each names its cells.
    pub warnings: Vec<String>,
    /// Errors: the field, and the reason.
    pub errors: Vec<(String, String)>,
}

/// Maximum number of warnings.
const MAX_WARNINGS: usize = 100;

/// Reads the columns of a sheet as metadata of a schema with these fields.
pub fn read(fields: &[FieldDefinition], sheet: &Sheet) -> SheetMetadata {
    let mut read = SheetMetadata {
        warnings: sheet.warnings.clone(),
        ..SheetMetadata::default()
    };
    let mut columns: Vec<Vec<&SheetColumn>> = vec![Vec::new(); fields.len()];
    for column in &sheet.columns {
        match field_of(fields, column) {
            Ok(field) => columns[field].push(column),
            Err(Some(warning)) => read.warnings.push(warning),
            Err(None) => {}
        }
    }
    for (field, columns) in fields.iter().zip(&columns) {
        let name = field.name.as_str();
        let Some(column) = chosen(name, columns, &mut read) else {
            continue;
        };
        let conversion = Conversion::new(
            field.field_type,
            &column.data,
            sheet.date_1904,
            &mut read.warnings,
        );
        match conversion.value() {
            Ok(Value::Null) => {}
            Ok(value) => {
                read.metadata.insert(name.to_owned(), value);
            }
            Err(why) => read.errors.push((name.to_owned(), why)),
        }
    }
    check(fields, &columns, &mut read);
    let more = read.warnings.len().saturating_sub(MAX_WARNINGS - 1);
    if more > 1 {
        read.warnings.truncate(MAX_WARNINGS - 1);
        read.warnings
            .push(format!("{more} further warnings are not listed"));
    }
    read
}

/// Returns the field of a column. A column without one is left out, with a warning if that loses something.
fn field_of(fields: &[FieldDefinition], column: &SheetColumn) -> Result<usize, Option<String>> {
    let SheetColumn { header, data } = column;
    let left_out = if data.is_empty() {
        String::new()
    } else {
        format!("; {} {} and was not read", data.place, data.described())
    };
    let name = match &header.value {
        SheetValue::Text(text) => text.trim(),
        SheetValue::Empty => "",
        _ => {
            let (place, what) = (header.place, header.described());
            return Err(Some(format!(
                "{place} {what}, which is no name of a field{left_out}"
            )));
        }
    };
    if name.is_empty() {
        let place = header.place;
        return Err((!data.is_empty()).then(|| format!("{place} has no header{left_out}")));
    }
    let field = fields.iter().position(|field| field.name.as_str() == name);
    field.ok_or_else(|| {
        let (place, name) = (header.place, shortened(name));
        Some(format!(
            "{place} has {name:?}, which is not a field of the schema{left_out}"
        ))
    })
}

/// Returns the column that counts for a field: the one that has a value, if several have its header.
fn chosen<'a>(name: &str, columns: &[&'a SheetColumn], read: &mut SheetMetadata) -> Option<&'a SheetColumn> {
    let [first, .., last] = columns else {
        return columns.first().copied();
    };
    let filled: Vec<&&SheetColumn> = columns.iter().filter(|column| !column.data.is_empty()).collect();
    let headers: Vec<String> = columns
        .iter()
        .take(10)
        .map(|column| column_name(column.header.place.column))
        .collect();
    let headers = headers.join(", ");
    match filled.as_slice() {
        [] => {
            let (first, last) = (first.header.place, last.header.place);
            read.warnings.push(format!(
                "{first} to {last}: the columns {headers} all have the header {name:?}"
            ));
            Some(columns.first()?)
        }
        [only] => {
            let place = only.data.place;
            read.warnings.push(format!(
                "the columns {headers} all have the header {name:?}; {place}, which is the only value, was taken"
            ));
            Some(only)
        }
        _ => {
            let places: Vec<String> = filled
                .iter()
                .take(10)
                .map(|column| column.data.place.to_string())
                .collect();
            let places = places.join(", ");
            read.errors.push((
                name.to_owned(),
                format!("has several columns with values ({places}); leave one"),
            ));
            None
        }
    }
}

/// Adds what is wrong with the metadata by the schema.
fn check(fields: &[FieldDefinition], columns: &[Vec<&SheetColumn>], read: &mut SheetMetadata) {
    let Err(invalid) = MetadataChecker::new(fields).check(&read.metadata) else {
        return;
    };
    for fault in invalid.faults {
        let step = |loc: &Loc| match loc {
            Loc::Key(key) => key.clone(),
            Loc::Index(index) => index.to_string(),
            Loc::Item { name, .. } => name.clone(),
        };
        let name: Vec<String> = fault.loc.iter().map(step).collect();
        let name = name.join(".");
        // An invalid cell is not also missing.
        if read.errors.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let index = fields.iter().position(|field| field.name.as_str() == name);
        let cell = index
            .and_then(|index| columns[index].iter().find(|column| !column.data.is_empty()))
            .map(|column| format!(" ({})", column.data.place));
        let message = format!("{}{}", fault.message, cell.unwrap_or_default());
        read.errors.push((name, message));
    }
}

#[cfg(test)]
mod tests;
