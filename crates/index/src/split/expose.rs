//! Everything that a split holds, in clear: what a search for leftovers looks through.

use tantivy::columnar::{Column, ColumnarReader, DynamicColumn};
use tantivy::index::SegmentComponent;

use super::Split;
use crate::Error;

impl Split {
    /// Visits its plain bytes, every term of every field, every text of every column, every address in one as 16 bytes and
    /// as text, and every number in one as text.
    ///
    /// # Errors
    /// [`Error::Io`] when a sealed split cannot be read.
    pub fn expose(&self, visit: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        visit(&self.bundle()?);
        let reader = self.reader();
        for (field, entry) in reader.schema().fields() {
            if entry.is_indexed() {
                let inverted = reader.inverted_index(field)?;
                let mut terms = inverted.terms().stream()?;
                while terms.advance() {
                    visit(terms.key());
                }
            }
        }
        let columns = ColumnarReader::open(self.open_read(SegmentComponent::FastFields)?)?;
        for (_, handle) in columns.list_columns()? {
            column(reader.max_doc(), &handle.open()?, visit)?;
        }
        Ok(())
    }
}

fn column(docs: u32, column: &DynamicColumn, visit: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
    match column {
        DynamicColumn::Str(texts) => {
            let mut terms = texts.dictionary().stream()?;
            while terms.advance() {
                visit(terms.key());
            }
        }
        DynamicColumn::IpAddr(addresses) => {
            for address in (0..docs).flat_map(|doc| addresses.values_for_doc(doc)) {
                visit(&address.octets());
                let text = address
                    .to_ipv4_mapped()
                    .map_or_else(|| address.to_string(), |v4| v4.to_string());
                visit(text.as_bytes());
            }
        }
        DynamicColumn::Bytes(bytes) => {
            let mut terms = bytes.dictionary().stream()?;
            while terms.advance() {
                visit(terms.key());
            }
        }
        DynamicColumn::U64(numbers) => decimals(docs, numbers, visit),
        DynamicColumn::I64(numbers) => decimals(docs, numbers, visit),
        DynamicColumn::F64(numbers) => decimals(docs, numbers, visit),
        // Nobody is told from somebody else by a truth value, or by a time that every record has.
        DynamicColumn::Bool(_) | DynamicColumn::DateTime(_) => {}
    }
    Ok(())
}

/// Numbers as people write them: columns have them packed.
fn decimals<T>(docs: u32, column: &Column<T>, visit: &mut dyn FnMut(&[u8]))
where
    T: PartialOrd + Copy + std::fmt::Debug + std::fmt::Display + Send + Sync + 'static,
{
    for number in (0..docs).flat_map(|doc| column.values_for_doc(doc)) {
        visit(number.to_string().as_bytes());
    }
}
