//! Tools as a client meets them.

mod matrix;
