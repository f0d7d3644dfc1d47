//! A line of `features.jsonl` that is too long for memory: its rows are read one by one.

use std::collections::HashSet;
use std::io;

use serde_json::Value;

use super::{LineRows, NO_FEATURES, json_value};
use crate::json::MAX_WEIGHT;
use crate::json::weight::{ITEM, LIST, OBJECT};
use crate::registry::hook::FeatureContract;
use crate::registry::schema::shortened;
use crate::work::output_file::Lines;
use crate::work::rows::{NotKept, RowStore};

/// Maximum size of one row, or of another value, in bytes.
const MAX_VALUE: usize = 16 * 1024 * 1024;
/// Maximum memory that a row takes while it is read, as estimated from its structure, in bytes. With its text it is no
/// more than is read at all.
const MAX_VALUE_MEMORY: usize = MAX_WEIGHT - MAX_VALUE;
/// Maximum number of keys of the line.
const MAX_KEYS: usize = 100;
/// Maximum nesting of a row. What reads it allows 128.
const MAX_DEPTH: usize = 120;

/// Why the reading of an output ends early.
pub(super) enum Unread {
    /// A file could not be read, or a spill could not be written.
    Io(io::Error),
    /// It exceeds a bound.
    Refused(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Unread {
    /// Says where rows were not kept.
    pub(super) fn of(file: &str, number: u64, why: NotKept) -> Self {
        match why {
            NotKept::Io(error) => Self::Io(error),
            NotKept::TooMany(most) => Self::Refused(format!(
                "line {number} of {file}: the hook computed more than {most} rows for one batch (runner.max_rows)"
            )),
        }
    }
}

/// What a long line says.
pub(super) enum LongLine<'a> {
    /// It is not what it should be, for this reason.
    Bad(String),
    /// It is an object.
    Read {
        /// Its `id`.
        id: Option<Value>,
        /// Its rows, which are kept and not ended.
        rows: LineRows<'a>,
        /// Why its values would be changed by reading them.
        altered: Option<String>,
    },
}

/// Why the reading of the line ends early.
enum Stop {
    Bad(String),
    NotKept(NotKept),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::NotKept(NotKept::Io(error))
    }
}

impl From<NotKept> for Stop {
    fn from(why: NotKept) -> Self {
        Self::NotKept(why)
    }
}

fn bad<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Bad(why.into()))
}

/// Reads the current line up to its end, or to where it turns out to be bad.
pub(super) fn read<'a>(
    lines: &mut Lines<'_>,
    contract: &'a FeatureContract,
    keep: &mut RowStore<'_>,
) -> Result<LongLine<'a>, NotKept> {
    let mut reader = Reader {
        lines,
        raw: Vec::new(),
        id: None,
        rows: LineRows::new(contract),
        altered: None,
    };
    match reader.object(keep) {
        Ok(()) => Ok(LongLine::Read {
            id: reader.id,
            rows: reader.rows,
            altered: reader.altered,
        }),
        Err(Stop::Bad(why)) => Ok(LongLine::Bad(why)),
        Err(Stop::NotKept(why)) => Err(why),
    }
}

struct Reader<'l, 'f, 'a> {
    lines: &'l mut Lines<'f>,
    /// The text of the value that was read last.
    raw: Vec<u8>,
    id: Option<Value>,
    rows: LineRows<'a>,
    altered: Option<String>,
}

