//! Fetching an issuer's documents, from addresses that were vetted.
//!
//! Easy to break: the name is resolved here, every address it has is judged,
//! and the connection goes to those very addresses (DNS rebinding). No
//! redirects, no proxy from the environment, no decompression, a bound on the
//! body. The caller bounds the time of the whole.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{StatusCode, header};
use waypost_identity::{Origin, UrlRules, WebUrl, is_public_address};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of one host that are looked at.
const MAX_ADDRESSES: usize = 32;

/// Why a document was not fetched. Display is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the host cannot be resolved: {0}")]
    Resolve(std::io::Error),
    #[error("the host has no address, or more than {MAX_ADDRESSES}")]
    Addresses,
    #[error(
        "the host's address {address} is not public; to fetch from it, list exactly \"{origin}\" in identity.allow_private_issuers"
    )]
    NotPublic { address: IpAddr, origin: Origin },
    #[error("no connection, or it broke: {0}")]
    Transport(String),
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
            Self::Resolve(_) | Self::Addresses => "unresolved",
            Self::NotPublic { .. } => "address_not_public",
            Self::Transport(_) => "transport",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
        }
    }
}

/// Fetches a document of at most `max_bytes`. The URL must have passed `rules`.
pub async fn get(url: &WebUrl, rules: &UrlRules, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let origin = url.origin();
    let addresses = resolve(origin).await?;
    vet(&addresses, origin, rules)?;
    let client = reqwest::Client::builder()
        .resolve_to_addrs(origin.host(), &addresses)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("waypost/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| FetchError::Transport(causes(&error)))?;
    let mut response = client
        .get(url.as_str())
        .header(header::ACCEPT, "application/json")
        .send()
        .await
        .map_err(|error| FetchError::Transport(causes(&error)))?;
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
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| FetchError::Transport(causes(&error)))?
    {
        if body.len() + chunk.len() > max_bytes {
            return Err(FetchError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, FetchError> {
    let host = origin.host();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, origin.port())]);
    }
    let addresses: Vec<_> = tokio::net::lookup_host((host, origin.port()))
        .await
        .map_err(FetchError::Resolve)?
        .take(MAX_ADDRESSES + 1)
        .collect();
    if (1..=MAX_ADDRESSES).contains(&addresses.len()) {
        Ok(addresses)
    } else {
        Err(FetchError::Addresses)
    }
}

/// Every address must do: one private address among public ones is an attack
/// or a mistake, and which one gets connected to is chance.
fn vet(addresses: &[SocketAddr], origin: &Origin, rules: &UrlRules) -> Result<(), FetchError> {
    if rules.allows_private(origin) {
        return Ok(());
    }
    match addresses
        .iter()
        .map(SocketAddr::ip)
        .find(|address| !is_public_address(*address))
    {
        None => Ok(()),
        Some(address) => Err(FetchError::NotPublic {
            address,
            origin: origin.clone(),
        }),
    }
}

/// reqwest says the least in the outermost error.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).expect("an origin")
    }

    #[test]
    fn one_private_address_spoils_a_host() {
        let rules = UrlRules::new(["https://private.example"]).expect("rules");
        let public: SocketAddr = "93.184.215.14:443".parse().expect("an address");
        let metadata: SocketAddr = "169.254.169.254:443".parse().expect("an address");
        let host = origin("https://issuer.example");
        assert!(vet(&[public], &host, &rules).is_ok());
        let refused = vet(&[public, metadata], &host, &rules).expect_err("a private address");
        assert_eq!(refused.code(), "address_not_public");
        assert!(refused.to_string().contains("https://issuer.example"));
        assert!(vet(&[metadata], &origin("https://private.example"), &rules).is_ok());
        let port = origin("https://private.example:8443");
        assert!(vet(&[metadata], &port, &rules).is_err(), "another origin");
    }

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        let resolve = |text: &'static str| async move { resolve(&origin(text)).await };
        let v4 = resolve("http://127.0.0.1:9000").await.expect("an address");
        assert_eq!(v4, ["127.0.0.1:9000".parse().expect("an address")]);
        let v6 = resolve("http://[::1]:9000").await.expect("an address");
        assert_eq!(v6, ["[::1]:9000".parse().expect("an address")]);
    }
}
