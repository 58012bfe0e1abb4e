//! Credentials go to the server that they are for, and nowhere else.

use std::{fs, path::Path};

use serde_json::{Value, json};
use waypost_testkit::mcp::{Answer, Fault, ScriptedTool};

use super::{Mcp, SECRET, calling, items};
use crate::support::{id_of, until};

/// Every file below a directory that holds the text.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path)
            .expect("a file")
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn credentials_reach_the_server_and_are_nowhere_else() {
    let mcp = Mcp::with("", "call_timeout = \"2s\"").await;
    mcp.mcp.behave(|server| {
        server.authorization = Some(format!("Bearer {SECRET}-token"));
        server.faults.insert("tools/call".to_owned(), Fault::Hang);
    });
    let mut request = mcp.request(&calling("chat", "echo", "{}", 1));
    request["tools"][0]["server_url"] = json!(format!("{}?key={SECRET}-query", mcp.mcp.url()));
    request["tools"][0]["authorization"] = json!(format!("{SECRET}-token"));
    request["tools"][0]["headers"] = json!({"x-key": format!("{SECRET}-header")});
    request["background"] = json!(true);
    let created = mcp.world.create(request.clone()).await;
    assert!(!created.to_string().contains(SECRET), "{created}");
    assert_eq!(
        created["tools"][0]["server_url"],
        format!("{}/<redacted>", mcp.mcp.origin())
    );
    until("the call is made", async || mcp.mcp.runs("echo") == 1).await;
    // While it runs: sealed in the store.
    let data = mcp.world.server.dir().join("data");
    assert_eq!(files_with(&data, SECRET), Vec::<String>::new());
    let ended = mcp.world.ended(&id_of(&created)).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(files_with(&data, SECRET), Vec::<String>::new());
    for request in mcp.mcp.requests() {
        assert_eq!(
            request.headers["authorization"],
            format!("Bearer {SECRET}-token")
        );
        assert_eq!(request.headers["x-key"], format!("{SECRET}-header"));
    }

    // Failures of every kind say nothing of them either.
    request["background"] = json!(false);
    for fault in [
        Fault::Status(401),
        Fault::Html,
        Fault::Reset,
        Fault::Redirect("/x".to_owned()),
    ] {
        for method in ["server/discover", "tools/list", "tools/call"] {
            mcp.mcp.behave(|server| server.faults.clear());
            mcp.mcp.fail(method, Some(fault.clone()));
            let reply = mcp
                .world
                .client()
                .post("/v1/responses", request.clone())
                .await;
            assert!(!reply.text.contains(SECRET), "{}", reply.text);
        }
    }
    let log = mcp.world.server.log();
    assert!(log.contains("the MCP server failed"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    assert_eq!(files_with(&data, SECRET), Vec::<String>::new());
    let requests = mcp.world.upstream.requests();
    assert!(
        requests
            .iter()
            .all(|r| !r.json().to_string().contains(SECRET))
    );
}

/// Proxies show headers, error texts quote tokens: none of that may end in an
/// item, a row, or the model's context.
#[tokio::test]
async fn a_server_that_repeats_its_credentials_is_not_quoted() {
    let mcp = Mcp::start().await;
    let token = format!("{SECRET}/token+1==");
    let header = format!("{SECRET}-header");
    let said = format!("sent 'Bearer {token}', {header}");
    let quoted = json!({"authorization": format!("Bearer {token}"), &header: 1});
    let slashes = quoted.to_string().replace('/', "\\/");
    let definition = json!({"name": "leak", "description": said, "annotations": {"title": said},
        "inputSchema": {"type": "object", "properties": {&header: {"description": said}}}});
    let data = mcp.world.server.dir().join("data");
    for answer in [
        Answer::Text(said.clone()),
        Answer::Text(slashes),
        Answer::Failure(said.clone()),
        Answer::Result(
            json!({"content": [{"type": "resource", "resource": quoted}],
            "structuredContent": quoted}),
        ),
        // Cut off within the token, if it were cut first.
        Answer::Error {
            code: 5,
            message: format!("{}{said}", "x".repeat(4 * 1024 - 20)),
        },
    ] {
        mcp.mcp.behave(|server| {
            server.tools = vec![ScriptedTool {
                definition: definition.clone(),
                answer: answer.clone(),
            }];
        });
        for background in [false, true] {
            let mut request = mcp.request(&calling("chat", "leak", "{}", 1));
            request["tools"][0]["authorization"] = json!(token);
            request["tools"][0]["headers"] = json!({"x-key": header, "x-team": "sent"});
            request["background"] = json!(background);
            let response = mcp.world.create(request).await;
            let response = mcp.world.ended(&id_of(&response)).await;
            assert_eq!(response["status"], "completed", "{response}");
            assert!(!response.to_string().contains(SECRET), "{response}");
            let tool = &items(&response, "mcp_list_tools")[0]["tools"][0];
            assert_eq!(tool["description"], "sent 'Bearer [redacted]', [redacted]");
            let call = items(&response, "mcp_call")[0].to_string();
            assert!(
                call.contains("[redacted]") || call.contains("xxxx"),
                "{call}"
            );
        }
        assert_eq!(files_with(&data, SECRET), Vec::<String>::new());
    }
    // In place of a list.
    let error = |message: &str| {
        Fault::Text(
            json!({"jsonrpc": "2.0", "id": Value::Null,
            "error": {"code": 1, "message": message}})
            .to_string(),
        )
    };
    for method in ["server/discover", "tools/list"] {
        mcp.mcp.behave(|server| server.faults.clear());
        mcp.mcp.fail(method, Some(error(&said)));
        mcp.mcp.fail("initialize", Some(error(&said)));
        let mut request = mcp.request("chat");
        request["tools"][0]["authorization"] = json!(token);
        request["tools"][0]["headers"] = json!({"x-key": header});
        let reply = mcp.world.client().post("/v1/responses", request).await;
        let message = reply.error(424, Some("tools"), Some("http_error"));
        assert!(
            message.contains("sent 'Bearer [redacted]', [redacted]"),
            "{message}"
        );
    }
    let asked = mcp.world.upstream.requests();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|r| !r.json().to_string().contains(SECRET)));
    assert!(!mcp.world.server.log().contains(SECRET));
}
