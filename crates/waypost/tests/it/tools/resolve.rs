//! `strict` left out, true and false: what the response's tool says.

use serde_json::{Value, json};

use super::{closed_object, echoed, function, map_object, open_object, post};
use crate::support::{World, id_of};

const HEADER: &str = "x-waypost-strict-fallback";

#[tokio::test]
async fn strict_left_out_is_strict_where_the_schema_allows_it() {
    let world = World::start().await;
    let optional = json!({
        "type": "object",
        "properties": {
            "z": {"type": "string", "description": "first"},
            "a": {"type": ["integer", "null"], "format": "uint8"},
            "m": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
        },
        "required": ["a"],
    });
    let tools = echoed(
        &world,
        json!([
            function("open", open_object()),
            {"type": "function", "name": "null", "parameters": open_object(), "strict": null,
             "description": "said"},
            function("optional", optional.clone()),
            {"type": "function", "name": "bare", "parameters": null, "strict": null},
            {"type": "function", "name": "none"},
            function("closed", closed_object()),
        ]),
    )
    .await;
    let empty = json!({"type": "object", "properties": {}, "required": [],
        "additionalProperties": false});
    assert_eq!(
        tools[0],
        json!({"type": "function", "description": null, "name": "open",
            "parameters": closed_object(), "strict": true, "output_schema": null})
    );
    assert_eq!(tools[1]["parameters"], closed_object());
    assert_eq!(tools[1]["description"], "said");
    let resolved = &tools[2]["parameters"];
    assert_eq!(resolved["required"], json!(["z", "a", "m"]));
    assert_eq!(resolved["properties"]["a"], optional["properties"]["a"]);
    assert_eq!(
        resolved["properties"]["m"]["items"]["additionalProperties"],
        false
    );
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(
        keys(&resolved["properties"]),
        ["z", "a", "m"],
        "in their order"
    );
    assert_eq!(tools[3]["parameters"], empty);
    assert_eq!(tools[4]["parameters"], empty);
    assert_eq!(tools[5]["parameters"], closed_object());
    for tool in tools.as_array().expect("tools") {
        assert_eq!(tool["strict"], true, "{tool}");
    }
    // What the model server is given is what the client is told.
    let sent = &world.last_request()["tools"];
    assert_eq!(sent[0]["function"]["parameters"], closed_object());
    assert_eq!(sent[0]["function"]["strict"], true);
}

#[tokio::test]
async fn what_cannot_be_strict_is_left_untouched_and_says_why() {
    let world = World::start().await;
    let untouched = json!({
        "type": "object",
        "properties": {
            "free": {"type": "object", "additionalProperties": true, "x-order": 7},
            "later": {"type": "string"},
            "either": {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]},
        },
        "required": ["later"],
        "$comment": "as it came",
    });
    let reply = post(
        &world,
        json!({"tools": [
            function("f", untouched.clone()),
            function("g", open_object()),
            {"type": "namespace", "name": "crm", "description": "d",
             "tools": [function("h", map_object())]},
        ]}),
    )
    .await
    .ok();
    let tools = &reply.json["tools"];
    assert_eq!(tools[0]["parameters"].to_string(), untouched.to_string());
    assert_eq!(tools[0]["strict"], false);
    assert_eq!(tools[1]["strict"], true);
    assert_eq!(tools[2]["tools"][0]["strict"], false);
    assert_eq!(tools[2]["tools"][0]["parameters"], map_object());
    let header = reply.headers[HEADER].to_str().expect("ASCII");
    let said: Vec<&str> = header.split("; ").collect();
    assert_eq!(said.len(), 2, "{header}");
    assert!(said[0].starts_with("f: "), "{header}");
    assert!(said[0].contains(" at #/properties/free"), "{header}");
    assert!(said[0].contains(" at #/properties/either"), "{header}");
    assert!(said[1].starts_with("crm.h: "), "{header}");
    assert!(said[1].contains(" at #/properties/opts"), "{header}");
    // The model server gets it as far as its engine understands it.
    let sent = &world.last_request()["tools"][0]["function"];
    assert_eq!(sent["strict"], false);
    assert_eq!(
        sent["parameters"]["properties"]["later"],
        untouched["properties"]["later"]
    );
}

