//! The columns of a split in the making, filled record by record.

use std::io;
use std::net::Ipv6Addr;

use tantivy::columnar::{ColumnType, ColumnarWriter, NumericalValue};
use tantivy::schema::{FieldType, Type};

use crate::policy::IndexPolicy;
use crate::schema::{OCCURRED_NS, RECEIVED_MS, SEQ, Side, fields, path_column_stored};

/// Columns, by name.
pub(crate) struct Columns {
    writer: ColumnarWriter,
    /// Names of the columns of allow-listed paths, by path and side.
    paths: Vec<[String; 2]>,
    /// The record at hand.
    record: u32,
}

/// A value of an allow-listed path.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Columns {
    /// Makes the columns of a policy, all of them empty.
    pub(crate) fn new(policy: &IndexPolicy) -> Self {
        let mut writer = ColumnarWriter::default();
        for (_, entry) in fields().schema(policy).fields() {
            let ty = match entry.field_type() {
                field if !field.is_fast() => continue,
                FieldType::JsonObject(_) => continue,
                field => field.value_type(),
            };
            let ty = match ty {
                Type::U64 => ColumnType::U64,
                Type::I64 => ColumnType::I64,
                Type::IpAddr => ColumnType::IpAddr,
                _ => ColumnType::Str,
            };
            writer.record_column_type(entry.name(), ty, false);
        }
        let paths = policy.paths.iter();
        Self {
            writer,
            paths: paths
                .map(|path| [Side::Public, Side::Personal].map(|side| path_column_stored(path, side)))
                .collect(),
            record: 0,
        }
    }

    /// Ends the record at hand.
    pub(crate) fn end_record(&mut self) {
        self.record = self.record.saturating_add(1);
    }

    /// Adds what every record has.
    pub(crate) fn when(&mut self, seq: u64, occurred_ns: i64, received_ms: u64) {
        let (writer, record) = (&mut self.writer, self.record);
        writer.record_numerical(record, SEQ, seq);
        writer.record_numerical(record, OCCURRED_NS, occurred_ns);
        writer.record_numerical(record, RECEIVED_MS, received_ms);
    }

    /// Adds a string.
    pub(crate) fn string(&mut self, column: &str, value: &str) {
        self.writer.record_str(self.record, column, value);
    }

    /// Adds an address.
    pub(crate) fn address(&mut self, column: &str, value: Ipv6Addr) {
        self.writer.record_ip_addr(self.record, column, value);
    }

    /// Adds the value at a listed path.
    pub(crate) fn listed(&mut self, path: usize, side: Side, value: Scalar<'_>) {
        let Some(names) = self.paths.get(path) else { return };
        let (writer, record, name) = (&mut self.writer, self.record, &names[side as usize]);
        match value {
            Scalar::Text(text) => writer.record_str(record, name, text),
            Scalar::Signed(number) => writer.record_numerical(record, name, NumericalValue::from(number)),
            Scalar::Unsigned(number) => writer.record_numerical(record, name, NumericalValue::from(number)),
            Scalar::Float(number) => writer.record_numerical(record, name, NumericalValue::from(number)),
            Scalar::Bool(value) => writer.record_bool(record, name, value),
        }
    }

    /// Writes the columns.
    pub(crate) fn write(&mut self, target: &mut dyn io::Write) -> io::Result<()> {
        self.writer.serialize(self.record, None, target)
    }

    /// Memory in use, roughly (bytes).
    pub(crate) fn memory(&self) -> usize {
        self.writer.mem_usage()
    }
}
