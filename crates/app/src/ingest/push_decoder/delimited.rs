//! Splits delimited text into rows of cells, strictly: a row with two readings is refused where it is.
//!
//! Quoted cells follow RFC 4180, text without quoting the IANA type `text/tab-separated-values`. csv-core is lenient:
//! it reads `"Tubby" creek` as `Tubby creek`, and a quote that nothing closes as a cell that holds all the rows after
//! it. Here both are faults. Reading goes on at the line after the one on which the refused row begins, because a
//! stray quote says nothing about the lines after it.
//!
//! Memory is bounded by [`MAX_LINE_BYTES`] and one chunk. Time is bounded too: the bytes that are read again after a
//! fault are limited to [`REREAD_FACTOR`] times the bytes that arrived; after that, all lines of a refused row are
//! refused with it.

use domain::Invalid;
use domain::ingest::csv::Dialect;
use domain::ingest::refused::line_digest;
use domain::ingest::run::MAX_LINE_BYTES;

/// The maximum number of columns.
const MAX_COLUMNS: usize = 2_000;
/// How many bytes may be read again for each byte that arrived.
const REREAD_FACTOR: usize = 8;

/// A row, or a fault in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    /// The line on which it ends.
    pub(super) last_line: u64,
    /// Its cells, or the fault.
    pub(super) cells: Result<Vec<String>, CellFault>,
    /// Its text as sent, if it extends over several lines.
    pub(super) raw: Option<Vec<u8>>,
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CellFault {
    /// Index of the column, if the fault is in one.
    pub(super) column: Option<usize>,
    /// The violated rule.
    pub(super) rule: Invalid,
    /// A hash of what was read of the row's first line, or of the whole row if that is at fault.
    pub(super) digest: [u8; 32],
}

/// How lines end in this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    /// LF, or CR and LF.
    Lf,
    /// CR alone.
    Cr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a row, where empty lines are skipped.
    RowStart,
    /// At the start of a cell.
    CellStart,
    /// In a cell without quotes; so far it has only blanks, or not.
    Plain { blank: bool },
    /// In a quoted cell.
    Quoted,
    /// After a quote in a quoted cell.
    QuoteInQuoted,
    /// After a CR outside quotes.
    Cr,
    /// In a line that is too long: skipped to its end.
    Skip,
}

/// Splits text that arrives in chunks.
#[derive(Debug)]
pub(super) struct Delimited {
    dialect: Dialect,
    line_end: LineEnd,
    /// What has arrived and is still needed.
    pending: Vec<u8>,
    /// Position in `pending` of the current row, and up to which it has been read.
    begin: usize,
    at: usize,
    state: State,
    /// Bytes of the current row's cells, and where each ends.
    out: Vec<u8>,
    ends: Vec<usize>,
    /// Line of the current row's first byte, and of the byte at `at`.
    row_line: u64,
    line: u64,
    /// Position after the first line break inside the current row.
    first_break: Option<usize>,
    /// Line and column of the last opening quote.
    opened: (u64, usize),
    reread: usize,
    begun: bool,
}

/// The result of reading one byte.
enum Step {
    On,
    Row,
    Fault(Option<usize>, String),
}

