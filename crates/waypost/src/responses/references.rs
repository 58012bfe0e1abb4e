//! Input items that are named instead of sent: `{"type": "item_reference",
//! "id": …}`. The Vercel AI SDK continues conversations that way.
//!
//! A reference stands for the item of a stored response of the same project,
//! input or output, which takes its place: from there on nothing knows that it
//! was not sent, and `input_items` lists it.

use std::collections::HashSet;

use serde_json::{Value, json};
use waypost_engine::StoreError;

use crate::{
    http::{
        error::{ApiError, shown},
        fields::{Fields, missing},
        places::Places,
    },
    model::MAX_ID,
    responses::Responses,
};

/// Bytes of the items that one request refers to, with their responses' output.
const MAX_BYTES: usize = 64 * 1024 * 1024;

const TYPE: &str = "item_reference";

/// A reference as a request has it.
pub fn parse(mut fields: Fields<'_>) -> Result<Value, ApiError> {
    let path = fields.path("id");
    let id = fields.bounded_string("id", MAX_ID)?;
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| missing(&path))?;
    fields.end()?;
    Ok(json!({"type": TYPE, "id": id}))
}

/// Puts the items in the places of their references. One that is in `earlier`,
/// or in `items` before, is not told twice; `places` are those of `items` in the
/// request's input.
pub async fn resolve(
    state: &Responses,
    project_id: &str,
    earlier: &[Value],
    items: &mut Vec<Value>,
    places: &mut Places,
) -> Result<(), ApiError> {
    if !items.iter().any(is_reference) {
        return Ok(());
    }
    let mut seen: HashSet<String> = earlier.iter().filter_map(id_of).collect();
    places.retain(items, |item| {
        let fresh = id_of(item).is_none_or(|id| seen.insert(id));
        // What is sent twice is for the check of the whole to refuse.
        fresh || !is_reference(item)
    });
    let wanted: Vec<String> = items
        .iter()
        .filter(|item| is_reference(item))
        .filter_map(id_of)
        .collect();
    let found = state
        .engine
        .store
        .find_items(project_id, &wanted, MAX_BYTES);
    let found = found.await.map_err(|error| match error {
        StoreError::LimitReached { .. } => ApiError::invalid(format!(
            "The items that 'input' refers to are too long: {error}."
        ))
        .param("input")
        .code("context_length_exceeded"),
        error => error.into(),
    })?;
    let mut found = wanted.iter().zip(found);
    for item in items.iter_mut().filter(|item| is_reference(item)) {
        let Some((id, found)) = found.next() else {
            break;
        };
        let found = found.ok_or_else(|| unknown(id))?;
        *item = serde_json::from_str(&found).map_err(ApiError::internal)?;
    }
    Ok(())
}

fn is_reference(item: &Value) -> bool {
    item["type"] == TYPE
}

fn id_of(item: &Value) -> Option<String> {
    item["id"].as_str().map(str::to_owned)
}

/// OpenAI's words.
fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!(
        "Item with id '{}' not found. Items are not persisted when `store` is set to false. Try \
         again with `store` set to true, or remove this item from your input.",
        shown(id)
    ))
    .param("input")
}
