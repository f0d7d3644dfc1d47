//! Warnings about the parts of a workbook that are not read, or that a person sees differently.

use std::collections::HashSet;

use domain::Invalid;
use domain::deposit::spreadsheet::cell::{Place, Sheet, SheetValue, column_name};
use domain::registry::schema::shortened;

use crate::deposit::sheet::cells::{DATA_ROW, Region, Worksheet, has_content};
use crate::deposit::sheet::package::{Package, Relationship};
use crate::deposit::sheet::workbook::SheetEntry;
use crate::deposit::sheet::xml::{attribute, is};

/// Maximum number of cells or sheets that one warning lists.
const MAX_LISTED: usize = 10;

/// Adds the warnings about rows, merged cells and what is hidden.
pub(super) fn warn_of_cells(raw: &Worksheet, sheet: &mut Sheet) {
    if sheet.columns.iter().all(|column| column.data.is_empty()) {
        sheet
            .warnings
            .push("row 3, which holds the record, is empty".to_owned());
    }
    if let Some(rows) = raw.later.listed() {
        sheet.warnings.push(format!(
            "only row 3 is read; these rows have content and were not read: {rows}"
        ));
    }
    let description = |kind: Option<&str>| matches!(kind, Some("s" | "str" | "inlineStr"));
    let others = raw
        .cells
        .iter()
        .filter(|(place, cell)| place.row == 1 && cell.has_content() && !description(cell.kind.as_deref()))
        .map(|(place, _)| place.to_string());
    if let Some(cells) = listed(others) {
        sheet.warnings.push(format!(
            "row 2 is for descriptions and is not read, but these cells of it hold other content: {cells}"
        ));
    }
    for row in [0, DATA_ROW] {
        let content = raw
            .cells
            .iter()
            .any(|(at, cell)| at.row == row && cell.has_content());
        if content && raw.hidden_rows.contains(&row) {
            let number = row + 1;
            sheet
                .warnings
                .push(format!("row {number} is hidden; it was read"));
        }
    }
    for region in &raw.merged {
        warn_of_merged(raw, *region, sheet);
    }
    for column in &mut sheet.columns {
        let data = &mut column.data;
        let at = data.place.column;
        if raw
            .hidden_columns
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&at))
        {
            let name = column_name(at);
            data.remarks
                .push(format!("is in the hidden column {name}; it was read"));
        }
        let covering = raw.merged.iter().find(|region| region.covers(data.place));
        if let Some(Region(first, last)) = covering {
            data.remarks
                .push(format!("lies below the merged cells {first}:{last}; it was read"));
        }
    }
}

/// Warns of a merged region whose value a person sees in more columns or rows than it is read for.
fn warn_of_merged(raw: &Worksheet, region: Region, sheet: &mut Sheet) {
    let Region(first, last) = region;
    let one_column = first.column == last.column;
    let harmless = one_column && (first.row == DATA_ROW || last.row < DATA_ROW);
    let descriptions = first.row == 1 && last.row == 1;
    let content = raw
        .cells
        .iter()
        .any(|(place, cell)| cell.has_content() && region.contains(*place));
    if content && !harmless && !descriptions {
        sheet.warnings.push(format!(
            "{first}:{last} are merged cells; their content counts for {first} only"
        ));
    }
}

impl Region {
    fn contains(self, place: Place) -> bool {
        let Self(first, last) = self;
        (first.row..=last.row).contains(&place.row) && (first.column..=last.column).contains(&place.column)
    }

    /// Returns whether a cell is in the region and is not the one that is shown.
    fn covers(self, place: Place) -> bool {
        self.contains(place) && place != self.0
    }
}

