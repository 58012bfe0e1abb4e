//! The Response object: built once from the request, then changed only in
//! `status`, `output`, `usage`, `error`, `incomplete_details`, `completed_at`.

use std::borrow::Cow;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use waypost_engine::responses::Status;

use crate::model::Usage;

/// Says that token counts of zero are none: the model server told nothing.
const USAGE_HEADER: HeaderName = HeaderName::from_static("x-waypost-usage");

/// Why a response failed: a code of the API's closed list, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
}

/// A new Response object with this status.
pub fn new(id: &str, created_at_seconds: i64, status: Status, echo: Map<String, Value>) -> Value {
    let mut object = Map::with_capacity(echo.len() + 10);
    object.insert("id".into(), json!(id));
    object.insert("object".into(), json!("response"));
    object.insert("created_at".into(), json!(created_at_seconds));
    object.insert("status".into(), json!(status.as_str()));
    object.insert("completed_at".into(), Value::Null);
    object.insert("error".into(), Value::Null);
    object.insert("incomplete_details".into(), Value::Null);
    object.insert("output".into(), json!([]));
    object.extend(echo);
    object.insert("usage".into(), Value::Null);
    Value::Object(object)
}

/// Token counts as the Responses API writes them.
pub fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
    })
}

/// The object as clients get it. An answer has token counts there, whatever is
/// known of them: schemas of clients refuse null. What is stored stays null.
pub fn for_clients(object: &Value) -> Cow<'_, Value> {
    if !is_uncounted(object) {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object["usage"] = usage(Usage::default());
    Cow::Owned(object)
}

/// An answer with the object, and a header where its token counts are none.
pub fn answer(mut object: Value) -> Response {
    let uncounted = is_uncounted(&object);
    if uncounted {
        object["usage"] = usage(Usage::default());
    }
    let mut answer = Json(object).into_response();
    if uncounted {
        let value = HeaderValue::from_static("unreported");
        answer.headers_mut().insert(USAGE_HEADER, value);
    }
    answer
}

fn is_uncounted(object: &Value) -> bool {
    let is_answer = matches!(object["status"].as_str(), Some("completed" | "incomplete"));
    is_answer && object["usage"].is_null()
}

/// The object while it runs.
pub fn in_progress(object: &Value) -> Value {
    with_status(object, Status::InProgress)
}

/// The object with another status and nothing else changed.
pub fn with_status(object: &Value, status: Status) -> Value {
    let mut object = object.clone();
    object["status"] = json!(status.as_str());
    object
}

/// The object at its end.
pub fn finished(object: &Value, output: Vec<Value>, usage: Value, completed_at: i64) -> Value {
    let mut object = with_status(object, Status::Completed);
    object["completed_at"] = json!(completed_at);
    object["output"] = Value::Array(output);
    object["usage"] = usage;
    object
}

/// The object when the model was cut off.
pub fn incomplete(object: &Value, output: Vec<Value>, usage: Value, reason: &str) -> Value {
    let mut object = with_status(object, Status::Incomplete);
    object["incomplete_details"] = json!({"reason": reason});
    object["output"] = Value::Array(output);
    object["usage"] = usage;
    object
}

/// The object when it failed; what was generated stays.
pub fn failed(object: &Value, output: Vec<Value>, usage: Value, failure: &Failure) -> Value {
    let mut object = with_status(object, Status::Failed);
    object["error"] = json!({"code": failure.code, "message": failure.message});
    object["output"] = Value::Array(output);
    object["usage"] = usage;
    object
}

/// The object when it was cancelled: without output.
pub fn cancelled(object: &Value) -> Value {
    let mut object = with_status(object, Status::Cancelled);
    object["output"] = json!([]);
    object["usage"] = Value::Null;
    object
}
