use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use proptest::prelude::{Strategy, any, prop_oneof, proptest};

use super::{HEIGHT_MAX, OpenPage, SLOT_END};
use super::{KeyTree, NewKey, PageId, PageStore, SLOTS_PER_PAGE, Slot, SlotContext, SlotKind, TreeHead};
use crate::{Entropy, Error, Key, SeededEntropy};

/// Pages in memory, with every version that was ever put.
#[derive(Default)]
struct Memory {
    pages: BTreeMap<PageId, Vec<u8>>,
    ever: Vec<(PageId, Vec<u8>)>,
    fail_after: Option<usize>,
}

impl PageStore for Memory {
    fn get(&self, page: PageId) -> io::Result<Option<Vec<u8>>> {
        Ok(self.pages.get(&page).cloned())
    }

    fn put(&mut self, page: PageId, bytes: &[u8]) -> io::Result<()> {
        match &mut self.fail_after {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        self.pages.insert(page, bytes.to_vec());
        self.ever.push((page, bytes.to_vec()));
        Ok(())
    }

    fn remove(&mut self, page: PageId) -> io::Result<()> {
        self.pages.remove(&page);
        Ok(())
    }
}

fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SeededEntropy::new(1))
}

fn tree() -> (KeyTree, Memory) {
    let mut store = Memory::default();
    (KeyTree::create(entropy(), &mut store).unwrap(), store)
}

fn context(slot: Slot) -> SlotContext {
    let mut owner = [0; 16];
    owner[..8].copy_from_slice(&slot.0.to_le_bytes());
    SlotContext {
        kind: SlotKind::Subject,
        tenant: [1; 16],
        owner,
    }
}

fn value(slot: Slot) -> Key {
    let mut bytes = [0xA5; 32];
    bytes[..8].copy_from_slice(&slot.0.to_le_bytes());
    Key::from_bytes(bytes)
}

fn put(tree: &mut KeyTree, store: &mut Memory, slot: Slot) {
    tree.put(store, slot, &context(slot), None, &value(slot)).unwrap();
}

fn has(tree: &KeyTree, store: &Memory, slot: Slot) -> bool {
    match tree.get(store, slot, &context(slot), None) {
        Ok(key) => key.ct_eq(&value(slot)),
        Err(Error::Destroyed { .. }) => false,
        Err(error) => panic!("slot {}: {error}", slot.0),
    }
}

/// The same tree as another process would load it.
fn reloaded(tree: &KeyTree) -> KeyTree {
    reloaded_with(tree, 2)
}

/// As [`reloaded`], drawing keys from `seed`: the same seed again would draw the same page keys again.
fn reloaded_with(tree: &KeyTree, seed: u64) -> KeyTree {
    KeyTree::load(
        tree.root_page_key().duplicate(),
        tree.head(),
        Arc::new(SeededEntropy::new(seed)),
    )
}