impl Reader<'_, '_, '_> {
    fn object(&mut self, keep: &mut RowStore<'_>) -> Result<(), Stop> {
        if self.token()? != Some(b'{') {
            return bad("is not a JSON object");
        }
        let mut keys = HashSet::new();
        if self.next()? == Some(b'}') {
            self.lines.step();
        } else {
            loop {
                let key = self.key()?;
                if keys.len() == MAX_KEYS {
                    return bad(format!("has more than {MAX_KEYS} keys"));
                }
                self.member(&key, keep)?;
                if let Some(twice) = keys.replace(key) {
                    self.alter(format!("{}: is given twice in one object", shortened(&twice)));
                }
                match self.token()? {
                    Some(b',') => {}
                    Some(b'}') => break,
                    _ => return bad("is not valid JSON: a comma or the end of the object is missing"),
                }
            }
        }
        if self.next()?.is_some() {
            return bad("is not valid JSON: there is more after the object");
        }
        if !keys.contains("features") {
            self.rows.fault.get_or_insert_with(|| NO_FEATURES.to_owned());
        }
        Ok(())
    }

    fn key(&mut self) -> Result<String, Stop> {
        if self.next()? != Some(b'"') {
            return bad("is not valid JSON: a key is missing");
        }
        self.raw("a key")?;
        match serde_json::from_slice(&self.raw) {
            Ok(key) => Ok(key),
            Err(error) => bad(format!("is not valid JSON: {error}")),
        }
    }

    fn member(&mut self, key: &str, keep: &mut RowStore<'_>) -> Result<(), Stop> {
        if self.token()? != Some(b':') {
            return bad("is not valid JSON: a colon is missing");
        }
        if key == "features" {
            if self.next()? == Some(b'[') {
                return self.items(keep);
            }
            let value = self.value("features")?;
            return Ok(self.rows.item(&value, keep)?);
        }
        let value = self.value(&shortened(key))?;
        if key == "id" {
            self.id = Some(value);
        }
        Ok(())
    }

    fn items(&mut self, keep: &mut RowStore<'_>) -> Result<(), Stop> {
        self.lines.step();
        if self.next()? == Some(b']') {
            self.lines.step();
            return Ok(());
        }
        let mut index = 0_u64;
        loop {
            let item = self.value(&format!("features[{index}]"))?;
            self.rows.item(&item, keep)?;
            index += 1;
            match self.token()? {
                Some(b',') => {}
                Some(b']') => return Ok(()),
                _ => return bad("is not valid JSON: a comma or the end of the features is missing"),
            }
        }
    }

    /// Reads a value. If its values would be changed by that, the first such place is noted.
    fn value(&mut self, place: &str) -> Result<Value, Stop> {
        self.next()?;
        self.raw(place)?;
        match json_value(&self.raw) {
            Ok(value) => Ok(value),
            Err(bad) => match bad.value {
                Some(value) => {
                    self.alter(format!("{place}: {}", bad.why));
                    Ok(value)
                }
                None => Err(Stop::Bad(format!("{} (in {place})", bad.why))),
            },
        }
    }

    fn alter(&mut self, why: String) {
        self.altered.get_or_insert(why);
    }

    /// Returns the next byte that is no white space, and leaves it there.
    fn next(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.lines.peek()? {
                Some(byte) if byte.is_ascii_whitespace() => self.lines.step(),
                other => return Ok(other),
            }
        }
    }

    /// Takes the next byte that is no white space.
    fn token(&mut self) -> io::Result<Option<u8>> {
        let byte = self.next()?;
        if byte.is_some() {
            self.lines.step();
        }
        Ok(byte)
    }

    /// Reads the text of the value that begins here. Whether it is JSON is for others to see: brackets and strings
    /// tell where it ends. Stops before it takes too much memory, now or when it is parsed.
    fn raw(&mut self, place: &str) -> Result<(), Stop> {
        self.raw.clear();
        let (mut depth, mut inside, mut escaped, mut memory) = (0_usize, false, false, 0_usize);
        while let Some(byte) = self.lines.peek()? {
            if inside {
                inside = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else {
                match byte {
                    b'"' => inside = true,
                    b'{' | b'[' => {
                        depth += 1;
                        memory += if byte == b'{' { OBJECT } else { LIST };
                    }
                    b',' | b'}' | b']' if depth == 0 => return Ok(()),
                    b'}' | b']' => depth -= 1,
                    b',' => memory += ITEM,
                    _ if depth == 0 && byte.is_ascii_whitespace() => return Ok(()),
                    _ => {}
                }
            }
            self.raw.push(byte);
            self.lines.step();
            if self.raw.len() > MAX_VALUE {
                return bad(format!("has more than {MAX_VALUE} bytes in {place}"));
            }
            if depth > MAX_DEPTH {
                return bad(format!("is nested deeper than {MAX_DEPTH} levels in {place}"));
            }
            if memory > MAX_VALUE_MEMORY {
                return bad(format!(
                    "has so many values in {place} that they take more than {MAX_VALUE_MEMORY} bytes of memory"
                ));
            }
            let closed = !inside && matches!(byte, b'"' | b'}' | b']');
            if closed && depth == 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}
