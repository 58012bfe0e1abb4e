//! Reading stops at the first byte that no repair can help: the model server sees its client leave
//! long before the end, and is asked again at once.

use serde_json::json;
use waypost_testkit::upstream::Ended;

use crate::support::World;

/// Deltas of one byte, with time between them: how many were sent says when reading stopped.
const SLOW: &str = "cut_bytes=1&delay_ms=4";

fn tool() -> serde_json::Value {
    json!({"type": "function", "name": "weather", "strict": true, "parameters": {
        "type": "object", "properties": {"unit": {"type": "string", "enum": ["C", "F"]},
            "note": {"type": "string"}},
        "required": ["unit", "note"], "additionalProperties": false}})
}

#[tokio::test]
async fn a_wrong_call_is_not_read_to_its_end() {
    let world = World::start().await;
    let long = "x".repeat(400);
    let bad = format!("call=weather:{{\"unit\":\"Celsius\",\"note\":\"{long}\"}}&{SLOW}");
    let good = "call=weather:{\"unit\":\"C\",\"note\":\"\"}";
    let model = format!("chat?key=stops&{bad}&then&{good}");
    let response = world
        .create(json!({"model": model, "input": "x", "tools": [tool()]}))
        .await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(
        response["output"][0]["arguments"],
        r#"{"unit":"C","note":""}"#
    );
    world.idle().await;
    let requests = world.upstream.requests_of("stops");
    let [first, second] = requests.as_slice() else {
        panic!("{} requests", requests.len())
    };
    let served = first.served();
    // `{"unit":"Ce`: the name, then eleven bytes. A busy machine may add some.
    assert_eq!(served.ended, Ended::Aborted);
    assert!((12..200).contains(&served.deltas), "{served:?}");
    assert_eq!(second.served().ended, Ended::Finished);
}

/// What a repair can set right is read whole.
#[tokio::test]
async fn a_fenced_call_is_read_to_its_end() {
    let world = World::start().await;
    let fenced = "call=weather:```json%0A{\"unit\":\"C\",\"note\":\"\"}%0A```";
    let model = format!("chat?key=fenced&{fenced}&{SLOW}");
    let response = world
        .create(json!({"model": model, "input": "x", "tools": [tool()]}))
        .await;
    assert_eq!(
        response["output"][0]["arguments"],
        r#"{"unit":"C","note":""}"#
    );
    let requests = world.upstream.requests_of("fenced");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].served().ended, Ended::Finished);
}
