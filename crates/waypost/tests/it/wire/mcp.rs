//! MCP servers as tools.

use serde_json::json;

use super::Tape;
use crate::mcp::{Mcp, calling};

#[tokio::test]
async fn servers() {
    let mcp = Mcp::start().await;
    let origin = mcp.mcp.origin();
    let places = [
        (mcp.world.server.base_url.as_str(), "http://waypost"),
        (&mcp.world.upstream.address().to_string(), "model"),
        (&origin, "http://mcp"),
    ];
    let mut tape = Tape::new("mcp", &places);
    let client = mcp.world.client();
    let path = "/v1/responses";
    let text = r#"{"text":"hi"}"#;
    for stream in [false, true] {
        let mut body = mcp.request(&calling("chat", "echo", text, 1));
        body["stream"] = json!(stream);
        tape.post(&client, path, body).await;
    }
    let mut asking = mcp.request(&calling("chat", "write", text, 1));
    asking["tools"][0]["require_approval"] = json!("always");
    let asked = tape.post(&client, path, asking.clone()).await.ok().json;
    let output = asked["output"].as_array().expect("output");
    let question = output
        .iter()
        .find(|item| item["type"] == "mcp_approval_request");
    let question = question.expect("a question")["id"].clone();
    for approve in [true, true, false] {
        let mut answer = asking.clone();
        answer["previous_response_id"] = asked["id"].clone();
        answer["input"] = json!([{"type": "mcp_approval_response",
            "approval_request_id": question, "approve": approve}]);
        tape.post(&client, path, answer).await;
    }
    let mut body = mcp.request("chat?tokens=3");
    body["tools"][0]["allowed_tools"] = json!(["none"]);
    tape.post(&client, path, body).await;
    let mut body = mcp.request("chat?tokens=3");
    body["tools"][0]["server_url"] = json!("http://10.0.0.1/mcp");
    tape.post(&client, path, body).await;
    tape.compare();
}
