//! Which URLs and addresses a server may connect to, when others name them.

mod address;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "redact")]
pub mod redact;
mod url;

pub use address::is_public_address;
pub use url::{NotReachable, Origin, UrlError, UrlRules, WebUrl};
