//! What `/metrics` shows, in Prometheus' text format.
//!
//! Labels hold only values from closed sets (route patterns, outcomes, names
//! from the configuration): never ids or paths that a caller chooses.

use std::sync::{Arc, atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use waypost_engine::responses::JobCounts;

/// All metrics. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Requests answered, by route pattern, method and status.
    pub requests: Family<RequestLabels, Counter>,
    /// From the request's head to the response's head.
    pub request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Event streams being sent.
    pub streams_open: Gauge,
    /// Connections open.
    pub connections_open: Gauge,
    /// Background jobs by state (`queued`, `running`).
    pub jobs: Family<StateLabels, Gauge>,
    /// Jobs claimed because their worker's lease had expired.
    pub lease_takeovers: Counter,
    /// Token exchanges, by reason (`issued`, or why not).
    pub exchanges: Family<ReasonLabels, Counter>,
    /// Fetches of issuers' keys, by reason (`fetched`, or why not).
    pub key_fetches: Family<ReasonLabels, Counter>,
    /// Audit events of exchanges that were lost: the queue was full.
    pub audit_dropped: Counter,
    /// Schemas of tools, by what became of them.
    pub tool_schemas: Family<OutcomeLabels, Counter>,
    /// Failed upstream calls, by upstream and reason.
    pub upstream_errors: Family<UpstreamErrorLabels, Counter>,
    /// What became of calls and structured answers, by upstream and outcome.
    pub tool_outcomes: Family<ToolOutcomeLabels, Counter>,
    /// Calls of MCP servers' tools, by reason (`completed`, or the kind of
    /// error).
    pub mcp_calls: Family<ReasonLabels, Counter>,
    /// Authentications refused, by reason.
    pub authentication_failures: Family<ReasonLabels, Counter>,
    /// The version of the directory that requests see.
    pub directory_version: Gauge<i64, std::sync::atomic::AtomicI64>,
    /// When the process started, Unix seconds.
    pub start_time: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The pattern, like `/v1/responses/{response_id}`; empty for no route.
    pub route: String,
    pub method: &'static str,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    pub route: String,
    pub method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamErrorLabels {
    pub upstream: String,
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ToolOutcomeLabels {
    pub upstream: String,
    pub outcome: &'static str,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("waypost");
        let metrics = Self {
            registry: Arc::new(Registry::default()),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency_histogram),
            streams_open: Gauge::default(),
            connections_open: Gauge::default(),
            jobs: Family::default(),
            lease_takeovers: Counter::default(),
            exchanges: Family::default(),
            key_fetches: Family::default(),
            audit_dropped: Counter::default(),
            tool_schemas: Family::default(),
            upstream_errors: Family::default(),
            tool_outcomes: Family::default(),
            mcp_calls: Family::default(),
            authentication_failures: Family::default(),
            directory_version: Gauge::default(),
            start_time: Gauge::default(),
        };
        registry.register(
            "http_requests",
            "Requests answered",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "From the request's head to the response's head",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register(
            "streams_open",
            "Event streams being sent",
            metrics.streams_open.clone(),
        );
        registry.register(
            "connections_open",
            "Connections open",
            metrics.connections_open.clone(),
        );
        registry.register("jobs", "Background jobs by state", metrics.jobs.clone());
        registry.register(
            "lease_takeovers",
            "Jobs claimed because their worker's lease had expired",
            metrics.lease_takeovers.clone(),
        );
        registry.register(
            "token_exchanges",
            "Token exchanges by outcome",
            metrics.exchanges.clone(),
        );
        registry.register(
            "issuer_key_fetches",
            "Fetches of issuers' keys by outcome",
            metrics.key_fetches.clone(),
        );
        registry.register(
            "audit_events_dropped",
            "Audit events of token exchanges that were lost because the queue was full",
            metrics.audit_dropped.clone(),
        );
        registry.register(
            "tool_schemas",
            "Schemas of tools by what became of them: strict as they came or rewritten, not strict, as asked, or refused",
            metrics.tool_schemas.clone(),
        );
        registry.register(
            "upstream_errors",
            "Failed upstream calls",
            metrics.upstream_errors.clone(),
        );
        registry.register(
            "tool_outcomes",
            "Calls and structured answers of models by what became of them",
            metrics.tool_outcomes.clone(),
        );
        registry.register(
            "mcp_calls",
            "Calls of MCP servers' tools by outcome",
            metrics.mcp_calls.clone(),
        );
        registry.register(
            "authentication_failures",
            "Requests with credentials that were refused",
            metrics.authentication_failures.clone(),
        );
        registry.register(
            "directory_version",
            "Version of the directory that requests see",
            metrics.directory_version.clone(),
        );
        registry.register_with_unit(
            "process_start_time",
            "When the process started, Unix time",
            Unit::Seconds,
            metrics.start_time.clone(),
        );
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    /// Counts a failed call to a model server.
    pub fn upstream_error(&self, upstream: &str, reason: &'static str) {
        let labels = UpstreamErrorLabels {
            upstream: upstream.to_owned(),
            reason,
        };
        self.upstream_errors.get_or_create(&labels).inc();
    }

    /// The counter of tools' schemas with this outcome.
    pub fn schemas_resolved(&self, outcome: &'static str) -> Counter {
        let labels = OutcomeLabels { outcome };
        self.tool_schemas.get_or_create(&labels).clone()
    }

    /// Counts what became of a call or a structured answer.
    pub fn tool_outcome(&self, upstream: &str, outcome: &'static str) {
        let labels = ToolOutcomeLabels {
            upstream: upstream.to_owned(),
            outcome,
        };
        self.tool_outcomes.get_or_create(&labels).inc();
    }

    /// Takes over what the store counts.
    pub fn set_jobs(&self, counts: JobCounts) {
        for (state, count) in [("queued", counts.queued), ("running", counts.running)] {
            self.jobs
                .get_or_create(&StateLabels { state })
                .set(count as i64);
        }
    }

    /// All of it, as text.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn latency_histogram() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    ])
}
