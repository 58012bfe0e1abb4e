//! A client for addresses that others name, vetted against server-side request forgery.
//!
//! The caller bounds the time of the whole. No redirects, no proxy from the environment, no
//! decompression.
//!
//! Easy to break: the host is looked up by a [`Resolver`] that judges every address, and the
//! client connects to what it returns and to nothing else (DNS rebinding).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

use crate::{AllowedUrl, is_public_address};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of one host that are looked at.
const MAX_ADDRESSES: usize = 32;
/// Resting connections to one host, where connections are kept at all.
const MAX_RESTING: usize = 4;

/// Why there is no answer. Display is for the operator: it names addresses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the host cannot be resolved: {0}")]
    Resolve(io::Error),
    #[error("the host has no address, or more than {MAX_ADDRESSES}")]
    Addresses,
    #[error("the host's address {address} is not public")]
    NotPublic { address: IpAddr },
    /// Nothing was sent.
    #[error("no connection, or it broke: {0}")]
    NoConnection(String),
    /// The server may have got the request.
    #[error("no connection, or it broke: {0}")]
    Broken(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Connects to what the rules allow. Inside are two clients: one reaches public addresses only,
/// the other is for origins that the operator listed.
pub struct Client {
    user_agent: String,
    /// How long a connection may rest; zero keeps none. It is to an address
    /// that was vetted when it was made.
    rest: Duration,
    public: OnceCell<reqwest::Client>,
    listed: OnceCell<reqwest::Client>,
}

/// The head of an answer, and its body, which nobody reads without a bound.
#[derive(Debug)]
pub struct Response(reqwest::Response);

/// A body as it comes.
#[derive(Debug)]
pub struct Body {
    response: reqwest::Response,
    max: usize,
    left: usize,
}

impl Client {
    /// `rest` is how long an idle connection is kept; zero keeps none.
    pub fn new(user_agent: impl Into<String>, rest: Duration) -> Self {
        Self {
            user_agent: user_agent.into(),
            rest,
            public: OnceCell::new(),
            listed: OnceCell::new(),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(
        &self,
        method: Method,
        url: &AllowedUrl,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response, Error> {
        let client = self.inner(url).await?;
        let mut request = client.request(method, url.url().as_str()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.map(Response).map_err(explain)
    }

    /// Made when it is first needed, off the workers: it reads the system's root certificates.
    async fn inner(&self, url: &AllowedUrl) -> Result<&reqwest::Client, Error> {
        let listed = url.is_listed();
        if !listed && let Some(address) = literal(url.url().origin().host()) {
            // No resolver sees it.
            vet([address])?;
        }
        let cell = if listed { &self.listed } else { &self.public };
        cell.get_or_try_init(|| async {
            let (user_agent, rest) = (self.user_agent.clone(), self.rest);
            tokio::task::spawn_blocking(move || build(&user_agent, listed, rest))
                .await
                .map_err(|error| Error::NoConnection(error.to_string()))?
                .map_err(|error| Error::NoConnection(innermost(error)))
        })
        .await
    }
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// How long the body says it is.
    pub fn length(&self) -> Option<u64> {
        self.0.content_length()
    }

    /// The whole body, of at most `max` bytes.
    pub async fn bytes(self, max: usize) -> Result<Vec<u8>, Error> {
        let announced = self.length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > max {
            return Err(Error::TooLarge(max));
        }
        let mut whole = Vec::with_capacity(announced);
        let mut body = self.body(max);
        while let Some(chunk) = body.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    /// The body piece by piece, of at most `max` bytes altogether.
    pub fn body(self, max: usize) -> Body {
        Body {
            response: self.0,
            max,
            left: max,
        }
    }
}

impl Body {
    /// The next piece; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(chunk) = self.response.chunk().await.map_err(explain)? else {
            return Ok(None);
        };
        self.left = self
            .left
            .checked_sub(chunk.len())
            .ok_or(Error::TooLarge(self.max))?;
        Ok(Some(chunk))
    }
}

/// The resolver's own verdict, or the innermost cause: reqwest says the least
/// in the outermost error. The cause never holds the URL.
fn explain(error: reqwest::Error) -> Error {
    let connected = !error.is_connect();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(Error::NotPublic { address }) => return Error::NotPublic { address: *address },
            Some(Error::Addresses) => return Error::Addresses,
            Some(Error::Resolve(cause)) => {
                return Error::Resolve(io::Error::new(cause.kind(), cause.to_string()));
            }
            _ => cause = error.source(),
        }
    }
    let cause = innermost(error);
    if connected {
        Error::Broken(cause)
    } else {
        Error::NoConnection(cause)
    }
}

fn innermost(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &(dyn std::error::Error + 'static) = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn build(user_agent: &str, listed: bool, rest: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .dns_resolver(Resolver { listed })
        .pool_max_idle_per_host(if rest.is_zero() { 0 } else { MAX_RESTING })
        .pool_idle_timeout(rest)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(user_agent)
        .build()
}

/// Looks names up for the client, which connects to what this returns and to
/// nothing else.
struct Resolver {
    /// Any address will do.
    listed: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let listed = self.listed;
        Box::pin(async move {
            // The client puts in the port.
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(Error::Resolve)?
                .take(MAX_ADDRESSES + 1)
                .collect();
            if !(1..=MAX_ADDRESSES).contains(&addresses.len()) {
                return Err(Error::Addresses.into());
            }
            if !listed {
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
fn vet(addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Error> {
    addresses
        .into_iter()
        .find(|address| !is_public_address(*address))
        .map_or(Ok(()), |address| Err(Error::NotPublic { address }))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
