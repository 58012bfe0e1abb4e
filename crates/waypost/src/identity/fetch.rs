//! Fetching an issuer's documents, from addresses that were vetted.
//!
//! The caller bounds the time of the whole.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use outbound::{
    AllowedUrl,
    client::{self, Client},
};
use waypost_identity::IssuerRules;

use crate::config::USER_AGENT;

/// Kubernetes API servers answer 406 for their key set (RFC 7517 §8.5) to `application/json` alone.
const ACCEPT: &str = "application/json, application/jwk-set+json, */*;q=0.8";

/// Why a document was not fetched. Display is for the operator.
#[derive(Debug)]
pub enum FetchError {
    Outbound(client::Error),
    Redirect(StatusCode),
    Status(StatusCode),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outbound(client::Error::NotPublic { address }) => write!(
                f,
                "the host's address {address} is not public; to fetch from it, list the origin in identity.allow_private_issuers"
            ),
            Self::Outbound(client::Error::TooLarge(max)) => {
                write!(f, "the document is larger than {max} bytes")
            }
            Self::Outbound(error) => error.fmt(f),
            Self::Redirect(status) => {
                write!(
                    f,
                    "answered {status} with a redirect, which is not followed"
                )
            }
            Self::Status(status) => write!(f, "answered {status}"),
        }
    }
}

impl std::error::Error for FetchError {}

impl From<client::Error> for FetchError {
    fn from(error: client::Error) -> Self {
        Self::Outbound(error)
    }
}

impl FetchError {
    /// A stable name for metrics.
    pub fn code(&self) -> &'static str {
        use client::Error;
        match self {
            Self::Outbound(Error::Resolve(_) | Error::Addresses) => "unresolved",
            Self::Outbound(Error::NotPublic { .. }) => "address_not_public",
            Self::Outbound(Error::NoConnection(_) | Error::Broken(_)) => "transport",
            Self::Outbound(Error::TooLarge(_)) => "too_large",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
        }
    }

    /// What would be right, where the error does not say it.
    pub fn remedy(&self) -> &'static str {
        use client::Error;
        match self {
            Self::Outbound(Error::NotPublic { .. }) => "",
            Self::Outbound(Error::Resolve(_) | Error::Addresses) => {
                "the issuer's host name is to resolve on this machine"
            }
            Self::Outbound(Error::NoConnection(_) | Error::Broken(_)) => {
                "this machine is to reach the issuer without a proxy; a private CA is found through SSL_CERT_FILE"
            }
            Self::Outbound(Error::TooLarge(_)) => {
                "a proxy or a login page may have answered instead of the issuer"
            }
            Self::Redirect(_) => {
                "`verification.discovery_url` of the provider names the place itself"
            }
            Self::Status(_) => {
                "200 and the document are wanted, without a credential; `verification.discovery_url` of the provider names another place"
            }
        }
    }
}

/// Fetches from where the rules allow.
pub struct Fetcher {
    rules: IssuerRules,
    client: Client,
}

impl Fetcher {
    pub fn new(rules: IssuerRules) -> Self {
        // A kept connection would be to an address that was vetted long ago.
        let client = Client::new(USER_AGENT, Duration::ZERO);
        Self { rules, client }
    }

    /// Which addresses may be configured and fetched.
    pub fn rules(&self) -> &IssuerRules {
        &self.rules
    }

    /// Fetches a document of at most `max_bytes`.
    pub async fn get(&self, url: &AllowedUrl, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        let accept = (header::ACCEPT, HeaderValue::from_static(ACCEPT));
        let headers = HeaderMap::from_iter([accept]);
        let response = self.client.send(Method::GET, url, headers, None).await?;
        match response.status() {
            StatusCode::OK => Ok(response.bytes(max_bytes).await?),
            status if status.is_redirection() => Err(FetchError::Redirect(status)),
            status => Err(FetchError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_address_is_refused_with_the_key_that_would_allow_it() {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let refused = FetchError::from(client::Error::NotPublic { address });
        assert_eq!(refused.code(), "address_not_public");
        assert_eq!(
            refused.to_string(),
            "the host's address 127.0.0.1 is not public; to fetch from it, list the origin in identity.allow_private_issuers"
        );
        let refused = FetchError::from(client::Error::TooLarge(10));
        assert_eq!(refused.code(), "too_large");
        assert_eq!(refused.to_string(), "the document is larger than 10 bytes");
    }
}
