//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use waypost_engine::Millis;

/// Milliseconds since the Unix epoch.
pub fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as Millis)
}

/// Whole seconds, as the API shows times.
pub fn seconds(at: Millis) -> i64 {
    at.div_euclid(1000)
}
