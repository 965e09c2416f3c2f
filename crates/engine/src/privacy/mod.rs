//! What becomes of values that the detectors of a tenant's privacy policy find.

pub(crate) mod counts;
