//! JSON Schema to OpenAI's strict subset: resolve, check, validate.

mod check;
mod downlevel;
mod facts;
mod json;
mod keyword;
mod limits;
mod path;
mod pattern;
mod profile;
mod reference;
mod resolve;
mod types;

pub use check::{Violation, ViolationKind, Where, check_root, check_strict};
pub use downlevel::{Dialect, Downleveled, downlevel};
pub use json::{ParseError, ParseErrorKind, parse};
pub use keyword::KeywordSet;
pub use limits::Limits;
pub use profile::{Choices, Counts, LevelCounting, Profile, Rewrites};
pub use resolve::{
    Change, ChangeCode, Level, Reason, ReasonCode, Resolved, Restore, empty_parameters, resolve,
};
