//! What happens outside: lists and calls, owned, so that whoever waits for them
//! can be interrupted and wait again.

use std::{sync::Arc, time::Duration};

use mcp_client::{Call, CallError, McpError, Outcome, Session, Tool};
use serde_json::{Map, Value};

use super::{Access, Failure, Servers};

/// Pauses before a list is asked for again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// A list of tools, or a sentence that says why there is none.
pub type Listed = (Option<Session>, Result<Vec<Tool>, String>);
/// A call's end, with the session for the next one.
pub type Called = (Option<Session>, Outcome);

/// Lists a server's tools. Listing changes nothing, so that what may pass is
/// tried again.
pub async fn list(servers: Arc<Servers>, label: String, access: Option<Access>) -> Listed {
    let Some(access) = access else {
        return (None, Err("How to reach it is not known.".to_owned()));
    };
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match list_once(&servers, &label, &access).await {
            Ok((session, tools)) => return (Some(session), Ok(tools)),
            Err(Failure::Refused(sentence)) => return (None, Err(sentence)),
            Err(Failure::Mcp(error)) => error,
        };
        note(&label, "listing tools", &error);
        match pauses.next() {
            Some(pause) if may_pass(&error) => tokio::time::sleep(pause).await,
            _ => return (None, Err(error.to_string())),
        }
    }
}

/// Calls a tool, once.
pub async fn call(
    servers: Arc<Servers>,
    label: String,
    access: Option<Access>,
    session: Option<Session>,
    mut call: Call,
    arguments: String,
) -> Called {
    let Some(arguments) = parse(&arguments) else {
        // JSON-RPC 2.0's "invalid params", in the server's place.
        let error = CallError::McpProtocolError {
            code: -32602,
            message: "The arguments are not a JSON object. The tool was not called.".to_owned(),
        };
        return (session, Outcome::Failed(error));
    };
    call.arguments = arguments;
    let mut session = match session {
        Some(session) => session,
        None => match connect(&servers, access.as_ref()).await {
            Ok(session) => session,
            Err(Failure::Refused(message)) => {
                let error = CallError::HttpError { code: 403, message };
                return (None, Outcome::Failed(error));
            }
            Err(Failure::Mcp(error)) => {
                note(&label, "connecting", &error);
                return (None, Outcome::Failed(error.call_error()));
            }
        },
    };
    match session.call_tool(&call).await {
        Ok(outcome) => (Some(session), outcome),
        Err(error) => {
            note(&label, "calling a tool", &error);
            let outcome = Outcome::Failed(error.call_error());
            // What is left of a broken session is not known.
            let keep = matches!(error, McpError::Rpc { .. });
            (keep.then_some(session), outcome)
        }
    }
}

async fn list_once(
    servers: &Servers,
    label: &str,
    access: &Access,
) -> Result<(Session, Vec<Tool>), Failure> {
    let mut session = connect(servers, Some(access)).await?;
    let listed = session.list_tools().await.map_err(Failure::Mcp)?;
    for one in &listed.left_out {
        let (tool, why) = (&one.name, one.why);
        tracing::warn!(
            server_label = label,
            tool,
            "a tool of an MCP server is left out: {why}"
        );
    }
    Ok((session, listed.tools))
}

/// The operator's rules may have changed since the request.
async fn connect(servers: &Servers, access: Option<&Access>) -> Result<Session, Failure> {
    let access = access.ok_or_else(|| {
        Failure::Refused("How to reach the MCP server is not known any more.".to_owned())
    })?;
    servers.connect(access.url(), &access.credentials).await
}

fn parse(arguments: &str) -> Option<Map<String, Value>> {
    if arguments.trim().is_empty() {
        return Some(Map::new());
    }
    serde_json::from_str(arguments).ok()
}

fn may_pass(error: &McpError) -> bool {
    match error {
        McpError::Unreachable(_) | McpError::Broken(_) => true,
        McpError::Status(status) => status.is_server_error() || status.as_u16() == 429,
        _ => false,
    }
}

/// For the operator. What servers say themselves stays out of the log.
fn note(label: &str, what: &str, error: &McpError) {
    match (error.cause(), error) {
        (Some(cause), _) => {
            tracing::warn!(server_label = label, %cause, "{what}: the MCP server failed");
        }
        (None, McpError::Rpc { code, .. }) => {
            tracing::info!(server_label = label, code, "{what}: the MCP server refused");
        }
        (None, error) => {
            tracing::warn!(server_label = label, %error, "{what}: the MCP server failed");
        }
    }
}
