//! The cells of a worksheet's first three rows, and the rows below them that have content.

use std::collections::BTreeMap;
use std::io::BufRead;

use domain::Invalid;
use domain::deposit::spreadsheet::cell::{MAX_COLUMNS, MAX_ROWS, Place};
use domain::registry::schema::shortened;

use crate::deposit::sheet::strings::{Item, item};
use crate::deposit::sheet::xml::{
    Element, Xml, attribute, check_text, flag, is, number, refused, unreadable,
};

/// Row 1 holds the headers, row 2 their descriptions, row 3 the record (WC-1.5); counted from 0.
pub(super) const DATA_ROW: u32 = 2;
/// Maximum number of merged regions, links and groups of hidden columns.
const MAX_REGIONS: usize = 4000;
/// Maximum number of ranges of rows that are listed.
const MAX_RANGES: usize = 10;

/// A cell as the worksheet spells it.
#[derive(Debug, Default)]
pub(super) struct RawCell {
    /// The index of its style.
    pub(super) style: usize,
    /// The type of its value.
    pub(super) kind: Option<String>,
    /// Its value.
    pub(super) value: Option<String>,
    /// Its text, if it is stored in the cell.
    pub(super) inline: Option<Item>,
    /// Whether it has a formula.
    pub(super) formula: bool,
}

/// A rectangle of cells, from its first to its last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region(pub(super) Place, pub(super) Place);

/// A link of a cell.
#[derive(Debug)]
pub(super) struct Link {
    /// The cell.
    pub(super) place: Place,
    /// The relationship that names its target.
    pub(super) id: Option<String>,
    /// The place in the workbook or in the target.
    pub(super) location: Option<String>,
}

/// Rows that have content, as ranges from the first to the last.
#[derive(Debug, Default)]
pub(super) struct Rows {
    ranges: Vec<(u32, u32)>,
    more: bool,
}

/// A worksheet.
#[derive(Debug, Default)]
pub(super) struct Worksheet {
    /// The cells of the first three rows.
    pub(super) cells: BTreeMap<Place, RawCell>,
    /// The rows below with content.
    pub(super) later: Rows,
    /// The first three rows that are hidden.
    pub(super) hidden_rows: Vec<u32>,
    /// Columns that are hidden, from the first to the last of each group.
    pub(super) hidden_columns: Vec<(u32, u32)>,
    /// Merged regions that reach into the first three rows.
    pub(super) merged: Vec<Region>,
    /// Links in the data row.
    pub(super) links: Vec<Link>,
    /// Size of the texts of the cells, in bytes, without shared ones.
    pub(super) text: usize,
}

impl RawCell {
    /// Returns whether the cell has content; the empty result of a formula is none.
    pub(super) fn has_content(&self) -> bool {
        let inline = self.inline.as_ref().is_some_and(|item| !item.text.is_empty());
        let value = self.value.as_ref().is_some_and(|value| !value.is_empty());
        inline || value || self.is_uncomputed()
    }

    /// Returns whether a formula has no value.
    pub(super) fn is_uncomputed(&self) -> bool {
        let empty_text = self.kind.as_deref() == Some("str") && self.value.is_some();
        self.formula
            && !empty_text
            && self.inline.is_none()
            && self.value.as_ref().is_none_or(String::is_empty)
    }
}

impl Rows {
    fn add(&mut self, row: u32) {
        let full = self.ranges.len() >= MAX_RANGES;
        match self.ranges.last_mut() {
            Some((first, last)) if (*first..=*last).contains(&row) => {}
            Some((_, last)) if *last + 1 == row => *last = row,
            _ if full => self.more = true,
            _ => self.ranges.push((row, row)),
        }
    }

    /// Lists the rows as a spreadsheet numbers them, if there are any.
    pub(super) fn listed(&self) -> Option<String> {
        let range = |(first, last): &(u32, u32)| match (first + 1, last + 1) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first} to {last}"),
        };
        let listed: Vec<String> = self.ranges.iter().map(range).collect();
        let more = if self.more { " and more" } else { "" };
        (!listed.is_empty()).then(|| format!("{}{more}", listed.join(", ")))
    }
}

/// Reads a worksheet.
pub(super) fn read<R: BufRead>(mut xml: Xml<R>) -> Result<Worksheet, Invalid> {
    let mut sheet = Worksheet::default();
    while let Some(element) = xml.child()? {
        if is(&element, "cols") {
            while let Some(column) = xml.child()? {
                sheet.column(&column)?;
                xml.skip()?;
            }
        } else if is(&element, "sheetData") {
            sheet.rows(&mut xml)?;
        } else if is(&element, "mergeCells") {
            while let Some(merged) = xml.child()? {
                if let Some(region) = region(&merged)?.filter(|region| region.0.row <= DATA_ROW) {
                    push(&mut sheet.merged, region)?;
                }
                xml.skip()?;
            }
        } else if is(&element, "hyperlinks") {
            while let Some(link) = xml.child()? {
                sheet.link(&link)?;
                xml.skip()?;
            }
        } else {
            xml.skip()?;
        }
    }
    Ok(sheet)
}