/// Every leaf slot that opens with `root` and any page that was ever stored, by trying every key on every page.
fn reachable(root: &Key, store: &Memory) -> Vec<Slot> {
    let (mut keys, mut slots) = (vec![root.duplicate()], Vec::new());
    let mut tried = std::collections::BTreeSet::new();
    while let Some(key) = keys.pop() {
        if !tried.insert(*key.expose()) {
            continue;
        }
        for (id, bytes) in &store.ever {
            let Ok(page) = OpenPage::open(*id, key.duplicate(), bytes) else {
                continue;
            };
            for position in 0..64 {
                keys.extend(page.child(position).map(Key::duplicate));
                if page.leaf(position).is_some() {
                    slots.push(Slot(id.index() * SLOTS_PER_PAGE + position as u64));
                }
            }
        }
    }
    slots.sort_unstable();
    slots.dedup();
    slots
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u64>),
    Destroy(Vec<u64>),
    Reload,
    GiveUp(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // Few leaves, but far apart, so that pages fill, empty and share ancestors.
    let slot = || (0u64..4, 0u64..4).prop_map(|(far, near)| far * 4000 + near * 21);
    prop_oneof![
        proptest::collection::vec(slot(), 1..8).prop_map(Step::Put),
        proptest::collection::vec(slot(), 1..4).prop_map(Step::Destroy),
        proptest::strategy::Just(Step::Reload),
        slot().prop_map(Step::GiveUp),
    ]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(32))]

    #[test]
    fn the_tree_behaves_like_a_map_and_old_pages_open_nothing_that_was_destroyed(
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let (mut tree, mut store) = tree();
        let mut model = std::collections::BTreeSet::new();
        let mut gone = std::collections::BTreeSet::new();
        for (seed, step) in (100..).zip(steps) {
            match step {
                Step::Put(slots) => {
                    // A destroyed slot is never put again.
                    let slots: Vec<Slot> =
                        slots.into_iter().map(Slot).filter(|slot| !gone.contains(slot)).collect();
                    let values: Vec<Key> = slots.iter().map(|slot| value(*slot)).collect();
                    let keys: Vec<NewKey<'_>> = slots.iter().zip(&values)
                        .map(|(slot, value)| NewKey { slot: *slot, context: context(*slot), wrap: None, value })
                        .collect();
                    tree.put_many(&mut store, &keys).unwrap();
                    model.extend(slots);
                }
                Step::Destroy(slots) => {
                    let slots: std::collections::BTreeSet<Slot> = slots.into_iter().map(Slot).collect();
                    let listed: Vec<Slot> = slots.iter().copied().collect();
                    let found = tree.destroy(&mut store, &listed).unwrap();
                    assert_eq!(found, slots.intersection(&model).count());
                    for slot in slots {
                        if model.remove(&slot) {
                            gone.insert(slot);
                        }
                    }
                    let reached = reachable(tree.root_page_key(), &store);
                    // Given-up pages may be reached as well; they hold nothing that was destroyed.
                    assert!(reached.iter().all(|slot| !gone.contains(slot)), "{reached:?}");
                    assert!(model.iter().all(|slot| reached.contains(slot)), "{reached:?}");
                }
                Step::Reload => tree = reloaded_with(&tree, seed),
                Step::GiveUp(slot) => {
                    let mark = tree.mark();
                    let pages = store.pages.clone();
                    if !gone.contains(&Slot(slot)) {
                        put(&mut tree, &mut store, Slot(slot));
                    }
                    tree.destroy(&mut store, &[Slot(slot)]).unwrap();
                    tree.rewind(mark);
                    store.pages = pages;
                }
            }
            for far in 0..4 {
                for near in 0..4 {
                    let slot = Slot(far * 4000 + near * 21);
                    assert_eq!(has(&tree, &store, slot), model.contains(&slot), "slot {}", slot.0);
                    assert_eq!(has(&reloaded(&tree), &store, slot), model.contains(&slot), "slot {}", slot.0);
                }
            }
            let report = tree.verify(&store).unwrap();
            assert_eq!((report.keys, report.damage), (model.len() as u64, vec![]));
            assert_eq!(report.pages, store.pages.len() as u64, "no page is left over");
        }
    }

    #[test]
    fn a_stored_head_is_read_back(height in 0..=HEIGHT_MAX, next_slot in 0..=SLOT_END) {
        let head = TreeHead { height, next_slot };
        assert_eq!(TreeHead::from_bytes(&head.to_bytes()), Some(head));
    }

    #[test]
    fn any_slot_within_range_can_be_put_and_destroyed(number in any::<u64>()) {
        let slot = Slot(number % SLOT_END);
        let (mut tree, mut store) = tree();
        put(&mut tree, &mut store, slot);
        assert!(has(&reloaded(&tree), &store, slot));
        assert_eq!(tree.head().next_slot, slot.0 + 1);
        assert_eq!(tree.destroy(&mut store, &[slot]).unwrap(), 1);
        assert!(!has(&tree, &store, slot));
        // The pages above the first leaf, which stood alone before the tree was raised, stay.
        assert!(store.pages.len() <= usize::from(tree.head().height) + 1);
        assert_eq!(tree.verify(&store).unwrap().keys, 0);
    }
}

#[test]
fn slots_out_of_range_are_refused() {
    let (mut tree, mut store) = tree();
    let slot = Slot(SLOT_END);
    let error = tree
        .put(&mut store, slot, &context(slot), None, &value(slot))
        .unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }));
    assert!(matches!(
        tree.get(&store, Slot(u64::MAX), &context(slot), None),
        Err(Error::Destroyed { .. })
    ));
    assert_eq!(TreeHead::from_bytes(&[255; 9]), None);
}

#[test]
fn a_bucket_shares_its_page_with_nobody_and_the_slots_before_it_are_not_wasted() {
    let (mut tree, _) = tree();
    assert_eq!(tree.reserve(3), Slot(0));
    assert_eq!(tree.reserve_bucket(), Slot(64));
    assert_eq!(tree.reserve(60), Slot(3));
    assert_eq!(tree.reserve(2), Slot(128));
    assert_eq!(tree.reserve(1), Slot(63));
    assert_eq!(tree.reserve_bucket(), Slot(192));
    assert_eq!(tree.head().next_slot, 256);
}

#[test]
fn slots_are_not_handed_out_again_after_a_given_up_transaction() {
    let (mut tree, _) = tree();
    let mark = tree.mark();
    let first = tree.reserve(1);
    tree.rewind(mark);
    assert_ne!(tree.reserve(1), first);
}

