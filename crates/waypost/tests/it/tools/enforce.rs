//! Calls and structured answers as a client gets them over model servers that
//! do not keep to schemas.

use serde_json::{Value, json};
use waypost_testkit::upstream::Ended;

use super::closed_object;
use crate::support::{PATIENCE, World, checked, id_of, output_text, until};

const BAD: &str = r#"call=f:{"city":["Paris",2]}"#;
const GOOD: &str = r#"call=f:{"city":"Paris"}"#;

fn strict() -> Value {
    json!([{"type": "function", "name": "f", "strict": true, "parameters": closed_object()}])
}

fn body(script: &str) -> Value {
    json!({"model": format!("chat?key=k&{script}"), "input": "x", "tools": strict()})
}

fn calls(response: &Value) -> Vec<&str> {
    let output = response["output"].as_array().expect("output");
    output
        .iter()
        .filter(|item| item["type"] == "function_call")
        .map(|item| item["arguments"].as_str().expect("arguments"))
        .collect()
}

#[tokio::test]
async fn a_strict_call_is_valid_or_the_response_has_failed() {
    let world = World::start().await;
    let good = world.create(body(&format!("{BAD}&then&{GOOD}"))).await;
    assert_eq!(good["status"], "completed");
    assert_eq!(calls(&good), [r#"{"city":"Paris"}"#]);
    // Both answers were paid for.
    assert_eq!(good["usage"]["input_tokens"], 22);
    let failed = world.create(body(&format!("prompt_tokens=1&{BAD}"))).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"]["code"], "server_error");
    let message = failed["error"]["message"].as_str().expect("words");
    assert!(
        message.contains("'f'") && message.contains("/city"),
        "{message}"
    );
    assert_eq!(calls(&failed), [""; 0]);
    let id = failed["id"].as_str().expect("an id");
    assert_eq!(world.get(id).await.ok().json, failed);
    let streamed = world.stream(body(&format!("prompt_tokens=2&{BAD}"))).await;
    let mut streamed = streamed;
    assert_eq!(streamed.checked().await["status"], "failed");
}

#[tokio::test]
async fn in_the_background_it_is_the_same() {
    let world = World::start().await;
    let mut request = body(&format!("say=Look:&{BAD}&then&say=Sorry.&{GOOD}"));
    request["background"] = json!(true);
    let id = world.create(request).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let ended = world.ended(&id).await;
    assert_eq!(ended["status"], "completed");
    assert_eq!(calls(&ended), [r#"{"city":"Paris"}"#]);
    let output = ended["output"].as_array().expect("output");
    assert_eq!(
        output.len(),
        2,
        "the apology is nobody's business: {output:?}"
    );
    assert_eq!(output[0]["content"][0]["text"], "Look:");
    let mut request = body(&format!("prompt_tokens=1&{BAD}"));
    request["background"] = json!(true);
    let id = world.create(request).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(world.ended(&id).await["status"], "failed");
    assert_eq!(
        world.upstream.requests_of("k").len(),
        4,
        "no further attempt"
    );
}

#[tokio::test]
async fn reading_stops_at_the_first_byte_that_cannot_be() {
    let world = World::start().await;
    let long = "x".repeat(3000);
    let script = format!(r#"call=f:{{"town":"{long}"}}&cut_bytes=8&delay_ms=5&then&{GOOD}"#);
    let response = world.create(body(&script)).await;
    assert_eq!(calls(&response), [r#"{"city":"Paris"}"#]);
    until("the first answer is given up", async || {
        let requests = world.upstream.requests_of("k");
        requests[0].served().ended == Ended::Aborted
    })
    .await;
    let metrics = world.server.anonymous().get("/metrics").await.text;
    assert!(
        metrics
            .contains(r#"waypost_tool_outcomes_total{upstream="chat",outcome="stopped_early"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_can_be_repaired_is_not_asked_for_again() {
    let world = World::start().await;
    let script = "call=f:```json%0A{'city':+'Paris',}%0A```";
    let response = world.create(body(script)).await;
    let call: Value = serde_json::from_str(calls(&response)[0]).expect("JSON");
    assert_eq!(call, json!({"city": "Paris"}));
    assert_eq!(world.upstream.requests_of("k").len(), 1);
}

#[tokio::test]
async fn a_held_call_comes_whole_after_the_words_before_it() {
    let world = World::start().await;
    let mut events = world
        .stream(body(&format!(
            "say=I+look.&{GOOD}&call=f:{{\"city\":\"Rome\"}}&cut_bytes=2"
        )))
        .await;
    let events = tokio::time::timeout(PATIENCE, events.collect())
        .await
        .expect("an end");
    let response = checked(&events);
    assert_eq!(
        calls(&response),
        [r#"{"city":"Paris"}"#, r#"{"city":"Rome"}"#]
    );
    assert_eq!(response["output"][0]["content"][0]["text"], "I look.");
    let deltas = events
        .iter()
        .filter(|event| event["type"] == "response.function_call_arguments.delta");
    assert_eq!(deltas.count(), 2, "one for each call");
}

#[tokio::test]
async fn custom_tools_are_custom_whatever_the_model_server_knows() {
    let world = World::start().await;
    let tools = json!([{"type": "custom", "name": "date", "description": "Takes a date.",
        "format": {"type": "grammar", "syntax": "regex", "definition": "\\d{4}-\\d\\d"}}]);
    let script = r#"call=date:{"input":"2026/11"}&then&call=date:{"input":"2026-11"}"#;
    let mut request = body(script);
    request["tools"] = tools;
    let mut events = world.stream(request).await;
    let events = events.collect().await;
    let response = checked(&events);
    assert_eq!(response["output"][0]["type"], "custom_tool_call");
    assert_eq!(response["output"][0]["input"], "2026-11");
    assert_eq!(response["output"][0]["name"], "date");
    assert!(
        events
            .iter()
            .any(|event| event["type"] == "response.custom_tool_call_input.done")
    );
    // The next turn: the model server sees its own function again.
    let call_id = response["output"][0]["call_id"].clone();
    let next = json!({
        "model": "chat?key=next&say=Done.",
        "previous_response_id": response["id"],
        "input": [{"type": "custom_tool_call_output", "call_id": call_id, "output": "ok"}],
    });
    world.create(next).await;
    let asked = world.upstream.requests_of("next")[0].json();
    let call = &asked["messages"][1]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "date");
    assert_eq!(call["function"]["arguments"], r#"{"input":"2026-11"}"#);
    assert_eq!(asked["messages"][2]["role"], "tool");
}

#[tokio::test]
async fn a_strict_format_is_kept_too() {
    let world = World::start().await;
    let format = json!({"format": {"type": "json_schema", "name": "place", "strict": true,
        "schema": closed_object()}});
    let ask = |script: &str| json!({"model": format!("chat?key=k&{script}"), "input": "x", "text": format});
    let good = world
        .create(ask(r#"say=It+is:&then&say={"city":"Paris"}"#))
        .await;
    assert_eq!(
        good["output"][0]["content"][0]["text"],
        r#"{"city":"Paris"}"#
    );
    let failed = world.create(ask("say=No.")).await;
    assert_eq!(failed["status"], "failed");
    let message = failed["error"]["message"].as_str().expect("words");
    assert!(message.contains("'place'"), "{message}");
    // Cut off is not wrong.
    let cut = world
        .create(ask(r#"say={"city":"Par&finish_reason=length"#))
        .await;
    assert_eq!(cut["status"], "incomplete");
    assert_eq!(cut["output"][0]["content"][0]["text"], r#"{"city":"Par"#);
}

#[tokio::test]
async fn a_search_that_this_server_answers_is_part_of_the_response() {
    let world = World::start().await;
    let mut request = body(&format!(
        r#"call=tool_search:{{"query":"places"}}&then&{GOOD}"#
    ));
    request["tools"] = json!([
        {"type": "tool_search"},
        {"type": "function", "name": "f", "description": "Finds places.", "strict": true,
            "defer_loading": true, "parameters": closed_object()},
    ]);
    let response = world.stream(request).await.checked().await;
    let kinds: Vec<&str> = response["output"]
        .as_array()
        .expect("output")
        .iter()
        .map(|item| item["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        ["tool_search_call", "tool_search_output", "function_call"]
    );
    assert_eq!(response["output"][1]["tools"][0]["name"], "f");
    assert_eq!(calls(&response), [r#"{"city":"Paris"}"#]);
    assert_eq!(response["usage"]["input_tokens"], 22);
    // A deferred function that is in no namespace comes back under its own name.
    assert_eq!(response["output"][2]["namespace"], "f");
}

#[tokio::test]
async fn a_deferred_function_is_replayed_under_its_own_name() {
    let world = World::start().await;
    let mut request = body(&format!(
        r#"call=tool_search:{{"query":"places"}}&then&{GOOD}&then&say=Done."#
    ));
    request["tools"] = json!([
        {"type": "tool_search"},
        {"type": "function", "name": "f", "description": "Finds places.", "strict": true,
            "defer_loading": true, "parameters": closed_object()},
    ]);
    let first = world.create(request.clone()).await;
    let call = first["output"][2].clone();
    assert_eq!(call["namespace"], "f", "{first}");
    let output = json!({"type": "function_call_output", "call_id": call["call_id"],
        "output": "found"});
    let mut by_id = request.clone();
    by_id["previous_response_id"] = first["id"].clone();
    by_id["input"] = json!([output]);
    let mut by_hand = request.clone();
    let mut items = vec![json!({"role": "user", "content": "x"})];
    items.extend(first["output"].as_array().expect("output").iter().cloned());
    items.push(output);
    by_hand["input"] = json!(items);
    let mut seen = Vec::new();
    for request in [by_id, by_hand] {
        let second = world.create(request).await;
        assert_eq!(second["output"][0]["type"], "message", "{second}");
        let sent = world.last_request();
        let names: Vec<&Value> = sent["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .flat_map(|message| message["tool_calls"].as_array().into_iter().flatten())
            .map(|call| &call["function"]["name"])
            .collect();
        assert_eq!(names, ["tool_search", "f"]);
        seen.push(sent["messages"].clone());
    }
    assert_eq!(seen[0], seen[1]);
}

/// Tools are those of the request: no turn before it brings any.
#[tokio::test]
async fn a_model_without_tools_calls_nothing() {
    let world = World::start().await;
    let asked = |key: &str, more: Value| {
        let mut body = json!({"model": format!("chat?key={key}&{GOOD}&tool_rounds=9"),
            "input": "x"});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let error = json!({"code": "server_error",
        "message": "The model called 'f'. There is no such tool."});
    let first = world
        .create(asked("first", json!({"tools": strict()})))
        .await;
    assert_eq!(calls(&first).len(), 1);
    let output = json!([{"type": "function_call_output", "output": "sunny",
        "call_id": first["output"][0]["call_id"]}]);
    for (key, more) in [
        ("alone", json!({})),
        ("none", json!({"tool_choice": "none"})),
        (
            "later",
            json!({"previous_response_id": first["id"], "input": output}),
        ),
        ("background", json!({"background": true})),
    ] {
        let response = world.create(asked(key, more)).await;
        let response = world.ended(&id_of(&response)).await;
        assert_eq!(response["status"], "failed", "{key}: {response}");
        assert_eq!(response["error"], error, "{key}");
        assert!(calls(&response).is_empty(), "{key}");
        assert_eq!(
            world.upstream.requests_of(key).len(),
            2,
            "{key}: asked again"
        );
    }
    let mut body = asked("again", json!({}));
    body["model"] = json!(format!("chat?key=again&{GOOD}&then&say=Sunny."));
    let response = world.create(body).await;
    assert_eq!(response["status"], "completed");
    assert_eq!(output_text(&response), "Sunny.");
    assert!(calls(&response).is_empty());
}

/// `days` is optional in the client's own schema, and mandatory once resolved.
fn own_schema(strict: Option<bool>) -> Value {
    json!([{"type": "function", "name": "f", "strict": strict, "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}},
        "required": ["city"],
    }}])
}

#[tokio::test]
async fn what_the_clients_own_schema_takes_is_delivered_as_it_is() {
    let world = World::start().await;
    for (model, background) in [("chat", false), ("chat", true), ("native", false)] {
        let script = format!(r#"{model}?key={model}{background}&call=f:{{"city":"Paris"}}"#);
        let request = json!({"model": script, "input": "x", "tools": own_schema(None),
            "background": background});
        let created = world.create(request.clone()).await;
        let id = created["id"].as_str().expect("an id");
        let ended = world.ended(id).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        assert_eq!(calls(&ended), [r#"{"city":"Paris"}"#]);
        assert_eq!(ended["tools"][0]["strict"], true);
        assert_eq!(
            ended["tools"][0]["parameters"]["required"],
            json!(["city", "days"])
        );
        let asked = world.upstream.requests_of(&format!("{model}{background}"));
        assert_eq!(asked.len(), 1, "nothing was asked again");
        if !background {
            let mut streamed = world.stream(request).await;
            assert_eq!(calls(&streamed.checked().await), [r#"{"city":"Paris"}"#]);
        }
    }
    let metrics = world.server.anonymous().get("/metrics").await.text;
    assert!(metrics.contains(r#"outcome="valid_by_own_schema""#));

    // What it does not take is asked again, and fails; so is all that was not
    // asked for with `strict: true`.
    let wrong = r#"chat?key=wrong&call=f:{"days":1}"#;
    let failed = world
        .create(json!({"model": wrong, "input": "x", "tools": own_schema(None)}))
        .await;
    assert_eq!(failed["status"], "failed");
    let message = failed["error"]["message"].as_str().expect("words");
    assert!(
        message.contains("city") && !message.contains("'days'"),
        "{message}"
    );
    assert_eq!(world.upstream.requests_of("wrong").len(), 2);
    let strict = json!([{"type": "function", "name": "f", "strict": true, "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"], "additionalProperties": false}}]);
    let failed = world
        .create(json!({"model": r#"chat?call=f:{"city":"Paris"}"#, "input": "x", "tools": strict}))
        .await;
    assert_eq!(failed["status"], "failed");
}

#[tokio::test]
async fn an_enum_leaves_null_to_its_type() {
    let world = World::start().await;
    let tools = json!([{"type": "function", "name": "f", "strict": true, "parameters": {
        "type": "object",
        "properties": {"unit": {"type": ["string", "null"], "enum": ["C", "F"]}},
        "required": ["unit"], "additionalProperties": false}}]);
    for (value, status) in [
        ("null", "completed"),
        (r#""C""#, "completed"),
        (r#""K""#, "failed"),
    ] {
        let model = format!(r#"chat?call=f:{{"unit":{value}}}"#);
        let response = world
            .create(json!({"model": model, "input": "x", "tools": tools}))
            .await;
        assert_eq!(response["status"], status, "{value}: {response}");
        assert_eq!(response["tools"][0]["parameters"], tools[0]["parameters"]);
    }
}

/// The response in each of the ways to get one.
async fn every_way(world: &World, script: &str, more: &Value) -> Vec<Value> {
    let body = |way: &str| {
        // A script plays anew for each key.
        let key = format!("{way}{}", world.upstream.requests().len());
        let mut body = json!({"model": format!("chat?key={key}&{script}"), "input": "in json"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let waited = world.create(body("w")).await;
    let streamed = world.stream(body("s")).await.checked().await;
    let mut background = body("b");
    background["background"] = json!(true);
    let id = id_of(&world.create(background).await);
    vec![waited, streamed, world.ended(&id).await]
}

/// Nobody gets prose in place of JSON, whatever the format is called; a schema
/// that is not strict is aimed at, and not more.
#[tokio::test]
async fn formats_that_are_not_strict_are_judged_too() {
    let world = World::start().await;
    let object = json!({"type": "json_object"});
    let loose = json!({"type": "json_schema", "name": "n", "schema": closed_object()});
    let off =
        json!({"type": "json_schema", "name": "n", "schema": closed_object(), "strict": false});
    let city = r#"say={"city":"Rome"}"#;
    let again = format!("say=Rome.&then&{city}");
    let other = format!(r#"say={{"town":1}}&then&{city}"#);
    let fenced = format!("say=```json%0A{}%0A```", r#"{"city":"Rome"}"#);
    let good = Some(r#"{"city":"Rome"}"#);
    // A script, and what comes of it by `json_object` and by a schema.
    let table: [(&str, Option<&str>, Option<&str>); 7] = [
        (city, good, good),
        ("say=Rome.", None, None),
        (&again, good, good),
        (&fenced, good, good),
        (&other, Some(r#"{"town":1}"#), good),
        (
            r#"say={"town":1}"#,
            Some(r#"{"town":1}"#),
            Some(r#"{"town":1}"#),
        ),
        ("say=[1]", None, Some("[1]")),
    ];
    for (script, by_object, by_schema) in table {
        for (format, expected) in [(&object, by_object), (&loose, by_schema), (&off, by_schema)] {
            for tools in [json!([]), strict()] {
                let more = json!({"tools": tools, "text": {"format": format}});
                for response in every_way(&world, script, &more).await {
                    let seen = format!("{script} {more} {response}");
                    if let Some(text) = expected {
                        assert_eq!(response["status"], "completed", "{seen}");
                        assert_eq!(output_text(&response), text, "{seen}");
                        continue;
                    }
                    assert_eq!(response["status"], "failed", "{seen}");
                    assert_eq!(response["error"]["code"], "server_error");
                    let message = response["error"]["message"].as_str().expect("words");
                    let named = match format["name"].as_str() {
                        Some(_) => "does not match the schema of the format 'n'",
                        None => "The model's answer is not a JSON object.",
                    };
                    assert!(message.contains(named), "{message}");
                    assert_eq!(output_text(&response), "", "{seen}");
                }
            }
        }
    }
    // A call is no answer, and needs no format.
    let more = json!({"tools": strict(), "text": {"format": object}});
    for response in every_way(&world, &format!("say=Look:&{GOOD}"), &more).await {
        assert_eq!(response["status"], "completed", "{response}");
        assert_eq!(calls(&response), [r#"{"city":"Paris"}"#]);
    }
    // What breaks off is incomplete, as without a format.
    let more = json!({"text": {"format": object}});
    let script = r#"say={"city":"Ro&finish_reason=length"#;
    for response in every_way(&world, script, &more).await {
        assert_eq!(response["status"], "incomplete", "{response}");
        assert_eq!(output_text(&response), r#"{"city":"Ro"#);
    }
}
