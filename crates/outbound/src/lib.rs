//! Which URLs and addresses a server may connect to, when others name them.

mod address;
mod url;

pub use address::is_public_address;
pub use url::{NotReachable, Origin, UrlError, UrlRules, WebUrl};
