//! Decodes a stream of bytes into records, one line at a time and in bounded memory.

use domain::ingest::csv::{CsvMapping, CsvOptions};
use domain::ingest::run::{MAX_LINE_BYTES, PushedRecord};
use domain::registry::schema::MetadataChecker;
use domain::{FieldDefinition, Invalid};

/// The form of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushFormat {
    /// `application/x-ndjson`: one JSON object per line.
    JsonLines,
    /// `text/csv` (RFC 4180).
    Csv(CsvOptions),
}

/// A decoded line: its number, from 1, and the record or what is wrong with it.
pub type DecodedLine = (u64, Result<PushedRecord, Invalid>);

/// The maximum number of columns of a CSV file.
const MAX_COLUMNS: usize = 2_000;

fn too_long() -> Invalid {
    Invalid::value(format!("is longer than {MAX_LINE_BYTES} bytes"))
}

/// Decodes a push.
#[derive(Debug)]
pub struct PushDecoder {
    checker: MetadataChecker,
    form: Form,
}

#[derive(Debug)]
enum Form {
    JsonLines(JsonLines),
    Csv(Box<Csv>),
}

impl PushDecoder {
    /// Creates a decoder of a push for a schema with these fields.
    pub fn new(format: PushFormat, fields: &[FieldDefinition]) -> Self {
        let form = match format {
            PushFormat::JsonLines => Form::JsonLines(JsonLines::default()),
            PushFormat::Csv(options) => Form::Csv(Box::new(Csv::new(options))),
        };
        Self {
            checker: MetadataChecker::new(fields),
            form,
        }
    }

    /// Decodes a chunk. Returns the lines that it completes. An error is about the CSV header, and ends the push.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<DecodedLine>, Invalid> {
        match &mut self.form {
            Form::JsonLines(lines) => Ok(lines.feed(chunk, &self.checker)),
            Form::Csv(csv) => csv.feed(chunk, &self.checker),
        }
    }

    /// Ends the stream. Returns a last line that has no line break.
    pub fn finish(&mut self) -> Result<Vec<DecodedLine>, Invalid> {
        match &mut self.form {
            Form::JsonLines(lines) => Ok(lines.feed(b"\n", &self.checker)),
            Form::Csv(csv) => csv.finish(&self.checker),
        }
    }
}

/// JSON Lines.
#[derive(Debug, Default)]
struct JsonLines {
    line: Vec<u8>,
    number: u64,
    oversized: bool,
}

impl JsonLines {
    fn feed(&mut self, chunk: &[u8], checker: &MetadataChecker) -> Vec<DecodedLine> {
        let mut found = Vec::new();
        for part in chunk.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = part
                .strip_suffix(b"\n")
                .map_or((part, false), |text| (text, true));
            if self.line.len() + text.len() > MAX_LINE_BYTES {
                self.oversized = true;
                self.line.clear();
            } else if !self.oversized {
                self.line.extend_from_slice(text);
            }
            if ends {
                self.number += 1;
                let text = if self.number == 1 {
                    self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line)
                } else {
                    &self.line
                };
                if self.oversized {
                    found.push((self.number, Err(too_long())));
                } else if !text.iter().all(u8::is_ascii_whitespace) {
                    found.push((self.number, PushedRecord::from_json_line(text, checker)));
                }
                self.line.clear();
                self.oversized = false;
            }
        }
        found
    }
}

/// CSV, on the state machine of csv-core, which reads chunks and never allocates.
struct Csv {
    reader: csv_core::Reader,
    options: CsvOptions,
    mapping: Option<CsvMapping>,
    out: Vec<u8>,
    out_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    oversized: bool,
    /// The number of line breaks read so far.
    breaks: u64,
    /// The line on which the row that is being read begins; 0 between rows.
    row_begins: u64,
    /// Whether anything was read, for the byte order mark.
    begun: bool,
}

impl std::fmt::Debug for Csv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Csv")
            .field("mapping", &self.mapping)
            .field("breaks", &self.breaks)
            .finish_non_exhaustive()
    }
}