/// Returns whether a worksheet has any content.
pub(super) fn has_content<R: BufRead>(mut xml: Xml<R>) -> Result<bool, Invalid> {
    while let Some(element) = xml.child()? {
        if !is(&element, "sheetData") {
            xml.skip()?;
            continue;
        }
        while xml.child()?.is_some() {
            while let Some(element) = xml.child()? {
                if is(&element, "c") {
                    if cell(&mut xml, &element)?.has_content() {
                        return Ok(true);
                    }
                } else {
                    xml.skip()?;
                }
            }
        }
    }
    Ok(false)
}

impl Worksheet {
    fn column(&mut self, column: &Element) -> Result<(), Invalid> {
        let narrow = number::<f64>(column, "width")?.is_some_and(|width| width <= 0.0);
        if narrow || flag(column, "hidden")? == Some(true) {
            let first = number::<u32>(column, "min")?.unwrap_or(1);
            let last = number::<u32>(column, "max")?.unwrap_or(first);
            let range = (first.saturating_sub(1), last.saturating_sub(1));
            push(&mut self.hidden_columns, range)?;
        }
        Ok(())
    }

    fn link(&mut self, link: &Element) -> Result<(), Invalid> {
        let Some(Region(first, last)) = region(link)? else {
            return Ok(());
        };
        if (first.row..=last.row).contains(&DATA_ROW) {
            let link = Link {
                place: Place {
                    row: DATA_ROW,
                    ..first
                },
                id: attribute(link, "id")?,
                location: attribute(link, "location")?,
            };
            let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            self.text += length(&link.id) + length(&link.location);
            check_text(self.text)?;
            push(&mut self.links, link)?;
        }
        Ok(())
    }

    fn rows<R: BufRead>(&mut self, xml: &mut Xml<R>) -> Result<(), Invalid> {
        let mut next = 0;
        while let Some(element) = xml.child()? {
            if !is(&element, "row") {
                xml.skip()?;
                continue;
            }
            let row = match attribute(&element, "r")? {
                None => next,
                Some(r) => r
                    .parse::<u32>()
                    .ok()
                    .and_then(|r| r.checked_sub(1))
                    .ok_or_else(|| unreadable(format!("{r:?} is no number of a row")))?,
            };
            if row >= MAX_ROWS {
                return Err(unreadable(format!("it has more than {MAX_ROWS} rows")));
            }
            next = row + 1;
            let flat = number::<f64>(&element, "ht")?.is_some_and(|height| height <= 0.0);
            if row <= DATA_ROW
                && !self.hidden_rows.contains(&row)
                && (flat || flag(&element, "hidden")? == Some(true))
            {
                self.hidden_rows.push(row);
            }
            self.row(xml, row)?;
        }
        Ok(())
    }

    fn row<R: BufRead>(&mut self, xml: &mut Xml<R>, row: u32) -> Result<(), Invalid> {
        let mut column = 0;
        while let Some(element) = xml.child()? {
            if !is(&element, "c") {
                xml.skip()?;
                continue;
            }
            let place = match attribute(&element, "r")? {
                None => Place { row, column },
                Some(r) => Place::parse(&r)
                    .filter(|place| place.row == row)
                    .ok_or_else(|| unreadable(format!("{r:?} is no cell of row {}", row + 1)))?,
            };
            if place.column >= MAX_COLUMNS {
                return Err(unreadable(format!("it has more than {MAX_COLUMNS} columns")));
            }
            column = place.column + 1;
            let cell = cell(xml, &element)?;
            if row > DATA_ROW {
                if cell.has_content() {
                    self.later.add(row);
                }
                continue;
            }
            self.text += cell.value.as_ref().map_or(0, String::len);
            self.text += cell.inline.as_ref().map_or(0, |item| item.text.len());
            check_text(self.text)?;
            if self.cells.insert(place, cell).is_some() {
                return Err(unreadable(format!("it has the cell {place} twice")));
            }
        }
        Ok(())
    }
}

fn cell<R: BufRead>(xml: &mut Xml<R>, element: &Element) -> Result<RawCell, Invalid> {
    let mut cell = RawCell {
        style: number(element, "s")?.unwrap_or(0),
        kind: attribute(element, "t")?.map(|kind| shortened(&kind)),
        ..RawCell::default()
    };
    while let Some(part) = xml.child()? {
        if is(&part, "v") {
            cell.value = Some(xml.text()?);
        } else if is(&part, "is") {
            cell.inline = Some(item(xml)?);
        } else {
            cell.formula |= is(&part, "f");
            xml.skip()?;
        }
    }
    Ok(cell)
}

/// Returns the region of the attribute `ref`.
fn region(element: &Element) -> Result<Option<Region>, Invalid> {
    let text = attribute(element, "ref")?.unwrap_or_default();
    let (first, last) = text.split_once(':').unwrap_or((&text, &text));
    Ok(Place::parse(first)
        .zip(Place::parse(last))
        .map(|(first, last)| Region(first, last)))
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Invalid> {
    if list.len() >= MAX_REGIONS {
        let message = format!("has more than {MAX_REGIONS} merged, linked or hidden regions");
        return Err(refused(message));
    }
    list.push(item);
    Ok(())
}
