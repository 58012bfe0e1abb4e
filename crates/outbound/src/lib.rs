//! Connections to addresses that somebody else names: which are allowed, and a client that keeps to
//! that.
//!
//! [`WebUrl::parse`] reads a URL, and refuses what could be read in two ways. [`OriginRules`] allow
//! public https on the default port, and the origins that the operator listed; what they allow is
//! an [`AllowedUrl`]. `client::Client` (feature `client`) connects to nothing else: it looks the
//! host up itself, judges every address ([`is_public_address`]) and connects to one that it has
//! judged. It follows no redirect and reads no body without a bound.
//!
//! Servers repeat what they were sent. `redact` (feature `redact`) takes that out of their answers.
//!
//! Without `client` everything here is pure. Errors are typed, and say nothing of who connects:
//! whoever does puts the sentence around them.
//!
//! ```
//! use outbound::{NotReachable, OriginRules, WebUrl};
//!
//! let rules = OriginRules::new(["http://127.0.0.1:9000"])?;
//! assert!(rules.check(WebUrl::parse("https://keys.example/jwks")?).is_ok());
//! assert!(rules.check(WebUrl::parse("http://127.0.0.1:9000/jwks")?).is_ok());
//! let metadata = WebUrl::parse("https://169.254.169.254/latest")?;
//! assert!(matches!(rules.check(metadata), Err(NotReachable::NotPublic(_))));
//! # Ok::<(), outbound::UrlError>(())
//! ```

mod address;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "redact")]
pub mod redact;
mod rules;
mod url;

pub use address::is_public_address;
pub use rules::{AllowedUrl, NotReachable, OriginRules};
pub use url::{Origin, UrlError, WebUrl};
