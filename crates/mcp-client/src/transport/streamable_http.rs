//! Streamable HTTP: a message is a `POST`, the rest of a stream a `GET`, the end
//! of a session a `DELETE`.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, header};
use outbound::{AllowedUrl, client::Client, redact::Secrets};

use super::{Outgoing, Reply, Transport};
use crate::{error::McpError, redact};

pub(super) struct StreamableHttp {
    client: Arc<Client>,
    url: AllowedUrl,
}

impl StreamableHttp {
    pub(super) fn new(client: &Arc<Client>, url: AllowedUrl) -> Self {
        let client = Arc::clone(client);
        Self { client, url }
    }
}

#[async_trait]
impl Transport for StreamableHttp {
    async fn send(
        &self,
        outgoing: Outgoing,
        mut headers: HeaderMap,
        limit: usize,
    ) -> Result<Reply, McpError> {
        let (method, body) = match outgoing {
            Outgoing::Message(message) => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                (Method::POST, Some(message))
            }
            Outgoing::Resume => (Method::GET, None),
            Outgoing::End => (Method::DELETE, None),
        };
        let response = self.client.send(method, &self.url, headers, body).await?;
        Ok(Reply {
            status: response.status(),
            headers: response.headers().clone(),
            length: response.length(),
            body: stream::try_unfold(response.body(limit), |mut body| async {
                let chunk = body.chunk().await.map_err(McpError::from)?;
                Ok::<_, McpError>(chunk.map(|chunk| (chunk, body)))
            })
            .boxed(),
        })
    }

    fn add_secrets(&self, to: &mut Secrets) {
        redact::add_url(self.url.url().as_str(), to);
    }
}
