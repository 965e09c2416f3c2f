//! Forgetting: what may go, what must stay, and how it goes so that every proof stays.
//!
//! | module | what |
//! |---|---|
