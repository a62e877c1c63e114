//! The hash map of the path of a call.

/// A map with a fast hash, seeded anew in each process.
///
/// Peers choose some of the keys (ids of calls, names); what they can put into one map is bounded by
/// admission, so that even keys that all collide cost little.
pub(crate) type Table<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
