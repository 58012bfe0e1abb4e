//! JSON Schema in OpenAI's strict subset: resolve, check, loosen, and judge arguments as they
//! stream.
//!
//! A tool's schema comes from a client and is never trusted: [`parse`] reads it
//! within [`Limits`]. With `strict: true` it must be in the subset, and
//! [`check_strict`] says what is not, in OpenAI's words. With `strict` omitted
//! [`resolve`] makes it strict if that can be done without changing what it means,
//! and says why if not. [`downlevel`] writes it for the engine of a model server;
//! what that loses is checked afterwards, on the arguments: by an [`ArgumentChecker`] as they
//! come, by a [`Validator`] at their end. What is almost right, [`repair()`] mends.
//!
//! What "strict" means is data: a [`Profile`]. What an engine takes is data: a
//! [`Dialect`].
//!
//! ```
//! use strict_schema::{Limits, Profile, Resolved, Where, check_strict, parse, resolve};
//!
//! let text = br#"{
//!     "type": "object",
//!     "properties": {
//!         "city": {"type": "string"},
//!         "unit": {"oneOf": [{"const": "C"}, {"const": "F"}]}
//!     },
//!     "required": ["city"]
//! }"#;
//! let schema = parse(text, &Limits::default())?;
//! let profile = Profile::default();
//!
//! // strict: true
//! let at = Where::ChatTool { index: 0, name: "get_weather" };
//! let violations = check_strict(&schema, &profile, at).unwrap_err();
//! assert_eq!(violations[0].param, "tools[0].function.parameters");
//! assert_eq!(violations[0].kind.to_string(), "open_object");
//!
//! // strict omitted
//! match resolve(&schema, &profile) {
//!     Resolved::Strict { schema, .. } => {
//!         assert!(check_strict(&schema, &profile, at).is_ok());
//!         assert_eq!(schema["properties"]["unit"]["anyOf"][0]["type"], "string");
//!     }
//!     Resolved::Fallback { reasons } => panic!("{reasons:?}"),
//! }
//! # Ok::<(), strict_schema::ParseError>(())
//! ```
//!
//! An optional property becomes mandatory, as it does at OpenAI. Where an operator
//! turns on level C it becomes nullable instead, and [`Restore`] takes the nulls
//! out of the arguments again:
//!
//! ```
//! use serde_json::json;
//! use strict_schema::{Profile, Resolved, resolve};
//!
//! let schema = json!({"type": "object", "properties": {"unit": {"type": "string"}}});
//! let mut profile = Profile::default();
//! profile.rewrites.nullable_optionals = true;
//! let Resolved::Strict { restore, .. } = resolve(&schema, &profile) else { panic!() };
//! let mut arguments = json!({"unit": null});
//! restore.apply(&mut arguments);
//! assert_eq!(arguments, json!({}));
//! ```

pub mod argument;
mod check;
mod cost;
mod decide;
mod downlevel;
mod error;
mod facts;
mod json;
mod keyword;
mod limits;
mod malformed;
mod mend;
mod nullable;
mod path;
mod pattern;
mod pointer;
mod profile;
mod reference;
pub mod repair;
mod resolve;
mod types;
pub mod validator;

pub use argument::{ArgumentChecker, Automaton};
pub use check::{Violation, ViolationKind, Where, check_root, check_strict};
pub use decide::{Decision, decide};
pub use downlevel::{Dialect, Downleveled, PatternStyle, downlevel};
pub use error::{CompileError, Mismatch};
pub use json::{ParseError, ParseErrorKind, parse};
pub use keyword::KeywordSet;
pub use limits::Limits;
pub use mend::mend;
pub use nullable::admit_null;
pub use pattern::{MAX_LARGE_CLASSES, large_classes};
pub use profile::{Choices, Counts, LevelCounting, Profile, Rewrites};
pub use repair::repair;
pub use resolve::{
    Change, ChangeCode, Level, Reason, ReasonCode, Resolved, Restore, empty_parameters, resolve,
};
pub use validator::Validator;