/// Adds remarks on cells whose link leads elsewhere than their text says.
pub(super) fn remark_links(raw: &Worksheet, relationships: &[Relationship], sheet: &mut Sheet) {
    for column in &mut sheet.columns {
        let data = &mut column.data;
        let Some(link) = raw.links.iter().find(|link| link.place == data.place) else {
            continue;
        };
        let external = relationships
            .iter()
            .find(|relationship| Some(&relationship.id) == link.id.as_ref());
        let mut target = external.map_or_else(String::new, |relationship| relationship.target.clone());
        if let Some(location) = &link.location {
            target = format!("{target}#{location}");
        }
        let bare = |text: &str| {
            let text = text.trim().trim_end_matches('/');
            text.strip_prefix("mailto:").unwrap_or(text).to_owned()
        };
        let same = matches!(&data.value, SheetValue::Text(text) if bare(text) == bare(&target));
        if !same && !target.is_empty() {
            let target = shortened(&target);
            data.remarks
                .push(format!("links to {target:?}, which was not read"));
        }
    }
}

/// Adds the warnings about comments and drawings of the sheet.
pub(super) fn warn_of_attached(attached: Attached, sheet: &mut Sheet) {
    if let Some(cells) = listed(attached.comments.into_iter()) {
        sheet
            .warnings
            .push(format!("comments are not read; these cells have one: {cells}"));
    }
    if attached.drawings {
        sheet
            .warnings
            .push("the sheet has pictures, charts or shapes, which were not read".to_owned());
    }
}

/// What is attached to a sheet.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// The first cells with comments.
    comments: Vec<String>,
    /// Whether there are pictures, charts or shapes.
    drawings: bool,
}

/// Finds what is attached to a sheet with these relationships.
pub(super) fn attached(
    package: &mut Package<'_>,
    relationships: &[Relationship],
) -> Result<Attached, Invalid> {
    let mut found = Attached::default();
    let target = |kind: &str| {
        let of_kind = relationships
            .iter()
            .find(|relationship| relationship.kind == kind);
        of_kind.map(|relationship| relationship.target.as_str())
    };
    if let Some(mut xml) = target("comments").map_or(Ok(None), |part| package.part(part))? {
        while let Some(list) = xml.child()? {
            if !is(&list, "commentList") {
                xml.skip()?;
                continue;
            }
            while let Some(comment) = xml.child()? {
                if found.comments.len() <= MAX_LISTED {
                    let cell = attribute(&comment, "ref")?;
                    found.comments.extend(cell.map(|cell| shortened(&cell)));
                }
                xml.skip()?;
            }
        }
    }
    if let Some(mut xml) = target("drawing").map_or(Ok(None), |part| package.part(part))? {
        found.drawings = xml.child()?.is_some();
    }
    Ok(found)
}

/// Adds the warnings about the sheets.
pub(super) fn warn_of_sheets(
    package: &mut Package<'_>,
    sheets: &[SheetEntry],
    read: usize,
    sheet: &mut Sheet,
) -> Result<(), Invalid> {
    let mut others = Vec::new();
    let mut parts: HashSet<&str> = sheets
        .get(read)
        .map(|entry| entry.part.as_str())
        .into_iter()
        .collect();
    for (index, entry) in sheets.iter().enumerate() {
        let name = shortened(&entry.name);
        if index == read {
            if entry.hidden {
                sheet
                    .warnings
                    .push(format!("the sheet {name:?} is hidden; it was read"));
            }
            continue;
        }
        // Sheets that share a part with an earlier one, which would be read again and again.
        if !parts.insert(&entry.part) {
            continue;
        }
        let content = match package.part(&entry.part)? {
            Some(part) if entry.cells => has_content(part)?,
            part => part.is_some(),
        };
        let relationships = package.relationships(&entry.part)?;
        let attached = attached(package, &relationships)?;
        if content || attached.drawings || !attached.comments.is_empty() {
            others.push(format!("{name:?}"));
        }
    }
    if let Some(others) = listed(others.into_iter()) {
        let name = sheets.get(read).map(|entry| shortened(&entry.name));
        let name = name.unwrap_or_default();
        sheet.warnings.push(format!(
            "only the first sheet, {name:?}, is read; these sheets have content and were not read: {others}"
        ));
    }
    Ok(())
}

/// Lists the first of some names.
fn listed(mut names: impl Iterator<Item = String>) -> Option<String> {
    let first: Vec<String> = names.by_ref().take(MAX_LISTED).collect();
    let more = if names.next().is_some() { " and more" } else { "" };
    (!first.is_empty()).then(|| format!("{}{more}", first.join(", ")))
}
