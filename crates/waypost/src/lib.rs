//! The Waypost server: identity, durable responses, strict tools and a tunnel
//! in front of any model server.
//!
//! Top folders are features; `http/` is what every route shares. [`app::App`]
//! is the state, [`serve`] builds it and runs it, [`cli`] is the front door.

mod admin;
mod app;
mod blocking;
mod chat;
pub mod cli;
mod clock;
mod config;
mod http;
mod identity;
mod metrics;
mod model;
mod models;
mod ops;
mod passed;
mod responses;
mod routes;
mod run;
mod sealing;
mod serve;
mod shutdown;
mod tools;
mod upstream;

// The bench measures these from outside.
pub use config::ToolsConfig;
pub use metrics::Metrics;
pub use tools::prepare::{Place, Preparer};
