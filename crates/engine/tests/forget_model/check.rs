//! What readers are shown, against what the model says.

use attestore_engine::Error;
use attestore_engine::credentials::Purpose;
use attestore_engine::forget::rules::Standing;
use attestore_engine::read::{RecordView, Which};
use attestore_engine::search::SearchRequest;
use attestore_record::Entry;

use crate::acts::Doubt;
use crate::model::{About, PEOPLE, id};
use crate::play::Play;
use crate::random::Random;
use crate::world::TENANT;

impl Play {
    /// Looks at everything.
    pub(crate) fn check(&mut self, random: &mut Random) {
        self.adopt(Doubt::None);
        let size = self.model.records.len() as u64;
        let (purged, erased) = self.model.counts();
        let info = self.engine().tenant(TENANT).unwrap();
        assert_eq!((info.size, info.purged, info.erased), (size, purged, erased));
        let report = self.engine().verify(TENANT, &mut |_, _| {}).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(report.live + report.purged + report.erased, size);
        assert_eq!((report.purged, report.erased), (purged, erased));
        for seq in 0..size {
            self.check_record(seq);
        }
        self.check_search(random.index(PEOPLE));
        self.check_verdict(random.below(size));
    }

    fn check_record(&self, seq: u64) {
        let known = self.model.record(seq);
        let read = |purpose: bool| {
            let by = match purpose {
                true => self.reader.clone().reading_for(Purpose::LegalClaims),
                false => self.reader.clone(),
            };
            self.engine().get(TENANT, &by, Which::Seq(seq))
        };
        let view = match read(false) {
            Err(Error::Gone { why, .. }) if known.gone == Some(why) => return,
            Ok(view) if known.gone.is_none() => view,
            other => panic!("record {seq}: {known:?} is {other:?}"),
        };
        let entry = Entry::from_bytes(&view.entry).unwrap();
        assert_eq!((entry.class, entry.time_ms), (known.class, known.time_ms));
        let Some(about) = &known.about else { return };
        self.check_tokens(seq, about, &view, false);
        self.check_tokens(seq, about, &read(true).unwrap(), true);
    }

    fn check_tokens(&self, seq: u64, about: &About, view: &RecordView, purpose: bool) {
        let event: serde_json::Value = serde_json::from_str(&view.event).unwrap();
        for token in about.tokens() {
            let shown = event.pointer(&token.pointer).and_then(|value| value.as_str());
            let wanted = match self.model.hides(&token, purpose) {
                true => "[personal]",
                false => &token.value,
            };
            assert_eq!(
                shown,
                Some(wanted),
                "{} of record {seq}, with purpose: {purpose}: {}",
                token.pointer,
                view.event
            );
        }
    }

    /// A search for somebody finds every record that shows them, and none that does not; those in which somebody else is hidden
    /// may be left out.
    fn check_search(&self, person: usize) {
        let request = SearchRequest {
            q: format!("actor.id:\"{}\"", id(person)),
            limit: 1000,
            want_count: true,
            ..SearchRequest::default()
        };
        let page = self.engine().search(TENANT, &self.reader, &request).unwrap();
        let found: Vec<u64> = page.items.iter().map(|item| item.seq).collect();
        assert_eq!(page.count, Some(found.len() as u64));
        for (seq, _, about) in self.model.live().filter(|(_, _, about)| about.actor.0 == person) {
            let tokens = about.tokens();
            let shown = !self.model.hides(&tokens[0], false);
            let all = tokens.iter().all(|token| !self.model.hides(token, false));
            assert!(
                !all || found.contains(&seq),
                "record {seq} is not found by its actor"
            );
            assert!(
                shown || !found.contains(&seq),
                "record {seq} is found by its actor"
            );
        }
        for seq in found {
            let known = self.model.record(seq);
            let is = known.about.as_ref().is_some_and(|about| about.actor.0 == person);
            assert!(is && known.gone.is_none(), "record {seq}: {known:?}");
        }
    }

    fn check_verdict(&self, seq: u64) {
        let known = self.model.record(seq);
        // Of what is gone there is nothing to explain.
        if known.gone.is_some() {
            return;
        }
        let verdict = self
            .engine()
            .retention_verdict(TENANT, &self.by, Which::Seq(seq))
            .unwrap();
        let now_ms = self.world.now_ms();
        let policy = self.model.policies.get(&known.class);
        let due = policy.and_then(|policy| Some(policy.keep_max_ms?.max(policy.keep_min_ms)));
        let wanted = match policy {
            _ if known.about.is_none() => Standing::Control,
            _ if self.model.is_held(seq) => Standing::Held,
            _ if due.is_some_and(|due| known.time_ms + due <= now_ms) => Standing::Due,
            Some(policy) if known.time_ms + policy.keep_min_ms <= now_ms => Standing::MayGo,
            _ => Standing::Kept,
        };
        assert_eq!(verdict.standing, wanted, "record {seq}: {verdict:?}");
        if wanted == Standing::Held {
            assert_eq!(verdict.held_by.len(), self.model.holds_of(seq));
        }
    }
}
