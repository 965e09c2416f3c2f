//! What an audit record is: events, bytes, groups, commitments, limits, mappings.
