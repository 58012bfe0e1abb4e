//! What model servers in the field say, as clients meet it.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use waypost_testkit::{
    Script, ScriptedUpstream,
    upstream::{Call, Step},
};

use crate::{
    harness::TestServer,
    support::{World, id_of, output_text, until},
};

/// A model that answers with these bytes.
fn install(world: &World, model: &str, content_type: &str, body: &str) {
    let script = Script {
        body: Some(body.to_owned()),
        content_type: Some(content_type.to_owned()),
        ..Script::default()
    };
    world.upstream.install(model, script);
}

/// A model that streams these chunks.
fn stream(world: &World, model: &str, chunks: &[&str]) {
    let body = format!("data: {}\n\ndata: [DONE]\n\n", chunks.join("\n\ndata: "));
    install(world, model, "text/event-stream", &body);
}

/// The response in each of the ways to get one.
async fn every_way(world: &World, body: Value) -> Vec<Value> {
    let waited = world.create(body.clone()).await;
    let streamed = world.stream(body.clone()).await.checked().await;
    let mut background = body;
    background["background"] = json!(true);
    let id = id_of(&world.create(background).await);
    vec![waited, streamed, world.ended(&id).await]
}

#[tokio::test]
async fn a_whole_answer_where_a_stream_was_asked_for() {
    let world = World::start().await;
    let chat = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
    let native = r#"{"object":"response","status":"completed","error":null,"output":[{"type":"message","id":"m","content":[{"type":"output_text","text":"whole"}]}],"usage":{"input_tokens":3,"output_tokens":1}}"#;
    for (model, kind, body) in [
        ("chat-whole", "application/json", chat),
        ("chat-odd", "text/plain", chat),
        ("chat-called-a-stream", "text/event-stream", chat),
        ("native-whole", "application/json; charset=utf-8", native),
    ] {
        install(&world, model, kind, body);
        for response in every_way(&world, json!({"model": model, "input": "x"})).await {
            assert_eq!(response["status"], "completed", "{model}: {response}");
            assert_eq!(output_text(&response), "whole", "{model}");
            assert_eq!(response["usage"]["total_tokens"], 4, "{model}");
            assert_eq!(response["access_programs"], Value::Null);
            assert!(response.get("access_programs").is_some());
        }
    }
    // A stream under another name.
    let chunk = r#"data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}"#;
    install(
        &world,
        "chat-plain",
        "text/plain",
        &format!("\n{chunk}\n\n"),
    );
    let response = world
        .create(json!({"model": "chat-plain", "input": "x"}))
        .await;
    assert_eq!(output_text(&response), "hi");
}

#[tokio::test]
async fn an_error_under_200_is_judged_like_any_other() {
    let world = World::start().await;
    let client = world.client();
    let callers =
        r#"{"error":{"message":"too many images","type":"invalid_request_error","code":400}}"#;
    let servers = r#"{"error":{"message":"CUDA went away","code":500}}"#;
    for (api, paths) in [
        ("chat", &["/v1/responses", "/v1/chat/completions"][..]),
        ("native", &["/v1/responses"]),
    ] {
        for path in paths {
            for streams in [false, true] {
                let (caller, server) = (format!("{api}-caller"), format!("{api}-server"));
                install(&world, &caller, "application/json", callers);
                install(&world, &server, "application/json", servers);
                let ask = |model: &str| json!({"model": model, "stream": streams, "input": "x"});
                let ask = |model: &str| {
                    let mut body = ask(model);
                    if path.ends_with("completions") {
                        body["input"].take();
                        body["messages"] = json!([{"role": "user", "content": "x"}]);
                    }
                    body
                };
                let reply = client.post(path, ask(&caller)).await;
                assert_eq!(reply.status, 400, "{path} {api}: {}", reply.text);
                assert_eq!(reply.json["error"]["message"], "too many images");
                let reply = client.post(path, ask(&server)).await;
                let message = reply.error(502, None, Some("upstream_error"));
                assert!(!message.contains("CUDA"), "{message}");
            }
        }
    }
    until("all six are in the log", async || {
        world.server.log().matches("CUDA went away").count() == 6
    })
    .await;
}

