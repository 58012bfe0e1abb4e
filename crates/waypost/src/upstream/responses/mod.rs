//! The `responses` dialect: servers that speak the Responses API themselves.
//!
//! They are asked statelessly (`store: false`, whole context, no background):
//! ids, numbering, storage and durability are ours, whatever theirs are.

mod decode;
mod items;
mod request;

pub use decode::ResponsesDecoder;
pub use request::request_body;
