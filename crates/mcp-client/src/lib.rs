//! The client side of MCP: the tools of servers, listed and called.
//!
//! Flow: a [`Target`] says where a server is, [`Client::connect`] finds out
//! which era of the protocol it speaks, [`Session::list_tools`] and [`Session::call_tool`] do the work, and
//! dropping the session says farewell. Nothing here knows the Responses API,
//! except that [`CallError`] has its shapes.
//!
//! Easy to break: a call is sent once. Nothing below repeats a `tools/call`,
//! unless the server has said that it did not look at it.

mod client;
mod discovery;
mod error;
mod headers;
mod message;
mod peer;
mod redact;
mod reply;
mod result;
mod secrets;
mod settings;
mod tool;
mod transport;

pub use client::{Call, Client, Listed, Session};
pub use error::{CallError, McpError};
pub use result::Outcome;
pub use secrets::{Credentials, CredentialsError};
pub use settings::Settings;
pub use tool::{LeftOut, Tool};
pub use transport::Target;

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod tests;
