//! Tables as CSV (WC-7.5), plain and compressed.

use std::io::Write as _;

use app::views::TableColumn;
use domain::Cell;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Encoder;
use crate::http::render::push_iso_time;

/// CSV writer: quotes only where needed, CRLF after each row, always a header.
pub(super) struct Csv {
    /// The header, until it is written.
    header: Option<Vec<u8>>,
    /// Size of the last piece, used as the capacity of the next one.
    usual: usize,
}

impl Csv {
    pub(super) fn new(columns: &[TableColumn]) -> Self {
        let mut header = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                header.push(b',');
            }
            text(&mut header, column.name.as_bytes());
        }
        header.extend_from_slice(b"\r\n");
        Self {
            header: Some(header),
            usual: 4096,
        }
    }
}

impl Encoder for Csv {
    fn rows(&mut self, rows: &[Vec<Cell>]) -> std::io::Result<Vec<u8>> {
        let mut piece = self.header.take().unwrap_or_default();
        piece.reserve(self.usual);
        for row in rows {
            for (index, value) in row.iter().enumerate() {
                if index > 0 {
                    piece.push(b',');
                }
                cell(&mut piece, value)?;
            }
            piece.extend_from_slice(b"\r\n");
        }
        self.usual = piece.len();
        Ok(piece)
    }

    fn end(self) -> std::io::Result<Vec<u8>> {
        Ok(self.header.unwrap_or_default())
    }
}

/// CSV as one gzip member (RFC 1952). Readers detect truncation by the missing trailer.
pub(super) struct CsvGz {
    csv: Csv,
    gzip: GzEncoder<Vec<u8>>,
}

impl CsvGz {
    pub(super) fn new(columns: &[TableColumn]) -> Self {
        Self {
            csv: Csv::new(columns),
            gzip: GzEncoder::new(Vec::new(), Compression::fast()),
        }
    }
}

impl Encoder for CsvGz {
    fn rows(&mut self, rows: &[Vec<Cell>]) -> std::io::Result<Vec<u8>> {
        let plain = self.csv.rows(rows)?;
        self.gzip.write_all(&plain)?;
        Ok(std::mem::take(self.gzip.get_mut()))
    }

    fn end(mut self) -> std::io::Result<Vec<u8>> {
        let rest = self.csv.end()?;
        self.gzip.write_all(&rest)?;
        self.gzip.finish()
    }
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    if text
        .iter()
        .any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
    {
        out.push(b'"');
        for byte in text {
            if *byte == b'"' {
                out.push(b'"');
            }
            out.push(*byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(text);
    }
}

/// Writes a cell: null is empty, booleans and floats as Python writes them (`True`, `1.0`).
fn cell(out: &mut Vec<u8>, cell: &Cell) -> std::io::Result<()> {
    match cell {
        Cell::Null => {}
        Cell::Text(value) => text(out, value.as_bytes()),
        Cell::Number(number) => write!(out, "{number:?}")?,
        Cell::Integer(number) => write!(out, "{number}")?,
        Cell::Boolean(true) => out.extend_from_slice(b"True"),
        Cell::Boolean(false) => out.extend_from_slice(b"False"),
        Cell::Date(date) => write!(out, "{date}")?,
        Cell::Timestamp(at) => push_iso_time(out, *at),
        Cell::Uuid(id) => {
            let mut buffer = uuid::Uuid::encode_buffer();
            out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
        }
        Cell::Json(value) => text(out, value.to_string().as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ColumnType;
    use serde_json::json;
    use std::io::Read as _;
    use time::macros::datetime;

    fn columns(names: &[&str]) -> Vec<TableColumn> {
        let column = |name: &&str| TableColumn {
            name: (*name).to_owned(),
            column_type: ColumnType::Text,
            wire_type: "text",
            format: None,
            description: None,
            unit: None,
            implicit: false,
        };
        names.iter().map(column).collect()
    }

    fn row() -> Vec<Cell> {
        vec![
            Cell::Text("a\"b,c".into()),
            Cell::Null,
            Cell::Number(1.0),
            Cell::Boolean(true),
            Cell::Timestamp(datetime!(2026-11-21 06:05:04.000120 +02:00)),
            Cell::Json(json!({"k": [1]})),
            Cell::Text("x y".into()),
        ]
    }

    // proves DAT-1
    #[test]
    fn quotes_stand_only_where_they_are_needed() {
        let mut csv = Csv::new(&columns(&["a", "b"]));
        let mut out = csv.rows(&[row()]).unwrap();
        out.extend(csv.rows(&[vec![Cell::Integer(-5)]]).unwrap());
        out.extend(csv.end().unwrap());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a,b\r\n\"a\"\"b,c\",,1.0,True,2026-11-21T04:05:04.000120+00:00,\"{\"\"k\"\":[1]}\",x y\r\n-5\r\n"
        );
    }

    // proves DAT-1
    #[test]
    fn the_header_is_there_without_rows_and_compressed_it_is_the_same() {
        assert_eq!(Csv::new(&columns(&["a", "b"])).end().unwrap(), b"a,b\r\n");
        let mut compressed = CsvGz::new(&columns(&["a"]));
        let mut bytes = Vec::new();
        for _ in 0..500 {
            bytes.extend(compressed.rows(&[row()]).unwrap());
        }
        bytes.extend(compressed.end().unwrap());
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain.lines().count(), 501);
        let cut = &bytes[..bytes.len() - 4];
        assert!(
            flate2::read::GzDecoder::new(cut)
                .read_to_string(&mut String::new())
                .is_err()
        );
    }
}
