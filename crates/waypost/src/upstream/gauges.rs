//! What `/metrics` shows of the model servers.

use super::Upstreams;
use crate::{
    clock,
    metrics::{
        Metrics, ToolOutcomeLabels, UpstreamErrorLabels, UpstreamInfoLabels, UpstreamLabels,
    },
};

impl Upstreams {
    /// Shows what is known of the model servers, and what they have to do.
    pub fn show(&self, metrics: &Metrics) {
        metrics.upstream_info.clear();
        for upstream in self.all().iter() {
            let labels = UpstreamLabels {
                upstream: upstream.name.clone(),
            };
            let health = upstream.health();
            let up = i64::from(health.reachable == Some(true));
            metrics.upstream_up.get_or_create(&labels).set(up);
            let models = health.models.len() as i64;
            metrics.upstream_models.get_or_create(&labels).set(models);
            let next = upstream.outage.next_try();
            let paused = i64::from(next.is_some());
            metrics.jobs_paused.get_or_create(&labels).set(paused);
            let next = next.map_or(0.0, |next| {
                let pause = next.saturating_duration_since(tokio::time::Instant::now());
                clock::now() as f64 / 1000.0 + pause.as_secs_f64()
            });
            metrics.next_probe.get_or_create(&labels).set(next);
            let info = UpstreamInfoLabels {
                upstream: upstream.name.clone(),
                dialect: upstream.dialect.name(),
                known_by: upstream.known.word(),
            };
            metrics.upstream_info.get_or_create(&info).set(1);
            let busy = upstream.busy().into();
            metrics.in_flight.get_or_create(&labels).set(busy);
            let slots = upstream.max_concurrent.into();
            metrics.slots.get_or_create(&labels).set(slots);
            // These begin at 0.
            drop(metrics.tool_outcomes.get_or_create(&ToolOutcomeLabels {
                upstream: upstream.name.clone(),
                outcome: "valid",
            }));
            drop(metrics.jobs_retried.get_or_create(&UpstreamErrorLabels {
                upstream: upstream.name.clone(),
                reason: "unreachable",
            }));
        }
    }
}
