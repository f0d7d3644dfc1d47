//! Parsing of a completed template. The bytes are untrusted and only claim to be a workbook.

use std::io::{Cursor, Read as _};

use calamine::{DataRef, Reader as _, Xlsx};
use domain::Invalid;
use domain::deposit::spreadsheet::SheetValue;
use time::macros::date;
use time::{Date, Duration};

/// Maximum size of a workbook, in bytes.
pub(crate) const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Maximum unpacked size of all parts, in bytes. A small file can unpack to more than any memory.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;
/// Maximum number of parts.
const MAX_PARTS: usize = 1000;
/// Maximum size of the text in the rows that are read, in bytes. It equals the limit for metadata.
const MAX_TEXT: usize = 1024 * 1024;
/// Maximum number of columns that are read.
const MAX_COLUMNS: u32 = 2000;
/// Row 1 holds the headers, row 2 their descriptions, row 3 the record (WC-1.5); counted from 0.
const DATA_ROW: u32 = 2;

/// Returns the columns of a workbook's first sheet: each header with the value in the data row.
pub(crate) fn columns(bytes: &[u8]) -> Result<Vec<(String, SheetValue)>, Invalid> {
    let refuse = |why: String| Invalid::value(why).of_field("file");
    let none = |error: String| refuse(format!("is not a readable workbook (.xlsx): {error}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| none(e.to_string()))?;
    if archive.len() > MAX_PARTS {
        return Err(refuse(format!("is a workbook with more than {MAX_PARTS} parts")));
    }
    let mut left = MAX_UNPACKED;
    for part in 0..archive.len() {
        let file = archive.by_index(part).map_err(|e| none(e.to_string()))?;
        // Unpacks for real: the sizes in the headers are only the sender's claim.
        let unpacked =
            std::io::copy(&mut file.take(left + 1), &mut std::io::sink()).map_err(|e| none(e.to_string()))?;
        left = left
            .checked_sub(unpacked)
            .ok_or_else(|| refuse(format!("unpacks to more than {MAX_UNPACKED} bytes")))?;
    }
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|e| none(e.to_string()))?;
    let first = book.sheet_names().first().cloned();
    let first = first.ok_or_else(|| refuse("has no sheet".to_owned()))?;
    // Reads cell by cell: one cell in the last row of the last column would make a table of 17 thousand million cells.
    let mut cells = book
        .worksheet_cells_reader(&first)
        .map_err(|e| none(e.to_string()))?;
    let mut characters = 0;
    let mut found: std::collections::BTreeMap<u32, (String, SheetValue)> = std::collections::BTreeMap::new();
    while let Some(cell) = cells.next_cell().map_err(|e| none(e.to_string()))? {
        let (row, column) = cell.get_position();
        if row > DATA_ROW {
            break;
        }
        if column >= MAX_COLUMNS {
            continue;
        }
        // A string that many cells share is stored once in the file and would be copied for each.
        if let DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) =
            cell.get_value()
        {
            characters += text.len();
        } else if let DataRef::SharedString(text) = cell.get_value() {
            characters += text.len();
        }
        if characters > MAX_TEXT {
            return Err(refuse(format!(
                "has more than {MAX_TEXT} bytes of text in its first three rows"
            )));
        }
        let entry = found
            .entry(column)
            .or_insert_with(|| (String::new(), SheetValue::Empty));
        match (row, value(cell.get_value())) {
            (0, SheetValue::Text(text)) => entry.0 = text,
            (0, SheetValue::Number(n)) => entry.0 = n.to_string(),
            (DATA_ROW, value) => entry.1 = value,
            _ => {}
        }
    }
    Ok(found.into_values().collect())
}

fn value(cell: &DataRef<'_>) -> SheetValue {
    #[expect(clippy::cast_precision_loss, reason = "workbooks hold floats only")]
    let whole = |n: i64| SheetValue::Number(n as f64);
    match cell {
        DataRef::Empty => SheetValue::Empty,
        DataRef::SharedString(text) => SheetValue::Text((*text).to_owned()),
        DataRef::Float(n) => SheetValue::Number(*n),
        DataRef::Int(n) => whole(*n),
        DataRef::Bool(truth) => SheetValue::Boolean(*truth),
        DataRef::DateTime(at) if at.is_datetime() => day(at.as_f64()).map_or_else(
            || SheetValue::Error("of an invalid date".to_owned()),
            SheetValue::Date,
        ),
        DataRef::DateTime(at) => SheetValue::Number(at.as_f64()),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            SheetValue::Text(text.clone())
        }
        DataRef::Error(error) => SheetValue::Error(error.to_string()),
    }
}

/// Converts a serial number to a date: days since 1899-12-30, as Excel counts from March 1900 on (ECMA-376, 18.17.4.1).
fn day(serial: f64) -> Option<Date> {
    if !(61.0..2_958_466.0).contains(&serial) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range above")]
    let days = serial.floor() as i64;
    date!(1899 - 12 - 30).checked_add(Duration::days(days))
}

#[cfg(test)]
mod tests {
    use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};

    use super::*;

    fn book(fill: impl FnOnce(&mut rust_xlsxwriter::Worksheet)) -> Vec<u8> {
        let mut book = Workbook::new();
        fill(book.add_worksheet());
        book.save_to_buffer().unwrap()
    }

    // proves PIP-1
    #[test]
    fn headers_and_the_third_row_are_read_dates_too() {
        let bytes = book(|sheet| {
            sheet.write(0, 0, "label").unwrap();
            sheet.write(1, 0, "what it is called").unwrap();
            sheet.write(2, 0, "a").unwrap();
            sheet.write(0, 1, "born").unwrap();
            let format = Format::new().set_num_format("yyyy-mm-dd");
            let at = ExcelDateTime::from_ymd(2020, 2, 29).unwrap();
            sheet.write_with_format(2, 1, &at, &format).unwrap();
            sheet.write(0, 2, "mass").unwrap();
            sheet.write(2, 2, 3.5).unwrap();
            sheet.write(3, 0, "a second record").unwrap();
            sheet.write(1_048_575, 16_383, "far away").unwrap();
        });
        assert_eq!(
            columns(&bytes).unwrap(),
            [
                ("label".to_owned(), SheetValue::Text("a".to_owned())),
                ("born".to_owned(), SheetValue::Date(date!(2020 - 02 - 29))),
                ("mass".to_owned(), SheetValue::Number(3.5)),
            ]
        );
    }

    #[test]
    fn a_text_that_many_cells_share_is_not_copied_for_each() {
        let text = "x".repeat(30_000);
        let bytes = book(|sheet| {
            for column in 0..200 {
                sheet.write(0, column, &text).unwrap();
            }
        });
        let message = columns(&bytes).unwrap_err().to_string();
        assert!(message.contains("bytes of text"), "{message}");
    }

    #[test]
    fn what_is_no_workbook_and_what_unpacks_to_too_much_is_refused() {
        for bad in [&b""[..], b"no workbook", b"PK\x03\x04", &book(|_| {})[..100]] {
            assert!(columns(bad).is_err());
        }
        let mut bomb = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        bomb.start_file("xl/workbook.xml", options).unwrap();
        let zeros = vec![0_u8; 1024 * 1024];
        for _ in 0..70 {
            std::io::Write::write_all(&mut bomb, &zeros).unwrap();
        }
        let bytes = bomb.finish().unwrap().into_inner();
        assert!(bytes.len() < 1024 * 1024);
        let message = columns(&bytes).unwrap_err().to_string();
        assert!(message.contains("unpacks to more"), "{message}");
    }
}
