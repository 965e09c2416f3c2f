//! Records in the formats that other software reads.

mod csv;
mod ndjson;
mod ocsf;
#[cfg(feature = "parquet")]
mod parquet;

use serde::{Deserialize, Serialize};

use crate::{Compression, Error, Fields, Record};

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON document a line: the record as the API shows it.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
    /// One OCSF event a line.
    Ocsf,
    /// Apache Parquet.
    Parquet,
    /// One bundle of records with their proof. No [`Encoder`] writes it: it is more than its records.
    Evidence,
}

impl Format {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
            Self::Parquet => "parquet",
            Self::Evidence => "evidence",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Ndjson, Self::Csv, Self::Ocsf, Self::Parquet, Self::Evidence]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// What a file's name ends with, without compression.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf.ndjson",
            Self::Parquet => "parquet",
            Self::Evidence => "evidence",
        }
    }

    /// Version of a format that others define and version.
    #[must_use]
    pub const fn version(self) -> Option<&'static str> {
        match self {
            Self::Ocsf => Some(ocsf::VERSION),
            Self::Ndjson | Self::Csv | Self::Parquet | Self::Evidence => None,
        }
    }

    /// Name of a file of the set.
    #[must_use]
    pub fn file_name(self, number: u32, compression: Compression) -> String {
        let suffix = if self == Self::Parquet {
            ""
        } else {
            compression.suffix()
        };
        format!("part-{number:05}.{}{suffix}", self.extension())
    }
}

/// How records are written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The format.
    pub format: Format,
    /// Fields of the events to write; all if absent.
    pub fields: Option<Fields>,
    /// Compression of the files.
    pub compression: Compression,
    /// Name of the tenant, for formats that name it.
    pub tenant: String,
    /// Origin of the log, for formats that name it.
    pub origin: String,
}

impl Options {
    /// Checks that a file can be made so.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::NoFields`], [`Error::NoCompression`], [`Error::NoEncoder`].
    pub fn check(&self) -> Result<(), Error> {
        Encoder::new(self).map(drop)
    }
}

/// Writes the records of one file.
pub struct Encoder(Kind);

enum Kind {
    Ndjson(ndjson::Ndjson),
    Csv(Box<csv::Csv>),
    Ocsf(ocsf::Ocsf),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Parquet>),
}

impl Encoder {
    /// Begins a file.
    ///
    /// # Errors
    /// As [`Options::check`].
    pub fn new(options: &Options) -> Result<Self, Error> {
        let fields = options.fields.clone();
        Ok(Self(match options.format {
            Format::Ndjson => Kind::Ndjson(ndjson::Ndjson::new(fields)),
            Format::Csv => Kind::Csv(Box::new(csv::Csv::new(fields.as_ref()))),
            Format::Ocsf if fields.is_some() => return Err(Error::NoFields("ocsf")),
            Format::Ocsf => Kind::Ocsf(ocsf::Ocsf::new(&options.tenant, &options.origin)),
            #[cfg(feature = "parquet")]
            Format::Parquet => Kind::Parquet(Box::new(parquet::Parquet::new(
                fields.as_ref(),
                options.compression,
            )?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(Error::NotBuilt("parquet")),
            Format::Evidence => return Err(Error::NoEncoder("evidence")),
        }))
    }

    /// Appends what comes before the first record.
    ///
    /// # Errors
    /// [`Error::Writer`].
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.0 {
            Kind::Csv(csv) => csv.begin(out),
            Kind::Ndjson(_) | Kind::Ocsf(_) => Ok(()),
            #[cfg(feature = "parquet")]
            Kind::Parquet(_) => Ok(()),
        }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Writer`].
    pub fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.0 {
            Kind::Ndjson(ndjson) => ndjson.record(record, out),
            Kind::Csv(csv) => csv.record(record, out),
            Kind::Ocsf(ocsf) => ocsf.record(record, out),
            #[cfg(feature = "parquet")]
            Kind::Parquet(parquet) => parquet.record(record, out),
        }
    }

    /// Appends what comes after the last record.
    ///
    /// # Errors
    /// [`Error::Writer`].
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Error> {
        let _ = out;
        match self.0 {
            Kind::Ndjson(_) | Kind::Csv(_) | Kind::Ocsf(_) => Ok(()),
            #[cfg(feature = "parquet")]
            Kind::Parquet(parquet) => parquet.finish(out),
        }
    }
}

/// A record that does not read as one.
fn malformed(record: &Record<'_>, error: &serde_json::Error) -> Error {
    Error::Malformed {
        seq: record.seq,
        reason: format!("line {} column {}", error.line(), error.column()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
