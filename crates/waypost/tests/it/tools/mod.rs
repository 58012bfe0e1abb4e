//! Tools as a client meets them: what is declared, what comes back, what is
//! refused and in which words.

use serde_json::{Value, json};

use crate::{harness::Reply, support::World};

mod choice;
mod client;
mod crashes;
mod declare;
mod enforce;
mod engines;
mod formats;
mod hosted;
mod limits;
mod matrix;
mod replay;
mod resolve;
mod strict;

/// Posts a create request: `model` and `input` are there, the rest is `more`.
async fn post(world: &World, more: Value) -> Reply {
    let mut body = json!({"model": "chat?tokens=1", "input": "x"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    world.client().post("/v1/responses", body).await
}

/// The tools of the response to a create request that declares these.
async fn echoed(world: &World, tools: Value) -> Value {
    post(world, json!({"tools": tools})).await.ok().json["tools"].clone()
}

/// A function tool with these parameters and `strict` left out.
fn function(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "name": name, "parameters": parameters})
}

/// An object's schema with one string, left open.
fn open_object() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}})
}

/// The same, strict.
fn closed_object() -> Value {
    json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "additionalProperties": false,
        "required": ["city"],
    })
}

/// A schema that cannot be made strict: any key may be there.
fn map_object() -> Value {
    json!({
        "type": "object",
        "properties": {"opts": {"type": "object", "additionalProperties": true}},
    })
}
