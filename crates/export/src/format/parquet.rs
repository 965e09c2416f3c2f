//! Apache Parquet: the columns of [`super::csv`], typed where they have one type.
//!
//! Row groups are bounded in rows and bytes, so memory is flat. Compression is of the pages inside.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{Compression as Codec, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::csv::Csv;
use super::malformed;
use crate::json::Members;
use crate::{Compression, Error, Fields, Record};

pub(super) struct Parquet {
    table: Csv,
    writer: SerializedFileWriter<Shared>,
    written: Shared,
    group: Group,
}

/// Rows that wait for a row group.
#[derive(Default)]
struct Group {
    rows: usize,
    bytes: usize,
    seq: Vec<i64>,
    id: Vec<ByteArray>,
    received_at: Vec<i64>,
    kind: Vec<ByteArray>,
    erased: Vec<bool>,
    /// Values that are there, and for each row whether one is.
    occurred_at: (Vec<i64>, Vec<i16>),
    texts: Vec<(Vec<ByteArray>, Vec<i16>)>,
}

/// What the writer wrote and nobody took yet.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn take(&self, out: &mut Vec<u8>) {
        out.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Parquet {
    pub(super) fn new(fields: Option<&Fields>, compression: Compression) -> Result<Self, Error> {
        let codec = match compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(3).map_err(failed)?),
            Compression::Gzip => return Err(Error::NoCompression("parquet", "gzip")),
        };
        let table = Csv::new(fields);
        let schema = schema(&table).map_err(failed)?;
        let properties = WriterProperties::builder().set_compression(codec).build();
        let written = Shared::default();
        let writer = SerializedFileWriter::new(written.clone(), schema, Arc::new(properties));
        let group = Group {
            texts: vec![Default::default(); texts(&table).count()],
            ..Group::default()
        };
        Ok(Self {
            writer: writer.map_err(failed)?,
            table,
            written,
            group,
        })
    }

    pub(super) fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let malformed = |error| malformed(record, &error);
        let is_event = record.kind == "event";
        let event = match is_event {
            true => Members::of(record.event).map_err(malformed)?,
            false => Members::default(),
        };
        let group = &mut self.group;
        let mut nested = Vec::new();
        let mut at = 0;
        for column in &self.table.columns {
            let text = super::csv::cell(&event, &mut nested, column).map_err(malformed)?;
            if column == OCCURRED_AT {
                let time: Option<jiff::Timestamp> = text.parse().ok();
                push(&mut group.occurred_at, time.map(|time| time.as_microsecond()));
                continue;
            }
            group.bytes += text.len();
            let value = (!text.is_empty()).then(|| bytes(&text));
            if let Some(texts) = group.texts.get_mut(at) {
                push(texts, value);
            }
            at += 1;
        }
        let control = (!is_event).then(|| bytes(record.event));
        if let Some(texts) = group.texts.get_mut(at) {
            push(texts, control);
        }
        group.seq.push(i64::try_from(record.seq).unwrap_or(i64::MAX));
        group.id.push(bytes(record.id));
        let received = i64::try_from(record.received_at_ms).unwrap_or(i64::MAX);
        group.received_at.push(received);
        group.kind.push(bytes(record.kind));
        group.erased.push(record.erased);
        group.bytes += ROW_BYTES;
        group.rows += 1;
        if group.rows >= GROUP_ROWS || group.bytes >= GROUP_BYTES {
            self.write_group()?;
            self.written.take(out);
        }
        Ok(())
    }

    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.group.rows > 0 {
            self.write_group()?;
        }
        self.writer.close().map_err(failed)?;
        self.written.take(out);
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), Error> {
        let empty = vec![Default::default(); self.group.texts.len()];
        let group = std::mem::take(&mut self.group);
        self.group.texts = empty;
        write_group(&mut self.writer, group, &self.table).map_err(failed)
    }
}

fn write_group(
    writer: &mut SerializedFileWriter<Shared>,
    group: Group,
    table: &Csv,
) -> Result<(), ParquetError> {
    let mut rows = writer.next_row_group()?;
    let mut texts = group.texts.into_iter();
    let mut occurred = Some(group.occurred_at);
    for name in names(table) {
        let mut column = rows
            .next_column()?
            .ok_or_else(|| ParquetError::General("a column too many".into()))?;
        match name {
            "seq" => column.typed::<Int64Type>().write_batch(&group.seq, None, None)?,
            "id" => column
                .typed::<ByteArrayType>()
                .write_batch(&group.id, None, None)?,
            "received_at" => column
                .typed::<Int64Type>()
                .write_batch(&group.received_at, None, None)?,
            "kind" => column
                .typed::<ByteArrayType>()
                .write_batch(&group.kind, None, None)?,
            "erased" => column
                .typed::<BoolType>()
                .write_batch(&group.erased, None, None)?,
            OCCURRED_AT => {
                let (values, there) = occurred.take().unwrap_or_default();
                column
                    .typed::<Int64Type>()
                    .write_batch(&values, Some(&there), None)?
            }
            _ => {
                let (values, there) = texts.next().unwrap_or_default();
                column
                    .typed::<ByteArrayType>()
                    .write_batch(&values, Some(&there), None)?
            }
        };
        column.close()?;
    }
    rows.close().map(drop)
}

