//! Requests that name servers in a way that is refused.

use serde_json::{Value, json};

use super::{Mcp, SECRET};

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let mcp = Mcp::with("", "allowed_servers = [\"mcp.example.com\"]").await;
    let client = mcp.world.client();
    let with = |name: &str, value: Value| {
        let mut tool = mcp.tool();
        tool[name] = value;
        tool
    };
    let without_url = |name: &str| {
        let mut tool = with(name, json!("tunnel_0123"));
        tool.as_object_mut().expect("a tool").remove("server_url");
        tool
    };
    let url = |url: &str| with("server_url", json!(url));
    for (tool, param, code, word) in [
        (
            without_url("tunnel_id"),
            "tunnel_id",
            "unsupported_parameter",
            "Tunnels",
        ),
        (
            without_url("connector_id"),
            "connector_id",
            "unsupported_parameter",
            "Connectors",
        ),
        (
            with("server_label", json!(null)),
            "server_label",
            "missing_required_parameter",
            "server_label",
        ),
        (
            url("http://localhost:1/s3cret"),
            "server_url",
            "invalid_value",
            "uses http",
        ),
        (
            url("https://127.0.0.1/s3cret"),
            "server_url",
            "invalid_value",
            "not a public host",
        ),
        (
            url("https://10.0.0.1/s3cret"),
            "server_url",
            "invalid_value",
            "not a public host",
        ),
        (
            url("https://example.org/s3cret"),
            "server_url",
            "invalid_value",
            "allowed_servers",
        ),
        (
            url("https://mcp.example.com:444/s3cret"),
            "server_url",
            "invalid_value",
            "custom port",
        ),
        (
            with("headers", json!({"Host": "s3cret"})),
            "headers",
            "invalid_value",
            "host",
        ),
        (
            with("defer_loading", json!(true)),
            "defer_loading",
            "unsupported_parameter",
            "at once",
        ),
    ] {
        let body = json!({"model": "chat", "input": "go", "tools": [tool]});
        let reply = client.post("/v1/responses", body).await;
        let message = reply.error(400, Some(&format!("tools[0].{param}")), Some(code));
        assert!(message.contains(word), "{message}");
        assert!(!reply.text.contains(SECRET), "{}", reply.text);
    }
    let body = json!({"model": "chat", "input": "go", "tools": [mcp.tool(), mcp.tool()]});
    let reply = client.post("/v1/responses", body).await;
    reply.error(400, Some("tools[1].server_label"), Some("invalid_value"));
    let mut body = mcp.request("chat");
    body["tool_choice"] = json!({"type": "mcp", "server_label": "other"});
    let reply = client.post("/v1/responses", body).await;
    reply.error(400, Some("tool_choice"), None);
    assert!(mcp.mcp.requests().is_empty());
}

#[tokio::test]
async fn an_operator_can_switch_servers_off() {
    let mcp = Mcp::with("", "enabled = false").await;
    let reply = mcp
        .world
        .client()
        .post("/v1/responses", mcp.request("chat"))
        .await;
    let message = reply.error(400, Some("tools[0].type"), Some("unsupported_parameter"));
    assert!(message.contains("tools.mcp.enabled"), "{message}");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused() {
    for (line, word) in [
        (
            "allow_private_servers = [\"http://127.0.0.1/x\"]",
            "allow_private_servers",
        ),
        (
            "allowed_servers = [\"https://mcp.example.com\"]",
            "allowed_servers",
        ),
        ("call_timeout = \"1ms\"", "call_timeout"),
        ("max_tools = 0", "max_tools"),
        ("colour = 1", "colour"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("waypost.toml");
        std::fs::write(&file, format!("[tools.mcp]\n{line}\n")).expect("written");
        let output = crate::harness::waypost()
            .args(["config", "check", "--config"])
            .arg(&file)
            .output()
            .expect("it runs");
        assert!(!output.status.success(), "{line}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(word) && said.contains(":2"), "{said}");
    }
}
