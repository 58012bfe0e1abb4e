//! `item_reference`: items of stored responses, named instead of sent.

use serde_json::{Value, json};
use waypost_engine::id;

use crate::support::{World, id_of, output_text};

const TOOLS: &str = r#"[{"type": "function", "name": "f", "parameters": {"type": "object",
    "properties": {"city": {"type": "string"}}, "required": ["city"],
    "additionalProperties": false}}]"#;

fn tools() -> Value {
    serde_json::from_str(TOOLS).expect("JSON")
}

fn reference(item: &Value) -> Value {
    json!({"type": "item_reference", "id": item["id"]})
}

/// What the model server was told, as text.
fn told(world: &World) -> String {
    world.last_request()["messages"].to_string()
}

#[tokio::test]
async fn a_tool_loop_and_a_second_turn_by_references() {
    let world = World::start().await;
    for (kind, background) in [("whole", false), ("streamed", false), ("background", true)] {
        let model = format!(
            r#"chat?key={kind}&reasoning_tokens=3&call=f:{{"city":"Paris"}}&then&say=Sunny.&then&say=Still."#
        );
        let ask = async |input: Value| {
            let body = json!({"model": model, "input": input, "tools": tools(),
                "background": background});
            match kind {
                "whole" => world.create(body).await,
                "streamed" => world.stream(body).await.checked().await,
                _ => world.ended(&id_of(&world.create(body).await)).await,
            }
        };
        let question = json!({"role": "user", "content": "The weather?"});
        let first = ask(json!([question])).await;
        let output = first["output"].as_array().expect("output");
        assert_eq!(output.len(), 2, "{first}");
        let answered = json!({"type": "function_call_output", "call_id": output[1]["call_id"],
            "output": "sunny"});
        let mut input = vec![
            question,
            reference(&output[0]),
            reference(&output[1]),
            answered,
        ];
        let second = ask(json!(input)).await;
        assert_eq!(output_text(&second), "Sunny.", "{second}");
        // Short forms are references too.
        input.push(
            json!({"id": second["output"].as_array().expect("output").last().expect("one")["id"]}),
        );
        input.push(json!({"role": "user", "content": "And now?"}));
        let third = ask(json!(input)).await;
        assert_eq!(output_text(&third), "Still.", "{third}");
        let heard = told(&world);
        for once in ["The weather?", "Paris", "Sunny.", "And now?"] {
            assert_eq!(heard.matches(once).count(), 1, "{once} in {heard}");
        }
        // The items themselves are listed.
        let list = format!("/v1/responses/{}/input_items?order=asc", id_of(&third));
        let list = world.client().get(&list).await.ok().json;
        assert_eq!(list["data"][1], output[0]);
        assert_eq!(list["data"][2], output[1]);
    }
}

#[tokio::test]
async fn an_item_counts_once() {
    let world = World::start().await;
    let first = world
        .create(json!({"model": "chat?say=One.", "input": "Count."}))
        .await;
    let said = reference(&first["output"][0]);
    let list = format!("/v1/responses/{}/input_items", id_of(&first));
    let asked = reference(&world.client().get(&list).await.ok().json["data"][0]);
    let second = world
        .create(
            json!({"model": "chat?say=Two.", "previous_response_id": first["id"],
            "input": [asked, said, said, {"role": "user", "content": "On."}]}),
        )
        .await;
    assert_eq!(second["status"], "completed");
    let heard = told(&world);
    for once in ["Count.", "One.", "On."] {
        assert_eq!(heard.matches(once).count(), 1, "{once} in {heard}");
    }
}

#[tokio::test]
async fn what_is_not_stored_is_a_404_by_name() {
    let world = World::start().await;
    let refused = async |client: &crate::harness::Client, id: &str| {
        let body = json!({"model": "chat", "input": [{"type": "item_reference", "id": id}]});
        let reply = client.post("/v1/responses", body).await;
        let message = reply.error(404, Some("input"), None);
        assert!(
            message.starts_with(&format!("Item with id '{id}' not found.")),
            "{message}"
        );
    };
    let client = world.client();
    refused(&client, &id::fresh("msg_")).await;
    let unstored = world
        .create(json!({"model": "chat?say=x", "input": "x", "store": false}))
        .await;
    refused(
        &client,
        unstored["output"][0]["id"].as_str().expect("an id"),
    )
    .await;

    let stored = world
        .create(json!({"model": "chat?say=x", "input": "x"}))
        .await;
    let item = stored["output"][0]["id"].as_str().expect("an id");
    let other = world.server.project("other").await;
    refused(&world.server.client(&other.key), item).await;
    let path = format!("/v1/responses/{}", id_of(&stored));
    client.delete(&path).await.ok();
    refused(&client, item).await;

    for bad in [
        json!({"type": "item_reference"}),
        json!({"id": ""}),
        json!({"id": 5}),
    ] {
        let body = json!({"model": "chat", "input": [bad]});
        let reply = client.post("/v1/responses", body).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert_eq!(reply.json["error"]["param"], "input[0].id");
    }
}

#[tokio::test]
async fn references_outlive_a_restart() {
    let mut world = World::start().await;
    let first = world
        .create(json!({"model": "chat?say=One.", "input": "Count."}))
        .await;
    world.server.kill9().await;
    world.server.restart().await;
    let second = world
        .create(
            json!({"model": "chat?say=Two.", "input": [reference(&first["output"][0]),
            {"role": "user", "content": "On."}]}),
        )
        .await;
    assert_eq!(output_text(&second), "Two.");
    assert!(told(&world).contains("One."));
}