impl Csv {
    fn new(options: CsvOptions) -> Self {
        Self {
            reader: csv_core::Reader::new(),
            options,
            mapping: None,
            out: vec![0; 4096],
            out_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            oversized: false,
            breaks: 0,
            row_begins: 0,
            begun: false,
        }
    }

    fn feed(&mut self, mut chunk: &[u8], checker: &MetadataChecker) -> Result<Vec<DecodedLine>, Invalid> {
        let mut found = Vec::new();
        if !self.begun && !chunk.is_empty() {
            self.begun = true;
            chunk = chunk.strip_prefix(b"\xef\xbb\xbf").unwrap_or(chunk);
        }
        while !chunk.is_empty() {
            if self.row_begins == 0 {
                // csv-core skips line breaks between rows; they are skipped here, so that a row's first line is known.
                let skipped = chunk.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                self.breaks += chunk[..skipped].iter().filter(|b| **b == b'\n').count() as u64;
                chunk = &chunk[skipped..];
                if chunk.is_empty() {
                    break;
                }
                self.row_begins = self.breaks + 1;
            }
            let used = self.step(chunk, checker, &mut found)?;
            self.breaks += chunk[..used].iter().filter(|b| **b == b'\n').count() as u64;
            chunk = &chunk[used..];
        }
        Ok(found)
    }

    /// Ends a last row at the end of the input.
    fn finish(&mut self, checker: &MetadataChecker) -> Result<Vec<DecodedLine>, Invalid> {
        let mut found = Vec::new();
        while self.row_begins != 0 {
            self.step(&[], checker, &mut found)?;
        }
        if self.mapping.is_none() {
            return Err(Invalid::value("the file has no header row").of_field("header"));
        }
        Ok(found)
    }

    /// Calls csv-core once. Returns how much input it consumed.
    fn step(
        &mut self,
        input: &[u8],
        checker: &MetadataChecker,
        found: &mut Vec<DecodedLine>,
    ) -> Result<usize, Invalid> {
        use csv_core::ReadRecordResult as Read;
        let (result, used, wrote, ended) = self.reader.read_record(
            input,
            &mut self.out[self.out_len..],
            &mut self.ends[self.ends_len..],
        );
        self.out_len += wrote;
        self.ends_len += ended;
        match result {
            Read::InputEmpty => {}
            Read::OutputFull if self.oversized || self.out.len() >= MAX_LINE_BYTES => {
                // The rest of the row is read and discarded.
                self.oversized = true;
                self.out_len = 0;
            }
            Read::OutputFull => self.out.resize(self.out.len() * 2, 0),
            Read::OutputEndsFull if self.oversized || self.ends.len() >= MAX_COLUMNS => {
                self.oversized = true;
                self.ends_len = 0;
            }
            Read::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            Read::Record => {
                let row = self.row(checker);
                let begins = std::mem::take(&mut self.row_begins);
                self.out_len = 0;
                self.ends_len = 0;
                self.oversized = false;
                if let Some(record) = row? {
                    found.push((begins, record));
                }
            }
            Read::End => self.row_begins = 0,
        }
        Ok(used)
    }

    /// Decodes the row in the buffer: the header, or a record. An error is about the header.
    fn row(&mut self, checker: &MetadataChecker) -> Result<Option<Result<PushedRecord, Invalid>>, Invalid> {
        let text = if self.oversized {
            Err(too_long())
        } else {
            std::str::from_utf8(&self.out[..self.out_len]).map_err(|_| Invalid::value("is not UTF-8"))
        };
        let cells = text.and_then(|text| {
            let mut begin = 0;
            self.ends[..self.ends_len]
                .iter()
                .map(|end| {
                    let cell = text
                        .get(begin..*end)
                        .ok_or_else(|| Invalid::value("is not UTF-8"));
                    begin = *end;
                    cell
                })
                .collect::<Result<Vec<&str>, _>>()
        });
        if let Some(mapping) = &self.mapping {
            return Ok(Some(cells.and_then(|cells| mapping.record(&cells, checker))));
        }
        let header: Vec<String> = cells
            .map_err(|e| e.of_field("header"))?
            .into_iter()
            .map(str::to_owned)
            .collect();
        let fields: Vec<_> = checker.fields().collect();
        self.mapping =
            Some(CsvMapping::new(&header, &fields, &self.options).map_err(|e| e.of_field("header"))?);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FieldCardinality, FieldType};
    use proptest::prelude::*;

