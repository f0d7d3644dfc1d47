//! The rows that hooks computed, kept small: a few as bytes in memory, and many in a file of the server's.
//!
//! A row as a list of cells takes many times the room of its text, and a hook decides how many there are. So rows are
//! written down as soon as they are read and checked, and read back one by one when they are stored.

use std::fmt;
use std::io;
use std::sync::Arc;

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::data::cell::Cell;

/// How many bytes of rows one reading of an output holds in memory; all further ones go to a [`Spill`].
pub const HELD_BYTES: usize = 4 * 1024 * 1024;
/// How many bytes are written to a spill, or read from it, at once.
const PIECE: usize = 64 * 1024;

/// Bytes that can be read at any place, such as those of a file.
pub trait Content: fmt::Debug + Send + Sync {
    /// Reads bytes from `offset` on into `buffer`, and returns how many: 0 only at the end, or if `buffer` is empty.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Returns the number of bytes.
    fn size(&self) -> u64;
}

impl Content for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(begin..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// A file that only this server writes and reads, for what is too much for its memory. It is gone with the last
/// reference to it, and with the server.
pub trait Spill: Content {
    /// Appends bytes.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
}

/// Where spills are made.
pub trait Room: Send + Sync {
    /// Makes a new, empty spill.
    fn spill(&self) -> io::Result<Arc<dyn Spill>>;
}

/// The rows that a hook computed for one record, in the order of its contract's columns.
#[derive(Clone)]
pub struct Rows {
    content: Arc<dyn Content>,
    begin: u64,
    end: u64,
    count: u64,
}

impl Rows {
    /// Writes rows down in memory.
    pub fn of(rows: &[Vec<Cell>]) -> Self {
        let mut bytes = Vec::new();
        for row in rows {
            encode(row, &mut bytes);
        }
        Self::held(bytes, rows.len() as u64)
    }

    fn held(bytes: Vec<u8>, count: u64) -> Self {
        Self {
            begin: 0,
            end: bytes.len() as u64,
            content: Arc::new(bytes),
            count,
        }
    }

    /// Returns how many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Reads them one by one. An error comes from the file that they are in.
    pub fn read(&self) -> RowReader {
        RowReader {
            content: Arc::clone(&self.content),
            at: self.begin,
            end: self.end,
            left: self.count,
            buffer: Vec::new(),
            used: 0,
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::held(Vec::new(), 0)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("count", &self.count)
            .field("bytes", &(self.end - self.begin))
            .finish_non_exhaustive()
    }
}

impl PartialEq for Rows {
    /// Compares the rows. Rows that cannot be read equal none.
    fn eq(&self, other: &Self) -> bool {
        let mut both = self.read().zip(other.read());
        self.count == other.count && both.all(|pair| matches!(pair, (Ok(one), Ok(two)) if one == two))
    }
}

/// Reads [`Rows`] back, with one piece of them in memory.
#[derive(Debug)]
pub struct RowReader {
    content: Arc<dyn Content>,
    at: u64,
    end: u64,
    left: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl Iterator for RowReader {
    type Item = io::Result<Vec<Cell>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let row = self.row();
        if row.is_err() {
            self.left = 0;
        }
        Some(row)
    }
}

impl RowReader {
    fn row(&mut self) -> io::Result<Vec<Cell>> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the kept rows of a hook are damaged");
        let mut head = self.take(8)?;
        let length = size(&mut head).ok_or_else(damaged)?;
        decode(self.take(length)?).ok_or_else(damaged)
    }

    /// Returns the next bytes.
    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.used < length {
            self.buffer.drain(..self.used);
            self.used = 0;
            let mut have = self.buffer.len();
            let more = (self.end - self.at).min(length.max(PIECE) as u64);
            let more = usize::try_from(more).unwrap_or(PIECE);
            self.buffer.resize(have + more, 0);
            while have < self.buffer.len() {
                let read = self.content.read_at(self.at, &mut self.buffer[have..])?;
                if read == 0 {
                    break;
                }
                have += read;
                self.at += read as u64;
            }
            self.buffer.truncate(have);
            if have < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let begin = self.used;
        self.used += length;
        Ok(&self.buffer[begin..self.used])
    }
}

/// Why a row was not kept.
#[derive(Debug)]
pub enum NotKept {
    /// There are more rows than this.
    TooMany(u64),
    /// The spill failed.
    Io(io::Error),
}

impl From<io::Error> for NotKept {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Keeps the rows of one reading of an output, record by record.
pub struct RowStore<'a> {
    room: &'a dyn Room,
    spill: Option<Arc<dyn Spill>>,
    most_rows: u64,
    rows: u64,
    /// How many bytes may still be held in memory.
    held: usize,
    /// The end of the current record's rows.
    pending: Vec<u8>,
    count: u64,
    /// Where the current record's rows begin in the spill, if they do.
    begin: Option<u64>,
}

impl<'a> RowStore<'a> {
    /// Creates a store of at most `most_rows` rows, counted over all records and whether they are kept in the end or
    /// not. It holds `held` bytes in memory, and makes a spill in `room` when there are more.
    pub fn new(room: &'a dyn Room, most_rows: u64, held: usize) -> Self {
        Self {
            room,
            spill: None,
            most_rows,
            rows: 0,
            held,
            pending: Vec::new(),
            count: 0,
            begin: None,
        }
    }

    /// Counts so many rows before its own.
    #[must_use]
    pub fn after(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }

    /// Returns how many rows there were.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a row to the current record.
    pub fn push(&mut self, row: &[Cell]) -> Result<(), NotKept> {
        if self.rows >= self.most_rows {
            return Err(NotKept::TooMany(self.most_rows));
        }
        self.rows += 1;
        self.count += 1;
        encode(row, &mut self.pending);
        if self.pending.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the current record, and returns its rows.
    pub fn end(&mut self) -> io::Result<Rows> {
        if self.begin.is_none() && self.pending.len() <= self.held {
            self.held -= self.pending.len();
            let bytes = self.pending.clone();
            self.pending.clear();
            return Ok(Rows::held(bytes, std::mem::take(&mut self.count)));
        }
        let spill = self.flush()?;
        Ok(Rows {
            begin: self.begin.take().unwrap_or_default(),
            end: spill.size(),
            content: spill,
            count: std::mem::take(&mut self.count),
        })
    }

    /// Drops the rows of the current record. They still count.
    pub fn abandon(&mut self) {
        self.pending.clear();
        self.count = 0;
        self.begin = None;
    }

    fn flush(&mut self) -> io::Result<Arc<dyn Spill>> {
        let spill = match &self.spill {
            Some(spill) => Arc::clone(spill),
            None => self.room.spill()?,
        };
        self.spill = Some(Arc::clone(&spill));
        if self.begin.is_none() {
            self.begin = Some(spill.size());
        }
        spill.append(&self.pending)?;
        // One huge row must not keep its room for the others.
        self.pending = Vec::new();
        Ok(spill)
    }
}

/// The first byte of a cell's code.
mod tag {
    pub(super) const NULLS: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const NUMBER: u8 = 2;
    pub(super) const INTEGER: u8 = 3;
    pub(super) const FALSE: u8 = 4;
    pub(super) const TRUE: u8 = 5;
    pub(super) const DATE: u8 = 6;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const UUID: u8 = 8;
    pub(super) const JSON: u8 = 9;
}

/// Writes a row after its length. A run of empty cells takes two bytes, because an empty row of many columns is `{}`
/// in the hook's output.
fn encode(row: &[Cell], out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&[0; 8]);
    let mut nulls = 0;
    for cell in row {
        if matches!(cell, Cell::Null) && nulls < u8::MAX {
            nulls += 1;
            continue;
        }
        end_nulls(&mut nulls, out);
        match cell {
            Cell::Null => nulls = 1,
            Cell::Text(text) => sized(tag::TEXT, text, out),
            Cell::Number(number) => {
                out.push(tag::NUMBER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Integer(number) => {
                out.push(tag::INTEGER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Boolean(truth) => out.push(if *truth { tag::TRUE } else { tag::FALSE }),
            Cell::Date(date) => {
                out.push(tag::DATE);
                out.extend_from_slice(&date.to_julian_day().to_le_bytes());
            }
            Cell::Timestamp(at) => {
                out.push(tag::TIMESTAMP);
                out.extend_from_slice(&at.unix_timestamp_nanos().to_le_bytes());
            }
            Cell::Uuid(id) => {
                out.push(tag::UUID);
                out.extend_from_slice(id.as_bytes());
            }
            Cell::Json(value) => sized(tag::JSON, &value.to_string(), out),
        }
    }
    end_nulls(&mut nulls, out);
    let length = (out.len() - begin - 8) as u64;
    out[begin..begin + 8].copy_from_slice(&length.to_le_bytes());
}

fn end_nulls(nulls: &mut u8, out: &mut Vec<u8>) {
    if *nulls > 0 {
        out.extend_from_slice(&[tag::NULLS, *nulls]);
        *nulls = 0;
    }
}

fn sized(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Returns the cells of a row, or `None` if these are not the bytes of one.
fn decode(mut bytes: &[u8]) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        bytes = rest;
        cells.push(match *tag {
            tag::NULLS => {
                let [count] = some(&mut bytes)?;
                cells.resize(cells.len() + usize::from(count), Cell::Null);
                continue;
            }
            tag::TEXT => Cell::Text(text(&mut bytes)?.to_owned()),
            tag::NUMBER => Cell::Number(f64::from_le_bytes(some(&mut bytes)?)),
            tag::INTEGER => Cell::Integer(i64::from_le_bytes(some(&mut bytes)?)),
            tag::FALSE => Cell::Boolean(false),
            tag::TRUE => Cell::Boolean(true),
            tag::DATE => Cell::Date(Date::from_julian_day(i32::from_le_bytes(some(&mut bytes)?)).ok()?),
            tag::TIMESTAMP => {
                let nanoseconds = i128::from_le_bytes(some(&mut bytes)?);
                Cell::Timestamp(OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?)
            }
            tag::UUID => Cell::Uuid(Uuid::from_bytes(some(&mut bytes)?)),
            tag::JSON => Cell::Json(serde_json::from_str(text(&mut bytes)?).ok()?),
            _ => return None,
        });
    }
    Some(cells)
}

fn some<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn size(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(some(bytes)?)).ok()
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = size(bytes)?;
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(head).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::data::cell::{parse_date, parse_timestamp};

    /// A spill in memory, which counts how often it was made.
    #[derive(Debug, Default)]
    pub(crate) struct Memory(Mutex<Vec<u8>>);

    impl Content for Memory {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.lock().unwrap().read_at(offset, buffer)
        }
        fn size(&self) -> u64 {
            self.0.lock().unwrap().len() as u64
        }
    }

    impl Spill for Memory {
        fn append(&self, bytes: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        }
    }

    /// Gives one spill, and so tells what is in it.
    #[derive(Default)]
    pub(crate) struct OneSpill(pub(crate) Arc<Memory>);

    impl Room for OneSpill {
        fn spill(&self) -> io::Result<Arc<dyn Spill>> {
            Ok(self.0.clone())
        }
    }

    fn of_every_kind() -> Vec<Cell> {
        vec![
            Cell::Null,
            Cell::Text("a\tb\\\n\u{1f426}".into()),
            Cell::Number(-0.1),
            Cell::Integer(i64::MIN),
            Cell::Boolean(true),
            Cell::Null,
            Cell::Null,
            Cell::Boolean(false),
            Cell::Date(parse_date("2007-11-11").unwrap()),
            Cell::Timestamp(parse_timestamp("2020-01-01T00:00:00.123456789+02:00").unwrap()),
            Cell::Uuid(Uuid::from_u128(7)),
            Cell::Json(json!({"k": [1, -0.0, 1e300, "\u{1}", null]})),
            Cell::Null,
        ]
    }

    fn read(rows: &Rows) -> Vec<Vec<Cell>> {
        rows.read().map(Result::unwrap).collect()
    }

    #[test]
    fn rows_are_read_as_they_were_kept() {
        let rows = vec![of_every_kind(), vec![], vec![Cell::Null; 600], of_every_kind()];
        assert_eq!(read(&Rows::of(&rows)), rows);
        assert!(read(&Rows::default()).is_empty());
    }

    // proves ISO-3
    #[test]
    fn what_is_more_than_may_be_held_is_in_the_spill() {
        let room = OneSpill::default();
        let mut store = RowStore::new(&room, 1000, 100);
        let mut keep = |rows: &[Vec<Cell>]| {
            for row in rows {
                store.push(row).unwrap();
            }
            store.end().unwrap()
        };
        let few = vec![vec![Cell::Integer(1)]; 2];
        let many = vec![of_every_kind(); 400];
        let long = vec![vec![Cell::Text("x".repeat(200_000))], vec![Cell::Null]];
        let first = keep(&few);
        assert_eq!(room.0.size(), 0, "a few are held");
        let kept = [first, keep(&many), keep(&few), keep(&long), keep(&[])];
        assert!(room.0.size() > 250_000);
        for (rows, expected) in kept.iter().zip([&few, &many, &few, &long, &vec![]]) {
            assert_eq!(&read(rows), expected);
            assert_eq!(rows.count(), expected.len() as u64);
        }
    }

    // proves ISO-3
    #[test]
    fn rows_are_counted_even_if_they_are_dropped() {
        let room = OneSpill::default();
        let mut store = RowStore::new(&room, 3, HELD_BYTES);
        store.push(&[]).unwrap();
        store.push(&[]).unwrap();
        store.abandon();
        assert_eq!(store.end().unwrap().count(), 0);
        store.push(&[]).unwrap();
        assert!(matches!(store.push(&[]), Err(NotKept::TooMany(3))));
        assert_eq!(store.rows(), 3);
    }

    #[test]
    fn a_spill_that_lost_something_is_an_error_and_no_shorter_table() {
        let whole = Rows::of(&[of_every_kind(), of_every_kind()]);
        let mut bytes = vec![0; usize::try_from(whole.end).unwrap()];
        assert_eq!(whole.content.read_at(0, &mut bytes).unwrap(), bytes.len());
        bytes.truncate(bytes.len() - 1);
        let short = Rows::held(bytes, 2);
        let read: Vec<_> = short.read().map(|row| row.is_ok()).collect();
        assert_eq!(read, [true, false]);
        assert_ne!(short, whole);
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }
}
