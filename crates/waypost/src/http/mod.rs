//! What every route shares: the listener, the edge around each request,
//! errors, bodies, pages.

pub mod cors;
pub mod edge;
pub mod error;
pub mod fields;
pub mod forwarded;
pub mod json;
mod pace;
pub mod page;
pub mod path;
pub mod places;
pub mod query;
pub mod server;
pub mod sse;
mod state;

pub use error::ApiError;
pub use json::ApiJson;
pub use path::ApiPath;
pub use query::ApiQuery;
pub use state::Http;
