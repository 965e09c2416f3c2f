//! Files and time: the real ones and seeded simulated ones.
