//! One binary for all integration tests: they go through the front door of the
//! real server. The modules mirror the routes; [`harness`] runs servers.

#[allow(
    unreachable_pub,
    dead_code,
    reason = "nothing outside sees a test binary; each module uses what it needs"
)]
mod harness;
mod shapes;
mod support;

mod admin;
mod chat;
mod cli;
mod credentials;
mod faults;
mod hostile;
mod http;
mod identity;
mod logs;
mod mcp;
mod metrics;
mod missing;
mod models;
mod passed;
mod responses;
mod schema;
mod servers;
mod tools;
mod troubleshooting;
mod upgrade;
mod upstreams;
mod wire;
