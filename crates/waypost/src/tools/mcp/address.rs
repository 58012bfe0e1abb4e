//! Which servers a request may name.
//!
//! Public https hosts on the default port, narrowed by the operator's
//! `allowed_servers`, and the origins of `allow_private_servers`. This judges
//! names; [`outbound::client`] judges the addresses that they lead to.

use outbound::{AllowedUrl, NotReachable, Origin, OriginRules, UrlError, WebUrl};

use crate::config::McpConfig;

/// The operator's rules, compiled.
#[derive(Debug, Clone, Default)]
pub struct ServerRules {
    origins: OriginRules,
    /// `None`: every public host.
    allowed: Option<Vec<Host>>,
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
            origins: OriginRules::new(origins).unwrap_or_default(),
            allowed: config
                .allowed_servers
                .as_ref()
                .map(|hosts| hosts.iter().map(host).collect()),
        }
    }

    /// Judges a `server_url`.
    pub fn check(&self, url: &str) -> Result<AllowedUrl, AddressError> {
        let url = WebUrl::parse(url).map_err(AddressError::Malformed)?;
        let url = self.origins.check(url).map_err(|why| match why {
            NotReachable::NotHttps(origin) => AddressError::NotHttps(origin),
            NotReachable::CustomPort(origin) => AddressError::CustomPort(origin),
            NotReachable::NotPublic(origin) => AddressError::NotPublic(origin),
        })?;
        let origin = url.url().origin();
        if url.is_listed() || self.allows_host(origin.host()) {
            Ok(url)
        } else {
            Err(AddressError::NotAllowed(origin.clone()))
        }
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
        let refused = rules
            .check("https://mcp.example.com:1/s3cret")
            .expect_err("a custom port");
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
}
