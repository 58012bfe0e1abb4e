//! The outside world of Waypost's tests, demo and bench, scripted.
//!
//! - [`upstream`]: a model server that speaks chat completions and Responses and fails on order.
//! - [`issuer`]: an OIDC issuer with its own keys, good tokens and hostile ones.
//! - [`mcp`]: an MCP server with scripted tools, of both eras of the protocol.
//! - [`sse`]: reading event streams, and judging whether one is a proper Responses stream.
//!
//! Everything listens on loopback and ends when its handle is dropped. Development only.

pub mod issuer;
pub mod mcp;
mod net;
pub mod sse;
pub mod upstream;

pub use issuer::Issuer;
pub use mcp::ScriptedMcp;
pub use upstream::{Script, ScriptedUpstream};
