//! Tools through the front door: what model servers are sent, what clients get.

mod bed;
mod matrix;
mod snapshot;
