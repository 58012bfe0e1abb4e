//! Against the server of the official SDK for Rust, in both eras.

use std::{future::ready, net::SocketAddr, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::{
    Call, CallError, Client, Credentials, McpError, Outcome,
    tests::{listed, settings},
};

struct Greeter;

impl ServerHandler for Greeter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, ErrorData>> + Send + '_ {
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string", "x-mcp-header": "Name"}}});
        let Value::Object(schema) = schema else {
            unreachable!("it is an object")
        };
        let tool = Tool::new("greet", "Greets", Arc::new(schema))
            .with_annotations(ToolAnnotations::new().read_only(true));
        ready(Ok(ListToolsResult::with_all_items(vec![tool])))
    }

    fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<CallToolResponse, ErrorData>> + Send + '_ {
        let name = request
            .arguments
            .as_ref()
            .and_then(|a| a.get("name")?.as_str());
        let text = |text: String| vec![ContentBlock::text(text)];
        ready(match (request.name.as_ref(), name) {
            ("greet", Some(name)) => {
                Ok(CallToolResult::success(text(format!("Hi, {name}"))).into())
            }
            ("greet", None) => Ok(CallToolResult::error(text("no name".to_owned())).into()),
            _ => Err(ErrorData::invalid_params("no such tool", None)),
        })
    }
}

async fn serve(config: StreamableHttpServerConfig) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = StreamableHttpService::new(
        || Ok(Greeter),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let app = axum::Router::new().nest_service("/mcp", service);
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn call(name: &str, arguments: Value) -> Call {
    Call {
        name: name.to_owned(),
        arguments: arguments.as_object().expect("an object").clone(),
        input_schema: Value::Null,
        idempotency_key: "resp_1/mcp_1".to_owned(),
    }
}

#[tokio::test]
async fn the_official_server_understands_us_in_both_eras() {
    for sessions in [true, false] {
        for json in [true, false] {
            let mut config = StreamableHttpServerConfig::default();
            config.legacy_session_mode = sessions;
            config.json_response = json;
            let origin = format!("http://{}", serve(config).await);
            let client = Client::new(settings(), TaskTracker::new());
            let url = listed(&format!("{origin}/mcp"));
            let modern = client.connect(url, &Credentials::default()).await;
            let mut modern = modern.expect("a session");
            assert_eq!(modern.version(), "2026-07-28");
            let mut legacy = modern.again_as_legacy().await.expect("a session");
            assert_eq!(legacy.version(), "2025-11-25");
            for session in [&mut modern, &mut legacy] {
                let tools = session.list_tools().await.expect("tools").tools;
                assert_eq!(tools.len(), 1);
                assert!(tools[0].is_read_only());
                let mut greet = call("greet", json!({"name": "Zoë"}));
                greet.input_schema = tools[0].input_schema.clone();
                assert_eq!(
                    session.call_tool(&greet).await.expect("an outcome"),
                    Outcome::Output("Hi, Zoë".to_owned())
                );
                assert_eq!(
                    session
                        .call_tool(&call("greet", json!({"x": 1})))
                        .await
                        .expect("an outcome"),
                    Outcome::Failed(CallError::execution("no name"))
                );
                let refused = session.call_tool(&call("other", json!({}))).await;
                assert!(
                    matches!(refused, Err(McpError::Rpc { code: -32602, .. })),
                    "{refused:?}"
                );
            }
        }
    }
}
