//! The `chat` dialects: a [`Generation`](crate::model::Generation) as a
//! Chat Completions request, and the streamed chunks as deltas.

mod calls;
mod decode;
mod messages;
mod request;
mod turns;

pub use decode::ChatDecoder;
pub use request::request_body;