#[test]
fn a_wrapped_key_needs_the_wrapping_key() {
    let (mut tree, mut store) = tree();
    let (slot, tenant) = (tree.reserve(1), Key::from_bytes([5; 32]));
    tree.put(&mut store, slot, &context(slot), Some(&tenant), &value(slot))
        .unwrap();
    assert!(
        tree.get(&store, slot, &context(slot), Some(&tenant))
            .unwrap()
            .ct_eq(&value(slot))
    );
    let other = Key::from_bytes([6; 32]);
    let error = tree
        .get(&store, slot, &context(slot), Some(&other))
        .err()
        .unwrap();
    assert!(error.is_key() && !error.is_damage());
}

#[test]
fn putting_the_same_key_again_changes_nothing_and_another_is_refused() {
    let (mut tree, mut store) = tree();
    let slot = tree.reserve(1);
    put(&mut tree, &mut store, slot);
    let puts = store.ever.len();
    put(&mut tree, &mut store, slot);
    assert_eq!(store.ever.len(), puts);
    let other = value(Slot(99));
    let error = tree
        .put(&mut store, slot, &context(slot), None, &other)
        .unwrap_err();
    assert!(matches!(error, Error::Occupied { slot: 0 }));
}

#[test]
fn a_batch_writes_each_page_once() {
    let (mut tree, mut store) = tree();
    let bucket = tree.reserve_bucket();
    let slots: Vec<Slot> = (0..64).map(|at| Slot(bucket.0 + at)).collect();
    let values: Vec<Key> = slots.iter().map(|slot| value(*slot)).collect();
    let keys: Vec<NewKey<'_>> = slots
        .iter()
        .zip(&values)
        .map(|(slot, value)| NewKey {
            slot: *slot,
            context: context(*slot),
            wrap: None,
            value,
        })
        .collect();
    tree.put_many(&mut store, &keys).unwrap();
    assert_eq!(
        store.ever.len(),
        2,
        "the empty root at creation, then the only leaf"
    );
    assert!(store.pages.values().all(|page| page.len() <= 4096));
}

#[test]
fn raising_the_tree_changes_the_root_page_key_and_says_so() {
    let (mut tree, mut store) = tree();
    put(&mut tree, &mut store, Slot(0));
    assert_eq!((tree.root_version(), tree.head().height), (0, 0));
    put(&mut tree, &mut store, Slot(64));
    assert_eq!((tree.root_version(), tree.head().height), (1, 1));
    put(&mut tree, &mut store, Slot(65));
    assert_eq!(tree.root_version(), 1);
    assert!(has(&reloaded(&tree), &store, Slot(0)));
}

#[test]
fn a_failing_store_leaves_the_tree_as_it_was() {
    for fail_after in 0..4 {
        let (mut tree, mut store) = tree();
        for slot in [0, 64, 5000] {
            put(&mut tree, &mut store, Slot(slot));
        }
        let (pages, head, root) = (store.pages.clone(), tree.head(), tree.root_page_key().duplicate());
        store.fail_after = Some(fail_after);
        let slot = Slot(300_000);
        assert!(
            tree.put(&mut store, slot, &context(slot), None, &value(slot))
                .is_err()
        );
        assert!(tree.destroy(&mut store, &[Slot(0)]).is_err() || fail_after > 0);
        if tree.root_page_key().ct_eq(&root) {
            store.pages = pages;
            assert_eq!(tree.head(), head);
            assert!(has(&tree, &store, Slot(0)) && has(&tree, &store, Slot(5000)));
        }
    }
}

#[test]
fn a_missing_or_changed_page_is_damage_and_not_a_destroyed_key() {
    let (mut tree, mut store) = tree();
    for slot in [0, 64, 5000] {
        put(&mut tree, &mut store, Slot(slot));
    }
    let pages = store.pages.clone();
    let paths = [
        (Slot(0), Slot(0).page()),
        (Slot(64), Slot(64).page()),
        (Slot(5000), PageId::new(1, 1)),
    ];
    for (slot, id) in paths {
        for missing in [true, false] {
            store.pages = pages.clone();
            if missing {
                store.pages.remove(&id);
            } else {
                store.pages.get_mut(&id).unwrap()[20] ^= 1;
            }
            let tree = reloaded(&tree);
            let error = tree.get(&store, slot, &context(slot), None).err().unwrap();
            assert!(error.is_damage() && !error.is_key(), "{error}");
            let report = tree.verify(&store).unwrap();
            assert_eq!(report.damage.len(), 1);
            assert_eq!(report.damage[0].page, id);
        }
    }
}

