//! One binary for all integration tests: they go through the front door of the
//! real server. The modules mirror the routes; [`harness`] runs servers.

#[allow(unreachable_pub, reason = "nothing outside sees a test binary; `pub` marks what modules use")]
mod harness;

mod admin;
mod cli;
mod http;