impl Delimited {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            line_end: LineEnd::Unknown,
            pending: Vec::new(),
            begin: 0,
            at: 0,
            state: State::RowStart,
            out: Vec::new(),
            ends: Vec::new(),
            row_line: 1,
            line: 1,
            first_break: None,
            opened: (1, 0),
            reread: 0,
            begun: false,
        }
    }

    /// Reads a chunk, and returns the rows that it completes. An error is about the whole text.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Row>, Invalid> {
        // Once for each chunk: once for each row would move the rest of the chunk each time.
        self.pending.drain(..self.begin);
        self.at -= self.begin;
        self.first_break = self.first_break.map(|end| end - self.begin);
        self.begin = 0;
        self.pending.extend_from_slice(chunk);
        self.reread = self
            .reread
            .saturating_add(chunk.len().saturating_mul(REREAD_FACTOR));
        if !self.begun {
            if self.pending.len() < 3 {
                return Ok(Vec::new());
            }
            self.begin()?;
        }
        Ok(self.read(false))
    }

    /// Ends the text, and returns its last rows.
    pub(super) fn finish(&mut self) -> Result<Vec<Row>, Invalid> {
        if !self.begun {
            self.begin()?;
        }
        Ok(self.read(true))
    }

    /// Skips a byte order mark.
    fn begin(&mut self) -> Result<(), Invalid> {
        self.begun = true;
        if self.pending.starts_with(b"\xff\xfe") || self.pending.starts_with(b"\xfe\xff") {
            return Err(Invalid::value("the file is UTF-16; save it as UTF-8").of_field("header"));
        }
        if self.pending.starts_with(b"\xef\xbb\xbf") {
            (self.begin, self.at) = (3, 3);
        }
        Ok(())
    }

    fn read(&mut self, ends: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            while let Some(byte) = self.pending.get(self.at).copied() {
                match self.step(byte) {
                    Step::On if self.at - self.begin > MAX_LINE_BYTES && self.state != State::Skip => {
                        self.too_long(&mut rows);
                    }
                    Step::On => {}
                    Step::Row => self.row(&mut rows),
                    Step::Fault(column, rule) => self.fault(column, rule, &mut rows),
                }
            }
            if !ends || !self.end(&mut rows) {
                break;
            }
        }
        rows
    }

    /// Ends the last row. Returns whether there is something left to read.
    fn end(&mut self, rows: &mut Vec<Row>) -> bool {
        match self.state {
            State::RowStart => false,
            State::Cr if self.ends.is_empty() => {
                self.restart(self.at, self.line + 1);
                false
            }
            State::Quoted => {
                self.unclosed("before the end of the file", rows);
                true
            }
            State::Skip => {
                self.restart(self.at, self.line);
                false
            }
            State::Cr => {
                self.row(rows);
                true
            }
            State::CellStart | State::Plain { .. } | State::QuoteInQuoted => {
                self.cell();
                self.row(rows);
                true
            }
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        let is_delimiter = byte == self.dialect.delimiter;
        match self.state {
            State::Cr => return self.after_cr(byte),
            State::Skip => {
                self.at += 1;
                self.begin = self.at;
                let end = if self.line_end == LineEnd::Cr {
                    b'\r'
                } else {
                    b'\n'
                };
                if byte == end {
                    self.restart(self.at, self.line + 1);
                }
                return Step::On;
            }
            State::Quoted => {
                self.at += 1;
                if byte == b'"' {
                    self.state = State::QuoteInQuoted;
                } else {
                    self.count_break(byte);
                    self.out.push(byte);
                }
                return Step::On;
            }
            State::QuoteInQuoted if byte == b'"' => {
                self.at += 1;
                self.out.push(b'"');
                self.state = State::Quoted;
                return Step::On;
            }
            State::QuoteInQuoted if !is_delimiter && byte != b'\n' && byte != b'\r' => {
                let rule =
                    "has text after the quote that closes the cell; write a quote inside a quoted cell twice";
                return Step::Fault(Some(self.ends.len()), rule.to_owned());
            }
            State::RowStart if byte == b'\n' => {
                // An empty line.
                self.at += 1;
                if self.line_end == LineEnd::Unknown {
                    self.line_end = LineEnd::Lf;
                }
                self.restart(self.at, self.line + 1);
                return Step::On;
            }
            State::RowStart | State::CellStart | State::Plain { .. } | State::QuoteInQuoted => {}
        }
        let column = self.ends.len();
        self.at += 1;
        if is_delimiter {
            self.cell();
            self.state = State::CellStart;
            if self.ends.len() >= MAX_COLUMNS {
                return Step::Fault(None, format!("has more than {MAX_COLUMNS} columns"));
            }
            return Step::On;
        }
        match byte {
            b'\n' if self.line_end == LineEnd::Cr => Step::Fault(
                Some(column),
                "contains a line feed, but the lines of this file end with a carriage return".to_owned(),
            ),
            b'\n' => {
                self.line_end = LineEnd::Lf;
                self.cell();
                Step::Row
            }
            b'\r' => {
                if self.state != State::RowStart {
                    self.cell();
                }
                self.state = State::Cr;
                Step::On
            }
            b'"' if self.dialect.quotes => match self.state {
                State::RowStart | State::CellStart => {
                    self.opened = (self.line, column);
                    self.state = State::Quoted;
                    Step::On
                }
                State::Plain { blank: true } => Step::Fault(
                    Some(column),
                    "has a blank before its opening quote; remove the blank, or quote the whole cell"
                        .to_owned(),
                ),
                // RFC 4180 is silent about a quote inside a cell that begins without one; it is a character.
                _ => self.plain(byte),
            },
            _ => self.plain(byte),
        }
    }

    fn plain(&mut self, byte: u8) -> Step {
        let blank = matches!(byte, b' ' | b'\t') && !matches!(self.state, State::Plain { blank: false });
        self.state = State::Plain { blank };
        self.out.push(byte);
        Step::On
    }

    /// Decides about a CR outside quotes, of which the next byte is known.
    fn after_cr(&mut self, byte: u8) -> Step {
        let empty = self.ends.is_empty();
        if byte == b'\n' {
            self.at += 1;
            if self.line_end == LineEnd::Unknown {
                self.line_end = LineEnd::Lf;
            }
        } else if self.line_end == LineEnd::Lf {
            let column = (!empty).then(|| self.ends.len() - 1);
            let rule = "contains a carriage return without a line feed; put the cell in quotes";
            return Step::Fault(column, rule.to_owned());
        } else {
            self.line_end = LineEnd::Cr;
        }
        if empty {
            self.restart(self.at, self.line + 1);
            return Step::On;
        }
        Step::Row
    }

    /// Counts a line break inside a quoted cell.
    fn count_break(&mut self, byte: u8) {
        let by_cr = self.line_end == LineEnd::Cr;
        let breaks = match byte {
            b'\r' => by_cr,
            // CR and LF are one break.
            b'\n' => !(by_cr && self.out.last() == Some(&b'\r')),
            _ => false,
        };
        if breaks {
            self.line += 1;
            self.first_break.get_or_insert(self.at);
        }
    }

    fn cell(&mut self) {
        self.ends.push(self.out.len());
    }

    fn row(&mut self, rows: &mut Vec<Row>) {
        let mut begin = 0;
        let raw = &self.pending[self.begin..self.at];
        let cells = self.ends.iter().enumerate().map(|(column, end)| {
            let cell = &self.out[begin..*end];
            begin = *end;
            let text = std::str::from_utf8(cell).map_err(|_| CellFault {
                column: Some(column),
                rule: Invalid::value("is not UTF-8"),
                digest: line_digest([raw]),
            })?;
            if text.contains('\0') {
                return Err(CellFault {
                    column: Some(column),
                    rule: Invalid::value("must not contain the character NUL"),
                    digest: line_digest([raw]),
                });
            }
            Ok(text.to_owned())
        });
        let cells = cells.collect();
        rows.push(Row {
            line: self.row_line,
            last_line: self.line,
            cells,
            raw: self.first_break.map(|_| raw.to_vec()),
        });
        self.restart(self.at, self.line + 1);
    }

    /// Refuses the current row for what is at the current byte.
    fn fault(&mut self, column: Option<usize>, rule: String, rows: &mut Vec<Row>) {
        let rule = if self.line == self.row_line {
            rule
        } else {
            // The quote that opened it is the suspect: it is lines above.
            format!(
                "{rule} (line {}; the cell was opened by a quote in line {})",
                self.line, self.opened.0
            )
        };
        self.refuse(column, rule, rows);
    }

    fn unclosed(&mut self, where_to: &str, rows: &mut Vec<Row>) {
        let (line, column) = self.opened;
        let rule = format!("has an opening quote (line {line}) that nothing closes {where_to}");
        self.refuse(Some(column), rule, rows);
    }

    fn too_long(&mut self, rows: &mut Vec<Row>) {
        if self.first_break.is_some() && matches!(self.state, State::Quoted | State::QuoteInQuoted) {
            let within = format!("within {MAX_LINE_BYTES} bytes");
            return self.unclosed(&within, rows);
        }
        self.refuse(None, format!("is longer than {MAX_LINE_BYTES} bytes"), rows);
    }

    /// Reports the current row as refused, and goes on after its first line.
    fn refuse(&mut self, column: Option<usize>, rule: String, rows: &mut Vec<Row>) {
        let (line, last_line) = (self.row_line, self.line);
        let first_line = self.begin..self.first_break.unwrap_or(self.at);
        let digest = line_digest([&self.pending[first_line]]);
        let mut refused = |rule: String, last_line: u64| {
            rows.push(Row {
                line,
                last_line,
                cells: Err(CellFault {
                    column,
                    rule: Invalid::value(rule),
                    digest,
                }),
                raw: None,
            });
        };
        match self.first_break {
            Some(end) if self.at - end <= self.reread => {
                self.reread -= self.at - end;
                refused(rule, line);
                self.restart(end, line + 1);
            }
            Some(_) => {
                refused(
                    format!(
                        "{rule}; lines {line} to {last_line} were not read: too many rows of this file are refused for their quotes"
                    ),
                    last_line,
                );
                self.skip();
            }
            None => {
                refused(rule, line);
                self.skip();
            }
        }
    }

    /// Skips the rest of the current line.
    fn skip(&mut self) {
        if self.first_break.is_some() && self.at > self.begin && self.pending[self.at - 1] == b'\n' {
            // The line has just ended, and was counted.
            return self.restart(self.at, self.line);
        }
        self.state = State::Skip;
        self.out.clear();
        self.ends.clear();
        self.first_break = None;
    }

    /// Begins the next row at this position of `pending`.
    fn restart(&mut self, position: usize, line: u64) {
        (self.begin, self.at) = (position, position);
        self.state = State::RowStart;
        self.out.clear();
        self.ends.clear();
        self.row_line = line;
        self.line = line;
        self.first_break = None;
    }
}
