//! Audit events: who changed what, when, from where.

use serde_json::{Map, Value};

use crate::Millis;

/// An audit event before its change is committed. The store gives it an id and
/// a time, and writes it in the transaction of the change it describes.
#[derive(Debug, Clone)]
pub struct AuditDraft {
    /// The documented type, e.g. `project.created`.
    pub event_type: String,
    /// The actor object as the API shows it; null when unknown.
    pub actor: Value,
    /// Id by which `actor_ids[]` finds the event (a key, user or account id).
    pub actor_id: Option<String>,
    /// E-mail by which `actor_emails[]` finds the event.
    pub actor_email: Option<String>,
    /// The project that the event belongs to: its id, and its name at the time.
    pub project: Option<(String, Option<String>)>,
    /// The id of the changed row. `None` in a creating call: the store puts the new
    /// row's id here, and as `id` at the head of the payload.
    pub resource_id: Option<String>,
    /// The caller's address as the server saw it.
    pub ip_address: Option<String>,
    /// The caller's user agent.
    pub user_agent: Option<String>,
    /// The `x-request-id` of the request.
    pub request_id: Option<String>,
    /// The documented payload, without `id` in a creating call.
    pub payload: Map<String, Value>,
}

/// A committed audit event.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// `audit_log-…`
    pub id: String,
    /// When it was committed.
    pub effective_at: Millis,
    /// The event as written, with what the store filled in.
    pub event: AuditDraft,
}

/// Filters of the audit list. An empty list allows every value.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// `effective_at[gt]`, Unix milliseconds, exclusive.
    pub gt: Option<Millis>,
    /// `effective_at[gte]`
    pub gte: Option<Millis>,
    /// `effective_at[lt]`
    pub lt: Option<Millis>,
    /// `effective_at[lte]`
    pub lte: Option<Millis>,
    /// Any of these projects.
    pub project_ids: Vec<String>,
    /// Any of these types.
    pub event_types: Vec<String>,
    /// Any of these actors.
    pub actor_ids: Vec<String>,
    /// Any of these e-mail addresses.
    pub actor_emails: Vec<String>,
    /// Any of these resources.
    pub resource_ids: Vec<String>,
}
