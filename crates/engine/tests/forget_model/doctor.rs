//! Somebody with every key lets a record vanish that nothing on record took: the auditor has to see it.

use std::sync::Arc;

use attestore_disk::Disk;
use attestore_engine::Error;
use attestore_engine::catalog::Catalog;
use attestore_keys::{Entropy, FileRoot, SeededEntropy};
use attestore_verify::bundle::RangeFinding;
use redb::TableDefinition;

use crate::keepsakes::{bundle_of, judged};
use crate::play::Play;
use crate::world::{TENANT, World};

const GONE: TableDefinition<(&[u8; 16], u16, u64), &[u8]> = TableDefinition::new("gone");

impl Play {
    /// Takes away one record that is there, by a record that took others, and has the auditor look. The instance is closed.
    pub(crate) fn doctored_is_refused(&self) {
        let Some((seq, class, by)) = self.victim() else {
            return;
        };
        let world = self.world.copy();
        let_vanish(&world, seq, class, by);
        let (engine, _) = world.open().unwrap();
        assert!(matches!(
            engine.get(TENANT, &self.reader, attestore_engine::read::Which::Seq(seq)),
            Err(Error::Gone { .. })
        ));
        let report = judged(&engine, &bundle_of(&engine, &self.reader));
        let range = report.range.clone().unwrap();
        assert!(!report.is_sound(), "nobody misses record {seq} of class {class}");
        let unexplained = |finding: &RangeFinding| matches!(finding, RangeFinding::Unexplained { seq: first, end, .. } if (*first..*end).contains(&seq));
        assert!(range.findings.iter().any(unexplained), "{:?}", range.findings);
        // Who has the directory sees it too.
        let report = engine.verify(TENANT, &mut |_, _| {}).unwrap();
        assert!(!report.is_sound());
    }

    /// A record that is there, if possible of one class within what was taken of another; and the record that took that.
    fn victim(&self) -> Option<(u64, u16, u64)> {
        let within = |seq: u64| {
            let gone = self.model.gone();
            gone.keys().any(|other| *other < seq) && gone.keys().any(|other| *other > seq)
        };
        let mut live: Vec<_> = self.model.live().collect();
        live.sort_by_key(|(seq, ..)| !within(*seq));
        let (seq, known, _) = live.first()?;
        let last = self.model.records.len() as u64 - 1;
        Some((*seq, known.class, last))
    }
}

fn let_vanish(world: &World, seq: u64, class: u16, by: u64) {
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(0x5eed ^ world.disk.op_count()));
    let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap();
    let catalog = Catalog::open(&disk, Arc::new(root), entropy).unwrap();
    catalog.load().unwrap();
    let end = seq + 1;
    let row = format!(r#"{{"end":{end},"why":"purged","by":{by},"records":1,"since_ms":1,"swept":false}}"#);
    let changed = catalog.update(|update| {
        let tenant = update.tenant_named(TENANT)?.expect("the tenant");
        let mut table = update.txn().open_table(GONE).expect("the table");
        table
            .insert((tenant.as_bytes(), class, seq), row.as_bytes())
            .expect("a row");
        Ok::<_, Error>(())
    });
    changed.unwrap();
}
