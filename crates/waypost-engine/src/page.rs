//! Cursor pagination, the same for every list.

/// Which part of a list is wanted. Ids are the cursors; a cursor still works
/// after its row is deleted. [`crate::store`] says how lists are ordered.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// Start after this id, in the direction of the listing.
    pub after: Option<String>,
    /// End before this id, in the direction of the listing: the page holds the
    /// rows right before it.
    pub before: Option<String>,
    /// At most this many rows; the caller has checked 1 to 100.
    pub limit: u32,
    /// The list's order reversed: the newest first.
    pub descending: bool,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows, in the asked direction.
    pub items: Vec<T>,
    /// Whether more rows follow (with `before`: precede) this page.
    pub has_more: bool,
}
