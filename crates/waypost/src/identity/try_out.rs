//! The issuers of a store's providers, asked once, outside of a server.

use std::sync::Arc;

use futures::{StreamExt, stream};
use waypost_engine::directory::Provider;
use waypost_identity::IssuerRules;

use super::{
    compiled::Keys,
    fetch::Fetcher,
    jwks_cache::{JwksCache, Tried},
};
use crate::config::IdentityConfig;

/// Issuers that are asked at the same time.
const AT_ONCE: usize = 8;

/// What asking one issuer came to.
pub struct Asked {
    pub provider: Provider,
    /// The error says what is wrong and what would be right.
    pub outcome: Result<Tried, String>,
}

/// Fetches the keys of each enabled provider that finds them by discovery: from
/// where, and within what, a server would.
pub async fn ask(
    providers: Vec<Provider>,
    rules: IssuerRules,
    config: &IdentityConfig,
) -> Vec<Asked> {
    let fetcher = Arc::new(Fetcher::new(rules));
    let asked = providers
        .into_iter()
        .filter(|provider| provider.enabled)
        .filter_map(|provider| match Keys::of(&provider, &fetcher) {
            Ok(Keys::Discovered(keys)) => Some((provider, Ok(keys))),
            Ok(Keys::Uploaded(_)) => None,
            Err(problem) => Some((provider, Err(problem))),
        })
        .map(|(provider, keys)| async move {
            let outcome = match keys {
                Ok(keys) => JwksCache::try_out(&keys, config).await,
                Err(problem) => Err(problem),
            };
            Asked { provider, outcome }
        });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}
