//! Retention lock: what may follow a policy, as with S3 Object Lock.

use attestore_record::control::{RetentionMode, RetentionPolicy};

/// What it takes to put one policy in another one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// The permission to set policies.
    Manager,
    /// Also the one to go below a lock, the word for it in the request, and a second person.
    Bypass,
    /// Nobody may.
    Nobody,
}

/// What it takes to put `after` in the place of `before`, the policy of the class in force.
pub(super) fn takes(before: Option<&RetentionPolicy>, after: &RetentionPolicy) -> Takes {
    match before
        .filter(|before| after.is_weaker_than(before))
        .map(|before| before.mode)
    {
        None | Some(RetentionMode::None) => Takes::Manager,
        Some(RetentionMode::Governance) => Takes::Bypass,
        Some(RetentionMode::Compliance) => Takes::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use attestore_record::control::Erasable;
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = RetentionPolicy> {
        let modes = [
            RetentionMode::None,
            RetentionMode::Governance,
            RetentionMode::Compliance,
        ];
        let erasable = [Erasable::Yes, Erasable::PersonalOnly, Erasable::No];
        (0u64..4, 0u64..4, 0usize..3, 0usize..3).prop_map(move |(min, more, mode, what)| RetentionPolicy {
            class: 2,
            name: "n".into(),
            keep_min_ms: min,
            keep_max_ms: (more < 3).then_some(min + more),
            basis: String::new(),
            mode: modes[mode],
            erasable: erasable[what],
            approved_by: Vec::new(),
        })
    }

    proptest! {
        /// Whoever asks for whatever, with every permission there is: once a policy is in mode compliance, none after it keeps
        /// records for less long, is in another mode or lets more be erased.
        #[test]
        fn compliance_never_weakens_under_any_sequence_of_calls(asked in prop::collection::vec(policy(), 1..40)) {
            let mut in_force: Option<RetentionPolicy> = None;
            for after in asked {
                if takes(in_force.as_ref(), &after) == Takes::Nobody {
                    continue;
                }
                if let Some(before) = in_force.filter(|before| before.mode == RetentionMode::Compliance) {
                    prop_assert!(after.mode == RetentionMode::Compliance);
                    prop_assert!(after.keep_min_ms >= before.keep_min_ms);
                    let allows = |what| match what { Erasable::Yes => 2, Erasable::PersonalOnly => 1, Erasable::No => 0 };
                    prop_assert!(allows(after.erasable) <= allows(before.erasable));
                }
                in_force = Some(after);
            }
        }

        /// Without the permission to bypass, governance is as firm.
        #[test]
        fn governance_never_weakens_without_a_bypass(asked in prop::collection::vec(policy(), 1..40)) {
            let mut in_force: Option<RetentionPolicy> = None;
            for after in asked {
                if takes(in_force.as_ref(), &after) != Takes::Manager {
                    continue;
                }
                if let Some(before) = in_force.filter(|before| before.mode != RetentionMode::None) {
                    prop_assert!(after.mode >= before.mode && after.keep_min_ms >= before.keep_min_ms);
                }
                in_force = Some(after);
            }
        }
    }

    #[test]
    fn each_way_to_weaken_counts_and_none_that_strengthens() {
        let before = RetentionPolicy {
            class: 2,
            name: String::new(),
            keep_min_ms: 10,
            keep_max_ms: Some(20),
            basis: String::new(),
            mode: RetentionMode::Compliance,
            erasable: Erasable::PersonalOnly,
            approved_by: Vec::new(),
        };
        let with = |change: fn(&mut RetentionPolicy)| {
            let mut after = before.clone();
            change(&mut after);
            takes(Some(&before), &after)
        };
        assert_eq!(with(|after| after.keep_min_ms = 9), Takes::Nobody);
        assert_eq!(
            with(|after| after.mode = RetentionMode::Governance),
            Takes::Nobody
        );
        assert_eq!(with(|after| after.erasable = Erasable::Yes), Takes::Nobody);
        assert_eq!(with(|after| after.keep_min_ms = 15), Takes::Manager);
        assert_eq!(with(|after| after.keep_max_ms = Some(11)), Takes::Manager);
        assert_eq!(with(|after| after.keep_max_ms = None), Takes::Manager);
        assert_eq!(with(|after| after.erasable = Erasable::No), Takes::Manager);
        assert_eq!(takes(None, &before), Takes::Manager);
    }
}
