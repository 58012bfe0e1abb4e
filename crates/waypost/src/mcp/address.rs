//! Which servers a request may name.
//!
//! Public https hosts on the default port, narrowed by the operator's
//! `allowed_servers`, and the origins of `allow_private_servers`. This judges
//! names; [`outbound::client`] judges the addresses that they lead to.

use std::fmt;

use outbound::{NotReachable, Origin, UrlError, UrlRules, WebUrl};

use crate::config::McpConfig;

/// The operator's rules, compiled.
#[derive(Debug, Clone, Default)]
pub struct ServerRules {
    private: UrlRules,
    /// `None`: every public host.
    allowed: Option<Vec<Host>>,
}

/// A server's URL that passed the rules. It does not print: some servers'
/// paths and queries are credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    url: WebUrl,
    private: bool,
}

/// Why a URL is refused. Display is for the caller, and holds no more of the
/// URL than its origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0}")]
    Malformed(UrlError),
    #[error(
        "{0} uses http. MCP servers are reached over https only, unless the operator of this server has listed exactly this origin in tools.mcp.allow_private_servers."
    )]
    NotHttps(Origin),
    #[error(
        "{0} uses a custom port. MCP servers are reached on the default port only, unless the operator of this server has listed exactly this origin in tools.mcp.allow_private_servers."
    )]
    CustomPort(Origin),
    #[error(
        "{0} is not a public host. MCP servers are reached on public hosts only, unless the operator of this server has listed exactly this origin in tools.mcp.allow_private_servers."
    )]
    NotPublic(Origin),
    #[error(
        "{0} is not among the MCP servers that the operator of this server allows (tools.mcp.allowed_servers)."
    )]
    NotAllowed(Origin),
}

#[derive(Debug, Clone)]
enum Host {
    Exactly(String),
    /// With its leading dot.
    Below(String),
}

impl ServerRules {
    /// The configuration has been checked; what does not parse allows nothing.
    pub fn new(config: &McpConfig) -> Self {
        let origins = config.allow_private_servers.iter().map(String::as_str);
        let host = |pattern: &String| {
            let pattern = pattern.to_ascii_lowercase();
            match pattern.strip_prefix('*') {
                Some(below) => Host::Below(below.to_owned()),
                None => Host::Exactly(pattern),
            }
        };
        Self {
            private: UrlRules::new(origins).unwrap_or_default(),
            allowed: config
                .allowed_servers
                .as_ref()
                .map(|hosts| hosts.iter().map(host).collect()),
        }
    }

    /// Judges a `server_url`.
    pub fn check(&self, url: &str) -> Result<ServerUrl, AddressError> {
        let url = WebUrl::parse(url).map_err(AddressError::Malformed)?;
        let origin = || url.origin().clone();
        self.private
            .check_reachable(&url)
            .map_err(|why| match why {
                NotReachable::NotHttps => AddressError::NotHttps(origin()),
                NotReachable::CustomPort => AddressError::CustomPort(origin()),
                NotReachable::NotPublic => AddressError::NotPublic(origin()),
            })?;
        let private = self.private.allows_private(url.origin());
        if !private && !self.allows_host(url.origin().host()) {
            return Err(AddressError::NotAllowed(origin()));
        }
        Ok(ServerUrl { url, private })
    }

    fn allows_host(&self, host: &str) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        allowed.iter().any(|allowed| match allowed {
            Host::Exactly(exactly) => host == exactly,
            Host::Below(below) => host.ends_with(below.as_str()),
        })
    }
}

impl ServerUrl {
    pub fn origin(&self) -> &Origin {
        self.url.origin()
    }

    /// Whether the operator listed this origin, so that its address need not
    /// be public.
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// As if the operator had not listed it.
    #[cfg(test)]
    pub(super) fn pretend_public(mut self) -> Self {
        self.private = false;
        self
    }

    /// The whole URL; only for requests to it.
    pub(super) fn expose(&self) -> &str {
        self.url.as_str()
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(private: &[&str], allowed: Option<&[&str]>) -> ServerRules {
        let set = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        ServerRules::new(&McpConfig {
            allow_private_servers: set(private),
            allowed_servers: allowed.map(set),
            ..McpConfig::default()
        })
    }

    #[test]
    fn public_https_is_allowed_and_nothing_else() {
        let rules = rules(&[], None);
        for url in ["https://mcp.example.com/mcp", "https://mcp.example.com"] {
            assert!(rules.check(url).is_ok(), "{url}");
        }
        for (url, word) in [
            ("http://mcp.example.com/mcp", "uses http"),
            ("https://mcp.example.com:8443/mcp", "custom port"),
            ("https://localhost/mcp", "not a public host"),
            ("https://127.0.0.1/mcp", "not a public host"),
            ("https://[::1]/mcp", "not a public host"),
            ("https://169.254.169.254/latest", "not a public host"),
            ("https://metadata.google.internal/", "not a public host"),
            ("https://user:secret@mcp.example.com/", "user name"),
            ("file:///etc/passwd", "must begin with"),
            ("https://2130706433/", "not a plain DNS name"),
        ] {
            let refused = rules.check(url).expect_err(url).to_string();
            assert!(refused.contains(word), "{url}: {refused}");
        }
    }

    #[test]
    fn an_allow_list_narrows_and_private_origins_widen() {
        let rules = rules(
            &["http://127.0.0.1:9000"],
            Some(&["mcp.example.com", "*.tools.example.org"]),
        );
        for url in [
            "https://MCP.example.com/x",
            "https://a.tools.example.org/x",
            "http://127.0.0.1:9000/mcp?key=1",
        ] {
            assert!(rules.check(url).is_ok(), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://tools.example.org/",
            "https://eviltools.example.org/",
            "http://127.0.0.1:9001/mcp",
            "http://localhost:9000/mcp",
        ] {
            assert!(rules.check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_path_never_prints() {
        let rules = rules(&[], None);
        let url = rules
            .check("https://mcp.example.com/s3cret?key=s3cret")
            .expect("a URL");
        assert_eq!(format!("{url:?}"), "ServerUrl(https://mcp.example.com)");
        let refused = rules
            .check("https://mcp.example.com:1/s3cret")
            .expect_err("a custom port");
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
}
