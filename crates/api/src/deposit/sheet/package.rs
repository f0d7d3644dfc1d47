//! The parts of a workbook: a ZIP archive whose files refer to each other by relationships (ECMA-376, part 2).

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read as _};

use domain::Invalid;
use zip::ZipArchive;
use zip::read::ZipFile;

use crate::deposit::sheet::xml::{Xml, attribute, is, refused, unreadable};

/// Maximum unpacked size of all parts, in bytes. A small file can unpack to more than any memory.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;
/// Maximum number of parts.
const MAX_PARTS: usize = 1000;
/// Maximum number of relationships of a part.
const MAX_RELATIONSHIPS: usize = 10_000;
/// Maximum size of the relationships of a part, in bytes.
const MAX_RELATIONSHIP_TEXT: usize = 2 * 1024 * 1024;
/// How the container of a password-protected workbook begins. Workbooks of Excel 97 (.xls) begin alike.
const COMPOUND_FILE: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

/// A workbook's parts.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The parts by name, which is compared without regard to case.
    parts: HashMap<String, usize>,
}

/// A part that is read.
pub(super) type Part<'p, 'a> = Xml<BufReader<ZipFile<'p, Cursor<&'a [u8]>>>>;

/// A reference from a part to another one, or to a place outside.
#[derive(Debug)]
pub(super) struct Relationship {
    /// Its id within the part.
    pub(super) id: String,
    /// The last step of its type, such as `worksheet`.
    pub(super) kind: String,
    /// The name of a part; for an external one, its address.
    pub(super) target: String,
}

impl<'a> Package<'a> {
    /// Opens a workbook within the limits of parts and unpacked size.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Invalid> {
        if bytes.starts_with(COMPOUND_FILE) {
            return Err(unreadable("it has a password, or is an older workbook (.xls)"));
        }
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
        if archive.len() > MAX_PARTS {
            return Err(refused(format!("is a workbook with more than {MAX_PARTS} parts")));
        }
        let mut parts = HashMap::new();
        let mut left = MAX_UNPACKED;
        for index in 0..archive.len() {
            let file = archive.by_index(index).map_err(unreadable)?;
            let name = file.name().map_err(unreadable)?.replace('\\', "/");
            if parts.insert(canonical(&name), index).is_some() {
                return Err(unreadable(format!("two parts have the name {name:?}")));
            }
            // Unpacks for real: the sizes in the headers are only the sender's claim.
            let unpacked =
                std::io::copy(&mut file.take(left + 1), &mut std::io::sink()).map_err(unreadable)?;
            left = left
                .checked_sub(unpacked)
                .ok_or_else(|| refused(format!("unpacks to more than {MAX_UNPACKED} bytes")))?;
        }
        Ok(Self { archive, parts })
    }

    /// Opens a part at its root element, if there is one of this name.
    pub(super) fn part(&mut self, name: &str) -> Result<Option<Part<'_, 'a>>, Invalid> {
        let Some(index) = self.parts.get(&canonical(name)) else {
            return Ok(None);
        };
        let file = self.archive.by_index(*index).map_err(unreadable)?;
        Xml::open(BufReader::new(file)).map(Some)
    }

    /// Returns the relationships of a part; of the package for an empty name.
    pub(super) fn relationships(&mut self, part: &str) -> Result<Vec<Relationship>, Invalid> {
        let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
        let Some(mut xml) = self.part(&format!("{folder}/_rels/{name}.rels"))? else {
            return Ok(Vec::new());
        };
        let (mut found, mut text) = (Vec::new(), 0);
        while let Some(element) = xml.child()? {
            if found.len() >= MAX_RELATIONSHIPS || text > MAX_RELATIONSHIP_TEXT {
                return Err(refused(format!(
                    "has a part with more than {MAX_RELATIONSHIPS} relationships, or {MAX_RELATIONSHIP_TEXT} bytes of them"
                )));
            }
            if is(&element, "Relationship") {
                let kind = attribute(&element, "Type")?.unwrap_or_default();
                let target = attribute(&element, "Target")?.unwrap_or_default();
                let external = attribute(&element, "TargetMode")?.is_some_and(|mode| mode == "External");
                let id = attribute(&element, "Id")?.unwrap_or_default();
                text += id.len() + kind.len() + target.len();
                found.push(Relationship {
                    id,
                    kind: kind.rsplit('/').next().unwrap_or_default().to_owned(),
                    target: if external {
                        target
                    } else {
                        resolved(folder, &target)
                    },
                });
            }
            xml.skip()?;
        }
        Ok(found)
    }
}

/// Returns the form of a part's name in which it is compared.
fn canonical(name: &str) -> String {
    name.trim_start_matches('/').to_ascii_lowercase()
}

/// Returns the name of the part that a target names, relative to a folder.
fn resolved(folder: &str, target: &str) -> String {
    let mut steps: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        folder.split('/').collect()
    };
    for step in target.split('/') {
        match step {
            ".." => {
                steps.pop();
            }
            "." | "" => {}
            step => steps.push(step),
        }
    }
    steps.retain(|step| !step.is_empty());
    steps.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_relative_to_the_folder_of_their_part() {
        for (folder, target, part) in [
            ("xl", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "/xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl/worksheets", "../comments1.xml", "xl/comments1.xml"),
            ("", "xl/workbook.xml", "xl/workbook.xml"),
            ("", "../../x", "x"),
        ] {
            assert_eq!(resolved(folder, target), part);
        }
    }
}
