//! `POST /v1/chat/completions`.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;

use crate::{harness::TestServer, support::World};

mod checks;
mod enforced;
mod pass;
mod run;
mod stream;
mod translate;

const PATH: &str = "/v1/chat/completions";

/// A server before one scripted model server, which is OpenAI's over either
/// API (`openai…`, `native…`), knows no tools (`emulated…`), or is any server
/// (the rest).
async fn world(responses: &str) -> World {
    let upstream = ScriptedUpstream::start().await.expect("a model server");
    let one = |name: &str, models: &str, more: &str| {
        format!(
            "[[upstreams]]\nname = \"{name}\"\nbase_url = \"{}\"\nmodels = [\"{models}\"]\n\
             max_concurrent = 2\n{more}\n",
            upstream.base_url()
        )
    };
    let config = format!("[responses]\n{responses}\n")
        + &one("openai", "openai*", "dialect = \"openai\"")
        + &one(
            "native",
            "native*",
            "dialect = \"openai\"\napi = \"responses\"",
        )
        + &one("emulated", "emulated*", "tools = \"emulated\"")
        + &one("chat", "*", "");
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("tests").await;
    World::of(server, upstream, tenant)
}

/// A strict function that fits what the scripted model server calls it with.
fn weather() -> Value {
    json!({"type": "function", "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": false,
        },
        "strict": true,
    }})
}

const ARGUMENTS: &str = r#"{"city":"Paris","days":3}"#;

/// A request with a strict tool, and with these fields.
fn strict(model: &str, more: Value) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [weather()],
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body
}
