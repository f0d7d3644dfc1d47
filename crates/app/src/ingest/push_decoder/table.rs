//! Rows of a table to records: the first row is the header.

use domain::Invalid;
use domain::ingest::csv::{CsvMapping, CsvOptions};
use domain::ingest::refused::line_digest;
use domain::ingest::run::PushedRecord;
use domain::registry::schema::{MetadataChecker, shortened};

use super::delimited::{CellFault, Delimited, Row};
use super::refusal::{DecodedLine, Refusal};

/// Fewer columns than this occur in prose too often to tell a text of several lines from rows.
const MIN_AMBIGUOUS_COLUMNS: usize = 3;

/// Decodes a table.
#[derive(Debug)]
pub(super) struct Table {
    rows: Delimited,
    options: CsvOptions,
    header: Option<(Vec<String>, CsvMapping)>,
}

impl Table {
    pub(super) fn new(options: CsvOptions) -> Self {
        Self {
            rows: Delimited::new(options.dialect),
            options,
            header: None,
        }
    }

    pub(super) fn feed(
        &mut self,
        chunk: &[u8],
        checker: &MetadataChecker,
    ) -> Result<Vec<DecodedLine>, Invalid> {
        let rows = self.rows.feed(chunk)?;
        self.decode(rows, checker)
    }

    /// Ends a last row at the end of the input.
    pub(super) fn finish(&mut self, checker: &MetadataChecker) -> Result<Vec<DecodedLine>, Invalid> {
        let rows = self.rows.finish()?;
        let found = self.decode(rows, checker)?;
        if self.header.is_none() {
            return Err(Invalid::value("the file has no header row").of_field("header"));
        }
        Ok(found)
    }

    fn decode(&mut self, rows: Vec<Row>, checker: &MetadataChecker) -> Result<Vec<DecodedLine>, Invalid> {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let Some((header, mapping)) = &self.header else {
                self.header = Some(self.read_header(row, checker).map_err(|e| e.of_field("header"))?);
                continue;
            };
            let record = self
                .record(&row, header, mapping, checker)
                .map_err(|reason| refusal(&row, mapping, reason));
            found.push((row.line, record));
        }
        Ok(found)
    }

    fn read_header(&self, row: Row, checker: &MetadataChecker) -> Result<(Vec<String>, CsvMapping), Invalid> {
        let header = row.cells.map_err(|fault| match fault.column {
            Some(column) => fault.rule.of_field(&format!("column {}", column + 1)),
            None => fault.rule,
        })?;
        let fields: Vec<_> = checker.fields().collect();
        match CsvMapping::new(&header, &fields, &self.options) {
            Ok(mapping) => Ok((header, mapping)),
            Err(invalid) => Err(self
                .options
                .dialect
                .other_delimiter(&header)
                .map_or(invalid, Invalid::value)),
        }
    }

    fn record(
        &self,
        row: &Row,
        header: &[String],
        mapping: &CsvMapping,
        checker: &MetadataChecker,
    ) -> Result<PushedRecord, Invalid> {
        let cells = match &row.cells {
            Ok(cells) => cells,
            Err(CellFault { column, rule, .. }) => {
                let named = column.map(|column| match header.get(column) {
                    Some(name) => format!("column {} ({})", column + 1, shortened(name)),
                    None => format!("column {}", column + 1),
                });
                return Err(match named {
                    Some(named) => rule.clone().of_field(&named),
                    None => rule.clone(),
                });
            }
        };
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let record = mapping.record(&cells, checker).map_err(|invalid| {
            if row.last_line == row.line || cells.len() == header.len() {
                return invalid;
            }
            Invalid::value(format!(
                "lines {} to {}, joined by a quoted cell: {invalid}",
                row.line, row.last_line
            ))
        })?;
        if let Some(raw) = &row.raw
            && self.lines_are_rows(raw, header.len(), mapping, checker)
        {
            return Err(Invalid::value(format!(
                "lines {} to {} are one record by their quotes, but each of them is a row of {} columns too: \
                 one of the quotes is probably a stray one; double it, or push the records as JSON Lines",
                row.line,
                row.last_line,
                header.len()
            )));
        }
        Ok(record)
    }

    /// Returns whether every line of a row of several lines is also a row of its own, so that two stray quotes may
    /// have made one of them.
    fn lines_are_rows(
        &self,
        raw: &[u8],
        columns: usize,
        mapping: &CsvMapping,
        checker: &MetadataChecker,
    ) -> bool {
        let Ok(text) = std::str::from_utf8(raw) else {
            return false;
        };
        let delimiter = char::from(self.options.dialect.delimiter);
        let mut lines = text
            .split(['\n', '\r'])
            .filter(|line| !line.is_empty())
            .map(|line| {
                line.split(delimiter)
                    .map(|cell| cell.trim_matches('"'))
                    .collect::<Vec<_>>()
            });
        columns >= MIN_AMBIGUOUS_COLUMNS
            && lines.next().is_some_and(|first| first.len() == columns)
            && lines.all(|cells| cells.len() == columns && mapping.record(&cells, checker).is_ok())
    }
}

fn refusal(row: &Row, mapping: &CsvMapping, reason: Invalid) -> Refusal {
    match &row.cells {
        Ok(cells) => {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            Refusal {
                source_id: mapping.id_in_row(&cells).map(|id| id.to_string()),
                digest: line_digest(cells.iter().map(|cell| cell.as_bytes())),
                reason,
            }
        }
        Err(fault) => Refusal {
            source_id: None,
            digest: fault.digest,
            reason,
        },
    }
}
