use std::{sync::Mutex, time::Duration};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::*;
use crate::{Call, Client, Credentials, Outcome, tests::settings};

/// A way without HTTP, as a tunnel is one: it carries messages, knows no end of
/// a session, and cannot go on with a stream.
#[derive(Default)]
struct Memory {
    sent: Mutex<Vec<(Value, HeaderMap)>>,
    gone: bool,
}

#[async_trait]
impl Transport for Memory {
    async fn send(
        &self,
        outgoing: Outgoing,
        headers: HeaderMap,
        limit: usize,
    ) -> Result<Reply, McpError> {
        let Outgoing::Message(message) = outgoing else {
            return Err(McpError::Status(StatusCode::METHOD_NOT_ALLOWED));
        };
        if self.gone {
            let why = "nobody is at the other end".to_owned();
            return Err(client::Error::NoConnection(why).into());
        }
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        let result = match message["method"].as_str() {
            Some("server/discover") => json!({"supportedVersions": ["2026-07-28"]}),
            Some("tools/list") => json!({"tools": [
                {"name": "one", "inputSchema": {"type": "object"}}]}),
            Some("tools/call") => json!({"content": [
                {"type": "text", "text": "said by s3cret-tunnel"}]}),
            other => panic!("{other:?}"),
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        let body = answer.to_string();
        assert!(body.len() <= limit);
        self.sent.lock().expect("a lock").push((message, headers));
        let json = (
            header::CONTENT_TYPE,
            "application/json".parse().expect("a value"),
        );
        Ok(Reply {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([json]),
            length: None,
            body: stream::iter([Ok(body.into())]).boxed(),
        })
    }

    fn add_secrets(&self, to: &mut Secrets) {
        to.add("s3cret-tunnel");
    }
}

#[tokio::test]
async fn a_server_is_reached_without_http() {
    let client = Client::new(settings(), TaskTracker::new());
    let memory = Arc::new(Memory::default());
    let credentials = Credentials::read(Some("s3cret-token"), None).expect("credentials");
    let session = client.connect_over(memory.clone(), &credentials).await;
    let mut session = session.expect("a session");
    assert_eq!(session.version(), "2026-07-28");
    let tools = session.list_tools().await.expect("tools").tools;
    let call = Call {
        name: tools[0].name.clone(),
        arguments: serde_json::Map::new(),
        input_schema: tools[0].input_schema.clone(),
        idempotency_key: "resp_1/mcp_1".to_owned(),
    };
    let outcome = session.call_tool(&call).await.expect("an outcome");
    assert_eq!(outcome, Outcome::Output("said by [redacted]".to_owned()));
    for (message, headers) in memory.sent.lock().expect("a lock").iter() {
        assert_eq!(headers["authorization"], "Bearer s3cret-token");
        assert_eq!(
            headers["mcp-method"],
            message["method"].as_str().expect("a method")
        );
    }
}

#[tokio::test]
async fn a_way_that_leads_nowhere_is_told_at_once() {
    let mut settings = settings();
    settings.list_timeout = Duration::from_mins(1);
    let client = Client::new(settings, TaskTracker::new());
    let memory = Arc::new(Memory {
        gone: true,
        ..Memory::default()
    });
    let refused = client.connect_over(memory, &Credentials::default()).await;
    let refused = refused.err().expect("nobody there");
    assert!(matches!(refused, McpError::Unreachable(_)), "{refused}");
}
