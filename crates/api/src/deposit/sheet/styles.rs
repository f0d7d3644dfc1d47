//! Number formats and fonts of cells.

use std::collections::HashMap;
use std::io::BufRead;

use domain::Invalid;

use crate::deposit::sheet::package::Package;
use crate::deposit::sheet::strings::seen;
use crate::deposit::sheet::xml::{Xml, attribute, is, number, refused};

/// Maximum length of a format's code, in bytes. Spreadsheet programs allow 255 characters.
const MAX_CODE: usize = 1024;

/// Maximum number of formats, of fonts and of styles. Spreadsheet programs allow 65,490 styles.
const MAX_STYLES: usize = 70_000;

/// The formats of cells.
#[derive(Debug, Default)]
pub(super) struct Styles {
    /// Codes by the id of their format.
    codes: HashMap<u32, String>,
    /// Remarks on fonts, by index.
    fonts: Vec<Option<&'static str>>,
    /// The format and the font of each style.
    styles: Vec<(u32, usize)>,
}

impl Styles {
    /// Reads the part of styles, if there is one.
    pub(super) fn read(package: &mut Package<'_>, part: Option<&str>) -> Result<Self, Invalid> {
        let mut styles = Self::default();
        let Some(mut xml) = part.map_or(Ok(None), |part| package.part(part))? else {
            return Ok(styles);
        };
        while let Some(element) = xml.child()? {
            if is(&element, "numFmts") {
                styles.read_codes(&mut xml)?;
            } else if is(&element, "fonts") {
                styles.read_fonts(&mut xml)?;
            } else if is(&element, "cellXfs") {
                while let Some(style) = xml.child()? {
                    if is(&style, "xf") {
                        let format = number(&style, "numFmtId")?.unwrap_or(0);
                        let font = number(&style, "fontId")?.unwrap_or(0);
                        check_count(styles.styles.len())?;
                        styles.styles.push((format, font));
                    }
                    xml.skip()?;
                }
            } else {
                xml.skip()?;
            }
        }
        Ok(styles)
    }

    fn read_codes<R: BufRead>(&mut self, xml: &mut Xml<R>) -> Result<(), Invalid> {
        while let Some(format) = xml.child()? {
            if let Some(id) = number(&format, "numFmtId")? {
                let code = attribute(&format, "formatCode")?.unwrap_or_default();
                // What a longer code shows is unknown.
                let code = if code.len() > MAX_CODE {
                    "[too long]".to_owned()
                } else {
                    code
                };
                check_count(self.codes.len())?;
                self.codes.insert(id, code);
            }
            xml.skip()?;
        }
        Ok(())
    }

    fn read_fonts<R: BufRead>(&mut self, xml: &mut Xml<R>) -> Result<(), Invalid> {
        while let Some(_font) = xml.child()? {
            let mut remark = None;
            while let Some(property) = xml.child()? {
                remark = remark.or(seen(&property)?);
                xml.skip()?;
            }
            check_count(self.fonts.len())?;
            self.fonts.push(remark);
        }
        Ok(())
    }

    /// Returns the code of a style's number format, and the remark on its font.
    pub(super) fn of(&self, style: usize) -> (&str, Option<&'static str>) {
        let (format, font) = self.styles.get(style).copied().unwrap_or_default();
        let code = self
            .codes
            .get(&format)
            .map_or_else(|| builtin(format), String::as_str);
        (code, self.fonts.get(font).copied().flatten())
    }
}

fn check_count(count: usize) -> Result<(), Invalid> {
    if count >= MAX_STYLES {
        return Err(refused(format!(
            "has more than {MAX_STYLES} formats, fonts or styles"
        )));
    }
    Ok(())
}

/// Returns the code of a built-in format (ECMA-376, 18.8.30). Dates and currencies differ by language; these are the ones
/// of American English.
fn builtin(id: u32) -> &'static str {
    match id {
        1 => "0",
        2 => "0.00",
        3 => "#,##0",
        4 => "#,##0.00",
        5 | 6 => "\"$\"#,##0_);(\"$\"#,##0)",
        7 | 8 => "\"$\"#,##0.00_);(\"$\"#,##0.00)",
        9 => "0%",
        10 => "0.00%",
        11 => "0.00E+00",
        12 => "# ?/?",
        13 => "# ??/??",
        14 => "mm-dd-yy",
        15 => "d-mmm-yy",
        16 => "d-mmm",
        17 => "mmm-yy",
        18 => "h:mm AM/PM",
        19 => "h:mm:ss AM/PM",
        20 => "h:mm",
        21 => "h:mm:ss",
        22 => "m/d/yy h:mm",
        // Dates, times or both of East Asian languages.
        27..=36 | 50..=58 => "yyyy/m/d h:mm",
        37 | 38 => "#,##0_);(#,##0)",
        39 | 40 => "#,##0.00_);(#,##0.00)",
        41 => "_(* #,##0_);_(* (#,##0);_(* \"-\"_);_(@_)",
        42 => "_(\"$\"* #,##0_);_(\"$\"* (#,##0);_(\"$\"* \"-\"_);_(@_)",
        43 => "_(* #,##0.00_);_(* (#,##0.00);_(* \"-\"??_);_(@_)",
        44 => "_(\"$\"* #,##0.00_);_(\"$\"* (#,##0.00);_(\"$\"* \"-\"??_);_(@_)",
        45 => "mm:ss",
        46 => "[h]:mm:ss",
        47 => "mm:ss.0",
        48 => "##0.0E+0",
        49 => "@",
        _ => "General",
    }
}
