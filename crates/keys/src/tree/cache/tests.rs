//! What the cache keeps, and what it must not.

use std::sync::Arc;

use super::Cache;
use crate::tree::page::{Entries, OpenPage};
use crate::tree::slot::PageId;
use crate::{Key, SeededEntropy};

fn page(seed: u64) -> Arc<OpenPage> {
    Arc::new(OpenPage {
        key: Key::random(&SeededEntropy::new(seed)),
        entries: Entries::Leaf(Vec::new()),
    })
}

fn id(index: u64) -> PageId {
    PageId::new(0, index)
}

#[test]
fn a_page_that_was_removed_is_in_neither_generation() {
    for newer in 0..5 {
        let mut cache = Cache::new(4);
        cache.insert(id(0), page(0));
        (1..=newer).for_each(|index| cache.insert(id(index), page(index)));
        cache.remove(id(0));
        assert!(cache.get(id(0)).is_none(), "{newer} newer pages");
    }
}

#[test]
fn nothing_is_left_after_clearing() {
    let mut cache = Cache::new(4);
    (0..4).for_each(|index| cache.insert(id(index), page(index)));
    cache.clear();
    assert!((0..4).all(|index| cache.get(id(index)).is_none()));
}

#[test]
fn a_page_that_is_asked_for_stays_and_the_number_of_pages_is_bounded() {
    let mut cache = Cache::new(8);
    for index in 0..100 {
        cache.insert(id(index), page(index));
        assert!(cache.get(id(0)).is_some(), "page {index}");
        assert!(cache.young.len() + cache.old.len() <= 8, "page {index}");
    }
    assert!(cache.get(id(1)).is_none());
}

#[test]
fn the_newest_of_two_pages_of_one_place_comes_out() {
    for newer in 0..5 {
        let mut cache = Cache::new(4);
        cache.insert(id(0), page(0));
        (1..=newer).for_each(|index| cache.insert(id(index), page(index)));
        let newest = page(99);
        cache.insert(id(0), Arc::clone(&newest));
        assert!(
            cache.get(id(0)).is_some_and(|page| Arc::ptr_eq(&page, &newest)),
            "{newer}"
        );
        (5..9).for_each(|index| {
            cache.insert(id(index), page(index));
            let found = cache.get(id(0));
            assert!(
                found.is_some_and(|page| Arc::ptr_eq(&page, &newest)),
                "{newer}, {index}"
            );
        });
    }
}
