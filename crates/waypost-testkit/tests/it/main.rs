//! Every scripted behaviour over a real socket: what a client of the testkit may rely on.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; a panic is a failed test"
)]

mod binary;
mod chat;
mod client;
mod faults;
mod framing;
mod issuer;
mod responses;
mod serving;
mod tools;
mod written;
