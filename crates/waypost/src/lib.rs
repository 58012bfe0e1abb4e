//! The Waypost server: identity, durable responses, strict tools and a tunnel
//! in front of any model server.
//!
//! Top folders are features; `http/` is what every route shares. [`app::App`]
//! is the state, [`serve`] builds it and runs it, [`cli`] is the front door.

pub mod admin;
pub mod app;
mod blocking;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod identity;
pub mod metrics;
mod model;
pub mod models;
mod ops;
pub mod passed;
pub mod responses;
mod routes;
mod sealing;
pub mod serve;
pub mod shutdown;
pub mod tools;
pub mod upstream;
