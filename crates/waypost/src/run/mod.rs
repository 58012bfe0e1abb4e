//! What Chat Completions and Responses share of a run: which model server it
//! asks, its turn there, how a stream to the client begins and ends, and what
//! the caller is told of a failure.

mod refusal;
mod sink;
mod start;

use std::{sync::Arc, time::Duration};

use crate::{
    config::ResponsesConfig,
    http::{
        edge::RequestInfo,
        error::{ApiError, shown},
    },
    shutdown::Shutdown,
    tools::Tools,
    upstream::{Slot, Upstream, error::UpstreamError},
};

pub use refusal::upstream_refusal;
pub use sink::{ClientFrames, DiscardSink, SinkClosed};
pub use start::{Begin, stream};

/// How long a streaming client waits for the model server's status before its
/// own stream begins. Until then a failure is an ordinary HTTP error.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(3);
pub const OVERTIME: &str = "The response took longer than responses may take here.";
pub const STOPPING: &str = "The server is stopping.";

/// What all runs share.
pub struct Runs {
    pub config: ResponsesConfig,
    pub tools: Arc<Tools>,
    pub shutdown: Shutdown,
}

impl Runs {
    /// The upstream for a model, or the API's words for there being none.
    pub fn route(&self, model: &str) -> Result<Arc<Upstream>, ApiError> {
        if self.tools.upstreams.all().is_empty() {
            return Err(ApiError::unavailable(
                "No model server is configured. The operator sets [[upstreams]] or \
                 WAYPOST_UPSTREAM_URL.",
            )
            .code("no_upstream"));
        }
        self.tools.upstreams.for_model(model).ok_or_else(|| {
            ApiError::invalid(format!(
                "The requested model '{}' does not exist.",
                shown(model)
            ))
            .param("model")
            .code("model_not_found")
        })
    }

    /// Waits its turn at a model server, while its client waits.
    pub async fn slot(&self, upstream: &Upstream) -> Result<Slot, ApiError> {
        let stop = self.shutdown.stopping();
        tokio::select! {
            slot = upstream.slot(self.config.queue_timeout) => slot
                .ok_or_else(|| ApiError::rate_limited(Duration::from_secs(5)).code("upstream_busy")),
            () = stop.cancelled() => Err(ApiError::unavailable(STOPPING)),
        }
    }

    /// Counts and logs a call that failed while its client waits: whose request it
    /// was, and what was asked of whom. `path` is what was asked for below the
    /// upstream's base URL.
    pub fn note_failed_call(
        &self,
        upstream: &Upstream,
        info: &RequestInfo,
        path: &str,
        error: &UpstreamError,
    ) {
        if let UpstreamError::Dependency { .. } = error {
            // Told where it happened.
            return;
        }
        let learned = &info.learned;
        tracing::warn!(
            upstream = %upstream.name,
            url = %upstream.url_of(path),
            model = learned.model.get(),
            request_id = %info.id,
            response_id = learned.response_id.get(),
            %error,
            hint = error.hint(),
            "the model server failed"
        );
        self.tools
            .metrics
            .upstream_error(&upstream.name, error.kind());
    }
}
