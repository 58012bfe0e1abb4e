//! Which URLs may be connected to.
//!
//! These rules judge names. A name that looks public may lead to a private address, so the client
//! judges the addresses too ([`is_public_address`](crate::is_public_address)).

use std::fmt;
use std::net::IpAddr;

use crate::{Origin, UrlError, WebUrl};

/// Names that never belong to a public host (RFC 6761, RFC 6762, RFC 9476 and common usage).
const PRIVATE_SUFFIXES: [&str; 9] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "home.arpa",
    "alt",
];

/// Public https on the default port, and the origins that the operator listed.
#[derive(Debug, Clone, Default)]
pub struct OriginRules {
    listed: Vec<Origin>,
}

/// A URL that the rules allow; only rules make one.
#[derive(Clone, PartialEq, Eq)]
pub struct AllowedUrl {
    url: WebUrl,
    listed: bool,
}

/// Why a URL may not be connected to. Whoever has rules says it in a sentence of its own, which
/// names its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReachable {
    NotHttps(Origin),
    CustomPort(Origin),
    NotPublic(Origin),
}

impl OriginRules {
    /// `listed` may be connected to although they are not public https: each one exactly, with
    /// scheme and port.
    pub fn new<'o>(listed: impl IntoIterator<Item = &'o str>) -> Result<Self, UrlError> {
        let listed = listed.into_iter().map(Origin::parse);
        Ok(Self {
            listed: listed.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the operator listed exactly this origin.
    pub fn lists(&self, origin: &Origin) -> bool {
        self.listed.contains(origin)
    }

    pub fn check(&self, url: WebUrl) -> Result<AllowedUrl, NotReachable> {
        let origin = url.origin();
        if self.lists(origin) {
            Ok(AllowedUrl { url, listed: true })
        } else if !origin.is_https() {
            Err(NotReachable::NotHttps(origin.clone()))
        } else if !origin.has_default_port() {
            Err(NotReachable::CustomPort(origin.clone()))
        } else if !is_public_name(origin.host()) {
            Err(NotReachable::NotPublic(origin.clone()))
        } else {
            Ok(AllowedUrl { url, listed: false })
        }
    }
}

impl AllowedUrl {
    /// The whole URL. Some servers' paths and queries are credentials.
    pub fn url(&self) -> &WebUrl {
        &self.url
    }

    /// Whether the operator listed its origin, so that its address need not be public.
    pub fn is_listed(&self) -> bool {
        self.listed
    }

    /// What no rules allow.
    #[cfg(all(test, feature = "client"))]
    pub(crate) fn unchecked(url: WebUrl) -> Self {
        Self { url, listed: false }
    }
}

/// Prints the origin alone.
impl fmt::Debug for AllowedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllowedUrl({})", self.url.origin())
    }
}

fn is_public_name(host: &str) -> bool {
    let is_ip = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let is_private = PRIVATE_SUFFIXES.iter().any(|suffix| {
        host.strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    host.contains('.') && !is_ip && !is_private
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<AllowedUrl, NotReachable> {
        let rules = OriginRules::new(["http://127.0.0.1:9000", "https://a.corp:8443/"]).unwrap();
        rules.check(WebUrl::parse(url).unwrap())
    }

    #[test]
    fn public_https_on_the_default_port_is_allowed() {
        for url in ["https://i.example", "https://i.example:443/a?b=c"] {
            assert!(check(url).is_ok_and(|url| !url.is_listed()), "{url}");
        }
        for url in ["http://i.example", "http://i.example:443", "http://[::1]"] {
            assert!(
                matches!(check(url), Err(NotReachable::NotHttps(_))),
                "{url}"
            );
        }
        for url in ["https://i.example:8443", "https://i.example:80"] {
            assert!(
                matches!(check(url), Err(NotReachable::CustomPort(_))),
                "{url}"
            );
        }
        for url in [
            "https://127.0.0.1",
            "https://8.8.8.8",
            "https://[::1]",
            "https://[::ffff:7f00:1]",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost",
            "https://api.localhost",
            "https://kubernetes",
            "https://printer.local",
            "https://metadata.google.internal",
        ] {
            assert!(
                matches!(check(url), Err(NotReachable::NotPublic(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn a_listed_origin_is_allowed_exactly() {
        for url in ["http://127.0.0.1:9000/x?y", "https://A.corp:8443"] {
            assert!(check(url).is_ok_and(|url| url.is_listed()), "{url}");
        }
        for url in [
            "https://127.0.0.1:9000",
            "http://127.0.0.2:9000",
            "http://localhost:9000",
            "http://127.0.0.1",
            "http://a.corp:8443",
            "https://a.corp",
            "https://sub.a.corp:8443",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_path_never_prints() {
        let url = check("https://i.example/s3cret?key=s3cret").unwrap();
        assert_eq!(format!("{url:?}"), "AllowedUrl(https://i.example)");
        let refused = check("https://i.example:1/s3cret").unwrap_err();
        assert!(!format!("{refused:?}").contains("s3cret"));
    }
}
