//! What was acknowledged, and the check that it is there.

use std::collections::BTreeMap;

use attestore_engine::read::Which;
use attestore_engine::{Engine, Error, Item, Mode, Principal, Receipt};
use attestore_tlog::{Frontier, leaf_hash};
use bytes::Bytes;

/// What clients know of each tenant.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) tenants: BTreeMap<String, Log>,
    /// A tenant whose making was not acknowledged.
    pub(crate) tenant_in_doubt: Option<String>,
}

#[derive(Default)]
pub(crate) struct Log {
    acknowledged: Vec<Acknowledged>,
    /// Seqs of what came with an idempotency key.
    keys: BTreeMap<u32, u64>,
    /// How many records an append without answer had.
    in_doubt: u64,
}

struct Acknowledged {
    receipt: Receipt,
    event: Option<String>,
}

impl Model {
    /// Appends events; `Err` when no answer came.
    pub(crate) fn append(
        &mut self,
        engine: &Engine,
        tenant: &str,
        events: Vec<String>,
        key: Option<u32>,
    ) -> Result<(), String> {
        let log = self.tenants.entry(tenant.to_owned()).or_default();
        let count = events.len() as u64;
        let items = events
            .into_iter()
            .map(|event| Item {
                bytes: Bytes::from(event),
                fallback_key: None,
            })
            .collect();
        log.in_doubt = count;
        let by = Principal::internal();
        let appended = engine
            .append_blocking(tenant, &by, "native", items, Mode::Each)
            .map_err(|error| error.to_string())?;
        log.in_doubt = 0;
        for item in appended.items {
            let receipt = item.unwrap();
            if let Some(key) = key {
                let first = *log.keys.entry(key).or_insert(receipt.seq);
                assert_eq!(receipt.seq, first, "key {key} stands for one record");
            }
            if receipt.duplicate {
                let first = &log.acknowledged[usize::try_from(receipt.seq).unwrap()].receipt;
                assert_eq!(
                    (first.id, first.entry),
                    (receipt.id, receipt.entry),
                    "a repetition"
                );
                continue;
            }
            assert_eq!(receipt.seq, log.acknowledged.len() as u64, "seqs have no gaps");
            let view = engine.get(tenant, &by, Which::Seq(receipt.seq)).ok();
            log.acknowledged.push(Acknowledged {
                receipt,
                event: view.map(|view| view.event),
            });
        }
        let size = log.acknowledged.len() as u64;
        assert_eq!(appended.tree.size, size);
        Ok(())
    }

    /// Checks an instance that was just opened, and that it goes on working.
    pub(crate) fn check(&mut self, engine: &Engine) {
        if let Some(name) = self.tenant_in_doubt.take() {
            match engine.tenant(&name) {
                Ok(_) | Err(Error::UnknownTenant) => {}
                Err(error) => panic!("tenant {name}: {error}"),
            }
        }
        let names: Vec<String> = self.tenants.keys().cloned().collect();
        for name in names {
            self.check_tenant(engine, &name);
        }
        let report = engine.verify("_system", &mut |_, _| {}).unwrap();
        assert!(report.is_sound(), "_system: {:?}", report.problems);
    }

    fn check_tenant(&mut self, engine: &Engine, name: &str) {
        let by = Principal::internal();
        let log = self.tenants.get_mut(name).unwrap();
        let mut tree = Frontier::new();
        for (seq, held) in (0u64..).zip(&log.acknowledged) {
            let view = engine
                .get(name, &by, Which::Seq(seq))
                .unwrap_or_else(|error| panic!("{name}/{seq} was acknowledged: {error}"));
            assert_eq!(
                (view.seq, view.id, view.entry),
                (seq, held.receipt.id, held.receipt.entry),
                "{name}"
            );
            if let Some(event) = &held.event {
                assert_eq!(&view.event, event, "{name}/{seq}");
            }
            tree.push(leaf_hash(&held.receipt.entry));
        }
        let report = engine.verify(name, &mut |_, _| {}).unwrap();
        assert!(report.is_sound(), "{name}: {:?}", report.problems);
        let extra = report.size - log.acknowledged.len() as u64;
        assert!(
            extra == 0 || extra == log.in_doubt,
            "{name}: {extra} of {} unacknowledged",
            log.in_doubt
        );
        for seq in log.acknowledged.len() as u64..report.size {
            let view = engine.get(name, &by, Which::Seq(seq)).unwrap();
            tree.push(leaf_hash(&view.entry));
            let receipt = Receipt {
                id: view.id,
                seq,
                received_at_ms: view.received_at_ms,
                entry: view.entry,
                duplicate: false,
            };
            log.acknowledged.push(Acknowledged {
                receipt,
                event: Some(view.event),
            });
        }
        log.in_doubt = 0;
        assert_eq!(
            (report.size, report.root),
            (tree.size(), tree.root()),
            "{name}: root from the entries"
        );
        self.append(
            engine,
            name,
            vec![r#"{"action":"a.check","actor":{"type":"service","id":"s"}}"#.into()],
            None,
        )
        .unwrap_or_else(|error| panic!("{name}: the next append: {error}"));
    }
}
