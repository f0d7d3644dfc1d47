//! Parsing of a completed template. The bytes are untrusted and only claim to be a workbook.
//!
//! Libraries that read workbooks return values alone. Here it also matters how a cell shows its value, and what is not
//! read (EDG-1), so the parts of the file are read as XML. Invariant: a part of the file that is not read is either
//! without content for the record (styles, settings), or leads to a warning. Who can break it: a new element of a cell or
//! sheet that `cells` skips.

mod cells;
mod left_out;
mod package;
mod strings;
mod styles;
mod workbook;
mod xml;

use std::collections::{BTreeMap, BTreeSet};

use domain::Invalid;
use domain::deposit::spreadsheet::cell::{Place, Sheet, SheetCell, SheetColumn, SheetValue};
use domain::registry::schema::shortened;

use crate::deposit::sheet::cells::{DATA_ROW, RawCell};
use crate::deposit::sheet::package::Package;
use crate::deposit::sheet::strings::Item;
use crate::deposit::sheet::styles::Styles;
use crate::deposit::sheet::xml::{check_text, refused, unreadable};

/// Maximum size of a workbook, in bytes.
pub(crate) const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// What reading takes at most besides the bytes of a workbook, in bytes: cells, texts, styles, relationships, and one
/// event of XML.
const MEMORY: usize = 16 * 1024 * 1024;

/// Returns how much memory a workbook takes, in bytes, by the size that its sender tells. What grows has room for twice
/// its size.
pub(crate) fn memory(told: Option<u64>) -> usize {
    let size = 2 * told.unwrap_or(MAX_BYTES).min(MAX_BYTES);
    usize::try_from(size).unwrap_or(usize::MAX).saturating_add(MEMORY)
}

/// Reads a workbook's first sheet.
pub(crate) fn read(bytes: &[u8]) -> Result<Sheet, Invalid> {
    let mut package = Package::open(bytes)?;
    let book = workbook::read(&mut package)?;
    let first = book.sheets.iter().position(|sheet| sheet.cells);
    let first = first.ok_or_else(|| refused("has no sheet"))?;
    let part = &book.sheets[first].part;
    let xml = package.part(part)?;
    let raw = cells::read(xml.ok_or_else(|| unreadable("a sheet is missing"))?)?;
    let relationships = package.relationships(part)?;
    let styles = Styles::read(&mut package, book.styles.as_deref())?;
    let wanted = raw.cells.iter().filter(|(place, _)| place.row != 1);
    let wanted: BTreeSet<usize> = wanted.filter_map(|(_, cell)| shared_index(cell)).collect();
    let strings = strings::shared(&mut package, book.strings.as_deref(), &wanted)?;
    let mut sheet = Sheet {
        date_1904: book.date_1904,
        ..Sheet::default()
    };
    let mut reading = Reading {
        styles: &styles,
        strings: &strings,
        stale: book.stale,
        text: raw.text,
    };
    let of_row = |row: u32| raw.cells.keys().filter(move |place| place.row == row);
    let columns: BTreeSet<u32> = of_row(0)
        .chain(of_row(DATA_ROW))
        .map(|place| place.column)
        .collect();
    for column in columns {
        let mut cell = |row| {
            let place = Place { row, column };
            match raw.cells.get(&place) {
                Some(raw) => reading.cell(place, raw),
                None => Ok(SheetCell::new(place, SheetValue::Empty)),
            }
        };
        sheet.columns.push(SheetColumn {
            header: cell(0)?,
            data: cell(DATA_ROW)?,
        });
    }
    left_out::warn_of_sheets(&mut package, &book.sheets, first, &mut sheet)?;
    left_out::warn_of_cells(&raw, &mut sheet);
    left_out::remark_links(&raw, &relationships, &mut sheet);
    let attached = left_out::attached(&mut package, &relationships)?;
    left_out::warn_of_attached(attached, &mut sheet);
    Ok(sheet)
}

/// Returns the index of a cell's shared text.
fn shared_index(cell: &RawCell) -> Option<usize> {
    let value = cell
        .value
        .as_ref()
        .filter(|_| cell.kind.as_deref() == Some("s"))?;
    value.trim().parse().ok()
}

/// What cells refer to.
struct Reading<'a> {
    styles: &'a Styles,
    strings: &'a BTreeMap<usize, Item>,
    stale: bool,
    /// Size of the texts so far, in bytes.
    text: usize,
}

impl Reading<'_> {
    fn cell(&mut self, place: Place, raw: &RawCell) -> Result<SheetCell, Invalid> {
        let mut cell = SheetCell::new(place, SheetValue::Empty);
        let (code, font) = self.styles.of(raw.style);
        code.clone_into(&mut cell.format);
        let mut remarks: BTreeSet<&str> = font.into_iter().collect();
        let value = raw.value.as_deref().unwrap_or_default();
        let mut text = |item: &Item| {
            remarks.extend(item.remarks.iter().copied());
            if item.broken {
                SheetValue::Unreadable("has half of a character".to_owned())
            } else {
                SheetValue::Text(item.text.clone())
            }
        };
        cell.value = match (raw.kind.as_deref(), value) {
            _ if raw.is_uncomputed() => SheetValue::Uncomputed,
            (Some("inlineStr"), _) | (_, "") => match &raw.inline {
                Some(item) => text(item),
                None if value.is_empty() => SheetValue::Empty,
                None => text(&Item::of(value)),
            },
            (Some("s"), _) => match shared_index(raw).and_then(|index| self.strings.get(&index)) {
                // A text that many cells share is stored once in the file, and is copied for each.
                Some(item) => {
                    self.text += item.text.len();
                    check_text(self.text)?;
                    text(item)
                }
                None => SheetValue::Unreadable("refers to a text that the workbook does not have".to_owned()),
            },
            (Some("str"), _) => text(&Item::of(value)),
            (Some("b"), _) => match value.trim() {
                "1" | "true" => SheetValue::Boolean(true),
                "0" | "false" => SheetValue::Boolean(false),
                _ => SheetValue::Unreadable(format!(
                    "is marked as true or false and holds {:?}",
                    shortened(value)
                )),
            },
            (Some("e"), _) => SheetValue::Error(value.to_owned()),
            (Some("d"), _) => SheetValue::Iso(value.to_owned()),
            (None | Some("n"), _) => SheetValue::Number(value.trim().to_owned()),
            (Some(kind), _) => SheetValue::Unreadable(format!("has the unknown type {:?}", shortened(kind))),
        };
        if raw.formula && self.stale {
            // Libraries that compute nothing write a zero and leave the computation to the program that opens the file.
            if cell.value == SheetValue::Number("0".to_owned()) {
                cell.value = SheetValue::Uncomputed;
            } else if !cell.is_empty() && cell.value != SheetValue::Uncomputed {
                cell.remarks.push(
                    "has a formula, and the workbook says that its formulas are still to be computed; the saved value was read"
                        .to_owned(),
                );
            }
        }
        cell.remarks.extend(remarks.into_iter().map(str::to_owned));
        Ok(cell)
    }
}

#[cfg(test)]
mod tests;
