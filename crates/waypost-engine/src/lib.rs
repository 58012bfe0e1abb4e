//! The store, which keeps everything, and the bus, which wakes whoever waits.
//!
//! [`store`] holds the traits; their doc comments are the contract, and
//! [`conformance`] tests it sentence by sentence against any engine.
//! [`embedded`] is the default engine: SQLite and a bus within the process.
//! [`refusals`] holds the sentences that every engine refuses with.
//!
//! The invariant that is easy to break: **the store is the truth, the bus is a
//! hint**. A hint may be lost, late or doubled; that costs latency, never
//! correctness. Watch first, then read, then wait for a hint or a timer.

pub mod audit;
pub mod bus;
pub mod directory;
pub mod embedded;
pub mod error;
pub mod events;
pub mod id;
pub mod page;
pub mod refusals;
pub mod responses;
pub mod store;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use error::StoreError;
pub use store::{Store, StoreSize};

/// Milliseconds since the Unix epoch, by the engine's clock.
pub type Millis = i64;

/// What the server opens once and hands to everything else.
#[derive(Clone)]
pub struct Engine {
    /// The truth.
    pub store: std::sync::Arc<dyn Store>,
    /// The hints.
    pub bus: std::sync::Arc<dyn bus::Bus>,
}
