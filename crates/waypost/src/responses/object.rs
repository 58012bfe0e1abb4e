//! The Response object: built once from the request, then changed only in
//! `status`, `output`, `usage`, `error`, `incomplete_details`, `completed_at`.

use serde_json::{Map, Value, json};
use waypost_engine::responses::Status;

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
