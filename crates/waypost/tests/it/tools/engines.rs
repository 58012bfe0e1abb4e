//! Model servers whose engines take less than a schema says.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;

use super::closed_object;
use crate::{harness::TestServer, support::World};

const GRAMMAR: &str = "Failed to initialize samplers: failed to parse grammar";

/// A world whose only model server is of this dialect.
async fn behind(dialect: &str, api: &str) -> World {
    let upstream = ScriptedUpstream::start().await.expect("a model server");
    let config = format!(
        "[[upstreams]]\nname = \"one\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n\
         dialect = \"{dialect}\"\napi = \"{api}\"\n",
        upstream.base_url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("tests").await;
    World::of(server, upstream, tenant)
}

fn strict(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "name": name, "strict": true, "parameters": parameters})
}

async fn outcomes(world: &World, outcome: &str) -> u64 {
    let metrics = world.server.anonymous().get("/metrics").await.text;
    let label = format!("outcome=\"{outcome}\"");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("waypost_tool_outcomes_total") && line.contains(&label));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0)
}

/// One second try without the schemas; what comes back is judged all the same.
#[tokio::test]
async fn a_schema_beyond_the_engine_is_asked_for_in_words() {
    let world = behind("llama.cpp", "chat").await;
    let mut schema = closed_object();
    schema["properties"]["city"]["enum"] = json!(["Oslo"]);
    let refuses = "refuse_keywords=enum&refuse_style=llama.cpp";
    let ask = |script: &str| {
        json!({"model": format!("m?key=k&{refuses}&{script}"), "input": "x",
            "tools": [strict("f", schema.clone())]})
    };
    let good = world.create(ask(r#"call=f:{"city":"Oslo"}"#)).await;
    assert_eq!(good["status"], "completed", "{good}");
    assert_eq!(good["output"][0]["arguments"], r#"{"city":"Oslo"}"#);
    assert_eq!(outcomes(&world, "loosened").await, 1);
    let asked = world.upstream.requests_of("k");
    assert_eq!(asked.len(), 2);
    let function = &asked[1].json()["tools"][0]["function"];
    assert_eq!(function["parameters"], json!({"type": "object"}));
    let told = function["description"].as_str().expect("words");
    assert!(told.contains(r#""enum":["Oslo"]"#), "{told}");
    // What the model writes is held, judged, and asked for again.
    let bad = world.create(ask(r#"call=f:{"city":"Rome"}"#)).await;
    assert_eq!(bad["status"], "failed");
    let words = bad["error"]["message"].as_str().expect("words");
    assert!(words.contains("'f'") && words.contains("/city"), "{words}");
    assert_eq!(bad["output"], json!([]));
    // Refused, loosened, and asked again, loose at once.
    assert_eq!(world.upstream.requests_of("k").len(), 2 + 3);
    assert!(world.server.log().contains("failed to parse grammar"));
}

#[tokio::test]
async fn a_format_beyond_the_engine_too() {
    for (dialect, prompt) in [("llama.cpp", "JSON Schema"), ("vllm", "JSON Schema")] {
        let world = behind(dialect, "chat").await;
        let mut schema = closed_object();
        schema["properties"]["city"]["enum"] = json!(["Oslo"]);
        let body = json!({"input": "x", "text": {"format": {"type": "json_schema",
            "name": "place", "strict": true, "schema": schema}},
            "model": "m?key=k&refuse_keywords=enum&refuse_style=llama.cpp&say={\"city\":\"Oslo\"}"});
        let response = world.create(body).await;
        assert_eq!(response["status"], "completed", "{response}");
        let asked = world.upstream.requests_of("k");
        let second = asked[1].json();
        assert_eq!(second["response_format"], json!({"type": "json_object"}));
        let told = second["messages"][0]["content"].as_str().expect("words");
        assert!(told.contains(prompt) && told.contains("Oslo"), "{told}");
    }
}

#[tokio::test]
async fn a_second_refusal_is_told_as_it_is() {
    let world = behind("llama.cpp", "chat").await;
    // Whatever the tools are.
    let script = "key=k&refuse_keywords=type&refuse_style=llama.cpp";
    let body = json!({"model": format!("m?{script}"), "input": "x",
        "tools": [strict("f", closed_object())]});
    let reply = world.client().post("/v1/responses", body).await;
    assert_eq!(reply.error(400, None, None), GRAMMAR);
    assert_eq!(world.upstream.requests_of("k").len(), 2);
    // Another refusal is not about a grammar.
    let script = "key=o&refuse_keywords=type&refuse_style=openai";
    let body = json!({"model": format!("m?{script}"), "input": "x",
        "tools": [strict("f", closed_object())]});
    let reply = world.client().post("/v1/responses", body).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(world.upstream.requests_of("o").len(), 1);
}

/// llama.cpp makes one grammar of all schemas, and has no room for over 97 kB.
#[tokio::test]
async fn the_schemas_of_a_request_fit_the_engine_together() {
    const MOST: usize = 90_000;
    let world = behind("llama.cpp", "chat").await;
    let large = |at: usize| {
        let mut schema = closed_object();
        let about = "x".repeat(2_000 + 100 * at);
        schema["properties"]["city"]["description"] = json!(about);
        strict(&format!("f{at}"), schema)
    };
    let tools: Vec<Value> = (0..30).map(large).collect();
    assert!(json!(tools).to_string().len() > MOST);
    let body =
        |script: &str| json!({"model": format!("m?key=k&{script}"), "input": "x", "tools": tools});
    let response = world.create(body(r#"call=f29:{"city":"Oslo"}"#)).await;
    assert_eq!(response["status"], "completed", "{response}");
    let sent = world.last_request();
    let sent = sent["tools"].as_array().expect("tools");
    let bytes: usize = sent
        .iter()
        .map(|tool| tool["function"]["parameters"].to_string().len())
        .sum();
    assert!(bytes <= MOST && bytes > MOST / 2, "{bytes}");
    let is_loose = |at: usize| sent[at]["function"]["parameters"] == json!({"type": "object"});
    // The largest go first, and the model is told of them in words.
    assert!(is_loose(29) && !is_loose(0));
    let told = sent[29]["function"]["description"].as_str().expect("words");
    assert!(told.contains(r#""additionalProperties":false"#), "{told}");
    // Nothing holds the model to them but the check here.
    let bad = world.create(body(r#"call=f29:{"town":"Oslo"}"#)).await;
    assert_eq!(
        (&bad["status"], &bad["output"]),
        (&json!("failed"), &json!([]))
    );
}

/// DeepSeek knows `json_object` only, and wants the word in a message.
#[tokio::test]
async fn deepseek_is_told_the_schema_and_judged_here() {
    let world = behind("deepseek", "chat").await;
    for tools in [json!([]), json!([strict("f", closed_object())])] {
        let body = json!({"input": "x", "tools": tools,
            "text": {"format": {"type": "json_schema", "name": "place", "strict": true,
                "schema": closed_object()}},
            "model": "m?key=k&say={\"town\":\"Oslo\"}&then&say={\"city\":\"Oslo\"}"});
        let response = world.create(body).await;
        assert_eq!(response["status"], "completed", "{response}");
        assert_eq!(response["output"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            response["output"][0]["content"][0]["text"],
            r#"{"city":"Oslo"}"#
        );
        let asked = world.upstream.requests_of("k");
        assert_eq!(asked.len(), 2);
        for request in asked {
            let request = request.json();
            // A format beside tools could keep it from calling them.
            let format = if request["tools"].is_array() {
                json!(null)
            } else {
                json!({"type": "json_object"})
            };
            assert_eq!(request["response_format"], format);
            let told = request["messages"][0]["content"].as_str().expect("words");
            assert!(told.contains(&closed_object().to_string()), "{told}");
            assert!(told.contains("JSON"), "{told}");
            // It may call a tool instead.
            assert_eq!(
                told.contains("Call tools"),
                request["tools"].is_array(),
                "{told}"
            );
        }
        world.upstream.reset();
    }
}

/// OpenAI constrains a custom tool's input itself; that it did is checked.
#[tokio::test]
async fn the_input_of_a_native_custom_tool_is_judged() {
    for api in ["chat", "responses"] {
        let world = behind("openai", api).await;
        let ask = |input: &str| {
            json!({"model": format!("m?custom=code:{input}"), "input": "x", "tools": [
                {"type": "custom", "name": "code", "format":
                    {"type": "grammar", "syntax": "regex", "definition": "[A-Z]{2}-[0-9]{3}"}}]})
        };
        let good = world.create(ask("AB-123")).await;
        assert_eq!(good["status"], "completed", "{good}");
        assert_eq!(good["output"][0]["input"], "AB-123");
        for bad in ["ABC", "AB-1"] {
            let failed = world.create(ask(bad)).await;
            assert_eq!(failed["status"], "failed", "{failed}");
            let words = failed["error"]["message"].as_str().expect("words");
            assert!(words.contains("'code'"), "{words}");
        }
    }
}

/// A server that takes no forced call is asked in words, and the model is held to it here.
#[tokio::test]
async fn a_forced_call_that_the_server_refuses_is_asked_for_in_words() {
    let world = behind("deepseek", "chat").await;
    let tools = || json!([strict("f", closed_object()), strict("g", closed_object())]);
    let ask = |key: &str, script: &str, choice: Value| {
        json!({"model": format!("m?key={key}&refuse_fields=tool_choice&{script}"), "input": "x",
            "tools": tools(), "tool_choice": choice})
    };
    let named = json!({"type": "function", "name": "f"});
    let call = r#"call=f:{"city":"Oslo"}"#;
    let good = world.create(ask("a", call, named)).await;
    assert_eq!(good["status"], "completed", "{good}");
    assert_eq!(good["output"][0]["name"], "f");
    let asked = world.upstream.requests_of("a");
    assert_eq!(asked.len(), 2);
    let body = asked[1].json();
    assert_eq!(body.get("tool_choice"), None);
    assert_eq!(body["tools"].as_array().map(Vec::len), Some(1));
    let told = body["messages"].to_string();
    assert!(told.contains("a call of the tool 'f'"), "{told}");
    assert_eq!(outcomes(&world, "unforced").await, 1);
    // Words instead of the call are held back, and the call is asked for.
    let script = format!("say=no&then&refuse_fields=tool_choice&{call}");
    let again = world.create(ask("b", &script, json!("required"))).await;
    assert_eq!(again["status"], "completed", "{again}");
    assert_eq!(again["output"].as_array().map(Vec::len), Some(1));
    assert_eq!(again["output"][0]["type"], "function_call");
    // Where nothing was forced the refusal is the client's.
    let body = ask("c", call, json!("auto"));
    let refused = world.client().post("/v1/responses", body).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}
