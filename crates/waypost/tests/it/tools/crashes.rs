//! kill -9 between the answers of one response: what was found is not searched
//! for again, and what was spent is not forgotten.

use serde_json::{Value, json};

use super::closed_object;
use crate::support::{Events, World, answer_of, checked, id_of, output_text, until};

const LEASE: &str = "lease = \"1s\"";
const SEARCH: &str = r#"call=tool_search:{"query":"places"}"#;
const BAD: &str = r#"call=f:{"city":["Paris",2]}"#;
const GOOD: &str = r#"call=f:{"city":"Paris"}"#;
/// Prompt tokens that a scripted answer reports.
const PROMPT: u64 = 11;

fn background(model: &str) -> Value {
    json!({"model": model, "input": "x", "background": true, "tools": [
        {"type": "tool_search"},
        {"type": "function", "name": "f", "description": "Finds places.", "strict": true,
            "defer_loading": true, "parameters": closed_object()}]})
}

fn kinds(response: &Value) -> Vec<&str> {
    let output = response["output"].as_array().expect("output");
    output
        .iter()
        .map(|item| item["type"].as_str().expect("a type"))
        .collect()
}

async fn whole(world: &World, id: &str) -> Value {
    let ended = world.ended(id).await;
    let response = checked(&world.replay(id, None).await.collect().await);
    assert_eq!(response["output"], ended["output"]);
    response
}

async fn crash(world: &mut World) {
    world.server.kill9().await;
    world.server.restart().await;
}

/// Reads until the search's two items are done, and so in the log: the next turn
/// may be asked while they are still being written.
async fn searched(mut events: Events) {
    let mut done = 0;
    while done < 2 {
        let event = events.next().await.expect("the items of the search");
        done += u32::from(event["type"] == "response.output_item.done");
    }
}

#[tokio::test]
async fn what_a_search_found_is_still_there() {
    let mut world = World::builder().responses(LEASE).start().await;
    let model = format!("chat?key=k&{SEARCH}&then&first_delay_ms=3000&{GOOD}&then&{GOOD}");
    let mut events = world.stream(background(&model)).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    until("the second turn is asked", async || {
        world.upstream.requests_of("k").len() == 2
    })
    .await;
    searched(events).await;
    crash(&mut world).await;
    let response = whole(&world, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(
        kinds(&response),
        ["tool_search_call", "tool_search_output", "function_call"]
    );
    assert_eq!(response["output"][2]["arguments"], r#"{"city":"Paris"}"#);
    let asked = world.upstream.requests_of("k");
    assert_eq!(asked.len(), 3, "the search was not repeated");
    assert_eq!(asked[2].json()["messages"], asked[1].json()["messages"]);
    assert_eq!(asked[2].json()["tools"], asked[1].json()["tools"]);
    // The turn that died said nothing of its tokens.
    assert_eq!(response["usage"]["input_tokens"], 2 * PROMPT);
    let fetched = world.get(&id).await.ok().json;
    assert_eq!(fetched["usage"], response["usage"]);
}

#[tokio::test]
async fn words_after_a_search_are_continued() {
    let mut world = World::builder().responses(LEASE).start().await;
    let words = "tokens=60&delay_ms=25";
    let model = format!("prefill?key=k&{SEARCH}&then&{words}");
    let mut events = world.stream(background(&model)).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    let mut count = 0;
    while let Some(event) = events.next().await {
        count += usize::from(event["type"] == "response.output_text.delta");
        if count == 5 {
            break;
        }
    }
    drop(events);
    crash(&mut world).await;
    let response = whole(&world, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(
        kinds(&response),
        ["tool_search_call", "tool_search_output", "message"]
    );
    assert_eq!(
        output_text(&response),
        answer_of(&format!("prefill?{words}"))
    );
    let asked = world.upstream.requests_of("k");
    let (before, after) = (asked[1].json(), asked[2].json());
    assert_eq!(after["tools"], before["tools"]);
    let messages = after["messages"].as_array().expect("messages");
    let (last, context) = messages.split_last().expect("messages");
    assert_eq!(json!(context), before["messages"]);
    assert_eq!(last["role"], "assistant", "it was asked to continue");
    let usage = &response["usage"];
    let sum = |field: &str| usage[field].as_u64().expect("a count");
    assert!(sum("output_tokens") > 60, "{usage}");
    assert!(sum("input_tokens") > PROMPT, "{usage}");
}

#[tokio::test]
async fn an_answer_that_was_not_accepted_is_paid_for() {
    let mut world = World::builder().responses(LEASE).start().await;
    let model = format!("chat?key=k&{BAD}&then&first_delay_ms=3000&{GOOD}&then&{GOOD}");
    let mut request = background(&model);
    request["tools"][1]["defer_loading"] = json!(false);
    let mut events = world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    until("it is asked again", async || {
        world.upstream.requests_of("k").len() == 2
    })
    .await;
    drop(events);
    crash(&mut world).await;
    let response = whole(&world, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(kinds(&response), ["function_call"]);
    assert_eq!(response["usage"]["input_tokens"], 2 * PROMPT);
}

/// What all attempts together may write is what the client allowed.
#[tokio::test]
async fn the_token_limit_holds_for_all_attempts_together() {
    let mut world = World::builder().responses(LEASE).start().await;
    let model = format!("chat?key=k&{SEARCH}&then&first_delay_ms=3000&{GOOD}&then&{GOOD}");
    let mut request = background(&model);
    request["max_output_tokens"] = json!(1000);
    let mut events = world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    until("the second turn is asked", async || {
        world.upstream.requests_of("k").len() == 2
    })
    .await;
    searched(events).await;
    crash(&mut world).await;
    let response = whole(&world, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    let limit = |at: usize| {
        let asked = world.upstream.requests_of("k")[at].json();
        asked["max_tokens"].as_u64().expect("a limit")
    };
    assert_eq!(limit(0), 1000);
    assert!(limit(1) < 1000);
    assert_eq!(limit(2), limit(1));
}
