//! What can be wrong with a schema ([`CompileError`]) and with arguments ([`Mismatch`]).
//!
//! Both carry JSON pointers (RFC 6901): a `CompileError` points into the schema, a `Mismatch`
//! into the document. Messages are sentences that can go to a user, or back to the model.

use thiserror::Error;

/// Why a schema could not be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The schema is valid JSON Schema, but this keyword (or this use of it) is not understood
    /// here. The caller still has [`Validator`](crate::Validator) for the finished text.
    #[error("the keyword '{keyword}' at '{pointer}' cannot be checked while the text streams")]
    Unsupported {
        /// The keyword as written in the schema.
        keyword: String,
        /// JSON pointer of the schema object that holds it.
        pointer: String,
    },
    /// The schema itself is wrong.
    #[error("the schema is not valid at '{pointer}': {message}")]
    Invalid {
        /// JSON pointer of the offending place.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
    /// References lead back to the same place without a property or an item between them, so no
    /// amount of input would ever decide the schema.
    #[error("the reference at '{pointer}' leads back to itself")]
    AliasCycle {
        /// JSON pointer of a schema on the cycle.
        pointer: String,
    },
    /// The schema is larger than what is compiled here.
    #[error("the schema has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much would be accepted.
        limit: usize,
    },
}

/// The place where a text stopped being a valid document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("at '{pointer}' (byte {offset}): {message}")]
pub struct Mismatch {
    /// Number of bytes before the offending one; the length of the text if it ended too early.
    /// Always 0 in verdicts on parsed values, which have no bytes.
    pub offset: usize,
    /// JSON pointer of the value (for a property that is not allowed: of its object).
    pub pointer: String,
    /// A sentence that a model can act on.
    pub message: String,
}
