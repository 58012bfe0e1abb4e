//! What tests put in the place of what a model server should have sent.

use crate::model::Delta;

use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// Values of every type, and of none that an answer has.
pub fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(json!(1e300)),
        Just(json!(u64::MAX)),
        Just(json!(u64::MAX.to_string())),
        Just(json!("")),
        Just(json!("0")),
        Just(json!("x")),
        Just(json!([])),
        Just(json!([null, 5, {"a": 1}])),
        Just(json!({})),
        Just(json!({"message": {"content": 5}})),
        Just(json!(true)),
    ]
}

/// A place within a value, as a JSON Pointer; `None` where it has none.
pub fn place(value: &Value, index: &Index) -> Option<String> {
    let mut all = Vec::new();
    places(value, "", &mut all);
    (!all.is_empty()).then(|| index.get(&all).clone())
}

/// Puts what is odd in that place.
pub fn put(value: &mut Value, place: &str, odd: Value) {
    *value.pointer_mut(place).expect("it is there") = odd;
}

/// The text that deltas say.
pub fn said(deltas: &[Delta]) -> String {
    let text = deltas.iter().filter_map(|delta| match delta {
        Delta::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    text.collect()
}

/// Adds the places within a value, which stands `here`.
fn places(value: &Value, here: &str, out: &mut Vec<String>) {
    let mut inner = |key: String, value: &Value| {
        let place = format!("{here}/{key}");
        places(value, &place, out);
        out.push(place);
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| inner(key.clone(), value)),
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                inner(at.to_string(), value);
            }
        }
        _ => {}
    }
}
