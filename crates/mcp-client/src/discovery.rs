//! Which era of the protocol a server speaks.
//!
//! Asked first is `server/discover` of 2026-07-28. A server that refuses it in
//! a way that an older one might is asked to `initialize` (MCP 2026-07-28,
//! "Backward Compatibility").

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{error::McpError, message, peer::Peer, settings::Settings};

const SESSION_ID: &str = "mcp-session-id";
const MODERN: &str = "2026-07-28";
/// With `initialize`, newest first; all over Streamable HTTP, which some servers
/// speak that say the version before it.
const LEGACY: &[&str] = &["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The largest answer to the first question.
const MAX_HELLO: usize = 256 * 1024;
/// The longest session id.
const MAX_SESSION_ID: usize = 1024;
/// JSON-RPC error codes that only a server of the newer era gives: the headers
/// contradict the body; a capability of the client is missing.
const MODERN_REFUSALS: &[i64] = &[-32020, -32021];

/// How to speak with a server.
#[derive(Debug, Clone)]
pub(crate) enum Era {
    /// 2026-07-28: every message stands for itself.
    Modern,
    /// Before: `initialize`, and mostly a session.
    Legacy {
        /// `None` until it is agreed upon.
        version: Option<&'static str>,
        session: Option<HeaderValue>,
    },
}

impl Era {
    pub(crate) fn is_modern(&self) -> bool {
        matches!(self, Self::Modern)
    }

    pub(crate) fn session(&self) -> Option<&HeaderValue> {
        match self {
            Self::Modern => None,
            Self::Legacy { session, .. } => session.as_ref(),
        }
    }

    #[cfg(test)]
    pub(crate) fn version(&self) -> &'static str {
        match self {
            Self::Modern => MODERN,
            Self::Legacy { version, .. } => version.unwrap_or(LEGACY[0]),
        }
    }

    /// The headers of every message of this era.
    pub(crate) fn head(&self, to: &mut HeaderMap) {
        to.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        let version = match self {
            Self::Modern => Some(MODERN),
            Self::Legacy { version, .. } => *version,
        };
        if let Some(version) = version {
            to.insert("mcp-protocol-version", HeaderValue::from_static(version));
        }
        if let Some(session) = self.session() {
            to.insert(SESSION_ID, session.clone());
        }
    }
}

/// What every request of the newer era says of its sender.
pub(crate) fn describe_ourselves(params: &mut Map<String, Value>, settings: &Settings) {
    let meta = params
        .entry("_meta")
        .or_insert_with(|| Value::Object(Map::new()));
    meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    meta["io.modelcontextprotocol/clientInfo"] = ourselves(settings);
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
}

/// Finds out. A server that does not answer the first question within
/// `patience` is taken for an older one: some read no unknown methods.
pub(crate) async fn find(peer: &Arc<Peer>, patience: Duration) -> Result<Era, McpError> {
    let spoken = match timeout(patience, discover(peer)).await {
        Ok(Ok(versions)) if versions.iter().any(|version| version == MODERN) => {
            return Ok(Era::Modern);
        }
        Ok(Err(error)) if !may_be_old(&error) => return Err(error),
        Ok(Ok(versions) | Err(McpError::Rpc { versions, .. })) => versions,
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    initialize_as(peer, both_speak(&spoken).unwrap_or(LEGACY[0])).await
}

/// The newest of these versions that both sides speak.
fn both_speak(versions: &[String]) -> Option<&'static str> {
    let both = |ours: &&&str| versions.iter().any(|theirs| theirs == **ours);
    LEGACY.iter().find(both).copied()
}

/// The versions that a server of the newer era speaks.
async fn discover(peer: &Arc<Peer>) -> Result<Vec<String>, McpError> {
    let (answer, _) = peer
        .ask(&Era::Modern, "server/discover", Map::new(), None, MAX_HELLO)
        .await?;
    let Some(versions) = answer["supportedVersions"].as_array() else {
        return Err(McpError::Protocol("it says no 'supportedVersions'"));
    };
    let versions = versions.iter().filter_map(Value::as_str);
    Ok(versions.map(str::to_owned).collect())
}

/// Begins a session of the older era.
pub(crate) async fn initialize(peer: &Arc<Peer>) -> Result<Era, McpError> {
    initialize_as(peer, LEGACY[0]).await
}

/// The same, asking for `version` first. A server that refuses and lists what it
/// speaks is asked once more with one of those.
async fn initialize_as(peer: &Arc<Peer>, version: &'static str) -> Result<Era, McpError> {
    match initialize_once(peer, version).await {
        Err(McpError::Rpc {
            code,
            message,
            versions,
        }) => match both_speak(&versions) {
            Some(other) if other != version => initialize_once(peer, other).await,
            _ => Err(McpError::Rpc {
                code,
                message,
                versions,
            }),
        },
        other => other,
    }
}

async fn initialize_once(peer: &Arc<Peer>, version: &'static str) -> Result<Era, McpError> {
    let before = Era::Legacy {
        version: None,
        session: None,
    };
    let mut params = Map::new();
    params.insert("protocolVersion".to_owned(), version.into());
    params.insert("capabilities".to_owned(), json!({}));
    params.insert("clientInfo".to_owned(), ourselves(peer.settings()));
    let (answer, headers) = peer
        .ask(&before, "initialize", params, None, MAX_HELLO)
        .await?;
    let version = LEGACY
        .iter()
        .find(|version| answer["protocolVersion"] == **version)
        .ok_or(McpError::Protocol(
            "no version of the protocol is spoken by both sides",
        ))?;
    let session = headers.get(SESSION_ID).cloned();
    if session
        .as_ref()
        .is_some_and(|id| id.is_empty() || id.len() > MAX_SESSION_ID)
    {
        return Err(McpError::Protocol("its session id is empty or too long"));
    }
    let era = Era::Legacy {
        version: Some(version),
        session,
    };
    let initialized = message::notification("notifications/initialized", Map::new());
    peer.tell(&era, &initialized).await?;
    Ok(era)
}

/// Whether a server of the older era could have refused like this.
fn may_be_old(error: &McpError) -> bool {
    match error {
        McpError::Rpc { code, .. } => !MODERN_REFUSALS.contains(code),
        McpError::Status(status) => !matches!(
            *status,
            // 401 and 403: gateways refuse methods that they do not know like this.
            StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        ),
        McpError::Protocol(_) => true,
        _ => false,
    }
}

fn ourselves(settings: &Settings) -> Value {
    json!({"name": settings.name, "version": settings.version})
}
