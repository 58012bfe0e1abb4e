//! Who calls: keys, and the snapshot of the directory that decides.

pub mod keys;
pub mod snapshot;
