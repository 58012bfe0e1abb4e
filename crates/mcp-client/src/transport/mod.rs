//! How messages get to a server, and how its answers come back.
//!
//! A [`Transport`] leads to one server. It knows neither what is in a message
//! nor what an answer means; [`super::peer`] does. Answers have the status and
//! the headers of HTTP on every way: MCP defines them for Streamable HTTP, and
//! tunnels carry them along.

mod streamable_http;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, StatusCode, header};
use outbound::{AllowedUrl, client, redact::Secrets};

use crate::error::McpError;

/// Where a server is. A second kind, such as a tunnel, is one more variant with
/// a [`Transport`] of its own; nothing outside this module looks inside.
#[derive(Debug, Clone)]
pub enum Target {
    /// A URL that speaks Streamable HTTP.
    Url(AllowedUrl),
}

impl From<AllowedUrl> for Target {
    fn from(url: AllowedUrl) -> Self {
        Self::Url(url)
    }
}

impl Target {
    /// The way there.
    pub(crate) fn transport(self, http: &Arc<client::Client>) -> Arc<dyn Transport> {
        match self {
            Self::Url(url) => Arc::new(streamable_http::StreamableHttp::new(http, url)),
        }
    }
}

/// What goes to a server.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A JSON-RPC message.
    Message(Bytes),
    /// Asks for the rest of a stream that broke; the headers say after which
    /// event.
    Resume,
    /// Ends the session that the headers name.
    End,
}

/// What comes back. Dropping it tells the server that nobody reads on.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// How long the body says it is.
    pub(crate) length: Option<u64>,
    /// It ends with [`McpError::TooLarge`] where there is more of it than the
    /// limit allows.
    pub(crate) body: BoxStream<'static, Result<Bytes, McpError>>,
}

/// A way to one server.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Sends something, once, and waits for the head of the reply. `limit`
    /// bounds the bytes of its body.
    async fn send(
        &self,
        outgoing: Outgoing,
        headers: HeaderMap,
        limit: usize,
    ) -> Result<Reply, McpError>;

    /// Adds the parts of the server's address that are credentials.
    fn add_secrets(&self, to: &mut Secrets);
}

/// What kind of body a reply has.
pub(crate) enum Kind {
    Json,
    Events,
    Other,
}

impl Reply {
    pub(crate) fn kind(&self) -> Kind {
        let kind = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .unwrap_or("")
            .trim();
        if kind.eq_ignore_ascii_case("application/json") {
            Kind::Json
        } else if kind.eq_ignore_ascii_case("text/event-stream") {
            Kind::Events
        } else {
            Kind::Other
        }
    }
}

#[cfg(test)]
mod tests;
