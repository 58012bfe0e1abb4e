//! The names of the metrics, and what each means to who reads `/metrics`.
//! `docs/metrics.md` says it with types and labels.

use prometheus_client::{
    metrics::info::Info,
    registry::{Registry, Unit},
};

use super::{Metrics, ReasonLabels, StatusLabels};

/// Registers all of them.
pub(super) fn register(metrics: &Metrics, registry: &mut Registry) {
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
        "jobs_retried",
        "Background jobs given back to be tried again, because a call of their model server failed",
        metrics.jobs_retried.clone(),
    );
    registry.register(
        "jobs_ended",
        "Background jobs that ended, by the response's status",
        metrics.jobs_ended.clone(),
    );
    registry.register(
        "upstream_jobs_paused",
        "Whether a model server is unavailable, so that its background jobs wait (1)",
        metrics.jobs_paused.clone(),
    );
    registry.register_with_unit(
        "upstream_next_probe",
        "When a background job asks an unavailable model server again, Unix time; 0 while it answers",
        Unit::Seconds,
        metrics.next_probe.clone(),
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
        "hosted_tools_ignored",
        "Tools of OpenAI's platform that were left out of requests, by type",
        metrics.hosted_tools_ignored.clone(),
    );
    registry.register(
        "upstream_errors",
        "Failed upstream calls",
        metrics.upstream_errors.clone(),
    );
    registry.register(
        "upstream_up",
        "Whether a model server answers (1) or not (0)",
        metrics.upstream_up.clone(),
    );
    registry.register(
        "upstream_models",
        "Models that a model server lists",
        metrics.upstream_models.clone(),
    );
    registry.register(
        "upstream_info",
        "1, with the dialect of a model server and how it is known",
        metrics.upstream_info.clone(),
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
        "upstream_request",
        "From a request to a model server to the end of its answer, where that began with success",
        Unit::Seconds,
        metrics.upstream_seconds.clone(),
    );
    registry.register_with_unit(
        "upstream_first_token",
        "From a request to a model server to the first of its answer",
        Unit::Seconds,
        metrics.first_token_seconds.clone(),
    );
    registry.register(
        "tokens",
        "Tokens that model servers reported",
        metrics.tokens.clone(),
    );
    registry.register_with_unit(
        "queue_oldest_job_created",
        "When the response of the oldest job that waits was created, Unix time; 0 while none waits",
        Unit::Seconds,
        metrics.oldest_queued.clone(),
    );
    registry.register_with_unit(
        "store_size",
        "Size of the database, without its log",
        Unit::Bytes,
        metrics.store_bytes.clone(),
    );
    registry.register_with_unit(
        "store_free",
        "Bytes of the database that hold nothing; they are used before it grows",
        Unit::Bytes,
        metrics.store_free_bytes.clone(),
    );
    registry.register(
        "upstream_requests_in_flight",
        "Requests at a model server, or on their way to it",
        metrics.in_flight.clone(),
    );
    registry.register(
        "upstream_slots",
        "Requests that a model server may have at once",
        metrics.slots.clone(),
    );
    registry.register(
        "build",
        "The version that runs",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    // A series that begins at 0 shows its first increase.
    for (family, reason) in [
        (&metrics.mcp_calls, "completed"),
        (&metrics.key_fetches, "fetched"),
        (&metrics.exchanges, "issued"),
    ] {
        drop(family.get_or_create(&ReasonLabels { reason }));
    }
    for status in ["completed", "incomplete", "failed"] {
        drop(metrics.jobs_ended.get_or_create(&StatusLabels { status }));
    }
}
