//! The workbook: its sheets and the settings that change the meaning of cells.

use domain::Invalid;
use domain::registry::schema::shortened;

use crate::deposit::sheet::package::Package;
use crate::deposit::sheet::xml::{attribute, flag, is, refused, unreadable};

/// Maximum number of sheets.
const MAX_SHEETS: usize = 1000;

/// A sheet of a workbook.
#[derive(Debug)]
pub(super) struct SheetEntry {
    /// Its name, shortened.
    pub(super) name: String,
    /// Whether it is hidden.
    pub(super) hidden: bool,
    /// Whether it holds cells, and not only a chart.
    pub(super) cells: bool,
    /// The name of its part.
    pub(super) part: String,
}

/// A workbook.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Its sheets, in order.
    pub(super) sheets: Vec<SheetEntry>,
    /// Whether dates are counted from 1904.
    pub(super) date_1904: bool,
    /// Whether the program that wrote it left formulas to be computed.
    pub(super) stale: bool,
    /// The name of the part with the styles.
    pub(super) styles: Option<String>,
    /// The name of the part with the shared texts.
    pub(super) strings: Option<String>,
}

/// Reads the workbook.
pub(super) fn read(package: &mut Package<'_>) -> Result<Book, Invalid> {
    let roots = package.relationships("")?;
    let root = roots
        .iter()
        .find(|relationship| relationship.kind == "officeDocument");
    let part = root.map_or("xl/workbook.xml", |root| &root.target);
    let relationships = package.relationships(part)?;
    let target = |kind: &str| {
        let of_kind = relationships
            .iter()
            .find(|relationship| relationship.kind == kind);
        of_kind.map(|relationship| relationship.target.clone())
    };
    let mut book = Book {
        styles: target("styles"),
        strings: target("sharedStrings"),
        ..Book::default()
    };
    let xml = package.part(part)?;
    let mut xml = xml.ok_or_else(|| unreadable("it has no workbook part"))?;
    while let Some(element) = xml.child()? {
        if is(&element, "workbookPr") {
            book.date_1904 = flag(&element, "date1904")?.unwrap_or(false);
        } else if is(&element, "calcPr") {
            let open = flag(&element, "fullCalcOnLoad")?.unwrap_or(false);
            book.stale = open || flag(&element, "calcCompleted")? == Some(false);
        } else if is(&element, "sheets") {
            while let Some(sheet) = xml.child()? {
                if book.sheets.len() >= MAX_SHEETS {
                    return Err(refused(format!("has more than {MAX_SHEETS} sheets")));
                }
                let id = attribute(&sheet, "id")?;
                let of_sheet = relationships
                    .iter()
                    .find(|relationship| Some(&relationship.id) == id.as_ref());
                let of_sheet = of_sheet.ok_or_else(|| unreadable("a sheet has no part"))?;
                book.sheets.push(SheetEntry {
                    name: shortened(&attribute(&sheet, "name")?.unwrap_or_default()),
                    hidden: attribute(&sheet, "state")?.is_some_and(|state| state != "visible"),
                    cells: of_sheet.kind == "worksheet",
                    part: of_sheet.target.clone(),
                });
                xml.skip()?;
            }
            continue;
        }
        xml.skip()?;
    }
    Ok(book)
}
