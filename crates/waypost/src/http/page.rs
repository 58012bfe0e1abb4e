//! Cursor pagination as the API shows it.

use serde::{Deserialize, Serialize};
use waypost_engine::{
    id,
    page::{Page, PageQuery},
};

use crate::http::ApiError;

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// `order`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    Desc,
}

/// A list as the API shows it.
#[derive(Debug, Serialize)]
pub struct List<T> {
    object: &'static str,
    data: Vec<T>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// Checks `after`, `before` and `limit`. Cursors are ids with this prefix.
pub fn query(
    prefix: &str,
    after: Option<String>,
    before: Option<String>,
    limit: Option<i64>,
    order: Order,
) -> Result<PageQuery, ApiError> {
    let limit = match limit {
        None => DEFAULT_LIMIT,
        Some(limit) => u32::try_from(limit)
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| {
                ApiError::invalid(format!("Invalid 'limit': it must be 1 to {MAX_LIMIT}."))
                    .param("limit")
                    .code("invalid_value")
            })?,
    };
    if after.is_some() && before.is_some() {
        return Err(
            ApiError::invalid("Give either 'after' or 'before', not both.")
                .param("before")
                .code("invalid_value"),
        );
    }
    for (param, cursor) in [("after", &after), ("before", &before)] {
        if let Some(cursor) = cursor
            && !id::is_plausible(cursor, prefix)
        {
            return Err(ApiError::invalid(format!(
                "Invalid '{param}': it must be an id of this list, beginning with '{prefix}'."
            ))
            .param(param)
            .code("invalid_value"));
        }
    }
    Ok(PageQuery {
        after,
        before,
        limit,
        descending: order == Order::Desc,
    })
}

impl<T> List<T> {
    /// Shows a page. `id` names an item.
    pub fn of<S>(page: Page<S>, id: impl Fn(&S) -> &str, show: impl Fn(S) -> T) -> Self {
        Self {
            object: "list",
            first_id: page.items.first().map(|item| id(item).to_owned()),
            last_id: page.items.last().map(|item| id(item).to_owned()),
            has_more: page.has_more,
            data: page.items.into_iter().map(show).collect(),
        }
    }
}

/// The answer to a deletion.
#[derive(Debug, Serialize)]
pub struct Deletion {
    pub object: &'static str,
    pub id: String,
    pub deleted: bool,
}

impl Deletion {
    pub fn new(object: &'static str, id: String) -> Self {
        Self {
            object,
            id,
            deleted: true,
        }
    }
}
