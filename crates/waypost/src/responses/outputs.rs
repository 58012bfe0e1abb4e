//! Outputs that do not say which call they answer.
//!
//! The SDKs' types let `function_call_output.call_id` be left out, beside `name`
//! and `namespace`; no public text says what that means. Here such an output
//! answers the one function call that waits for its output, of that name where
//! it gives one. Where several wait, or none, it is refused.

use serde_json::{Value, json};

use crate::http::{
    error::{ApiError, shown},
    places::Places,
};

/// A function call without an output so far.
struct Waiting {
    call_id: String,
    name: Value,
    namespace: Value,
}

impl Waiting {
    /// Whether an output means this call, by what it says of it.
    fn is_meant_by(&self, output: &Value) -> bool {
        [("name", &self.name), ("namespace", &self.namespace)]
            .into_iter()
            .all(|(field, of_call)| output[field].is_null() || output[field] == *of_call)
    }
}

/// Gives those of a request's own items, which begin at `own` and stood at these
/// places of its input, the id of the call that they answer.
pub fn find_calls(items: &mut [Value], own: usize, places: &Places) -> Result<(), ApiError> {
    let is_unnamed =
        |item: &Value| item["type"] == "function_call_output" && item["call_id"].is_null();
    if !items[own..].iter().any(is_unnamed) {
        return Ok(());
    }
    let mut waiting: Vec<Waiting> = Vec::new();
    for (at, item) in items.iter_mut().enumerate() {
        match item["type"].as_str() {
            Some("function_call") => waiting.push(Waiting {
                call_id: item["call_id"].as_str().unwrap_or_default().to_owned(),
                name: item["name"].clone(),
                namespace: item["namespace"].clone(),
            }),
            Some("function_call_output") if is_unnamed(item) => {
                let mut meant = waiting
                    .iter()
                    .enumerate()
                    .filter(|(_, c)| c.is_meant_by(item));
                let (Some((call, _)), None) = (meant.next(), meant.next()) else {
                    return Err(unclear(&waiting, item, places.of(at.saturating_sub(own))));
                };
                item["call_id"] = json!(waiting.remove(call).call_id);
            }
            Some("function_call_output") => {
                let answered = waiting
                    .iter()
                    .position(|call| item["call_id"] == *call.call_id);
                if let Some(answered) = answered {
                    waiting.remove(answered);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn unclear(waiting: &[Waiting], output: &Value, at: usize) -> ApiError {
    let named = match output["name"].as_str() {
        Some(name) => format!(" of '{}'", shown(name)),
        None => String::new(),
    };
    let count = waiting
        .iter()
        .filter(|call| call.is_meant_by(output))
        .count();
    ApiError::invalid(format!(
        "Missing required parameter: 'input[{at}].call_id'. Without it, exactly one function \
         call{named} has to wait for its output; {count} do."
    ))
    .param(format!("input[{at}].call_id"))
    .code("missing_required_parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(call_id: &str, name: &str) -> Value {
        json!({"type": "function_call", "call_id": call_id, "name": name})
    }

    fn output(call_id: Value, name: Value) -> Value {
        json!({"type": "function_call_output", "call_id": call_id, "name": name})
    }

    fn found(mut items: Vec<Value>) -> Result<Vec<Value>, String> {
        find_calls(&mut items, 0, &Places::default())
            .map_err(|error| error.message().to_owned())?;
        let outputs = items.iter().filter(|i| i["type"] == "function_call_output");
        Ok(outputs.map(|item| item["call_id"].clone()).collect())
    }

    #[test]
    fn the_one_call_that_waits_is_answered() {
        let none = || Value::Null;
        assert_eq!(
            found(vec![
                call("a", "f"),
                output(none(), none()),
                call("b", "f"),
                call("c", "g"),
                output(none(), json!("g")),
                output(none(), none()),
            ]),
            Ok(vec![json!("a"), json!("c"), json!("b")])
        );
        assert_eq!(
            found(vec![
                call("a", "f"),
                call("b", "f"),
                output(json!("a"), none()),
                output(none(), none())
            ]),
            Ok(vec![json!("a"), json!("b")])
        );
    }

    #[test]
    fn where_none_or_several_wait_it_is_refused() {
        let none = || Value::Null;
        for (items, count) in [
            (vec![output(none(), none())], "; 0 do"),
            (
                vec![call("a", "f"), call("b", "g"), output(none(), none())],
                "; 2 do",
            ),
            (
                vec![call("a", "f"), output(none(), json!("g"))],
                "of 'g' has to wait for its output; 0 do",
            ),
        ] {
            let refused = found(items).expect_err("unclear");
            assert!(refused.contains(count), "{refused}");
        }
    }
}