    fn fields() -> Vec<FieldDefinition> {
        let field = |name: &str, field_type| FieldDefinition {
            name: name.parse().unwrap(),
            field_type,
            required: false,
            cardinality: FieldCardinality::ExactlyOne,
            description: None,
            constraints: None,
            examples: vec![],
        };
        vec![field("text", FieldType::Text), field("mass", FieldType::Number)]
    }

    /// A line's number, and its source id or fault.
    type Outcome = (u64, Result<String, String>);

    fn read(format: PushFormat, pieces: &[&[u8]]) -> Result<Vec<Outcome>, Invalid> {
        let mut decoder = PushDecoder::new(format, &fields());
        let mut lines = Vec::new();
        for piece in pieces {
            lines.extend(decoder.feed(piece)?);
        }
        lines.extend(decoder.finish()?);
        let outcome = |line: Result<PushedRecord, Invalid>| {
            line.map(|r| r.source_id.to_string()).map_err(|e| e.to_string())
        };
        Ok(lines.into_iter().map(|(n, line)| (n, outcome(line))).collect())
    }

    fn csv() -> PushFormat {
        PushFormat::Csv(CsvOptions::default())
    }

    #[test]
    fn csv_rows_are_numbered_by_the_line_on_which_they_begin() {
        let file = b"\xef\xbb\xbfid,Text,Mass\r\na,\"two\r\nlines\",1\r\n\r\nb,x,heavy\r\nc,\"q\"\"q\",2";
        let lines = read(csv(), &[file]).unwrap();
        assert_eq!(lines.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 5, 6]);
        assert_eq!(lines[0].1, Ok("a".into()));
        assert_eq!(
            lines[1].1,
            Err("metadata.mass: must be a number, not \"heavy\"".into())
        );
        assert_eq!(lines[2].1, Ok("c".into()));
    }

    #[test]
    fn rows_and_lines_that_are_too_long_are_faults_and_the_rest_goes_on() {
        let long = "x".repeat(MAX_LINE_BYTES + 10);
        let lines = read(csv(), &[b"id,text\n", format!("a,{long}\n").as_bytes(), b"b,y\n"]).unwrap();
        assert!(
            lines[0].1.as_ref().is_err_and(|e| e.contains("longer")),
            "{:?}",
            lines[0].0
        );
        assert_eq!(lines[1], (3, Ok("b".into())));
        let lines = read(
            PushFormat::JsonLines,
            &[long.as_bytes(), b"\n{\"id\":\"b\",\"metadata\":{}}"],
        )
        .unwrap();
        assert!(lines[0].1.as_ref().is_err_and(|e| e.contains("longer")));
        assert_eq!(lines[1], (2, Ok("b".into())));
    }

    #[test]
    fn a_header_that_cannot_be_used_ends_the_push() {
        assert!(
            read(csv(), &[b"id,colour\na,b\n"])
                .unwrap_err()
                .to_string()
                .contains("header.colour")
        );
        assert!(read(csv(), &[b""]).unwrap_err().to_string().contains("no header"));
        assert!(read(csv(), &[b"id,\xff\n"]).is_err());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_into_pieces_makes_no_difference(file in "(id,text,mass\r?\n)?([a-c\",\r\n0-9]{0,60})", cut in 1_usize..7) {
            for format in [csv(), PushFormat::JsonLines] {
                let whole = read(format.clone(), &[file.as_bytes()]);
                let pieces: Vec<&[u8]> = file.as_bytes().chunks(cut).collect();
                prop_assert_eq!(whole, read(format, &pieces));
            }
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for format in [csv(), PushFormat::JsonLines] {
                let _ = read(format, &[b"id,text\n", &bytes]);
            }
        }
    }
}