#[tokio::test]
async fn the_servers_own_reason_reaches_who_can_do_something() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let config = format!(
        "[[upstreams]]\nname = \"one\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n\
         api_key = \"sk-model-server-key\"\n",
        upstream.base_url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let say = |model: &str, status: u16, body: &str| {
        let script = Script {
            body: Some(body.to_owned()),
            status: Some(status),
            ..Script::default()
        };
        upstream.install(model, script);
    };
    say(
        "detail",
        422,
        r#"{"detail":[{"loc":["body","top_k"],"msg":"not for sk-model-server-key"}]}"#,
    );
    say(
        "image",
        500,
        r#"{"error":{"code":500,"message":"image input is not supported - hint: mmproj"}}"#,
    );
    say("load", 500, r#"{"error":"model failed to load"}"#);
    for (model, status, expected) in [
        ("detail", 422, "body.top_k: not for [redacted]"),
        ("image", 400, "image input is not supported - hint: mmproj"),
        ("load", 502, "The model server failed with status 500."),
    ] {
        for streams in [false, true] {
            let body = json!({"model": model, "input": "x", "stream": streams});
            let reply = client.post("/v1/responses", body).await;
            assert_eq!(reply.status, status, "{}", reply.text);
            assert_eq!(reply.json["error"]["message"], expected);
        }
    }
    let body = json!({"model": "image", "input": "x", "background": true});
    let id = client.post("/v1/responses", body).await.ok().text("id");
    let response = crate::support::ended(&client, &id, crate::support::PATIENCE).await;
    assert_eq!(response["error"]["code"], "invalid_prompt");
    assert_eq!(
        response["error"]["message"],
        "image input is not supported - hint: mmproj"
    );
    // Passed on, the answer is the server's own, and the log has it all the same.
    let body = json!({"model": "load", "messages": [{"role": "user", "content": "x"}]});
    let reply = client.post("/v1/chat/completions", body).await;
    assert_eq!(
        (reply.status, reply.json["error"].as_str()),
        (500, Some("model failed to load"))
    );
    until("all three are in the log", async || {
        server
            .log()
            .matches("500 Internal Server Error: model failed to load")
            .count()
            == 3
    })
    .await;
    server.wait_for_log("[redacted]").await;
    assert!(!server.log().contains("sk-model-server-key"));
}

#[tokio::test]
async fn token_counts_that_nobody_reported_are_not_made_up() {
    let world = World::start().await;
    let tools = json!([{"type": "function", "name": "f", "strict": true, "parameters":
        {"type": "object", "properties": {}, "required": [], "additionalProperties": false}}]);
    for model in ["chat?usage=none&tokens=5", "chat?usage=none&call=f:{}"] {
        let body = json!({"model": model, "input": "x", "tools": tools});
        let reply = world
            .client()
            .post("/v1/responses", body.clone())
            .await
            .ok();
        assert_eq!(reply.headers["x-waypost-usage"], "unreported");
        for response in every_way(&world, body).await {
            assert_eq!(response["usage"]["total_tokens"], 0, "{response}");
            assert_eq!(
                response["usage"]["output_tokens_details"]["reasoning_tokens"],
                0
            );
            let stored = world.get(&id_of(&response)).await.ok();
            assert_eq!(stored.headers["x-waypost-usage"], "unreported");
            assert_eq!(stored.json, response);
        }
        let chat_tools = json!([{"type": "function", "function": {"name": "f", "strict": true,
            "parameters": tools[0]["parameters"]}}]);
        let mut body = json!({"model": model, "tools": chat_tools,
            "messages": [{"role": "user", "content": "x"}]});
        let reply = world
            .client()
            .post("/v1/chat/completions", body.clone())
            .await
            .ok();
        assert_eq!(reply.json.get("usage"), Some(&Value::Null));
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let reply = world.client().post("/v1/chat/completions", body).await;
        assert!(!reply.text.contains("prompt_tokens"), "{}", reply.text);
    }
    let body = json!({"model": "chat?tokens=5", "input": "x"});
    let reply = world.client().post("/v1/responses", body).await.ok();
    assert!(!reply.headers.contains_key("x-waypost-usage"));
    assert_eq!(reply.json["usage"]["output_tokens"], 5);
}

/// The arguments of the calls in a response.
fn arguments(response: &Value) -> Vec<&str> {
    let output = response["output"].as_array().expect("output");
    output
        .iter()
        .filter_map(|item| item["arguments"].as_str())
        .collect()
}

#[tokio::test]
async fn blank_and_null_arguments_are_none() {
    let world = World::start().await;
    let none =
        json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    for strict in [true, false] {
        let tools =
            json!([{"type": "function", "name": "f", "strict": strict, "parameters": none}]);
        for (at, written) in ["null", " null\n", "", "  "].into_iter().enumerate() {
            for api in ["chat", "native"] {
                let model = format!("{api}-{strict}-{at}");
                let call = Call {
                    name: "f".to_owned(),
                    namespace: None,
                    arguments: written.to_owned(),
                };
                let script = Script {
                    steps: vec![Step::Call(call)],
                    cut_bytes: Some(1),
                    ..Script::default()
                };
                world.upstream.install(&model, script);
                let body = json!({"model": model, "input": "x", "tools": tools});
                for response in every_way(&world, body).await {
                    assert_eq!(response["status"], "completed", "{written:?}: {response}");
                    assert_eq!(arguments(&response), ["{}"], "{written:?} {strict} {api}");
                }
            }
        }
    }
}

#[tokio::test]
async fn parallel_calls_with_one_number_are_all_delivered() {
    let world = World::start().await;
    let call = |id: &str, arguments: &str| {
        format!(
            r#"{{"index":0,"id":"{id}","type":"function","function":{{"name":"f","arguments":{arguments}}}}}"#
        )
    };
    let chunk = |calls: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{calls}]}}}}]}}"#)
    };
    let done = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
    let (a, b) = (
        call("a", r#""{\"city\":\"Oslo\"}""#),
        call("b", r#""{\"city\":\"Rome\"}""#),
    );
    stream(&world, "chat-two-chunks", &[&chunk(&a), &chunk(&b), done]);
    stream(
        &world,
        "chat-one-chunk",
        &[&chunk(&format!("{a},{b}")), done],
    );
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}},
        "required": ["city"], "additionalProperties": false});
    for model in ["chat-two-chunks", "chat-one-chunk"] {
        for strict in [true, false] {
            let tools = json!([{"type": "function", "name": "f", "strict": strict,
                "parameters": parameters}]);
            let body = json!({"model": model, "input": "x", "tools": tools});
            for response in every_way(&world, body).await {
                let expected = [r#"{"city":"Oslo"}"#, r#"{"city":"Rome"}"#];
                assert_eq!(arguments(&response), expected, "{model}");
                assert_eq!(response["output"][1]["call_id"], "b");
            }
        }
    }
}

