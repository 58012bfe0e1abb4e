//! JSON from outside: a text that two parsers could read differently is refused, and whatever is
//! refused has a place.
//!
//! [`read`] makes a value of a text, within [`Limits`]; its [`Error`] says which [`Fault`] and
//! where. The phrases are short and quote no value: who reads for somebody puts the sentence
//! around them. [`locate()`] goes the other way, from a JSON pointer (RFC 6901) to line and column;
//! [`pointer`] writes such pointers.
//!
//! ```
//! use strict_json::{Fault, Limits, locate, read};
//!
//! let limits = Limits { max_depth: 16, max_values: 1000 };
//! let text = "{\n  \"a\": {\"b\": 1, \"b\": 2}\n}";
//! let error = read(text.as_bytes(), &limits).unwrap_err();
//! assert_eq!(error.fault, Fault::DuplicateKey);
//! assert_eq!((error.pointer.as_str(), error.line), ("/a/b", 2));
//! // The first of the two.
//! let place = locate(text, "/a/b").unwrap();
//! assert_eq!((place.line, place.column), (2, 14));
//! ```

mod locate;
pub mod pointer;
mod read;

#[cfg(test)]
mod property_tests;

pub use locate::{Position, locate, position};
pub use read::{Error, Fault, Limits, read};