/// Names of all columns, in order.
fn names(table: &Csv) -> impl Iterator<Item = &str> {
    let own = table.columns.iter().map(String::as_str);
    super::csv::ALWAYS
        .into_iter()
        .chain(own)
        .chain([super::csv::CONTROL])
}

/// Names of those with text.
fn texts(table: &Csv) -> impl Iterator<Item = &str> {
    let own = table
        .columns
        .iter()
        .map(String::as_str)
        .filter(|name| *name != OCCURRED_AT);
    own.chain([super::csv::CONTROL])
}

fn schema(table: &Csv) -> Result<TypePtr, ParquetError> {
    let time = |unit| LogicalType::timestamp(true, unit);
    let mut fields = Vec::new();
    for name in names(table) {
        let (physical, logical) = match name {
            "seq" => (Physical::INT64, None),
            "received_at" => (Physical::INT64, Some(time(TimeUnit::MILLIS))),
            OCCURRED_AT => (Physical::INT64, Some(time(TimeUnit::MICROS))),
            "erased" => (Physical::BOOLEAN, None),
            _ => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = match super::csv::ALWAYS.contains(&name) {
            true => Repetition::REQUIRED,
            false => Repetition::OPTIONAL,
        };
        let field = Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()?;
        fields.push(Arc::new(field));
    }
    let record = Type::group_type_builder("record").with_fields(fields).build()?;
    Ok(Arc::new(record))
}

fn push<T>((values, there): &mut (Vec<T>, Vec<i16>), value: Option<T>) {
    there.push(i16::from(value.is_some()));
    values.extend(value);
}

fn bytes(text: impl AsRef<str>) -> ByteArray {
    text.as_ref().as_bytes().to_vec().into()
}

fn failed(error: ParquetError) -> Error {
    Error::Writer(error.to_string())
}

/// A column of its own type.
const OCCURRED_AT: &str = "occurred_at";
/// Rows and bytes of a row group, at most: what is held in memory.
const GROUP_ROWS: usize = 1 << 16;
const GROUP_BYTES: usize = 16 << 20;
/// Bytes of a row besides its texts, about.
const ROW_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use ::bytes::Bytes;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;
    use crate::Format;
    use crate::format::tests::{EVENT, file, options, record};

    #[test]
    fn what_was_written_is_read_back() {
        let control = Record {
            kind: "policy",
            erased: true,
            ..record(r#"{"type":"index_policy"}"#)
        };
        for compression in [Compression::None, Compression::Zstd] {
            let mut options = options(Format::Parquet, &[]);
            options.compression = compression;
            let bytes = Bytes::from(file(&options, &[record(EVENT), control]));
            let reader = SerializedFileReader::new(bytes).unwrap();
            assert_eq!(reader.metadata().file_metadata().num_rows(), 2);
            let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
            let at = |name: &str| {
                let columns = rows[0].get_column_iter();
                columns
                    .map(|(name, _)| name)
                    .position(|column| column == name)
                    .unwrap()
            };
            assert_eq!(rows[0].get_long(at("seq")).unwrap(), 7);
            assert_eq!(
                rows[0].get_timestamp_millis(at("received_at")).unwrap(),
                1_795_000_000_123
            );
            assert_eq!(
                rows[0].get_timestamp_micros(at("occurred_at")).unwrap(),
                1_795_341_600_500_000
            );
            // Formulas are no matter here: the value is the value.
            assert_eq!(rows[0].get_string(at("actor.name")).unwrap(), "=Ann, \"B\"");
            assert_eq!(
                rows[0].get_string(at("metadata")).unwrap(),
                r#"{"n":1.50,"a.b":{"c":"-1"}}"#
            );
            assert!(rows[0].get_string(at("context.host")).is_err(), "absent is null");
            assert!(rows[1].get_bool(at("erased")).unwrap());
            assert_eq!(
                rows[1].get_string(at("control")).unwrap(),
                r#"{"type":"index_policy"}"#
            );
        }
    }

    #[test]
    fn row_groups_are_bounded() {
        let big = format!(r#"{{"action":"a.b","payload":"{}"}}"#, "x".repeat(200_000));
        let records = vec![record(&big); 200];
        let bytes = Bytes::from(file(&options(Format::Parquet, &[]), &records));
        let reader = SerializedFileReader::new(bytes).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 200);
        assert!(reader.num_row_groups() >= 2, "{}", reader.num_row_groups());
    }

    #[test]
    fn gzip_is_refused() {
        let mut options = options(Format::Parquet, &[]);
        options.compression = Compression::Gzip;
        assert!(matches!(options.check(), Err(Error::NoCompression(..))));
    }
}
