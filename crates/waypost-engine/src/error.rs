//! The one error of the store.

/// Why a store method failed. The method changed nothing, with one exception:
/// after [`StoreError::Unavailable`] the change may be committed (the reply was
/// lost). Callers that retry rely on what the method promises for a second call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such row, or it belongs to another project.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Another row has this unique name or pair.
    #[error("{0}")]
    Conflict(String),
    /// A documented limit is reached.
    #[error("at most {max} {what} are allowed")]
    LimitReached {
        /// What is limited, in the plural.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// The row's state forbids the change (for example: an archived project).
    #[error("{0}")]
    Refused(String),
    /// The worker's lease is gone: it expired or was taken over, or the response was
    /// cancelled or finished.
    /// The worker must stop at once: the store refuses all its further writes.
    #[error("the lease on this response was lost")]
    Fenced,
    /// The disk is full or the quota is used up. Worth retrying later.
    #[error("the store has no room left: {0}")]
    Full(String),
    /// Closed, busy or not reachable. Worth retrying.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A bug or damaged data. Not worth retrying.
    #[error("store error: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anyone changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}
