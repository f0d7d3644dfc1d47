//! Tables as Parquet, written while they are read.
//!
//! A column's description and unit are in the metadata of its field. UUIDs and JSON are strings: few readers know their
//! logical types.

use std::collections::HashMap;
use std::io::{Error, Write};
use std::sync::{Arc, Mutex, PoisonError};

use app::views::TableColumn;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use domain::{Cell, ColumnType};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use time::macros::date;

use super::Encoder;

/// A row group ends after this number of rows,
const GROUP_ROWS: usize = 128 * 1024;
/// or when the writer holds this number of bytes for it, whichever comes first.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that the writer has written and the encoder has not taken yet.
#[derive(Clone, Default)]
struct Tray(Arc<Mutex<Vec<u8>>>);

impl Tray {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Tray {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A Parquet file being written.
pub(super) struct Parquet {
    types: Vec<ColumnType>,
    schema: Arc<Schema>,
    writer: ArrowWriter<Tray>,
    tray: Tray,
}

fn data_type(column: ColumnType) -> DataType {
    match column {
        ColumnType::Text | ColumnType::Uuid | ColumnType::Json => DataType::Utf8,
        ColumnType::Number => DataType::Float64,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

impl Parquet {
    pub(super) fn new(columns: &[TableColumn]) -> Result<Self, ParquetError> {
        let field = |column: &TableColumn| {
            let metadata = [
                ("description", &column.description),
                ("unit", &column.unit),
                ("format", &column.format),
            ];
            let metadata: HashMap<String, String> = metadata
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
                .collect();
            Field::new(&column.name, data_type(column.column_type), true).with_metadata(metadata)
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let tray = Tray::default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        Ok(Self {
            types: columns.iter().map(|c| c.column_type).collect(),
            writer: ArrowWriter::try_new(tray.clone(), Arc::clone(&schema), Some(properties))?,
            schema,
            tray,
        })
    }
}

impl Encoder for Parquet {
    fn rows(&mut self, rows: &[Vec<Cell>]) -> std::io::Result<Vec<u8>> {
        let arrays: Vec<ArrayRef> = self
            .types
            .iter()
            .enumerate()
            .map(|(index, column)| {
                array(
                    *column,
                    rows.iter().map(|row| row.get(index).unwrap_or(&Cell::Null)),
                )
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(Error::other)?;
        self.writer.write(&batch).map_err(Error::other)?;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush().map_err(Error::other)?;
        }
        Ok(self.tray.take())
    }

    fn end(self) -> std::io::Result<Vec<u8>> {
        self.writer.close().map_err(Error::other)?;
        Ok(self.tray.take())
    }
}

/// Builds a column from rows. A cell of another type becomes null; the store guarantees that there is none.
fn array<'a>(column: ColumnType, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    macro_rules! built {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for cell in cells {
                match cell {
                    $($pattern => builder.append_value($value),)+
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }};
    }
    match column {
        ColumnType::Text => built!(StringBuilder::new(), Cell::Text(text) => text),
        ColumnType::Uuid => built!(StringBuilder::new(), Cell::Uuid(id) => id.to_string()),
        ColumnType::Json => {
            built!(StringBuilder::new(), Cell::Text(text) => text, Cell::Json(value) => value.to_string())
        }
        ColumnType::Number => built!(Float64Builder::new(), Cell::Number(number) => *number),
        ColumnType::Integer => built!(Int64Builder::new(), Cell::Integer(number) => *number),
        ColumnType::Boolean => built!(BooleanBuilder::new(), Cell::Boolean(truth) => *truth),
        ColumnType::Date => {
            built!(Date32Builder::new(), Cell::Date(day) => day.to_julian_day() - date!(1970 - 01 - 01).to_julian_day())
        }
        ColumnType::Timestamp => built!(
            TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            Cell::Timestamp(at) => i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or_default()
        ),
    }
}
