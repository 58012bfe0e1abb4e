//! What every route shares: the listener, the edge around each request,
//! errors, bodies, callers.

pub mod caller;
pub mod edge;
pub mod error;
pub mod json;
pub mod ops;
pub mod outbound;
pub mod path;
pub mod query;
pub mod routes;
pub mod server;
pub mod sse;

pub use error::ApiError;
pub use json::ApiJson;
pub use path::ApiPath;
pub use query::ApiQuery;
