//! Every scripted behaviour over a real socket: what a client of the testkit may rely on.

mod binary;
mod chat;
mod client;
mod faults;
mod framing;
mod issuer;
mod responses;
mod serving;
mod tools;
