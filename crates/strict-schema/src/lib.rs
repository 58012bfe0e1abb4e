//! JSON Schema to OpenAI's strict subset: resolve, check, validate.

pub mod argument;
mod check;
mod downlevel;
mod error;
mod facts;
mod json;
mod keyword;
mod limits;
mod path;
mod pattern;
mod profile;
mod reference;
pub mod repair;
mod resolve;
mod types;
pub mod verdict;

pub use argument::{ArgumentChecker, Automaton, valid_prefix};
pub use check::{Violation, ViolationKind, Where, check_root, check_strict};
pub use downlevel::{Dialect, Downleveled, downlevel};
pub use error::{CompileError, Mismatch};
pub use json::{ParseError, ParseErrorKind, parse};
pub use keyword::KeywordSet;
pub use limits::Limits;
pub use profile::{Choices, Counts, LevelCounting, Profile, Rewrites};
pub use repair::repair;
pub use resolve::{
    Change, ChangeCode, Level, Reason, ReasonCode, Resolved, Restore, empty_parameters, resolve,
};
pub use verdict::Validator;
