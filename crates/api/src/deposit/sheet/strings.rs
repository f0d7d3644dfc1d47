//! Texts of cells, with their runs and escapes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use domain::Invalid;

use crate::deposit::sheet::package::Package;
use crate::deposit::sheet::xml::{Xml, attribute, check_content, check_text, is};

/// A text, and what a person sees differently.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Item {
    /// The text.
    pub(super) text: String,
    /// Whether the text cannot be represented.
    pub(super) broken: bool,
    /// Remarks on the text; each continues "the cell ...".
    pub(super) remarks: BTreeSet<&'static str>,
}

/// Returns the shared texts with these indexes.
pub(super) fn shared(
    package: &mut Package<'_>,
    part: Option<&str>,
    wanted: &BTreeSet<usize>,
) -> Result<BTreeMap<usize, Item>, Invalid> {
    let mut found = BTreeMap::new();
    let Some(last) = wanted.last() else {
        return Ok(found);
    };
    let Some(mut xml) = part.map_or(Ok(None), |part| package.part(part))? else {
        return Ok(found);
    };
    let (mut index, mut text) = (0, 0);
    while let Some(element) = xml.child()? {
        if !is(&element, "si") {
            xml.skip()?;
            continue;
        }
        if wanted.contains(&index) {
            let item = item(&mut xml)?;
            text += item.text.len();
            check_text(text)?;
            found.insert(index, item);
        } else if index > *last {
            break;
        } else {
            xml.skip()?;
        }
        index += 1;
    }
    Ok(found)
}

/// Reads the content of the current element, `si` or `is`.
pub(super) fn item<R: BufRead>(xml: &mut Xml<R>) -> Result<Item, Invalid> {
    let mut item = Item::default();
    while let Some(element) = xml.child()? {
        if is(&element, "t") {
            item.add(&xml.text()?);
        } else if is(&element, "r") {
            run(xml, &mut item)?;
        } else {
            // Phonetic hints are no part of the text.
            xml.skip()?;
        }
        check_content(item.text.len())?;
    }
    Ok(item)
}

/// Reads a run of formatted text.
fn run<R: BufRead>(xml: &mut Xml<R>, item: &mut Item) -> Result<(), Invalid> {
    while let Some(element) = xml.child()? {
        if is(&element, "t") {
            item.add(&xml.text()?);
            check_content(item.text.len())?;
        } else if is(&element, "rPr") {
            while let Some(property) = xml.child()? {
                item.remarks.extend(seen(&property)?);
                xml.skip()?;
            }
        } else {
            xml.skip()?;
        }
    }
    Ok(())
}

/// Returns the remark on a property of a font that changes what a person reads.
pub(super) fn seen(property: &crate::deposit::sheet::xml::Element) -> Result<Option<&'static str>, Invalid> {
    let value = attribute(property, "val")?;
    let value = value.as_deref();
    Ok(
        if is(property, "vertAlign") && matches!(value, Some("superscript" | "subscript")) {
            Some("has raised or lowered characters, which were read as ordinary ones")
        } else if is(property, "strike") && !matches!(value, Some("0" | "false" | "off")) {
            Some("has characters that are crossed out; they were read")
        } else {
            None
        },
    )
}

impl Item {
    /// Reads a text without runs, with its escapes.
    pub(super) fn of(text: &str) -> Self {
        let mut item = Self::default();
        item.add(text);
        item
    }

    /// Adds a text in which `_xHHHH_` is a UTF-16 code unit (ECMA-376, 22.9.2.19).
    fn add(&mut self, text: &str) {
        let mut rest = text;
        let mut high = None;
        while !rest.is_empty() {
            let escape = unit(rest);
            if high.is_some() && !matches!(escape, Some(0xDC00..=0xDFFF)) {
                self.broken = true;
                high = None;
            }
            let Some(unit) = escape else {
                let next = rest.char_indices().nth(1).map_or(rest.len(), |(at, _)| at);
                let (c, after) = rest.split_at(next);
                self.text.push_str(c);
                rest = after;
                continue;
            };
            rest = rest.get(ESCAPE..).unwrap_or_default();
            match (high.take(), unit) {
                (None, 0xD800..=0xDBFF) => high = Some(unit),
                (None, 0xDC00..=0xDFFF) => self.broken = true,
                (None, unit) => {
                    let c = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
                    // Programs escape what XML cannot hold, and an underscore that looks like an escape.
                    let needless = !c.is_control()
                        && unit < 0xFFFE
                        && !(c == '_' && self::unit(&format!("_{rest}")).is_some());
                    if needless {
                        self.remarks.insert(
                            "has an escape like _x0041_, which was read as the character that it stands for",
                        );
                    }
                    self.text.push(c);
                }
                (Some(high), low) => self.text.extend(char::decode_utf16([high, low]).flatten()),
            }
        }
        self.broken |= high.is_some();
    }
}

/// Length of an escape, in bytes.
const ESCAPE: usize = "_xHHHH_".len();

/// Returns the code unit of the escape at the beginning of a text.
fn unit(text: &str) -> Option<u16> {
    let escape = text.as_bytes().get(..ESCAPE)?;
    let digits = escape.strip_prefix(b"_x")?.strip_suffix(b"_")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves EDG-1
    #[test]
    fn escapes_are_read_once_and_needless_ones_are_told() {
        for (stored, read, remarks) in [
            ("a_x0001_b", "a\u{1}b", 0),
            ("_x000D_", "\r", 0),
            ("_x0000_", "\0", 0),
            ("_x005F_x0041_", "_x0041_", 0),
            ("_xD83D__xDE00_", "😀", 0),
            ("_x0041_", "A", 1),
            ("_x005F_a", "_a", 1),
            ("_x00ZZ_ _x12_ _x0041", "_x00ZZ_ _x12_ _x0041", 0),
            ("é_x0001_", "é\u{1}", 0),
        ] {
            let item = Item::of(stored);
            assert_eq!((item.text.as_str(), item.broken), (read, false), "{stored}");
            assert_eq!(item.remarks.len(), remarks, "{stored}");
        }
        for half in [
            "_xD83D_",
            "_xD83D_a",
            "_xDE00_",
            "_xD83D__x0041_",
            "_xD83D__xD83D_",
        ] {
            assert!(Item::of(half).broken, "{half}");
        }
    }
}