#[tokio::test]
async fn parts_halves_sources_and_log_probabilities() {
    let world = World::start().await;
    stream(
        &world,
        "chat-odd",
        &[
            r#"{"choices":[{"index":"0","delta":{"annotations":[{"type":"url_citation","url_citation":{"url":"https://a","title":"A","start_index":0,"end_index":2}}]},"logprobs":null}],"usage":null}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}],"tool_calls":null}}]}"#,
            r#"{"choices":[{"delta":{"content":"hé\ud83d"},"logprobs":{"content":[{"token":"hé","logprob":-0.5}]}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ude00"}}]}"#,
            r#"{"choices":[{"delta":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1.5,"completion_tokens":"2"}}"#,
        ],
    );
    let body = json!({"model": "chat-odd", "input": "x", "top_logprobs": 0,
        "include": ["message.output_text.logprobs"]});
    for response in every_way(&world, body.clone()).await {
        assert_eq!(response["output"][0]["content"][0]["text"], "hm");
        let part = &response["output"][1]["content"][0];
        assert_eq!(part["text"], "hé😀");
        assert_eq!(
            part["logprobs"],
            json!([{"token": "hé", "logprob": -0.5, "bytes": [104, 195, 169], "top_logprobs": []}])
        );
        assert_eq!(
            part["annotations"],
            json!([{"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://a", "title": "A"}])
        );
        assert_eq!(response["usage"]["total_tokens"], 4);
    }
    let events = world.stream(body).await.collect().await;
    let is_source = |event: &&Value| event["type"] == "response.output_text.annotation.added";
    let source = events.iter().find(is_source).expect("the source");
    assert_eq!(source["annotation_index"], 0);
    assert_eq!(source["annotation"]["url"], "https://a");
}