#[tokio::test]
async fn no_header_when_nothing_fell_back() {
    let world = World::start().await;
    for tools in [
        json!([]),
        json!([function("f", open_object())]),
        json!([{"type": "function", "name": "f", "parameters": map_object(), "strict": false}]),
    ] {
        let reply = post(&world, json!({"tools": tools})).await.ok();
        assert!(!reply.headers.contains_key(HEADER), "{tools}");
    }
}

#[tokio::test]
async fn the_header_is_short_ascii_whatever_the_schema_is() {
    let world = World::start().await;
    let mut properties = json!({});
    for at in 0..40 {
        properties[format!("clé; {at}, \u{7}{}", "x".repeat(300))] =
            json!({"type": "object", "additionalProperties": true});
    }
    let schema = json!({"type": "object", "properties": properties});
    let tools: Vec<Value> = (0..60)
        .map(|at| function(&format!("tool_{at}"), schema.clone()))
        .collect();
    let reply = post(&world, json!({"tools": tools})).await.ok();
    let header = reply.headers[HEADER].to_str().expect("ASCII");
    assert!(header.len() < 2048, "{} bytes", header.len());
    assert!(header.starts_with("tool_0: "), "{header}");
    assert!(header.contains("#/properties/cl%C3%A9%3B%20"), "{header}");
    assert!(header.ends_with(" more"), "{header}");
}

#[tokio::test]
async fn strict_false_is_left_as_it_is() {
    let world = World::start().await;
    for parameters in [open_object(), map_object(), closed_object(), Value::Null] {
        let tools = json!([{"type": "function", "name": "f", "parameters": parameters,
            "strict": false}]);
        let tools = echoed(&world, tools).await;
        assert_eq!(tools[0]["parameters"], parameters);
        assert_eq!(tools[0]["strict"], false);
    }
}

#[tokio::test]
async fn every_event_and_every_get_shows_the_same_tools() {
    let world = World::start().await;
    let tools = json!([
        function("open", open_object()),
        function("map", map_object()),
        {"type": "custom", "name": "note", "format": {"type": "text"}, "defer_loading": true},
        {"type": "namespace", "name": "crm", "description": "d",
         "tools": [function("find", open_object())]},
        {"type": "tool_search"},
    ]);
    for background in [false, true] {
        let mut events = world
            .stream(
                json!({"model": "native?tokens=2", "input": "x", "tools": tools,
                "background": background}),
            )
            .await;
        assert!(
            events.headers[HEADER]
                .to_str()
                .is_ok_and(|h| h.starts_with("map: "))
        );
        let events = events.collect().await;
        let seen: Vec<&Value> = events
            .iter()
            .filter(|event| event["response"].is_object())
            .map(|event| &event["response"]["tools"])
            .collect();
        assert!(seen.len() >= 3, "created, in_progress, completed");
        assert_eq!(seen[0][0]["parameters"], closed_object());
        assert_eq!(seen[0][3]["tools"][0]["parameters"], closed_object());
        for tools in &seen {
            assert_eq!(tools.to_string(), seen[0].to_string());
        }
        let id = id_of(&events[0]["response"]);
        let stored = world.get(&id).await.ok();
        assert_eq!(stored.json["tools"].to_string(), seen[0].to_string());
    }
}

#[tokio::test]
async fn a_background_create_says_the_reasons_too() {
    let world = World::start().await;
    let reply = post(
        &world,
        json!({"background": true, "tools": [function("f", map_object())]}),
    )
    .await
    .ok();
    assert_eq!(reply.json["tools"][0]["strict"], false);
    assert!(
        reply.headers[HEADER]
            .to_str()
            .is_ok_and(|h| h.starts_with("f: "))
    );
    world.ended(&id_of(&reply.json)).await;
}

