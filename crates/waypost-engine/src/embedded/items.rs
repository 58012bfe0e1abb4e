//! The index of items: which stored response holds the item with an id.
//!
//! The foreign key deletes rows with their response. Easy to break: a request may
//! refer to ten thousand items of one long response. So the output of a response
//! is read once, and items are taken from it by their position.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::{Tx, sql::Result};
use crate::{
    StoreError, refusals,
    responses::{NewResponse, OutputItem},
};

/// Where an item is.
struct Place {
    response_id: String,
    is_output: bool,
    position: u32,
}

/// Indexes the input of a new response, and its output if it has any.
pub(super) fn index_new(tx: &Tx<'_>, new: &NewResponse) -> Result<()> {
    let input = (0..)
        .zip(&new.input)
        .filter(|(_, item)| !item.id.is_empty());
    let input = input.map(|(position, item)| (item.id.as_str(), false, position));
    index(tx, &new.project_id, &new.id, input)?;
    index_output(tx, &new.project_id, &new.id, &new.output)
}

/// Indexes the output of a response whose body is final.
pub(super) fn index_output(
    tx: &Tx<'_>,
    project_id: &str,
    response_id: &str,
    output: &[OutputItem],
) -> Result<()> {
    let output = output.iter();
    let output = output.map(|item| (item.id.as_str(), true, item.position));
    index(tx, project_id, response_id, output)
}

fn index<'i>(
    tx: &Tx<'_>,
    project_id: &str,
    response_id: &str,
    items: impl Iterator<Item = (&'i str, bool, u32)>,
) -> Result<()> {
    // A client may send the same id twice.
    let mut insert = tx.conn.prepare_cached(
        "INSERT INTO items (project_id, id, response_id, is_output, position)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    for (id, is_output, position) in items {
        insert.execute((project_id, id, response_id, is_output, position))?;
    }
    Ok(())
}

pub(super) fn find(
    conn: &Connection,
    project_id: &str,
    ids: &[String],
    max_bytes: usize,
) -> Result<Vec<Option<String>>> {
    let mut left = max_bytes;
    let mut take = |bytes: usize| {
        left = (left.checked_sub(bytes)).ok_or_else(|| refusals::items_are_too_large(max_bytes))?;
        Ok::<(), StoreError>(())
    };
    let mut outputs: HashMap<String, Vec<String>> = HashMap::new();
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(place) = place_of(conn, project_id, id)? else {
            found.push(None);
            continue;
        };
        if !place.is_output {
            let item = input_item(conn, &place)?;
            take(item.as_ref().map_or(0, String::len))?;
            found.push(item);
            continue;
        }
        if !outputs.contains_key(&place.response_id) {
            let output = output_of(conn, &place.response_id)?;
            take(output.iter().map(String::len).sum())?;
            outputs.insert(place.response_id.clone(), output);
        }
        let output = &outputs[&place.response_id];
        found.push(output.get(place.position as usize).cloned());
    }
    Ok(found)
}

/// Ids of responses ascend with time, so the highest one is the newest.
fn place_of(conn: &Connection, project_id: &str, id: &str) -> Result<Option<Place>> {
    let place = conn
        .prepare_cached(
            "SELECT response_id, is_output, position FROM items
             WHERE project_id = ? AND id = ? ORDER BY response_id DESC LIMIT 1",
        )?
        .query_row([project_id, id], |row| {
            Ok(Place {
                response_id: row.get(0)?,
                is_output: row.get(1)?,
                position: row.get(2)?,
            })
        })
        .optional()?;
    Ok(place)
}

fn input_item(conn: &Connection, place: &Place) -> Result<Option<String>> {
    let item = conn
        .prepare_cached("SELECT json FROM input_items WHERE response_id = ? AND position = ?")?
        .query_row((&place.response_id, place.position), |row| row.get(0))
        .optional()?;
    Ok(item)
}

fn output_of(conn: &Connection, response_id: &str) -> Result<Vec<String>> {
    let items = conn
        .prepare_cached(
            "SELECT value FROM response_bodies JOIN json_each(body, '$.output')
             WHERE response_id = ?",
        )?
        .query_map([response_id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(items)
}
