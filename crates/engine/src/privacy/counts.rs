//! What detectors found in appended events, as metrics. Labels are names of detectors and actions: nothing that a client chose.

use attestore_record::group::{Detected, Refusal};
use attestore_record::policy::Action;

/// Counts what was found in an event that was taken.
pub(crate) fn detected(detected: &Detected) {
    for ((detector, action), count) in &detected.counts {
        metrics::counter!("attestore_detected_total", "detector" => detector.as_str(), "action" => action.as_str())
            .increment(u64::from(*count));
    }
    if detected.partially_scanned {
        metrics::counter!("attestore_partially_scanned_total").increment(1);
    }
}

/// Counts an event that was refused.
pub(crate) fn refused(refusal: &Refusal) {
    metrics::counter!(
        "attestore_detected_total",
        "detector" => refusal.detector.as_str(),
        "action" => Action::Refuse.as_str()
    )
    .increment(1);
}
