//! Which requests bring so many schemas that reading them would keep other
//! requests waiting.

use serde_json::Value;

/// Bytes of schemas that are read at once, on the thread that serves: about 70
/// microseconds a kibibyte where nothing is in the cache.
const LARGE: usize = 128 * 1024;
/// What a value costs beside its text.
const NODE: usize = 8;
/// A pattern is parsed, and a large one compiled to see that it can be.
const PATTERN: usize = 16 * 1024;

/// Whether the schemas of this request's body, of either API, are to be read
/// away from the threads that serve.
pub fn is_large(body: &Value) -> bool {
    let mut left = LARGE;
    let fields = ["tools", "functions", "text", "response_format"];
    let declared = fields.iter().filter_map(|field| body.get(field));
    // Items that bring tools.
    let items = body.get("input").and_then(Value::as_array);
    let brought = items
        .into_iter()
        .flatten()
        .filter_map(|item| item.get("tools"));
    declared.chain(brought).any(|value| !fits(value, &mut left))
}

/// Takes what a value costs off what is `left`. The depth is bounded by the
/// body's parser, the time by what is left.
fn fits(value: &Value, left: &mut usize) -> bool {
    let mut take = |bytes: usize| match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => take(NODE),
        Value::String(text) => take(NODE + text.len()),
        Value::Array(items) => take(NODE) && items.iter().all(|item| fits(item, left)),
        Value::Object(map) => {
            take(NODE)
                && map.iter().all(|(key, item)| {
                    let cost = match key.as_str() {
                        "pattern" if item.is_string() => PATTERN,
                        key => key.len(),
                    };
                    let rest = left.checked_sub(cost);
                    *left = rest.unwrap_or(0);
                    rest.is_some() && fits(item, left)
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_count_wherever_they_stand_and_nothing_else_does() {
        let schema = |bytes: usize| json!({"type": "object", "description": "x".repeat(bytes)});
        let tool = |bytes: usize| json!({"type": "function", "parameters": schema(bytes)});
        let item = |bytes: usize| json!({"type": "additional_tools", "tools": [tool(bytes)]});
        let half = LARGE / 2;
        for (body, large) in [
            (json!({"input": "x".repeat(2 * LARGE)}), false),
            (
                json!({"input": [{"content": "x".repeat(2 * LARGE)}]}),
                false,
            ),
            (json!({"tools": [tool(half)]}), false),
            (json!({"tools": [tool(half), tool(half)]}), true),
            (
                json!({"tools": [tool(half)], "text": {"format": schema(half)}}),
                true,
            ),
            (json!({"input": [item(half), item(half)]}), true),
            (json!({"functions": [schema(LARGE)]}), true),
            (json!({"response_format": schema(LARGE)}), true),
            (json!({"tools": vec![json!({}); LARGE / NODE]}), true),
            (json!({"tools": vec![json!({"pattern": "a"}); 4]}), false),
            (json!({"tools": vec![json!({"pattern": "a"}); 16]}), true),
            (json!([]), false),
            (json!({"tools": 7, "input": {"tools": 7}}), false),
        ] {
            assert_eq!(is_large(&body), large, "{:.60}", body.to_string());
        }
    }
}
