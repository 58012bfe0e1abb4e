//! One binary for all integration tests: they go through the front door of the
//! real server. The modules mirror the routes; [`harness`] runs servers.

mod harness;

mod admin;
mod cli;
mod http;
