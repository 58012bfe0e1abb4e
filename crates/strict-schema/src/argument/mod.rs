//! Tool-call arguments checked while they stream, byte by byte.
//!
//! [`Automaton`] is a schema compiled once and shared; [`ArgumentChecker`] is one call's state,
//! a few hundred bytes for ordinary tools. A text is refused at the **first byte after which no
//! valid document exists**, so that a server can stop reading the model there. Members may come
//! in any order, with any JSON whitespace and escapes; duplicate names are refused.
//!
//! Where the first byte is missed, the text is refused later, never wrongly taken:
//! * a `\uXXXX` escape is judged when it is whole (that *some* character may follow, at its
//!   backslash);
//! * a number is judged when it has ended, because `1` may go on to `10` or to `1e-5`; only a
//!   wrong sign is seen at once;
//! * keywords on one string that contradict each other (a pattern that needs ten characters
//!   beside `maxLength: 5`), several schemas in `allOf`, and formats: by whichever notices first,
//!   at the latest at the value's end; `oneOf` counts its matches at the value's end;
//! * `maxProperties` that leaves no room for what is still required: at the `}`.
//!
//! Bounds beyond JSON's own, so that a model that loops is stopped: [`MAX_DEPTH`],
//! [`MAX_WHITESPACE`], [`MAX_NUMBER_BYTES`], 512 bytes for a string with a `format`. Numbers
//! outside the range of a double and lone surrogates are refused, as by any JSON parser. In open
//! objects only the first 1,024 names are compared for duplicates.

mod atoms;
mod checker;
mod compile;
mod constants;
mod dfa;
mod explain;
pub(crate) mod format;
mod formula;
mod keywords;
mod link;
mod names;
mod phrase;
mod state;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use serde_json::Value;

use self::{
    atoms::{ArrayAtom, NumberAtom, ObjectAtom, StringAtom},
    checker::Lex,
    formula::{Node, NodeId},
    state::{AtomState, Frame, Want},
};
use crate::{CompileError, Mismatch};

/// Arrays and objects within each other that a document may have.
pub const MAX_DEPTH: usize = 64;
/// Bytes of whitespace in a row between two tokens.
pub const MAX_WHITESPACE: u32 = 1024;
/// Bytes of one number.
pub const MAX_NUMBER_BYTES: usize = 128;
/// Bytes of a name that are kept for pointers in messages.
const MAX_KEY_BYTES: usize = 128;
/// Names of one open object that are compared for duplicates.
const MAX_TRACKED_KEYS: usize = 1024;

/// A schema compiled for [`ArgumentChecker`]; keep it in an [`Arc`].
#[derive(Debug)]
pub struct Automaton {
    nodes: Vec<Node>,
    root: NodeId,
    strings: Vec<StringAtom>,
    numbers: Vec<NumberAtom>,
    arrays: Vec<ArrayAtom>,
    objects: Vec<ObjectAtom>,
    skipped: Vec<CompileError>,
}

impl Automaton {
    /// Compiles a schema of the strict subset, and of whatever else of JSON Schema can be
    /// followed byte by byte (`allOf`, `oneOf`, `prefixItems`, open objects, ...).
    ///
    /// Errors are [`CompileError::Unsupported`] for keywords that are not followed, with the
    /// schema's pointer, and the other variants for schemas that are wrong or too large.
    ///
    /// ```
    /// use serde_json::json;
    /// use strict_schema::{Automaton, CompileError};
    ///
    /// assert!(Automaton::compile(&json!({"type": "string", "minLength": 2})).is_ok());
    /// let error = Automaton::compile(&json!({"not": {"type": "null"}})).unwrap_err();
    /// assert!(matches!(error, CompileError::Unsupported { keyword, .. } if keyword == "not"));
    /// ```
    pub fn compile(schema: &Value) -> Result<Self, CompileError> {
        compile::compile(schema, false)
    }

    /// Like [`compile`](Self::compile), but leaves out what is not followed instead of refusing
    /// the schema: what the checker refuses is invalid all the same, but what it takes still
    /// needs a final verdict if anything was [skipped](Self::skipped).
    ///
    /// ```
    /// use serde_json::json;
    /// use strict_schema::Automaton;
    ///
    /// let schema = json!({"type": "array", "uniqueItems": true});
    /// let automaton = Automaton::compile_partial(&schema)?;
    /// assert_eq!(automaton.skipped().len(), 1);
    /// # Ok::<(), strict_schema::CompileError>(())
    /// ```
    pub fn compile_partial(schema: &Value) -> Result<Self, CompileError> {
        compile::compile(schema, true)
    }

    /// The keywords that [`compile_partial`](Self::compile_partial) left out.
    pub fn skipped(&self) -> &[CompileError] {
        &self.skipped
    }
}

/// Checks one text against an [`Automaton`], in pieces of any size.
#[derive(Debug, Clone)]
pub struct ArgumentChecker {
    automaton: Arc<Automaton>,
    offset: usize,
    lex: Lex,
    /// Whitespace in a row.
    spaces: u32,
    /// The current string has a format, so its text is kept in `scratch`.
    keep_text: bool,
    /// Characters of the current string.
    chars: u64,
    /// Decoded bytes of the current string or name.
    depth: usize,
    hash: u128,
    frames: Vec<Frame>,
    atoms: Vec<AtomState>,
    wants: Vec<Want>,
    bits: Vec<u64>,
    hashes: Vec<u128>,
    keys: Vec<u8>,
    /// The current number, or string with a format.
    scratch: Vec<u8>,
    failed: Option<Box<Mismatch>>,
}
