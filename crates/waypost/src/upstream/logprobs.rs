//! Log probabilities in the shape that the API requires. Servers leave parts
//! out, and the getters of typed SDKs throw over what is missing.

use serde_json::{Map, Value, json};

use super::lenient::text_of;

/// What the API has for a token that is as good as impossible.
const IMPOSSIBLE: f64 = -9999.0;

/// The entries of a list, each with `token`, `logprob`, `bytes` (the token's
/// UTF-8 where they are left out) and `top_logprobs`. What names no token is
/// left out.
pub fn complete(list: Value) -> Vec<Value> {
    entries(list, true)
}

fn entries(list: Value, with_alternatives: bool) -> Vec<Value> {
    let Value::Array(list) = list else {
        return Vec::new();
    };
    let complete = |entry| match entry {
        Value::Object(entry) => completed(entry, with_alternatives),
        _ => None,
    };
    list.into_iter().filter_map(complete).collect()
}

fn completed(mut entry: Map<String, Value>, with_alternatives: bool) -> Option<Value> {
    let token = text_of(entry.get("token")?)?.into_owned();
    if !entry.get("bytes").is_some_and(Value::is_array) {
        entry.insert("bytes".into(), json!(token.as_bytes()));
    }
    if !entry["token"].is_string() {
        entry.insert("token".into(), Value::String(token));
    }
    if !entry.get("logprob").is_some_and(Value::is_number) {
        entry.insert("logprob".into(), json!(IMPOSSIBLE));
    }
    if with_alternatives {
        let alternatives = entry.get_mut("top_logprobs").map(Value::take);
        let alternatives = entries(alternatives.unwrap_or_default(), false);
        entry.insert("top_logprobs".into(), Value::Array(alternatives));
    }
    Some(Value::Object(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_put_in_and_the_rest_stays() {
        let whole = json!([{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs":
            [{"token": "b", "logprob": -1, "bytes": [98]}]}]);
        assert_eq!(Value::Array(complete(whole.clone())), whole);
        let table = [
            (
                json!([{"token": "é", "logprob": -0.5}]),
                json!([{"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": []}]),
            ),
            (
                json!([{"token": 5, "logprob": null, "bytes": null, "top_logprobs": null}]),
                json!([{"token": "5", "logprob": -9999.0, "bytes": [53], "top_logprobs": []}]),
            ),
            (
                json!([null, {"logprob": 1}, {"token": "a", "logprob": 0, "bytes": [97],
                    "top_logprobs": [{"token": "b"}]}]),
                json!([{"token": "a", "logprob": 0, "bytes": [97],
                    "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -9999.0}]}]),
            ),
            (json!(null), json!([])),
        ];
        for (sent, expected) in table {
            assert_eq!(Value::Array(complete(sent.clone())), expected, "{sent}");
        }
    }
}
