//! What every request's edge and every connection share.

use crate::{config::HttpConfig, metrics::Metrics, shutdown::Shutdown};

/// The state of the listener and the edge.
pub struct Http {
    pub config: HttpConfig,
    /// The organization's id, which every answer says.
    pub organization_id: String,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
}
