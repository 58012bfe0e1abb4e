//! The client side of MCP: tools of servers that a request names by URL.
//!
//! Flow: [`Client::connect`] finds out which era of the protocol a server
//! speaks, [`Session::list_tools`] and [`Session::call_tool`] do the work, and
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

pub use client::{Call, Client, Listed, Session};
pub use error::{CallError, McpError};
pub use result::Outcome;
pub use secrets::{Credentials, CredentialsError};
pub use settings::Settings;
pub use tool::{LeftOut, Tool};

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod tests;
