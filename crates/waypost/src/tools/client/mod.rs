//! Tools that the client runs ([`ClientTool`]), over model servers that do not
//! know them.
//!
//! Such a server is offered a function of the same name ([`schema`]). Its call
//! becomes the item that clients know ([`call`]), and their items become the
//! function's calls and outputs again ([`history`]).
//!
//! [`ClientTool`]: crate::model::ClientTool

pub mod call;
pub mod history;
pub mod schema;