/// A model server that sends the head of a stream and then resets the
/// connection.
async fn heads_only() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                        transfer-encoding: chunked\r\n\r\n";
            let _ = socket.write_all(head.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_passed_on_stream_that_breaks_before_its_first_byte_is_a_502() {
    let config = format!(
        "[[upstreams]]\nname = \"one\"\nbase_url = \"http://{}/v1\"\nmodels = [\"*\"]\n",
        heads_only().await
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    for streams in [true, false] {
        let body = json!({"model": "m", "stream": streams,
            "messages": [{"role": "user", "content": "x"}]});
        let client = server.client(&tenant.key);
        let reply = client.post("/v1/chat/completions", body).await;
        reply.error(502, None, Some("upstream_error"));
    }
    // Later it is a broken answer, which must not look whole.
    let world = World::start().await;
    let request = world.client().request(Method::POST, "/v1/chat/completions");
    let body = json!({"model": "chat?reset_after=3&coalesce=1&delay_ms=20", "stream": true,
        "messages": [{"role": "user", "content": "x"}]});
    let answer = request.json(&body).send().await.expect("a head");
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());
}

/// Templates of most models refuse any system message but one at the beginning.
#[tokio::test]
async fn system_messages_are_one_for_a_template() {
    let world = World::start().await;
    let say = |role: &str, text: &str| json!({"role": role, "content": text});
    let body = json!({"model": "chat?tokens=1", "instructions": "one", "input": [
        say("developer", "two"), say("system", "three"), say("user", "u"),
        say("assistant", "w"), say("developer", "four"), say("user", "v")]});
    let expected = json!([
        say("system", "one\n\ntwo\n\nthree"),
        say("user", "u"),
        say("assistant", "w"),
        say("user", "<system_message>\nfour\n</system_message>\n\nv"),
    ]);
    for _ in every_way(&world, body).await {
        assert_eq!(world.last_request()["messages"], expected);
    }
    // Chat Completions that run here likewise; what is passed on is the client's own.
    let messages = json!([
        say("system", "one"),
        say("developer", "two"),
        say("system", "three"),
        say("user", "u"),
        say("assistant", "w"),
        say("system", "four"),
        say("user", "v")
    ]);
    let mut body = json!({"model": "chat?tokens=1", "messages": messages});
    let client = world.client();
    client.post("/v1/chat/completions", body.clone()).await.ok();
    assert_eq!(world.last_request()["messages"], messages);
    body["tools"] = json!([{"type": "function", "function": {"name": "f", "strict": true,
        "parameters": {"type": "object", "properties": {}, "required": [],
            "additionalProperties": false}}}]);
    client.post("/v1/chat/completions", body).await.ok();
    assert_eq!(world.last_request()["messages"], expected);
}

/// Most chat servers take only text for a result.
#[tokio::test]
async fn images_in_results_reach_the_model() {
    let world = World::start().await;
    let url = "data:image/png;base64,iVBORw0KGgo=";
    let input = json!([
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "call_1", "name": "shot", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [
            {"type": "input_text", "text": "taken"}, {"type": "input_image", "image_url": url}]},
    ]);
    for _ in every_way(&world, json!({"model": "chat?tokens=1", "input": input})).await {
        let messages = world.last_request()["messages"].clone();
        assert_eq!(messages[2]["content"], "taken");
        assert_eq!(
            messages[3],
            json!({"role": "user", "content": [
                {"type": "text", "text": "From the result of shot (call_1):"},
                {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}]})
        );
    }
    // A server of the Responses API gets them where they are.
    world
        .create(json!({"model": "native?tokens=1", "input": input}))
        .await;
    let sent = world.last_request();
    assert_eq!(sent["input"][2]["output"][1]["image_url"], url);
}
