//! What `/metrics` shows, in Prometheus' text format.
//!
//! Labels hold only values from closed sets (route patterns, outcomes, names
//! from the configuration), and names of models and projects up to a bound:
//! never paths that a caller chooses.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use waypost_engine::{StoreSize, responses::JobCounts};

use crate::clock;

mod process;
mod register;

use process::Process;
use register::register;

/// What one answer adds to a count of tokens at most: a model server may claim
/// any number, and a counter that runs over begins again.
const MAX_TOKENS: u64 = 1 << 40;

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
    /// Jobs given back to be tried again, by upstream and reason.
    pub jobs_retried: Family<UpstreamErrorLabels, Counter>,
    /// Jobs that ended, by the response's status.
    jobs_ended: Family<StatusLabels, Counter>,
    /// Token exchanges, by reason (`issued`, or why not).
    pub exchanges: Family<ReasonLabels, Counter>,
    /// Fetches of issuers' keys, by reason (`fetched`, or why not).
    pub key_fetches: Family<ReasonLabels, Counter>,
    /// Audit events of exchanges that were lost: the queue was full.
    pub audit_dropped: Counter,
    /// Schemas of tools, by what became of them.
    pub tool_schemas: Family<OutcomeLabels, Counter>,
    /// Hosted tools that were left out of requests, by type.
    pub hosted_tools_ignored: Family<TypeLabels, Counter>,
    /// Failed upstream calls, by upstream and reason.
    pub upstream_errors: Family<UpstreamErrorLabels, Counter>,
    /// Whether a model server answers (1) or not (0), by upstream.
    pub upstream_up: Family<UpstreamLabels, Gauge>,
    /// Whether background jobs wait for an upstream that is unavailable (1).
    pub jobs_paused: Family<UpstreamLabels, Gauge>,
    /// When one of them asks again, Unix seconds; 0 while none waits.
    pub next_probe: Family<UpstreamLabels, Gauge<f64, AtomicU64>>,
    /// Models that it lists, by upstream.
    pub upstream_models: Family<UpstreamLabels, Gauge>,
    /// 1, by upstream, dialect and how that is known.
    pub upstream_info: Family<UpstreamInfoLabels, Gauge>,
    /// What became of calls and structured answers, by upstream and outcome.
    pub tool_outcomes: Family<ToolOutcomeLabels, Counter>,
    /// Calls of MCP servers' tools, by reason (`completed`, or the kind of
    /// error).
    pub mcp_calls: Family<ReasonLabels, Counter>,
    /// Authentications refused, by reason.
    pub authentication_failures: Family<ReasonLabels, Counter>,
    /// The version of the directory that requests see.
    pub directory_version: Gauge<i64, std::sync::atomic::AtomicI64>,
    /// From a request to a model server to the end of its answer, by upstream
    /// and model; answers that began with success only.
    upstream_seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    /// From a request to a model server to the first of its answer.
    first_token_seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    /// Tokens that model servers reported, by project, upstream, model and
    /// direction.
    tokens: Family<TokenLabels, Counter>,
    labels: Arc<Labels>,
    /// When the oldest queued job's response was created, Unix seconds; 0 while
    /// none waits.
    oldest_queued: Gauge<f64, AtomicU64>,
    /// How large the store is, and how much of it is free.
    store_bytes: Gauge,
    store_free_bytes: Gauge,
    /// Requests at each upstream, and how many it may have.
    pub in_flight: Family<UpstreamLabels, Gauge>,
    pub slots: Family<UpstreamLabels, Gauge>,
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
pub struct StatusLabels {
    pub status: &'static str,
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
pub struct TypeLabels {
    pub r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamErrorLabels {
    pub upstream: String,
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    pub upstream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamInfoLabels {
    pub upstream: String,
    pub dialect: &'static str,
    /// `configured`, `host`, `asked` or `unsure`.
    pub known_by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ToolOutcomeLabels {
    pub upstream: String,
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    pub upstream: String,
    pub model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabels {
    pub project: String,
    pub upstream: String,
    pub model: String,
    pub direction: &'static str,
}

/// Models of one upstream that are labels; the rest is [`OTHER`].
const MAX_MODELS: usize = 200;
/// A longer name of a model is no label, in bytes.
const MAX_MODEL_NAME: usize = 256;
/// Pairs of a project and a model that are labels; the projects of the rest are
/// [`OTHER`].
const MAX_PROJECTS: usize = 2_000;
const OTHER: &str = "other";

/// Which names that callers choose have become labels.
#[derive(Debug, Default)]
struct Labels {
    models: RwLock<HashMap<String, HashSet<String>>>,
    projects: RwLock<HashSet<(String, CallLabels)>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The label of a model that its server has just answered with success.
    pub fn model_label(&self, upstream: &str, model: &str) -> String {
        let known = self
            .labels
            .models
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let models = known.get(upstream);
        if models.is_some_and(|models| models.contains(model)) {
            return model.to_owned();
        }
        // What callers make up is not to keep the others waiting.
        if model.len() > MAX_MODEL_NAME || models.is_some_and(|models| models.len() >= MAX_MODELS) {
            return OTHER.to_owned();
        }
        drop(known);
        let mut known = self
            .labels
            .models
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let models = known.entry(upstream.to_owned()).or_default();
        if models.contains(model) || models.len() < MAX_MODELS {
            models.insert(model.to_owned());
            return model.to_owned();
        }
        OTHER.to_owned()
    }

    /// Notes how long a model server took for an answer. `model` is a label.
    pub fn answered(&self, upstream: &str, model: &str, seconds: f64) {
        let labels = call_labels(upstream, model);
        self.upstream_seconds
            .get_or_create(&labels)
            .observe(seconds);
    }

    /// Notes how long a model server took to begin an answer. `model` is a label.
    pub fn first_token(&self, upstream: &str, model: &str, seconds: f64) {
        let labels = call_labels(upstream, model);
        self.first_token_seconds
            .get_or_create(&labels)
            .observe(seconds);
    }

    /// Adds what a model server reported. `model` is a label.
    pub fn count_tokens(
        &self,
        project: &str,
        upstream: &str,
        model: &str,
        input: u64,
        output: u64,
    ) {
        let project = self.project_label(project, call_labels(upstream, model));
        for (direction, count) in [("input", input), ("output", output)] {
            let labels = TokenLabels {
                project: project.clone(),
                upstream: upstream.to_owned(),
                model: model.to_owned(),
                direction,
            };
            let count = count.min(MAX_TOKENS);
            self.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    fn project_label(&self, project: &str, call: CallLabels) -> String {
        let pair = (project.to_owned(), call);
        let known = self
            .labels
            .projects
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(&pair) {
            return pair.0;
        }
        if known.len() >= MAX_PROJECTS {
            return OTHER.to_owned();
        }
        drop(known);
        let mut known = self
            .labels
            .projects
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(&pair) || known.len() < MAX_PROJECTS {
            known.insert(pair);
            return project.to_owned();
        }
        OTHER.to_owned()
    }

    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(Process {
            started: clock::now() as f64 / 1000.0,
        }));
        let registry = root.sub_registry_with_prefix("waypost");
        let metrics = Self {
            registry: Arc::new(Registry::default()),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency_histogram),
            streams_open: Gauge::default(),
            connections_open: Gauge::default(),
            jobs: Family::default(),
            lease_takeovers: Counter::default(),
            jobs_retried: Family::default(),
            jobs_ended: Family::default(),
            jobs_paused: Family::default(),
            next_probe: Family::default(),
            exchanges: Family::default(),
            key_fetches: Family::default(),
            audit_dropped: Counter::default(),
            tool_schemas: Family::default(),
            hosted_tools_ignored: Family::default(),
            upstream_errors: Family::default(),
            upstream_up: Family::default(),
            upstream_models: Family::default(),
            upstream_info: Family::default(),
            tool_outcomes: Family::default(),
            mcp_calls: Family::default(),
            authentication_failures: Family::default(),
            directory_version: Gauge::default(),
            upstream_seconds: Family::new_with_constructor(latency_histogram),
            first_token_seconds: Family::new_with_constructor(latency_histogram),
            tokens: Family::default(),
            labels: Arc::default(),
            oldest_queued: Gauge::default(),
            store_bytes: Gauge::default(),
            store_free_bytes: Gauge::default(),
            in_flight: Family::default(),
            slots: Family::default(),
        };
        register(&metrics, registry);
        Self {
            registry: Arc::new(root),
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

    /// Counts a hosted tool that a request was taken without.
    pub fn hosted_tool_ignored(&self, kind: &'static str) {
        let labels = TypeLabels { r#type: kind };
        self.hosted_tools_ignored.get_or_create(&labels).inc();
    }

    /// Counts a job that is tried again because its model server failed.
    pub fn job_retried(&self, upstream: &str, reason: &'static str) {
        let labels = UpstreamErrorLabels {
            upstream: upstream.to_owned(),
            reason,
        };
        self.jobs_retried.get_or_create(&labels).inc();
    }

    /// Counts a job that ended with this status.
    pub fn job_ended(&self, status: &'static str) {
        self.jobs_ended
            .get_or_create(&StatusLabels { status })
            .inc();
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
        let oldest = counts.oldest_queued_at.unwrap_or_default();
        self.oldest_queued.set(oldest as f64 / 1000.0);
    }

    /// Takes over how large the store is.
    pub fn set_store_size(&self, size: StoreSize) {
        self.store_bytes.set(size.bytes as i64);
        self.store_free_bytes.set(size.free_bytes as i64);
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

fn call_labels(upstream: &str, model: &str) -> CallLabels {
    CallLabels {
        upstream: upstream.to_owned(),
        model: model.to_owned(),
    }
}

fn latency_histogram() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    ])
}
