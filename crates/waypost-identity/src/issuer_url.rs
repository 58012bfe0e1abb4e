//! Addresses that an operator configures for a provider: issuer, discovery URL, `jwks_uri`.
//!
//! [`outbound`] judges what may be fetched; here are the sentences that an operator reads.

use outbound::{AllowedUrl, NotReachable, Origin, OriginRules, UrlError, WebUrl};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Which addresses a provider may have.
#[derive(Debug, Clone, Default)]
pub struct IssuerRules(OriginRules);

/// Why a provider cannot have an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerUrlError {
    #[error(transparent)]
    Malformed(#[from] UrlError),
    #[error("The URL must not contain a query (?…).")]
    Query,
    #[error(
        "{origin} uses http. Keys are fetched over https only, unless \
         identity.allow_private_issuers lists exactly {origin}."
    )]
    NotHttps { origin: Origin },
    #[error(
        "{origin} uses a custom port. Keys are fetched from the default port only, unless \
         identity.allow_private_issuers lists exactly {origin}."
    )]
    CustomPort { origin: Origin },
    #[error(
        "{origin} is not a public host name. Keys are fetched from public hosts only, unless \
         identity.allow_private_issuers lists exactly {origin}."
    )]
    NotPublic { origin: Origin },
}

impl From<NotReachable> for IssuerUrlError {
    fn from(why: NotReachable) -> Self {
        match why {
            NotReachable::NotHttps(origin) => Self::NotHttps { origin },
            NotReachable::CustomPort(origin) => Self::CustomPort { origin },
            NotReachable::NotPublic(origin) => Self::NotPublic { origin },
        }
    }
}

impl IssuerRules {
    /// `allow_private_issuers` lists origins that may be fetched although they are not public
    /// https: each one exactly, with scheme and port.
    pub fn new<'o>(
        allow_private_issuers: impl IntoIterator<Item = &'o str>,
    ) -> Result<Self, UrlError> {
        OriginRules::new(allow_private_issuers).map(Self)
    }

    /// An issuer whose keys are uploaded: a name that is compared and never fetched. Any host and
    /// port will do (`https://kubernetes.default.svc`).
    pub fn check_issuer(&self, issuer: &str) -> Result<WebUrl, IssuerUrlError> {
        let url = without_query(issuer)?;
        if !url.origin().is_https() && !self.0.lists(url.origin()) {
            let origin = url.origin().clone();
            return Err(IssuerUrlError::NotHttps { origin });
        }
        Ok(url)
    }

    /// Where the discovery document of a provider is fetched (OpenID Connect Discovery §4).
    /// `custom` is an operator's own base URL, or the document's full URL.
    pub fn discovery_url(
        &self,
        issuer: &str,
        custom: Option<&str>,
    ) -> Result<AllowedUrl, IssuerUrlError> {
        let issuer = self.check_issuer(issuer)?;
        let base = match custom {
            None => issuer,
            Some(custom) => without_query(custom)?,
        };
        let base = self.0.check(base)?;
        if custom.is_some() && base.url().path().ends_with(WELL_KNOWN) {
            return Ok(base);
        }
        let base = base.url().as_str();
        let prefix = base.strip_suffix('/').unwrap_or(base);
        let document = WebUrl::parse(&format!("{prefix}{WELL_KNOWN}"))?;
        Ok(self.0.check(document)?)
    }

    /// The `jwks_uri` of a discovery document. A query is accepted here, because real issuers
    /// have one; everything else is as for the other addresses.
    pub fn jwks_uri(&self, uri: &str) -> Result<AllowedUrl, IssuerUrlError> {
        Ok(self.0.check(WebUrl::parse(uri)?)?)
    }
}

fn without_query(text: &str) -> Result<WebUrl, IssuerUrlError> {
    let url = WebUrl::parse(text)?;
    if url.query().is_empty() {
        Ok(url)
    } else {
        Err(IssuerUrlError::Query)
    }
}

#[cfg(test)]
#[path = "issuer_url_tests.rs"]
mod tests;
