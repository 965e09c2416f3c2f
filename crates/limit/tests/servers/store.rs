//! The store in memory, as the scripts for Redis describe it.

use std::collections::HashMap;
use std::sync::Arc;

use attestore_limit::Ns;
use attestore_limit::gcra::Gcra;
use attestore_limit::rate::Kind;
use attestore_limit::store::{Answer, Ask, COUNTED_SLOTS, SLOTS, VALID_SLOTS};
use attestore_limit::table::State;

#[derive(Default)]
pub struct Store {
    windows: HashMap<Arc<str>, HashMap<u64, u64>>,
    gcras: HashMap<Arc<str>, Gcra>,
}

impl Store {
    pub fn answer(&mut self, now: Ns, ask: &Ask) -> Answer {
        match ask.rate.kind() {
            Kind::Window => self.window(now, ask),
            Kind::Gcra { burst } => self.gcra(now, ask, burst),
        }
    }

    fn window(&mut self, now: Ns, ask: &Ask) -> Answer {
        let width = ask.rate.window_ns().div_ceil(SLOTS);
        let slot = now / width;
        let slots = self.windows.entry(Arc::clone(&ask.name)).or_default();
        slots.retain(|at, _| at + COUNTED_SLOTS > slot);
        if let Some((at, back)) = ask.back
            && let Some(there) = slots.get_mut(&at)
        {
            *there -= back.min(*there);
        }
        let count = u64::from(ask.rate.count());
        let used: u64 = slots.values().sum::<u64>() + ask.debt;
        let granted = ask.want.min(count.saturating_sub(used));
        *slots.entry(slot).or_default() += granted + ask.debt;
        let used = used + granted;
        let mut wait_ns = 0;
        if granted == 0 && used >= count {
            let mut left = used;
            let mut by_age: Vec<_> = slots.iter().collect();
            by_age.sort();
            for (at, there) in by_age {
                left -= there;
                if left < count {
                    wait_ns = (at + COUNTED_SLOTS) * width - now;
                    break;
                }
            }
        }
        Answer {
            granted,
            remaining: count.saturating_sub(used),
            wait_ns,
            valid_ns: (slot + VALID_SLOTS + 1) * width - now,
            slot,
        }
    }

    fn gcra(&mut self, now: Ns, ask: &Ask, burst: u32) -> Answer {
        let gcra = self.gcras.entry(Arc::clone(&ask.name)).or_default();
        let each = ask.rate.window_ns() / u64::from(ask.rate.count());
        let (_, back) = ask.back.unwrap_or_default();
        for _ in 0..back.min(gcra.idle_at().saturating_sub(now) / each) {
            gcra.give_back(&ask.rate, 1);
        }
        for _ in 0..ask.debt {
            gcra.add(now, &ask.rate, 1);
        }
        let used = gcra.idle_at().saturating_sub(now);
        let credit = each * u64::from(burst);
        let free = credit.saturating_sub(used) / each;
        let granted = ask.want.min(free);
        for _ in 0..granted {
            gcra.add(now, &ask.rate, 1);
        }
        Answer {
            granted,
            remaining: free - granted,
            wait_ns: if free == 0 { used + each - credit } else { 0 },
            valid_ns: (ask.rate.window_ns() / 100).clamp(10_000_000, 1_000_000_000),
            slot: 0,
        }
    }
}
