//! Earlier calls and their results as text, for models whose template has no
//! place for them.
//!
//! Templates often insist that user and assistant take turns, so what belongs
//! to one side becomes one message.

use serde_json::{Value, json};

/// The context with every call and result as words. The items have flat names
/// and no custom calls any more.
pub fn rewrite<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut may_join = false;
    for item in items {
        let message = match item["type"].as_str() {
            Some("function_call") => {
                let text = |key: &str| item[key].as_str().unwrap_or_default();
                names.push((text("call_id"), text("name")));
                may_join |= role(out.last()) == Some("assistant");
                assistant(&call(text("name"), text("arguments")))
            }
            Some("function_call_output") => {
                let call_id = item["call_id"].as_str().unwrap_or_default();
                let known = names.iter().rev().find(|(id, _)| *id == call_id);
                let name = known.map_or("the tool", |(_, name)| name);
                result(name, &item["output"])
            }
            _ => {
                if may_join && role(Some(item)) == role(out.last()) {
                    join(&mut out, item.clone());
                } else {
                    out.push(item.clone());
                }
                may_join = false;
                continue;
            }
        };
        if may_join && role(Some(&message)) == role(out.last()) {
            join(&mut out, message);
        } else {
            out.push(message);
        }
        may_join = true;
    }
    out
}

/// A call in the form in which the model is asked to write it.
pub fn call(name: &str, arguments: &str) -> String {
    let arguments: Value =
        serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.to_owned()));
    json!({"name": name, "arguments": arguments}).to_string()
}

/// What the assistant said.
pub fn assistant(text: &str) -> Value {
    json!({
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    })
}

/// What somebody tells the model.
pub fn user(text: &str) -> Value {
    json!({
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    })
}

fn result(name: &str, output: &Value) -> Value {
    let head = format!("Result of {name}:\n");
    match output {
        Value::Array(parts) => {
            let mut message = user(&head);
            if let Some(content) = message["content"].as_array_mut() {
                content.extend(parts.iter().cloned());
            }
            message
        }
        Value::String(text) => user(&(head + text)),
        other => user(&(head + &other.to_string())),
    }
}

fn role(item: Option<&Value>) -> Option<&str> {
    let item = item?;
    (item["type"] == "message" || item["type"].is_null())
        .then(|| item["role"].as_str())
        .flatten()
}

/// Appends a message's content to the last message's.
fn join(out: &mut [Value], message: Value) {
    let Some(last) = out.last_mut() else { return };
    let parts = |content: &Value| match content {
        Value::Array(parts) => parts.clone(),
        Value::String(text) => vec![json!({"type": "input_text", "text": text})],
        _ => Vec::new(),
    };
    let mut content = parts(&last["content"]);
    for mut part in parts(&message["content"]) {
        let is_text = |part: &Value| part["text"].is_string();
        match content.last_mut() {
            Some(before) if is_text(before) && is_text(&part) => {
                let joined = format!(
                    "{}\n{}",
                    before["text"].as_str().unwrap_or_default(),
                    part["text"].as_str().unwrap_or_default()
                );
                before["text"] = json!(joined);
            }
            _ => content.push(part.take()),
        }
    }
    last["content"] = Value::Array(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns_whatever_calls_there_were() {
        let items = [
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]}),
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]}),
            json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":1}"}),
            json!({"type": "function_call", "call_id": "b", "name": "g", "arguments": "oops"}),
            json!({"type": "function_call_output", "call_id": "b", "output": "2"}),
            json!({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image", "image_url": "data:x"}]}),
            json!({"type": "message", "role": "user", "content": "and now?"}),
        ];
        let out = rewrite(items.iter());
        let roles: Vec<_> = out.iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert_eq!(
            out[1]["content"][0]["text"],
            "I look.\n{\"name\":\"f\",\"arguments\":{\"x\":1}}\n{\"name\":\"g\",\"arguments\":\"oops\"}"
        );
        let results = out[2]["content"].as_array().unwrap();
        assert_eq!(results[0]["text"], "Result of g:\n2\nResult of f:\n");
        assert_eq!(results[1]["type"], "input_image");
        assert_eq!(results[2]["text"], "and now?");
    }
}
