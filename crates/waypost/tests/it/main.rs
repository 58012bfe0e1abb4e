//! One binary for all integration tests: they go through the front door of the
//! real server. The modules mirror the routes; [`harness`] runs servers.

#[allow(
    unreachable_pub,
    dead_code,
    reason = "nothing outside sees a test binary; each module uses what it needs"
)]
mod harness;
mod support;

mod admin;
mod chat;
mod cli;
mod faults;
mod hostile;
mod http;
mod identity;
mod mcp;
mod models;
mod responses;
mod schema;
mod tools;
mod upstreams;
