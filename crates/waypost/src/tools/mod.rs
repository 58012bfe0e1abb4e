//! Tools: what a request's tools become for a model server, and what its
//! calls become for the client.
//!
//! Before a run, [`declare`] reads a request's tools, [`prepare`] makes their
//! schemas strict, and [`choice`] checks what the model is told to call.
//!
//! Two layers lie between an answer of a model server and the run that records
//! it: a [`turn::Turn`] is one answer with its calls enforced, an
//! [`agent::Agent`] is the turns of one response.

pub mod agent;
pub mod callable;
pub mod choice;
pub mod client;
pub mod custom;
pub mod declare;
pub mod emulate;
pub mod enforce;
pub mod known;
pub mod mcp;
pub mod plan;
pub mod prepare;
pub mod schema;
pub mod search;
mod state;
pub mod turn;
mod unescape;

pub use state::{RunContext, Tools};
