//! The tree of key pages in the catalog's `pages` table.

use std::io;

use attestore_keys::{PageId, PageStore};
use redb::{ReadOnlyTable, ReadableTable, Table};

/// Pages in a write transaction.
pub(super) struct PagesMut<'txn>(pub(super) Table<'txn, u64, &'static [u8]>);

/// Pages of a snapshot; writing is refused.
pub(super) struct Pages(pub(super) ReadOnlyTable<u64, &'static [u8]>);

impl PageStore for PagesMut<'_> {
    fn get(&self, page: PageId) -> io::Result<Option<Vec<u8>>> {
        get(&self.0, page)
    }

    fn put(&mut self, page: PageId, bytes: &[u8]) -> io::Result<()> {
        self.0.insert(page.0, bytes).map(|_| ()).map_err(io::Error::other)
    }

    fn remove(&mut self, page: PageId) -> io::Result<()> {
        self.0.remove(page.0).map(|_| ()).map_err(io::Error::other)
    }
}

impl PageStore for Pages {
    fn get(&self, page: PageId) -> io::Result<Option<Vec<u8>>> {
        get(&self.0, page)
    }

    fn put(&mut self, _: PageId, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&mut self, _: PageId) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

fn get(table: &impl ReadableTable<u64, &'static [u8]>, page: PageId) -> io::Result<Option<Vec<u8>>> {
    Ok(table
        .get(page.0)
        .map_err(io::Error::other)?
        .map(|bytes| bytes.value().to_vec()))
}
