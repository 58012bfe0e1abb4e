//! Tools that only OpenAI's platform runs, and what else Codex sends with
//! every request.

use serde_json::{Value, json};

use super::{function, open_object, post};
use crate::{harness::TestServer, support::World};
use waypost_testkit::upstream::ScriptedUpstream;

const TOOLS: &str = "x-waypost-ignored-tools";
const ITEMS: &str = "x-waypost-ignored-items";

fn own() -> Value {
    function("f", open_object())
}

/// What Codex CLI 0.171 sends, in short.
fn codex() -> Value {
    json!({
        "model": "chat?tokens=1",
        "instructions": "You are a coding agent.",
        "input": [{
            "type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "hello"}],
            "internal_chat_message_metadata_passthrough": {"turn_id": "t-secret"},
        }],
        "tools": [own(), {"type": "web_search", "external_web_access": false}],
        "tool_choice": "auto",
        "parallel_tool_calls": true,
        "reasoning": {"effort": "medium", "summary": "auto", "context": "all_turns"},
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "client_metadata": {"x-codex-installation-id": "c-secret"},
    })
}

#[tokio::test]
async fn a_request_of_codex_is_answered_as_it_comes() {
    let world = World::start().await;
    for model in ["chat?tokens=1", "native?tokens=1"] {
        for stream in [false, true] {
            let mut body = codex();
            body["model"] = json!(model);
            let response = if stream {
                let mut events = world.stream(body).await;
                assert_eq!(events.headers[TOOLS], "web_search");
                events.checked().await
            } else {
                let reply = post(&world, body).await.ok();
                assert_eq!(reply.headers[TOOLS], "web_search");
                assert!(!reply.headers.contains_key(ITEMS));
                reply.json
            };
            assert_eq!(response["status"], "completed");
            let tools = response["tools"].as_array().expect("tools");
            assert_eq!(tools.len(), 1, "{tools:?}");
            assert_eq!(response["reasoning"]["context"], "all_turns");
            assert_eq!(response.get("client_metadata"), None);
            let asked = world.last_request().to_string();
            assert!(!asked.contains("web_search"), "{asked}");
            assert!(!asked.contains("secret"), "{asked}");
            // A server that is not OpenAI's does not know it.
            assert!(!asked.contains("all_turns"), "{asked}");
        }
    }
    let metrics = world.server.anonymous().get("/metrics").await.ok().text;
    assert!(
        metrics.contains("waypost_hosted_tools_ignored_total{type=\"web_search\"} 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_a_client_notes_for_itself_is_bounded_and_not_kept() {
    let world = World::start().await;
    let mut body = codex();
    body["store"] = json!(true);
    let id = post(&world, body).await.ok().text("id");
    let path = format!("/v1/responses/{id}/input_items");
    let items = world.client().get(&path).await.ok().json.to_string();
    assert!(!items.contains("secret"), "{items}");

    let long = |bytes: usize| json!({"a": "x".repeat(bytes)});
    let item = |note: Value| json!([{"role": "user", "content": "x", "internal_chat_message_metadata_passthrough": note}]);
    let note = "input[0].internal_chat_message_metadata_passthrough";
    for (more, param, code) in [
        (
            json!({"client_metadata": long(64 * 1024)}),
            "client_metadata",
            "string_above_max_length",
        ),
        (
            json!({"client_metadata": "x"}),
            "client_metadata",
            "invalid_type",
        ),
        (
            json!({"input": item(long(16 * 1024))}),
            note,
            "string_above_max_length",
        ),
        (json!({"input": item(json!([]))}), note, "invalid_type"),
        (
            json!({"reasoning": {"context": "some"}}),
            "reasoning.context",
            "invalid_value",
        ),
    ] {
        let reply = post(&world, more).await;
        reply.error(400, Some(param), Some(code));
    }
}

#[tokio::test]
async fn a_call_of_a_hosted_tool_cannot_be_forced() {
    let world = World::start().await;
    let search = json!({"type": "web_search"});
    let image = json!({"type": "image_generation"});
    let allowed =
        |mode: &str, tools: Value| json!({"type": "allowed_tools", "mode": mode, "tools": tools});
    for (tools, choice, param) in [
        (json!([own(), search]), search.clone(), "tool_choice"),
        (json!([search]), json!("required"), "tool_choice"),
        (
            json!([own(), search]),
            allowed("required", json!([search])),
            "tool_choice.tools",
        ),
    ] {
        let reply = post(&world, json!({"tools": tools, "tool_choice": choice})).await;
        let message = reply.error(400, Some(param), Some("unsupported_parameter"));
        assert!(message.contains("'web_search'"), "{message}");
    }
    assert!(world.upstream.requests().is_empty());
    for (tools, choice, settled) in [
        (
            json!([own(), search, image]),
            json!("required"),
            json!("required"),
        ),
        (json!([search]), json!("auto"), json!("auto")),
        (
            json!([own(), search]),
            allowed("auto", json!([search])),
            json!("none"),
        ),
        (
            json!([own(), search]),
            allowed(
                "required",
                json!([search, {"type": "function", "name": "f"}]),
            ),
            allowed("required", json!([{"type": "function", "name": "f"}])),
        ),
    ] {
        let body = json!({"model": "chat?generate=calls", "tools": tools, "tool_choice": choice});
        let reply = post(&world, body).await.ok();
        assert_eq!(reply.json["tool_choice"], settled);
    }
}

/// A conversation that another provider began.
#[tokio::test]
async fn items_of_hosted_tools_are_left_out() {
    let world = World::start().await;
    let input = json!([
        {"role": "user", "content": "who won?"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed",
         "action": {"type": "search", "query": "who won"}},
        {"type": "web_search_call", "id": "ws_2", "status": "completed",
         "action": {"type": "open_page", "url": "http://x"}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"},
        {"role": "assistant", "content": "They did."},
        {"role": "user", "content": "really?"},
    ]);
    let reply = post(&world, json!({"input": input})).await.ok();
    assert_eq!(
        reply.headers[ITEMS],
        "web_search_call, image_generation_call"
    );
    let path = format!("/v1/responses/{}/input_items", reply.text("id"));
    let items = world.client().get(&path).await.ok().json;
    assert_eq!(items["data"].as_array().map(Vec::len), Some(3), "{items}");
    let asked = world.last_request();
    assert_eq!(
        asked["messages"].as_array().map(Vec::len),
        Some(3),
        "{asked}"
    );
}

#[tokio::test]
async fn the_operator_may_have_them_refused() {
    let upstream = ScriptedUpstream::start().await.expect("a model server");
    let url = upstream.base_url();
    let config = format!(
        "[tools]\nhosted = \"refuse\"\n\
         [[upstreams]]\nname = \"lax\"\nbase_url = \"{url}\"\nmodels = [\"lax*\"]\n\
         hosted_tools = \"ignore\"\n\
         [[upstreams]]\nname = \"all\"\nbase_url = \"{url}\"\n"
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("tests").await;
    let world = World::of(server, upstream, tenant);
    for kind in ["web_search", "file_search", "code_interpreter"] {
        let reply = post(&world, json!({"tools": [{"type": kind}]})).await;
        let message = reply.error(400, Some("tools[0].type"), Some("unsupported_parameter"));
        assert!(message.contains(&format!("'{kind}'")), "{message}");
        assert!(
            message.contains("'function', 'custom', 'namespace'"),
            "{message}"
        );
    }
    let input =
        json!([{"role": "user", "content": "x"}, {"type": "web_search_call", "id": "ws_1"}]);
    let reply = post(&world, json!({"input": input})).await;
    reply.error(400, Some("input[1].type"), Some("invalid_value"));
    let lax = json!({"model": "lax?tokens=1", "tools": [{"type": "web_search"}]});
    let reply = post(&world, lax).await.ok();
    assert_eq!(reply.headers[TOOLS], "web_search");
}
