//! Going on after a record that the caller names, instead of a cursor.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use attestore_index::{Condition, Order, Query};

use super::{
    execute::{Run, query_error},
    gather::Want,
    plan::places,
    request::{Explain, SearchRequest},
};
use crate::error::{Error, Result};

impl Run<'_> {
    /// Makes the page begin after the record `last`.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] if hits are sorted by a column and there is no such record (any more), or as searches.
    pub(super) fn go_on_after(&mut self, last: u64, size: u64, page: &mut Range<u64>) -> Result<()> {
        if last >= size {
            return Err(Error::InvalidCursor);
        }
        match (&self.sort, self.request.order) {
            (Some(_), _) => self.after = Some((self.key_of(last)?, last)),
            (None, Order::Newest) => page.end = last,
            (None, Order::Oldest) => page.start = last + 1,
        }
        Ok(())
    }

    /// What a record is sorted by. It is looked up: what the caller remembers of it may be rounded.
    fn key_of(&self, seq: u64) -> Result<attestore_index::SortKey> {
        let options = attestore_index::ParseOptions::default();
        let only = Condition::Is {
            field: "seq".to_owned(),
            value: seq.to_string(),
        };
        let query = Query::build(&only, &options).map_err(query_error)?;
        let request = SearchRequest {
            limit: 1,
            ..SearchRequest::default()
        };
        let lookup = Run {
            request: &request,
            query: &query,
            sort: self.sort.clone(),
            except: self.except.clone(),
            after: None,
            aggs: None,
            needs: self.needs.clone(),
            scanned: AtomicU64::new(0),
            gone: Arc::clone(&self.gone),
            ..*self
        };
        let want = Want {
            limit: 1,
            page: seq..seq + 1,
            count: false,
            aggregate: false,
        };
        let mut explain = Explain::default();
        let places = places(&lookup, seq..seq + 1, &mut explain)?;
        let found = lookup.gather(&places, seq + 1, &want, &mut explain)?;
        let first = found.hits.into_iter().find(|(_, hit)| *hit == seq);
        first.and_then(|(key, _)| key).ok_or(Error::InvalidCursor)
    }
}
