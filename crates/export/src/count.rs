//! Counting the records of a file, by reading it as its users do.

use std::io::{self, BufRead, BufReader, Read};

use crate::{Compression, Format};

/// Counts the records of a file; `None` for a format that this program does not read.
///
/// # Errors
/// When the file cannot be read, or is not of its format.
pub fn count_records(file: impl Read, format: Format, compression: Compression) -> io::Result<Option<u64>> {
    match (format, compression) {
        (Format::Parquet | Format::Evidence, _) => Ok(None),
        (_, Compression::None) => count(BufReader::with_capacity(BUFFER, file), format).map(Some),
        (_, Compression::Gzip) => {
            let opened = flate2::read::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file));
            count(BufReader::with_capacity(BUFFER, opened), format).map(Some)
        }
        (_, Compression::Zstd) => {
            let opened = zstd::stream::read::Decoder::new(file)?;
            count(BufReader::with_capacity(BUFFER, opened), format).map(Some)
        }
    }
}

fn count(mut file: impl BufRead, format: Format) -> io::Result<u64> {
    if format == Format::Csv {
        let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(file);
        let mut record = csv::ByteRecord::new();
        let mut records = 0;
        while reader.read_byte_record(&mut record).map_err(io::Error::other)? {
            records += 1;
        }
        return Ok(records);
    }
    let (mut records, mut open) = (0, false);
    loop {
        let some = file.fill_buf()?;
        if some.is_empty() {
            // A line that is not ended was cut.
            return match open {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(records),
            };
        }
        records += some.iter().filter(|byte| **byte == b'\n').count() as u64;
        open = some.last() != Some(&b'\n');
        let read = some.len();
        file.consume(read);
    }
}

const BUFFER: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compressor;
    use crate::format::tests::{EVENT, file, options, record};

    #[test]
    fn as_many_are_counted_as_were_written() {
        for format in [Format::Ndjson, Format::Csv, Format::Ocsf] {
            for count in [0, 1, 700] {
                let bytes = file(&options(format, &[]), &vec![record(EVENT); count]);
                for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                    let mut compressor = Compressor::new(compression).unwrap();
                    let mut packed = compressor.write(&bytes).unwrap();
                    packed.extend(compressor.finish().unwrap());
                    let counted = count_records(&packed[..], format, compression).unwrap();
                    assert_eq!(counted, Some(count as u64), "{format:?} {compression:?}");
                }
            }
        }
        let cut = &file(&options(Format::Ndjson, &[]), &[record(EVENT)])[..50];
        assert!(count_records(cut, Format::Ndjson, Compression::None).is_err());
    }
}
