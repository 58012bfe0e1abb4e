//! `GET /v1/responses/{id}/input_items`.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;
use waypost_engine::{
    StoreError,
    page::{Page, PageQuery},
    responses::InputItem,
};
use waypost_identity::Scope;

use super::retrieve::{check_include, find};
use crate::{
    http::{
        error::ApiError,
        page::{List, Order},
        path::ApiPath,
        query::ApiQuery,
    },
    identity::caller::ProjectCaller,
    responses::Responses,
};

/// The query.
#[derive(Debug, Deserialize)]
pub struct InputItemsQuery {
    after: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
    order: Option<Order>,
    /// Input items are always whole.
    #[serde(default)]
    include: Vec<String>,
}

pub async fn input_items(
    State(state): State<Arc<Responses>>,
    caller: ProjectCaller,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<InputItemsQuery>,
) -> Result<Json<List<Value>>, ApiError> {
    caller.require(Scope::ResponsesRead)?;
    check_include(&query.include)?;
    let limit = query.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::invalid(format!(
            "Invalid 'limit': expected a value from 1 to 100, but got {limit} instead."
        ))
        .param("limit")
        .code("invalid_value"));
    }
    find(&state, &caller.project_id, &id).await?;
    let page = PageQuery {
        after: query.after,
        before: query.before,
        limit,
        descending: query.order.unwrap_or(Order::Desc) == Order::Desc,
    };
    let page = match state
        .engine
        .store
        .list_input_items(&caller.project_id, &id, page)
        .await
    {
        Ok(page) => page,
        Err(StoreError::NotFound(_)) => {
            return Err(
                ApiError::invalid("The cursor names no input item of this response.")
                    .param("after")
                    .code("invalid_value"),
            );
        }
        Err(error) => return Err(error.into()),
    };
    let parse = |item: InputItem| serde_json::from_str(&item.json).map(|json| (item.id, json));
    let items: Result<Vec<(String, Value)>, _> = page.items.into_iter().map(parse).collect();
    let page = Page {
        items: items.map_err(ApiError::internal)?,
        has_more: page.has_more,
    };
    Ok(Json(List::of(
        page,
        |(id, _)| id.as_str(),
        |(_, json)| json,
    )))
}
