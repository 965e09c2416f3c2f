//! A report in sentences, for people.

use super::BundleReport;

impl BundleReport {
    /// Says in sentences what is proved and what is not. They hold text of the bundle: escape it for a terminal.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let names: Vec<_> = self.witnesses.iter().map(|w| w.witness.as_str()).collect();
        let mut text = vec![format!(
            "{} records are in the signed tree of {} of {}, cosigned by {}, and their bytes open their commitments; {} personal \
             groups are open, {} are not",
            self.records,
            self.size,
            self.origin,
            if names.is_empty() {
                "no witness".to_owned()
            } else {
                names.join(", ")
            },
            self.groups_opened,
            self.groups_withheld
        )];
        text.extend(self.unverified.iter().map(|unverified| {
            format!("the cosignature of {unverified} is of a kind that this program cannot verify")
        }));
        text.extend(self.unproved_query.as_ref().map(|query| {
            format!("that they are the matches of this query, and all of them, is not proved: {query:?}")
        }));
        let Some(range) = &self.range else { return text };
        text.push(format!(
            "range {} to {} (not included): {} records are here, {} were purged and {} erased with a reason on record",
            range.first_seq, range.end_seq, range.opened, range.purged, range.erased
        ));
        if range.reasons_claimed_in_force > 0 {
            text.push(format!(
                "of {} purges and erasures the bundle does not show that no other policy was in force and no hold covered what they removed",
                range.reasons_claimed_in_force
            ));
        }
        text.extend(range.findings.iter().map(|finding| format!("WRONG: {finding}")));
        if range.findings_omitted > 0 {
            text.push(format!("WRONG: {} more", range.findings_omitted));
        }
        text
    }
}
