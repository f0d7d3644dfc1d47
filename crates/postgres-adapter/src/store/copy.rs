//! COPY's text format (PostgreSQL manual, COPY, "Text Format").

use std::io;

use domain::Cell;
use sqlx::PgConnection;

/// The buffer size, in bytes, at which it is sent.
const CHUNK: usize = 64 * 1024;

/// The buffered rows of one COPY.
pub(crate) struct CopyBuffer {
    bytes: Vec<u8>,
    at_row_start: bool,
}

impl CopyBuffer {
    fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(CHUNK + 4096),
            at_row_start: true,
        }
    }

    fn separator(&mut self) {
        if !self.at_row_start {
            self.bytes.push(b'\t');
        }
        self.at_row_start = false;
    }

    /// Appends a text value.
    pub(crate) fn text(&mut self, text: &str) {
        self.separator();
        self.escaped(text);
    }

    fn escaped(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                b'\t' => self.bytes.extend_from_slice(b"\\t"),
                b'\n' => self.bytes.extend_from_slice(b"\\n"),
                b'\r' => self.bytes.extend_from_slice(b"\\r"),
                other => self.bytes.push(other),
            }
        }
    }

    /// Appends a value of a column.
    pub(crate) fn cell(&mut self, cell: &Cell) {
        self.separator();
        match cell {
            Cell::Null => self.bytes.extend_from_slice(b"\\N"),
            Cell::Text(text) => self.escaped(text),
            // Rust's shortest text of a float parses to the same float.
            Cell::Number(number) => self.bytes.extend_from_slice(number.to_string().as_bytes()),
            Cell::Integer(number) => self.bytes.extend_from_slice(number.to_string().as_bytes()),
            Cell::Boolean(truth) => self.bytes.push(if *truth { b't' } else { b'f' }),
            Cell::Date(date) => self.bytes.extend_from_slice(date.to_string().as_bytes()),
            Cell::Timestamp(at) => self.escaped(&at.to_string()),
            Cell::Uuid(id) => self.bytes.extend_from_slice(id.to_string().as_bytes()),
            Cell::Json(value) => self.escaped(&value.to_string()),
        }
    }

    /// Ends a row.
    pub(crate) fn end_row(&mut self) {
        self.bytes.push(b'\n');
        self.at_row_start = true;
    }
}

/// Copies the rows that `write` puts into the buffer, one call each. Returns the number of rows that PostgreSQL
/// stored. If a row cannot be read, nothing is stored.
pub(crate) async fn copy_in<T>(
    conn: &mut PgConnection,
    statement: String,
    rows: impl Iterator<Item = io::Result<T>> + Send,
    write: impl Fn(&mut CopyBuffer, T) + Send,
) -> Result<u64, sqlx::Error>
where
    T: Send,
{
    let mut sink = conn.copy_in_raw(&statement).await?;
    let mut buffer = CopyBuffer::new();
    for row in rows {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                sink.abort("a row could not be read").await?;
                return Err(sqlx::Error::Io(error));
            }
        };
        write(&mut buffer, row);
        buffer.end_row();
        if buffer.bytes.len() >= CHUNK {
            sink.send(buffer.bytes.as_slice()).await?;
            buffer.bytes.clear();
        }
    }
    if !buffer.bytes.is_empty() {
        sink.send(buffer.bytes.as_slice()).await?;
    }
    sink.finish().await
}