#[test]
fn a_destroyed_key_does_not_come_out_of_the_cache() {
    let (mut tree, mut store) = tree();
    for slot in [0, 1, 64] {
        put(&mut tree, &mut store, Slot(slot));
        assert!(has(&tree, &store, Slot(slot)));
    }
    tree.destroy(&mut store, &[Slot(0), Slot(64)]).unwrap();
    assert!(!has(&tree, &store, Slot(0)) && has(&tree, &store, Slot(1)) && !has(&tree, &store, Slot(64)));
}

fn wrapped(tree: &mut KeyTree, store: &mut Memory, slots: &[u64], wrap: &Key) {
    for slot in slots.iter().copied().map(Slot) {
        tree.put(store, slot, &context(slot), Some(wrap), &value(slot))
            .unwrap();
    }
}

fn places(slots: &[u64]) -> Vec<(Slot, SlotContext)> {
    slots
        .iter()
        .map(|slot| (Slot(*slot), context(Slot(*slot))))
        .collect()
}

#[test]
fn keys_that_are_wrapped_anew_open_under_the_new_key_only_and_stay_the_same() {
    let (mut tree, mut store) = tree();
    let (old, new) = (Key::from_bytes([3; 32]), Key::from_bytes([4; 32]));
    let slots = [0, 1, 63, 64, 200, 5000];
    wrapped(&mut tree, &mut store, &slots, &old);
    wrapped(&mut tree, &mut store, &[7], &new);
    put(&mut tree, &mut store, Slot(8));
    tree.destroy(&mut store, &[Slot(63)]).unwrap();
    let wanted = places(&[0, 1, 63, 64, 200, 5000, 7, 70_000]);
    assert_eq!(
        tree.not_under(&store, &wanted, &new).unwrap(),
        places(&[0, 1, 64, 200, 5000])
    );
    let root = *tree.root_page_key().expose();
    assert_eq!(tree.rewrap(&mut store, &wanted, &old, &new).unwrap(), 5);
    assert_ne!(*tree.root_page_key().expose(), root);
    assert_eq!(tree.rewrap(&mut store, &wanted, &old, &new).unwrap(), 0);
    for tree in [&reloaded(&tree), &tree] {
        assert_eq!(tree.not_under(&store, &wanted, &new).unwrap(), []);
        for slot in [0, 1, 7, 64, 200, 5000].map(Slot) {
            let key = tree.get(&store, slot, &context(slot), Some(&new)).unwrap();
            assert!(key.ct_eq(&value(slot)), "{slot:?}");
            let under_old = tree.get(&store, slot, &context(slot), Some(&old));
            assert!(matches!(under_old, Err(Error::WrongKey { .. })), "{slot:?}");
        }
        assert!(has(tree, &store, Slot(8)), "what is under no key stays");
        assert_eq!(tree.verify(&store).unwrap().damage, []);
    }
}

#[test]
fn a_key_that_is_under_neither_is_an_error_and_nothing_is_wrapped() {
    let (mut tree, mut store) = tree();
    let keys = [3, 4, 5].map(|byte| Key::from_bytes([byte; 32]));
    wrapped(&mut tree, &mut store, &[0, 1], &keys[0]);
    wrapped(&mut tree, &mut store, &[2], &keys[2]);
    let refused = tree.rewrap(&mut store, &places(&[0, 1, 2]), &keys[0], &keys[1]);
    assert!(matches!(refused, Err(Error::WrongKey { .. })), "{refused:?}");
    assert_eq!(tree.not_under(&store, &places(&[0, 1]), &keys[0]).unwrap(), []);
    store.fail_after = Some(0);
    assert!(matches!(
        tree.rewrap(&mut store, &places(&[0, 1]), &keys[0], &keys[1]),
        Err(Error::Io(_))
    ));
    store.fail_after = None;
    assert_eq!(tree.not_under(&store, &places(&[0, 1]), &keys[0]).unwrap(), []);
}

#[test]
fn older_copies_of_pages_with_fresh_keys_are_out_of_reach_of_the_new_root_page_key() {
    let (mut tree, mut store) = tree();
    let slots = [0, 70, 200, 5000].map(Slot);
    for slot in slots {
        put(&mut tree, &mut store, slot);
    }
    let before = store.ever.len();
    let all: Vec<Slot> = (0..5001).step_by(64).map(Slot).collect();
    assert_eq!(tree.refresh(&mut store, &all).unwrap(), 4);
    for slot in slots {
        assert!(has(&tree, &store, slot) && has(&reloaded(&tree), &store, slot));
    }
    let now = tree.root_page_key().duplicate();
    assert_eq!(reachable(&now, &store), slots);
    // Only what was stored before.
    let old = Memory {
        ever: store.ever[..before].to_vec(),
        ..Memory::default()
    };
    assert_eq!(reachable(&now, &old), []);
    assert_eq!(tree.refresh(&mut store, &[Slot(9_000_000)]).unwrap(), 0);
}
