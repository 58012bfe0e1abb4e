//! Calls of MCP servers' tools: made once their intent is safe, and at most once
//! for one approval.

use std::sync::Arc;

use futures::FutureExt;
use mcp_client::{Call, CallError, Outcome, Session};
use serde_json::{Map, Value};

use super::{Doing, ToolLoop};
use crate::{
    metrics::ReasonLabels,
    model::Delta,
    tools::{
        RunContext,
        mcp::{calls, items},
    },
};

/// A call on its way.
pub(super) struct Making {
    pub(super) key: u64,
    pub(super) item: Value,
    pub(super) arguments: String,
}

/// A person's word for one call.
struct Approval {
    context: Arc<RunContext>,
    request_id: String,
}

impl Approval {
    /// Takes it for this response. It is good for one call: a request that
    /// comes twice (clients repeat a `POST` whose answer they did not get) does
    /// not make its call twice, nor do two that race.
    async fn take(self) -> Result<(), CallError> {
        let RunContext {
            tools,
            project_id,
            response_id,
            ..
        } = &*self.context;
        let taken = tools
            .store
            .consume_approval(project_id, &self.request_id, response_id);
        let message = match taken.await {
            Ok(owner) if owner == *response_id => return Ok(()),
            Ok(owner) => format!(
                "The approval was good for one call, which the response '{owner}' has begun. It \
                 was not made again."
            ),
            Err(error) => {
                tracing::error!(%response_id, %error, "taking an approval failed");
                "The approval could not be recorded. The call was not made.".to_owned()
            }
        };
        // JSON-RPC: invalid params.
        let code = -32602;
        Err(CallError::McpProtocolError { code, message })
    }
}

impl ToolLoop {
    pub(super) fn make(&mut self, making: Making) {
        let text = |key: &str| making.item[key].as_str().unwrap_or_default().to_owned();
        let (label, name) = (text("server_label"), text("name"));
        let call = Call {
            input_schema: self
                .catalogue
                .by_tool(&label, &name)
                .map_or(Value::Null, |entry| entry.tool.input_schema.clone()),
            name,
            arguments: Map::new(),
            idempotency_key: format!("{}/{}", self.context.response_id, text("id")),
        };
        let access = self.context.access.get(&label).cloned();
        let session = self.sessions.remove(&label);
        let servers = self.context.tools.mcp.clone();
        let arguments = making.arguments.clone();
        let approval = self.approval_of(&making.item);
        let calling = async move {
            if let Some(approval) = approval
                && let Err(why) = approval.take().await
            {
                return (session, Outcome::Failed(why));
            }
            calls::call(servers, label, access, session, call, arguments).await
        };
        self.doing = Doing::Calling(making, calling.boxed());
    }

    /// The approval that a call was made possible by, if it needed one.
    fn approval_of(&self, item: &Value) -> Option<Approval> {
        Some(Approval {
            context: Arc::clone(&self.context),
            request_id: item["approval_request_id"].as_str()?.to_owned(),
        })
    }

    pub(super) fn called(
        &mut self,
        making: Making,
        session: Option<Session>,
        outcome: Outcome,
        out: &mut Vec<Delta>,
    ) {
        let Making {
            key,
            mut item,
            arguments,
        } = making;
        if let (Some(session), Some(label)) = (session, item["server_label"].as_str()) {
            self.sessions.insert(label.to_owned(), session);
        }
        item["arguments"] = arguments.into();
        let reason = ReasonLabels {
            reason: outcome.reason(),
        };
        let metrics = &self.context.tools.metrics;
        metrics.mcp_calls.get_or_create(&reason).inc();
        let kind = match &outcome {
            Outcome::Output(_) => "response.mcp_call.completed",
            Outcome::Failed(_) => "response.mcp_call.failed",
        };
        items::end_call(&mut item, outcome);
        out.push(items::event(key, kind));
        out.push(Delta::ItemDone {
            key,
            item: item.clone(),
        });
        self.history.push(item);
    }
}
