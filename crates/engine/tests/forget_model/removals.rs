//! Records that go whole: by schedule, by order, by name.

use std::collections::BTreeSet;
use std::ops::Range;

use attestore_engine::Error;
use attestore_engine::forget::Why;
use attestore_engine::forget::erase::RecordErasure;
use attestore_engine::forget::purge::{PurgeOrder, Selection};
use attestore_record::control::{Erasable, RetentionMode};

use crate::acts::{Doubt, Outcome};
use crate::play::Play;
use crate::random::Random;
use crate::world::TENANT;

impl Play {
    /// Whatever is due goes, and nothing else.
    pub(crate) fn schedule(&mut self) -> Outcome {
        self.told.push("schedule".into());
        if let Err(error) = self.engine().flush() {
            return Err((Doubt::None, error));
        }
        let meant = self.model.due(self.world.now_ms());
        let doubt = Doubt::Gone {
            meant: meant.clone(),
            whole: false,
            why: Why::Purged,
        };
        let done = self.engine().purge_tick();
        if self.armed {
            // What is not due to the disk's fault is told by the warnings of the engine only.
            return Err((doubt, done.err().unwrap_or(Error::Cancelled)));
        }
        let open = self.judge(done, None, doubt)?;
        assert_eq!(open, Some(0), "purges that do not come to their end");
        let known = self.model.gone();
        let found = self.gone();
        let news: BTreeSet<u64> = found
            .keys()
            .filter(|seq| !known.contains_key(seq))
            .copied()
            .collect();
        assert_eq!(news, meant, "what the schedule took, and what is due");
        self.let_go(&news, Why::Purged);
        for known in &mut self.model.records {
            known.swept |= known.gone.is_some();
        }
        Ok(())
    }

    pub(crate) fn order(&mut self, random: &mut Random) -> Outcome {
        let class = 1 + u16::try_from(random.below(3)).unwrap();
        let bypass = random.once_in(2);
        let first = random.below(self.model.records.len() as u64);
        let second = first + 4 + random.below(8);
        let ranges: Vec<Range<u64>> = vec![
            first..first + 1 + random.below(3),
            second..second + 1 + random.below(9),
        ];
        let now_ms = self.world.now_ms();
        let policy = self.model.policies.get(&class);
        let meant: Vec<(u64, u64)> = self
            .model
            .live()
            .filter(|(seq, known, _)| known.class == class && ranges.iter().any(|range| range.contains(seq)))
            .filter(|(seq, ..)| !self.model.is_held(*seq))
            .map(|(seq, known, _)| (seq, known.time_ms))
            .collect();
        let young = policy.is_some_and(|policy| {
            meant
                .iter()
                .any(|(_, time_ms)| time_ms + policy.keep_min_ms > now_ms)
        });
        let refusal = match policy {
            None => Some("no_policy"),
            Some(policy) if young && policy.mode == RetentionMode::Compliance => Some("retention_locked"),
            Some(_) if young && !bypass => Some("retention_minimum"),
            Some(_) => None,
        };
        let meant: BTreeSet<u64> = meant.into_iter().map(|(seq, _)| seq).collect();
        self.told.push(format!(
            "order class {class} {ranges:?} bypass {bypass}: {meant:?}"
        ));
        let order = PurgeOrder {
            class: Some(class),
            selection: Selection::Ranges(ranges),
            note: "case 7".into(),
            bypass,
        };
        let by = self.by.clone();
        let done = self.with_second(|engine| engine.purge(TENANT, &by, &order));
        let doubt = Doubt::Gone {
            meant: meant.clone(),
            whole: true,
            why: Why::Purged,
        };
        if let Some(ordered) = self.judge(done, refusal, doubt)? {
            let records: u64 = ordered.purges.iter().map(|purge| purge.records).sum();
            assert_eq!(records, meant.len() as u64);
            self.let_go(&meant, Why::Purged);
        }
        Ok(())
    }

    pub(crate) fn erase_records(&mut self, random: &mut Random) -> Outcome {
        let size = self.model.records.len() as u64;
        let live: Vec<u64> = self.model.live().map(|(seq, ..)| seq).collect();
        let first = match live.is_empty() || random.once_in(6) {
            true => random.below(size),
            false => random.pick(&live),
        };
        let class = self.model.record(first).class;
        // Of one class and there, but for some that are not.
        let mut seqs: BTreeSet<u64> = (first..size)
            .take(20)
            .filter(|seq| {
                let known = self.model.record(*seq);
                let fits = known.class == class && known.gone.is_none();
                random.once_in(3) && (fits || random.once_in(40))
            })
            .collect();
        seqs.insert(first);
        let bypass = random.once_in(2);
        let refusal = self.keeps(&seqs, bypass);
        self.told
            .push(format!("erase records {seqs:?} bypass {bypass}: {refusal:?}"));
        let request = RecordErasure {
            seqs: seqs.clone(),
            basis: "by mistake".into(),
            bypass,
        };
        let by = self.by.clone();
        let done = self.with_second(|engine| engine.erase_records(TENANT, &by, &request));
        let doubt = Doubt::Gone {
            meant: seqs.clone(),
            whole: true,
            why: Why::Erased,
        };
        if let Some(info) = self.judge(done, refusal, doubt)? {
            assert_eq!(info.records, seqs.len() as u64);
            self.let_go(&seqs, Why::Erased);
        }
        Ok(())
    }

    /// Why records are not erased whole: what is looked at one by one, and then what is said of all of them.
    pub(crate) fn keeps(&self, seqs: &BTreeSet<u64>, bypass: bool) -> Option<&'static str> {
        let mut class = None;
        for known in seqs.iter().map(|seq| self.model.record(*seq)) {
            if let Some(why) = known.gone {
                return Some(why.name());
            }
            if *class.get_or_insert(known.class) != known.class {
                return Some("several_classes");
            }
        }
        let class = class.filter(|class| *class != 0);
        let Some(policy) = class.map(|class| self.model.policies.get(&class)) else {
            return Some("control_records");
        };
        let Some(policy) = policy else {
            return Some("no_policy");
        };
        let newest_ms = seqs.iter().map(|seq| self.model.record(*seq).time_ms).max();
        let young = newest_ms.is_some_and(|newest_ms| newest_ms + policy.keep_min_ms > self.world.now_ms());
        match policy.mode {
            _ if seqs.iter().any(|seq| self.model.is_held(*seq)) => Some("held"),
            _ if policy.erasable != Erasable::Yes => Some("not_erasable"),
            RetentionMode::Compliance if young => Some("retention_locked"),
            RetentionMode::Governance if young && !bypass => Some("retention_minimum"),
            _ => None,
        }
    }
}
