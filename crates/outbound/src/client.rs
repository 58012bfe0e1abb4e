//! Connections to addresses that others name, vetted against server-side
//! request forgery.
//!
//! Flow: the owner of a feature judges the URL by name
//! ([`UrlRules`](crate::UrlRules)), takes [`Outbound::client`] for its origin
//! and bounds time and size itself. Easy to break: the name is resolved by a
//! [`Resolver`] that judges every address, and the client connects to what it
//! returns and to nothing else (DNS rebinding). No redirects, no proxy from the
//! environment, no decompression.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::sync::OnceCell;

use crate::{Origin, is_public_address};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of one host that are looked at.
const MAX_ADDRESSES: usize = 32;
/// Resting connections to one host, where connections are kept at all.
const MAX_RESTING: usize = 4;

/// Why there is no connection. Display is for the operator: it names addresses.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the host cannot be resolved: {0}")]
    Resolve(std::io::Error),
    #[error("the host has no address, or more than {MAX_ADDRESSES}")]
    Addresses,
    #[error("the host's address {address} is not public")]
    NotPublic { address: IpAddr },
    #[error("no connection, or it broke: {0}")]
    Transport(String),
}

/// Two clients: one that reaches public addresses only, and one for origins
/// that the operator listed.
pub struct Outbound {
    /// How long a connection may rest; zero keeps none. It is to an address
    /// that was vetted when it was made.
    rest: Duration,
    public: OnceCell<Client>,
    private: OnceCell<Client>,
}

impl Outbound {
    pub fn new(rest: Duration) -> Self {
        Self {
            rest,
            public: OnceCell::new(),
            private: OnceCell::new(),
        }
    }

    /// The client for an origin; `private` if the operator listed exactly this
    /// origin. Made when it is first needed, off the workers: it reads the
    /// system's root certificates.
    pub async fn client(&self, origin: &Origin, private: bool) -> Result<&Client, OutboundError> {
        if !private && let Some(address) = literal(origin.host()) {
            // No resolver sees it.
            vet([address])?;
        }
        let cell = if private { &self.private } else { &self.public };
        let rest = self.rest;
        cell.get_or_try_init(|| async move {
            tokio::task::spawn_blocking(move || build(private, rest))
                .await
                .map_err(|error| OutboundError::Transport(error.to_string()))?
                .map_err(explain)
        })
        .await
    }
}

/// The resolver's own verdict, or the innermost cause: reqwest says the least
/// in the outermost error. The cause never holds the URL.
pub fn explain(error: reqwest::Error) -> OutboundError {
    let error = error.without_url();
    let mut innermost: &(dyn std::error::Error + 'static) = &error;
    loop {
        match innermost.downcast_ref() {
            Some(OutboundError::NotPublic { address }) => {
                return OutboundError::NotPublic { address: *address };
            }
            Some(OutboundError::Addresses) => return OutboundError::Addresses,
            Some(OutboundError::Resolve(cause)) => {
                return OutboundError::Resolve(std::io::Error::new(
                    cause.kind(),
                    cause.to_string(),
                ));
            }
            _ => {}
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => return OutboundError::Transport(innermost.to_string()),
        }
    }
}

fn build(private: bool, rest: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .dns_resolver(Resolver { private })
        .pool_max_idle_per_host(if rest.is_zero() { 0 } else { MAX_RESTING })
        .pool_idle_timeout(rest)
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
                .map_err(OutboundError::Resolve)?
                .take(MAX_ADDRESSES + 1)
                .collect();
            if !(1..=MAX_ADDRESSES).contains(&addresses.len()) {
                return Err(OutboundError::Addresses.into());
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
fn vet(addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), OutboundError> {
    addresses
        .into_iter()
        .find(|address| !is_public_address(*address))
        .map_or(Ok(()), |address| Err(OutboundError::NotPublic { address }))
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
        assert!(matches!(refused, OutboundError::NotPublic { .. }));
        assert_eq!(literal("[::1]"), Some(address("::1")));
        assert_eq!(literal("127.0.0.1"), Some(address("127.0.0.1")));
        assert_eq!(literal("localhost"), None);
    }
}
