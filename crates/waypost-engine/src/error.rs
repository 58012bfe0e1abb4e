//! The one error of the store.

/// Why a store method did not do what it was asked. Nothing was changed when
/// one of these is returned, except that [`StoreError::Unavailable`] may hide a
/// commit whose outcome is unknown (the reply was lost): callers that retry
/// rely on the idempotence each method promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such row, or it belongs to another project.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A unique name or pair is taken.
    #[error("{0}")]
    Conflict(String),
    /// A documented limit is reached.
    #[error("at most {max} {what} are allowed")]
    LimitReached {
        /// What there would be too many of, in the plural.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// The row's state forbids the change (for example: an archived project).
    #[error("{0}")]
    Refused(String),
    /// The writer's lease is gone: expired, taken over, cancelled or finished.
    /// The writer must stop at once; nothing it does can count any more.
    #[error("the lease on this response was lost")]
    Fenced,
    /// The disk is full or the quota is used up. Worth retrying later.
    #[error("the store has no room left: {0}")]
    Full(String),
    /// Closed, busy or not reachable. Worth retrying.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Something that should be impossible. Not worth retrying.
    #[error("store error: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anyone changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}
