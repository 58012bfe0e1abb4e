//! What is asked of a model and what it says back, free of any dialect.
//!
//! A [`Generation`] is what one run asks a model; a job stores it, so that a run
//! after a crash asks for the same thing. A [`ModelRequest`] is one request of
//! that run. An adapter in [`crate::upstream`] writes it in a server's words and
//! reads the answer as [`Delta`]s.

mod client_tool;
mod delta;
mod generation;
mod request;

pub use client_tool::ClientTool;
pub use delta::{CallKind, Delta, Finish, MAX_ID, MAX_OUTPUT, Usage};
pub use generation::{Generation, Prefix};
pub use request::{Adapted, Answer, ModelRequest};
