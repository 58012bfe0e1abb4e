//! JSON Schema to OpenAI's strict subset: resolve, check, validate.
pub mod argument;
mod error;
mod pointer;
pub mod repair;
pub mod verdict;

pub use argument::{ArgumentChecker, Automaton, valid_prefix};
pub use error::{CompileError, Mismatch};
pub use repair::repair;
pub use verdict::Validator;
