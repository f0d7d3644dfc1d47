//! XML of a workbook's parts, read element by element.

use std::io::BufRead;

use domain::Invalid;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// An element: its name and attributes.
pub(super) type Element = BytesStart<'static>;

/// A part's elements. Every element that [`Xml::child`] returns is consumed with one of the other methods, or with
/// [`Xml::child`] until it returns `None`.
pub(super) struct Xml<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
}

/// Refuses the file.
pub(super) fn refused(why: impl Into<String>) -> Invalid {
    Invalid::value(why.into()).of_field("file")
}

/// Refuses what is no workbook.
pub(super) fn unreadable(why: impl std::fmt::Display) -> Invalid {
    refused(format!("is not a readable workbook (.xlsx): {why}"))
}

impl<R: BufRead> Xml<R> {
    /// Opens a part and its root element.
    pub(super) fn open(source: R) -> Result<Self, Invalid> {
        let mut reader = Reader::from_reader(source);
        reader.config_mut().expand_empty_elements = true;
        let buffer = Vec::new();
        let mut xml = Self { reader, buffer };
        xml.child()?.ok_or_else(|| unreadable("a part has no element"))?;
        Ok(xml)
    }

    /// Returns the next element inside of the current one, and enters it. Returns `None` at the end of the current
    /// element, and leaves it.
    pub(super) fn child(&mut self) -> Result<Option<Element>, Invalid> {
        loop {
            self.buffer.clear();
            match self
                .reader
                .read_event_into(&mut self.buffer)
                .map_err(unreadable)?
            {
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
        }
        Ok(())
    }

    /// Consumes the current element and returns its text.
    pub(super) fn text(&mut self) -> Result<String, Invalid> {
        let mut text = String::new();
        let mut depth = 1_u64;
        while depth > 0 {
            self.buffer.clear();
            match self
                .reader
                .read_event_into(&mut self.buffer)
                .map_err(unreadable)?
            {
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
