//! Claims: which JSON pointers are about whom, as a tree over pointer segments.
//!
//! A claim covers the value at its pointer and everything beneath it. Look-ups go down one segment at a time, so a
//! walk over a large value costs a map look-up for each member, however many claims there are.

use std::collections::BTreeMap;

/// One place in the tree of claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Subjects that the value here is about, one bit each.
    mask: u64,
    named: BTreeMap<String, Self>,
    any: Option<Box<Self>>,
}

/// The places that a pointer leads to: more than one when `*` segments overlap with named ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places<'c> {
    /// Subjects of everything passed so far.
    pub(crate) mask: u64,
    open: Vec<&'c Claims>,
}

impl Claims {
    /// Adds a claim. With `wild`, a segment `*` stands for any one segment.
    pub(crate) fn insert<S: AsRef<str>>(&mut self, segments: &[S], wild: bool, mask: u64) {
        let Some((first, rest)) = segments.split_first() else {
            self.mask |= mask;
            return;
        };
        let first = first.as_ref();
        let next = if wild && first == "*" {
            self.any.get_or_insert_default()
        } else {
            self.named.entry(first.to_owned()).or_default()
        };
        next.insert(rest, wild, mask);
    }

    fn everybody(&self) -> u64 {
        let beneath = self.named.values().chain(self.any.as_deref());
        beneath.fold(self.mask, |mask, claims| mask | claims.everybody())
    }

    /// Starts a look-up.
    pub(crate) fn root(&self) -> Places<'_> {
        Places {
            mask: 0,
            open: vec![self],
        }
    }
}

impl<'c> Places<'c> {
    /// Goes down one segment.
    pub(crate) fn down(&self, segment: &str) -> Self {
        let mut places = Self {
            mask: self.mask,
            open: Vec::new(),
        };
        for claims in &self.open {
            for next in claims.named.get(segment).into_iter().chain(claims.any.as_deref()) {
                places.mask |= next.mask;
                places.open.push(next);
            }
        }
        places
    }

    /// Returns the same places without the subjects of what was passed, to find whom claims beneath add.
    pub(crate) fn beneath(&self) -> Self {
        Self {
            mask: 0,
            open: self.open.clone(),
        }
    }

    /// Returns everybody whom claims here or beneath name.
    pub(crate) fn everybody(&self) -> u64 {
        self.open
            .iter()
            .fold(self.mask, |mask, claims| mask | claims.everybody())
    }

    /// Tells whether claims lie beneath this place.
    pub(crate) fn goes_deeper(&self) -> bool {
        self.open
            .iter()
            .any(|claims| !claims.named.is_empty() || claims.any.is_some())
    }
}
