//! The cells of a filled-in template, as the file stores them.

use std::fmt;

use crate::registry::schema::shortened;

/// The place of a cell, counted from 0. It is written as in a spreadsheet: `C3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The row.
    pub row: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// Parses a reference such as `C3`.
    pub fn parse(reference: &str) -> Option<Self> {
        let digits = reference.find(|c: char| !c.is_ascii_alphabetic())?;
        let (letters, row) = reference.split_at_checked(digits)?;
        if letters.is_empty() || letters.len() > 3 || !row.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let column = letters.bytes().fold(0, |sum, letter| {
            sum * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1
        });
        let (row, column) = (row.parse::<u32>().ok()?.checked_sub(1)?, column - 1);
        (row < MAX_ROWS && column < MAX_COLUMNS).then_some(Self { row, column })
    }
}

/// Maximum number of rows of a sheet.
pub const MAX_ROWS: u32 = 1_048_576;
/// Maximum number of columns of a sheet.
pub const MAX_COLUMNS: u32 = 16_384;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", column_name(self.column), self.row.saturating_add(1))
    }
}

/// Returns the letters of a column, which is counted from 0.
pub fn column_name(column: u32) -> String {
    let mut letters = Vec::new();
    let mut left = u64::from(column) + 1;
    while left > 0 {
        left -= 1;
        letters.push(char::from(b'A' + u8::try_from(left % 26).unwrap_or_default()));
        left /= 26;
    }
    letters.iter().rev().collect()
}

/// The value of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum SheetValue {
    /// Nothing.
    Empty,
    /// A text.
    Text(String),
    /// A number as the file spells it. Dates and durations are numbers with a format.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// A date or time as ISO 8601 text, which some programs write.
    Iso(String),
    /// An error value of the program that wrote the sheet, such as `#N/A`.
    Error(String),
    /// A formula without a computed value.
    Uncomputed,
    /// A value that the file does not spell in a known way; the text continues "the cell ...".
    Unreadable(String),
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetCell {
    /// Its place.
    pub place: Place,
    /// Its value.
    pub value: SheetValue,
    /// The code of its number format.
    pub format: String,
    /// Properties of the cell that a person sees differently from our reading; each text continues "the cell ...".
    pub remarks: Vec<String>,
}

impl SheetCell {
    /// Creates an unformatted cell.
    pub fn new(place: Place, value: SheetValue) -> Self {
        Self {
            place,
            value,
            format: "General".to_owned(),
            remarks: Vec::new(),
        }
    }

    /// Returns whether the cell has no content; a text of spaces is content.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            SheetValue::Empty => true,
            SheetValue::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    /// Describes the content for a message: the text continues "the cell ...".
    pub(super) fn described(&self) -> String {
        match &self.value {
            SheetValue::Empty => "is empty".to_owned(),
            SheetValue::Text(text) => format!("holds the text {:?}", shortened(text)),
            SheetValue::Number(raw) => format!("holds the number {}", shortened(raw)),
            SheetValue::Boolean(truth) => format!("holds {}", if *truth { "TRUE" } else { "FALSE" }),
            SheetValue::Iso(text) => format!("holds the date {}", shortened(text)),
            SheetValue::Error(error) => format!("holds the error {}", shortened(error)),
            SheetValue::Uncomputed => {
                "has a formula without a computed value; open the workbook in a spreadsheet program and save it"
                    .to_owned()
            }
            SheetValue::Unreadable(why) => why.clone(),
        }
    }
}

/// A column: its header and its value in the data row.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetColumn {
    /// The cell in row 1.
    pub header: SheetCell,
    /// The cell in row 3.
    pub data: SheetCell,
}

/// What a workbook holds for a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// The columns with a header or a value, from the left.
    pub columns: Vec<SheetColumn>,
    /// Whether dates are counted from 1904 instead of 1900.
    pub date_1904: bool,
    /// Parts of the workbook that are not read, or that are read differently from what a person sees.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_and_read_as_in_a_spreadsheet() {
        for (row, column, text) in [
            (0, 0, "A1"),
            (2, 25, "Z3"),
            (2, 26, "AA3"),
            (9, 701, "ZZ10"),
            (MAX_ROWS - 1, MAX_COLUMNS - 1, "XFD1048576"),
        ] {
            let place = Place { row, column };
            assert_eq!(
                (place.to_string().as_str(), Place::parse(text)),
                (text, Some(place))
            );
        }
        for bad in [
            "", "A", "3", "A0", "A-1", "XFE1", "A1048577", "AAAA1", "A1:B2", "Ä1", "A1é", "$A$1",
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
