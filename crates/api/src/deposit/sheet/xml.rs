//! XML of a workbook's parts, read element by element and in bounded memory: a part of 60 MB may be one text, or one
//! element in another, and is a few KiB in the file.

use std::io::{self, BufRead, Read};

use domain::Invalid;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// An element: its name and attributes.
pub(super) type Element = BytesStart<'static>;

/// Maximum size of an element's tag, or of a text between two tags, in bytes.
const MAX_EVENT: usize = 2 * 1024 * 1024;
/// Maximum nesting of elements that are not read.
const MAX_DEPTH: u64 = 1000;
/// Maximum size of the text of one element, in bytes. Spreadsheet programs allow 32,767 characters.
const MAX_CONTENT: usize = 1024 * 1024;
/// Maximum size of the text in the rows that are read, in bytes. It equals the limit for metadata.
const MAX_TEXT: usize = 1024 * 1024;

/// A part's elements. Every element that [`Xml::child`] returns is consumed with one of the other methods, or with
/// [`Xml::child`] until it returns `None`.
pub(super) struct Xml<R> {
    reader: Reader<Limited<R>>,
    buffer: Vec<u8>,
}

/// Limits what is read for one event, which its reader holds in memory.
struct Limited<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let available = self.inner.fill_buf()?;
        if self.left == 0 && !available.is_empty() {
            let why = format!("a part has a tag or a text of more than {MAX_EVENT} bytes");
            return Err(io::Error::other(why));
        }
        Ok(&available[..available.len().min(self.left)])
    }

    fn consume(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.inner.consume(bytes);
    }
}

/// Refuses the file.
pub(super) fn refused(why: impl Into<String>) -> Invalid {
    Invalid::value(why.into()).of_field("file")
}

/// Refuses what is no workbook.
pub(super) fn unreadable(why: impl std::fmt::Display) -> Invalid {
    refused(format!("is not a readable workbook (.xlsx): {why}"))
}

/// Refuses a text that is too long.
pub(super) fn check_content(bytes: usize) -> Result<(), Invalid> {
    if bytes > MAX_CONTENT {
        return Err(refused(format!("has a text of more than {MAX_CONTENT} bytes")));
    }
    Ok(())
}

/// Refuses a sheet with too much text.
pub(super) fn check_text(bytes: usize) -> Result<(), Invalid> {
    if bytes > MAX_TEXT {
        let message = format!("has more than {MAX_TEXT} bytes of text in its first three rows");
        return Err(refused(message));
    }
    Ok(())
}

fn check_depth(depth: u64) -> Result<(), Invalid> {
    if depth > MAX_DEPTH {
        return Err(unreadable(format!(
            "a part is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    Ok(())
}

impl<R: BufRead> Xml<R> {
    /// Opens a part and its root element.
    pub(super) fn open(source: R) -> Result<Self, Invalid> {
        let mut reader = Reader::from_reader(Limited {
            inner: source,
            left: MAX_EVENT,
        });
        reader.config_mut().expand_empty_elements = true;
        let buffer = Vec::new();
        let mut xml = Self { reader, buffer };
        xml.child()?.ok_or_else(|| unreadable("a part has no element"))?;
        Ok(xml)
    }

    fn event(&mut self) -> Result<Event<'_>, Invalid> {
        self.buffer.clear();
        self.reader.get_mut().left = MAX_EVENT;
        self.reader.read_event_into(&mut self.buffer).map_err(unreadable)
    }

    /// Returns the next element inside of the current one, and enters it. Returns `None` at the end of the current
    /// element, and leaves it.
    pub(super) fn child(&mut self) -> Result<Option<Element>, Invalid> {
        loop {
            match self.event()? {
                Event::Start(element) => return Ok(Some(element.into_owned())),
                Event::End(_) => return Ok(None),
                Event::Eof => return Err(unreadable("a part ends unexpectedly")),
                Event::DocType(_) => return Err(unreadable("a part has a document type")),
                _ => {}
            }
        }
    }

    /// Consumes the current element.
    pub(super) fn skip(&mut self) -> Result<(), Invalid> {
        let mut depth = 1_u64;
        while depth > 0 {
            match self.child()? {
                Some(_) => depth += 1,
                None => depth -= 1,
            }
            check_depth(depth)?;
        }
        Ok(())
    }

    /// Consumes the current element and returns its text.
    pub(super) fn text(&mut self) -> Result<String, Invalid> {
        let mut text = String::new();
        let mut depth = 1_u64;
        while depth > 0 {
            match self.event()? {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::CData(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(entity) => {
                    if let Some(known) = resolve_xml_entity(&entity) {
                        text.push_str(known);
                    } else if let Some(c) = entity.resolve_char_ref().map_err(unreadable)? {
                        text.push(c);
                    } else {
                        return Err(unreadable("a part has an unknown entity"));
                    }
                }
                Event::Eof => return Err(unreadable("a part ends unexpectedly")),
                _ => {}
            }
            check_depth(depth)?;
            check_content(text.len())?;
        }
        Ok(text)
    }
}

/// Returns whether an element has this name, in any namespace.
pub(super) fn is(element: &Element, name: &str) -> bool {
    element.local_name().as_ref() == name
}

/// Returns an attribute; `id` also with a prefix, because relationships are named so.
pub(super) fn attribute(element: &Element, name: &str) -> Result<Option<String>, Invalid> {
    // The check for repeated names takes quadratic time.
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(unreadable)?;
        let named = if name == "id" {
            attribute.key.local_name().as_ref() == name
        } else {
            attribute.key.as_ref() == name
        };
        if named {
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(unreadable)?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// Returns whether an attribute of truth is set.
pub(super) fn flag(element: &Element, name: &str) -> Result<Option<bool>, Invalid> {
    let value = attribute(element, name)?;
    Ok(value.map(|value| matches!(value.as_str(), "1" | "true" | "on")))
}

/// Returns an attribute that is a number.
pub(super) fn number<T: std::str::FromStr>(element: &Element, name: &str) -> Result<Option<T>, Invalid> {
    Ok(attribute(element, name)?.and_then(|value| value.trim().parse().ok()))
}
