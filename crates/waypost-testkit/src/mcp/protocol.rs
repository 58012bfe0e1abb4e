//! What the protocol says: checks of a request, and answers to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Behaviour, Era};

pub(super) const MODERN: &str = "2026-07-28";
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// An HTTP status with a JSON-RPC error.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Value,
}

impl Refusal {
    pub(super) fn new(status: u16, code: i64, message: &str) -> Self {
        Self {
            status,
            code,
            message: message.to_owned(),
            data: Value::Null,
        }
    }

    pub(super) fn error(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.data.is_null() {
            error["data"] = self.data.clone();
        }
        error
    }
}

/// Whether a request says that it is of the newer era.
pub(super) fn is_modern(headers: &BTreeMap<String, String>) -> bool {
    headers
        .get("mcp-protocol-version")
        .is_some_and(|version| version.as_str() >= MODERN)
}

/// Checks a request of the newer era: headers and body must agree.
pub(super) fn check_modern(
    behaviour: &Behaviour,
    headers: &BTreeMap<String, String>,
    body: &Value,
) -> Result<(), Refusal> {
    if behaviour.era == Era::Legacy {
        return Err(Refusal::new(
            400,
            -32000,
            "Bad Request: Unsupported protocol version",
        ));
    }
    let mismatch = |what: &str| Refusal::new(400, -32020, &format!("Header mismatch: {what}"));
    let header = |name: &str| headers.get(name).map(String::as_str);
    if header("mcp-protocol-version") != Some(MODERN) {
        let mut refusal = Refusal::new(400, -32022, "Unsupported protocol version");
        refusal.data = json!({"supported": [MODERN]});
        return Err(refusal);
    }
    let meta = &body["params"]["_meta"];
    if meta[META_VERSION] != MODERN || !meta[META_CAPABILITIES].is_object() {
        return Err(mismatch("_meta"));
    }
    if header("mcp-method") != body["method"].as_str() {
        return Err(mismatch("Mcp-Method"));
    }
    if body["method"] == "tools/call" && header("mcp-name") != body["params"]["name"].as_str() {
        return Err(mismatch("Mcp-Name"));
    }
    if headers.contains_key("mcp-session-id") {
        return Err(mismatch("Mcp-Session-Id"));
    }
    Ok(())
}

/// The result of a method that is not a call.
pub(super) fn answer(
    behaviour: &Behaviour,
    modern: bool,
    method: &str,
    params: &Value,
) -> Result<Value, Refusal> {
    let modern_only = [MODERN.to_owned()];
    let versions = match behaviour.discovered.as_slice() {
        [] => modern_only.as_slice(),
        versions => versions,
    };
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    let mut result = match method {
        "server/discover" if modern => json!({
            "supportedVersions": versions, "capabilities": {"tools": {}},
            "ttlMs": 0, "cacheScope": "private"}),
        "initialize"
            if !behaviour.only.is_empty() && !behaviour.only.iter().any(|v| v == asked) =>
        {
            // As the specification's own example has it.
            let mut refusal = Refusal::new(400, -32602, "Unsupported protocol version");
            refusal.data = json!({"supported": behaviour.only, "requested": asked});
            return Err(refusal);
        }
        "initialize" if behaviour.era != Era::Modern => json!({
            "protocolVersion": if behaviour.only.is_empty() { &behaviour.version } else { asked },
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "scripted", "version": "1"}}),
        "tools/list" => list(behaviour, params),
        "ping" => json!({}),
        _ => return Err(Refusal::new(404, -32601, "Method not found")),
    };
    if modern {
        result["resultType"] = "complete".into();
    }
    Ok(result)
}

/// The result of a call.
pub(super) fn call(behaviour: &Behaviour, params: &Value) -> Result<Value, Refusal> {
    let tool = behaviour
        .tools
        .iter()
        .find(|tool| tool.definition["name"] == params["name"]);
    let Some(tool) = tool else {
        return Err(Refusal::new(400, -32602, "Unknown tool"));
    };
    let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    Ok(match &tool.answer {
        Answer::Echo => text(&params["arguments"].to_string()),
        Answer::Text(said) => text(said),
        Answer::Failure(said) => {
            let mut result = text(said);
            result["isError"] = true.into();
            result
        }
        Answer::Result(result) => result.clone(),
        Answer::Error { code, message } => return Err(Refusal::new(200, *code, message)),
        Answer::Rounds(rounds) => {
            let done: u32 = params["requestState"]
                .as_str()
                .and_then(|state| state.parse().ok())
                .unwrap_or(0);
            if done < *rounds {
                json!({"resultType": "input_required", "requestState": (done + 1).to_string()})
            } else {
                text(&params["arguments"].to_string())
            }
        }
    })
}

fn list(behaviour: &Behaviour, params: &Value) -> Value {
    let from: usize = params["cursor"]
        .as_str()
        .and_then(|cursor| cursor.parse().ok())
        .unwrap_or(0);
    let page = match behaviour.page {
        0 => usize::MAX,
        page => page,
    };
    let tools: Vec<&Value> = behaviour
        .tools
        .iter()
        .map(|tool| &tool.definition)
        .skip(from)
        .take(page)
        .collect();
    let next = from.saturating_add(page);
    let mut result = json!({"tools": tools});
    if next < behaviour.tools.len() {
        result["nextCursor"] = next.to_string().into();
    } else if behaviour.circular {
        result["nextCursor"] = page.to_string().into();
    }
    result
}
