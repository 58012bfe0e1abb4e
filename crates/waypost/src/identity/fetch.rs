//! Fetching an issuer's documents, from addresses that were vetted.
//!
//! Easy to break: only [`Outbound`]'s clients may be used, which judge every
//! address that they connect to; the body has a bound. The caller bounds the
//! time of the whole.

use std::{net::IpAddr, time::Duration};

use http::{StatusCode, header};
use outbound::{
    UrlRules, WebUrl,
    client::{self, Outbound, OutboundError},
};

/// Kubernetes API servers answer 406 for their key set (RFC 7517 §8.5) to `application/json` alone.
const ACCEPT: &str = "application/json, application/jwk-set+json, */*;q=0.8";

/// Why a document was not fetched. Display is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Outbound(OutboundError),
    #[error(
        "the host's address {address} is not public; to fetch from it, list the origin in identity.allow_private_issuers"
    )]
    NotPublic { address: IpAddr },
    #[error("answered {0} with a redirect, which is not followed")]
    Redirect(StatusCode),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
}

impl FetchError {
    /// A stable name for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Outbound(OutboundError::Resolve(_) | OutboundError::Addresses) => "unresolved",
            Self::NotPublic { .. } | Self::Outbound(OutboundError::NotPublic { .. }) => {
                "address_not_public"
            }
            Self::Outbound(OutboundError::Transport(_)) => "transport",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
        }
    }

    /// What would be right, where the error does not say it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotPublic { .. } | Self::Outbound(OutboundError::NotPublic { .. }) => "",
            Self::Outbound(OutboundError::Resolve(_) | OutboundError::Addresses) => {
                "the issuer's host name is to resolve on this machine"
            }
            Self::Outbound(OutboundError::Transport(_)) => {
                "this machine is to reach the issuer without a proxy; a private CA is found through SSL_CERT_FILE"
            }
            Self::Redirect(_) => {
                "`verification.discovery_url` of the provider names the place itself"
            }
            Self::Status(_) => {
                "200 and the document are wanted, without a credential; `verification.discovery_url` of the provider names another place"
            }
            Self::TooLarge(_) => "a proxy or a login page may have answered instead of the issuer",
        }
    }
}

/// Fetches from where the rules allow.
pub struct Fetcher {
    rules: UrlRules,
    outbound: Outbound,
}

impl From<OutboundError> for FetchError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::NotPublic { address } => Self::NotPublic { address },
            other => Self::Outbound(other),
        }
    }
}

impl Fetcher {
    pub fn new(rules: UrlRules) -> Self {
        Self {
            rules,
            // A kept connection would be to an address that was vetted long ago.
            outbound: Outbound::new(Duration::ZERO),
        }
    }

    /// Which addresses may be configured and fetched.
    pub fn rules(&self) -> &UrlRules {
        &self.rules
    }

    /// Fetches a document of at most `max_bytes`. The URL must have passed the
    /// rules.
    pub async fn get(&self, url: &WebUrl, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        let private = self.rules.allows_private(url.origin());
        let client = self.outbound.client(url.origin(), private).await?;
        let request = client.get(url.as_str());
        let mut response = request
            .header(header::ACCEPT, ACCEPT)
            .send()
            .await
            .map_err(explain)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirect(status)),
            status => return Err(FetchError::Status(status)),
        }
        if response
            .content_length()
            .is_some_and(|length| length > max_bytes as u64)
        {
            return Err(FetchError::TooLarge(max_bytes));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(explain)? {
            if body.len() + chunk.len() > max_bytes {
                return Err(FetchError::TooLarge(max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn explain(error: reqwest::Error) -> FetchError {
    client::explain(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_unless_its_origin_is_allowed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let url = |text: String| WebUrl::parse(&text).expect("a URL");
        let closed = Fetcher::new(UrlRules::default());
        // Any name of ours; the rules would not let it come this far.
        for host in ["localhost", "127.0.0.1"] {
            let refused = closed
                .get(&url(format!("http://{host}:{port}/")), 10)
                .await
                .expect_err("a private address");
            assert_eq!(refused.code(), "address_not_public", "{host}: {refused}");
        }
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept());
        assert!(nobody.await.is_err(), "somebody connected");

        let origin = format!("http://127.0.0.1:{port}");
        let open = Fetcher::new(UrlRules::new([origin.as_str()]).expect("rules"));
        let url = url(format!("{origin}/x"));
        let (document, ()) = tokio::join!(open.get(&url, 10), async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await.expect("written");
        });
        assert_eq!(document.expect("a document"), b"{}");
    }
}
