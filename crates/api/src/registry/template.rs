//! A convention's spreadsheet template (WC-1.1): row 1 holds the field names, row 2 their descriptions, row 3 the
//! record.

use domain::{FieldDefinition, FieldType, Schema};
use rust_xlsxwriter::{DataValidation, DataValidationRule, Format, Workbook, XlsxError};

/// The last row that the rule of a column covers, from 0.
const LAST_ROW: u32 = 999;

/// Maximum number of characters in a description.
const MAX_WORDS: usize = 2000;

/// Returns the bytes of the template workbook.
pub(crate) fn workbook(schema: &Schema) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.set_name("record")?;
    let header = Format::new().set_bold();
    let words = Format::new().set_italic().set_text_wrap();
    for (column, field) in (0_u16..).zip(&schema.fields) {
        sheet.write_with_format(0, column, field.name.as_str(), &header)?;
        sheet.write_with_format(1, column, described(field), &words)?;
        sheet.set_column_width(column, 24)?;
        if field.field_type == FieldType::Boolean {
            let choice = DataValidation::new().allow_list_strings(&["true", "false"])?;
            sheet.add_data_validation(2, column, LAST_ROW, column, &choice)?;
        }
        if let Some((least, most)) = range(field) {
            let rule = DataValidation::new().allow_decimal_number(DataValidationRule::Between(least, most));
            sheet.add_data_validation(2, column, LAST_ROW, column, &rule)?;
        }
    }
    sheet.set_freeze_panes(2, 0)?;
    book.save_to_buffer()
}

/// Returns the description above a column.
fn described(field: &FieldDefinition) -> String {
    let mut parts = Vec::new();
    parts.extend(field.description.clone());
    let kind = match field.field_type {
        FieldType::Text | FieldType::Url | FieldType::Term => field.field_type.as_str(),
        FieldType::Number => "number",
        FieldType::Date => "date, YYYY-MM-DD",
        FieldType::Boolean => "true or false",
    };
    let unit = field.constraints.as_ref().and_then(|c| c.unit.as_deref());
    parts.push(unit.map_or_else(|| kind.to_owned(), |unit| format!("{kind}, in {unit}")));
    parts.push(if field.required { "required" } else { "optional" }.to_owned());
    // A cell of a workbook holds up to 32767 characters; people read fewer.
    parts.join("; ").chars().take(MAX_WORDS).collect()
}

/// Returns the range of a number, if it has both bounds.
fn range(field: &FieldDefinition) -> Option<(f64, f64)> {
    let constraints = field
        .constraints
        .as_ref()
        .filter(|_| field.field_type == FieldType::Number)?;
    constraints.min_value.zip(constraints.max_value)
}
