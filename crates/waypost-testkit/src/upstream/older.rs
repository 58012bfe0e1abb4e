//! The routes that are older than the dialects: embeddings and text completions. Of a script they
//! take `status`, `html_body`, `retry_after`, `slow_headers_ms` and `tokens`.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::player::Playback;
use super::reply::{Reply, error, event_stream, json_reply, scripted_error, sleep};
use super::script::Script;
use super::unix_now;

/// Four numbers per input, made of its index. A model server that is called `obeys…` heeds
/// `encoding_format`; `encodes…` always sends base64; any other one always sends lists.
pub(super) async fn embeddings(body: &[u8]) -> Reply {
    let (request, _) = match read(body).await {
        Ok(read) => read,
        Err(reply) => return *reply,
    };
    let model = request["model"].as_str().unwrap_or_default();
    let encoded = model.starts_with("encodes")
        || model.starts_with("obeys") && request["encoding_format"] == "base64";
    let inputs = request["input"].as_array().map_or(1, Vec::len);
    let vector = |index: usize| {
        let numbers = [index as f32, 0.1, -0.5, 1e-7];
        let embedding = if encoded {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        } else {
            json!(numbers)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = (0..inputs).map(vector).collect();
    json_reply(
        200,
        &json!({"object": "list", "model": request["model"], "data": data, "created": unix_now(),
            "usage": {"prompt_tokens": inputs, "total_tokens": inputs}}),
    )
}

/// The script's tokens as words, at once or one an event.
pub(super) async fn completions(body: &[u8]) -> Reply {
    let (request, script) = match read(body).await {
        Ok(read) => read,
        Err(reply) => return *reply,
    };
    let tokens = script.tokens.unwrap_or(8);
    let object = |text: &str, finish: Value| {
        json!({"id": "cmpl-scripted", "object": "text_completion", "created": unix_now(),
            "model": request["model"],
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]})
    };
    let usage =
        json!({"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": tokens + 3});
    if request["stream"] != true {
        let text = (0..tokens).fold(String::new(), |text, token| format!("{text}t{token} "));
        let mut whole = object(&text, json!("stop"));
        whole["usage"] = usage;
        return json_reply(200, &whole);
    }
    let mut events = String::new();
    for token in 0..tokens {
        let chunk = object(&format!("t{token} "), Value::Null);
        let _ = write!(events, "data: {chunk}\n\n");
    }
    let mut last = object("", json!("stop"));
    if request["stream_options"]["include_usage"] == true {
        last["usage"] = usage;
    }
    let _ = write!(events, "data: {last}\n\ndata: [DONE]\n\n");
    event_stream(Playback::whole(events))
}

/// The request and its model's script; or the answer, where the script has one.
async fn read(body: &[u8]) -> Result<(Value, Script), Box<Reply>> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Err(Box::new(error(400, "The request is not JSON.")));
    };
    let query = request["model"]
        .as_str()
        .and_then(|model| model.split_once('?'));
    let script = match query {
        Some((_, query)) => match Script::from_query(query) {
            Ok(script) => script,
            Err(message) => return Err(Box::new(error(400, &message))),
        },
        None => Script::default(),
    };
    sleep(script.slow_headers_ms).await;
    if script.status.is_some() || script.html_body {
        return Err(Box::new(scripted_error(&script)));
    }
    Ok((request, script))
}
