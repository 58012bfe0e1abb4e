//! Fetching an issuer's documents, from addresses that were vetted.
//!
//! Easy to break: the name is resolved by a [`Resolver`] that judges every
//! address, and the client connects to what it returns (DNS rebinding). No
//! redirects, no proxy from the environment, no decompression, a bound on the
//! body. The caller bounds the time of the whole.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{StatusCode, header};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::sync::OnceCell;
use waypost_identity::{UrlRules, WebUrl, is_public_address};

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
        "the host's address {address} is not public; to fetch from it, list the origin in identity.allow_private_issuers"
    )]
    NotPublic { address: IpAddr },
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

/// Fetches from where the rules allow.
pub struct Fetcher {
    rules: UrlRules,
    public: OnceCell<Client>,
    private: OnceCell<Client>,
}

impl Fetcher {
    pub fn new(rules: UrlRules) -> Self {
        Self {
            rules,
            public: OnceCell::new(),
            private: OnceCell::new(),
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
        if !private && let Some(address) = literal(url.origin().host()) {
            // No resolver sees it.
            vet([address])?;
        }
        let request = self.client(private).await?.get(url.as_str());
        let mut response = request
            .header(header::ACCEPT, "application/json")
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

    /// Made when it is first needed, off the workers: it reads the system's
    /// root certificates.
    async fn client(&self, private: bool) -> Result<&Client, FetchError> {
        let cell = if private { &self.private } else { &self.public };
        cell.get_or_try_init(|| async move {
            tokio::task::spawn_blocking(move || build(private))
                .await
                .map_err(|error| FetchError::Transport(error.to_string()))?
                .map_err(explain)
        })
        .await
    }
}

fn build(private: bool) -> reqwest::Result<Client> {
    Client::builder()
        .dns_resolver(Resolver { private })
        // A kept connection would be to an address that was vetted long ago.
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("waypost/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Looks names up for the client, which connects to what this returns and to
/// nothing else.
struct Resolver {
    /// Any address will do.
    private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            // The client puts in the port.
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(FetchError::Resolve)?
                .take(MAX_ADDRESSES + 1)
                .collect();
            if !(1..=MAX_ADDRESSES).contains(&addresses.len()) {
                return Err(FetchError::Addresses.into());
            }
            if !private {
                vet(addresses.iter().map(SocketAddr::ip))?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Every address must do: one private address among public ones is an attack
/// or a mistake, and which one gets connected to is chance.
fn vet(addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), FetchError> {
    addresses
        .into_iter()
        .find(|address| !is_public_address(*address))
        .map_or(Ok(()), |address| Err(FetchError::NotPublic { address }))
}

/// The resolver's own verdict, or the innermost cause: reqwest says the least
/// in the outermost error.
fn explain(error: reqwest::Error) -> FetchError {
    let mut innermost: &(dyn std::error::Error + 'static) = &error;
    loop {
        match innermost.downcast_ref() {
            Some(FetchError::NotPublic { address }) => {
                return FetchError::NotPublic { address: *address };
            }
            Some(FetchError::Addresses) => return FetchError::Addresses,
            Some(FetchError::Resolve(cause)) => {
                return FetchError::Resolve(std::io::Error::new(cause.kind(), cause.to_string()));
            }
            _ => {}
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => return FetchError::Transport(innermost.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_private_address_spoils_a_host() {
        let (public, metadata) = (address("93.184.215.14"), address("169.254.169.254"));
        assert!(vet([public]).is_ok());
        let refused = vet([public, metadata]).expect_err("a private address");
        assert_eq!(refused.code(), "address_not_public");
        assert_eq!(literal("[::1]"), Some(address("::1")));
        assert_eq!(literal("127.0.0.1"), Some(address("127.0.0.1")));
        assert_eq!(literal("localhost"), None);
    }

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