#[tokio::test]
async fn the_profile_and_the_rewrites_are_the_operators() {
    let bounded = json!({"type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1}}});
    let world = World::builder()
        .top("[tools]\nprofile = \"azure\"")
        .start()
        .await;
    let tools = echoed(&world, json!([function("f", bounded.clone())])).await;
    assert_eq!(tools[0]["strict"], false);

    let world = World::builder()
        .top("[tools]\noptional_as_nullable = true")
        .start()
        .await;
    let tools = echoed(&world, json!([function("f", bounded)])).await;
    assert_eq!(tools[0]["strict"], true);
    let resolved = &tools[0]["parameters"];
    assert_eq!(resolved["required"], json!(["n"]));
    assert!(
        resolved["properties"]["n"].to_string().contains("null"),
        "{resolved}"
    );
}

#[tokio::test]
async fn each_outcome_is_counted() {
    let world = World::start().await;
    let strict = |name: &str, parameters, strict: bool| json!({"type": "function", "name": name, "parameters": parameters, "strict": strict});
    // Twice: what is remembered counts as well.
    for _ in 0..2 {
        post(
            &world,
            json!({"tools": [
                function("a", closed_object()),
                function("b", open_object()),
                function("c", map_object()),
                strict("d", map_object(), false),
            ]}),
        )
        .await
        .ok();
        let refused = post(&world, json!({"tools": [strict("e", map_object(), true)]})).await;
        assert_eq!(refused.status, 400);
    }
    let metrics = world.server.anonymous().get("/metrics").await.ok().text;
    for outcome in [
        "strict_unchanged",
        "strict_rewritten",
        "fallback",
        "as_asked",
        "refused",
    ] {
        let line = format!("waypost_tool_schemas_total{{outcome=\"{outcome}\"}} 2");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

/// Beyond some size schemas are read on other threads; that changes nothing.
#[tokio::test]
async fn many_schemas_are_resolved_like_few() {
    let world = World::start().await;
    let long = |name: &str, parameters: &Value| {
        let mut parameters = parameters.clone();
        parameters["description"] = json!("x".repeat(100_000));
        function(name, parameters)
    };
    let tools = json!([
        long("a", &open_object()),
        long("b", &closed_object()),
        long("c", &map_object()),
    ]);
    let reply = post(&world, json!({"tools": tools})).await.ok();
    let echoed = reply.json["tools"].as_array().expect("tools");
    let strict: Vec<_> = echoed.iter().map(|tool| tool["strict"].clone()).collect();
    assert_eq!(strict, [true, true, false]);
    assert!(reply.headers.contains_key("x-waypost-strict-fallback"));
    assert_eq!(echoed[0]["parameters"]["required"], json!(["city"]));

    let mut refused = tools;
    refused[2]["strict"] = json!(true);
    let reply = post(&world, json!({"tools": refused})).await;
    assert_eq!(reply.status, 400, "{:.300}", reply.text);
    assert_eq!(reply.json["error"]["param"], "tools[2].parameters");
    assert!(reply.json["error"]["details"].is_array());

    let chat = |strict: bool| {
        let mut parameters = closed_object();
        parameters["description"] = json!("x".repeat(300_000));
        if strict {
            parameters["additionalProperties"] = json!(true);
        }
        json!({"model": "chat?tokens=1", "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function":
                {"name": "f", "parameters": parameters, "strict": strict}}]})
    };
    let path = "/v1/chat/completions";
    world.client().post(path, chat(false)).await.ok();
    assert_eq!(world.last_request(), chat(false));
    let reply = world.client().post(path, chat(true)).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json["error"]["param"], "tools[0].function.parameters");
}
