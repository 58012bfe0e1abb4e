//! Audit events: OpenAI's types and payloads, with the actor, the address and
//! the request id of the caller.

use serde_json::{Map, Value, json};
use waypost_engine::audit::AuditDraft;

use crate::{admin::Admin, identity::caller::AdminCaller};

/// `….created` with the payload `{id, data}`; the store fills in the id.
pub(super) fn created(caller: &AdminCaller, event_type: &str, data: Value) -> AuditDraft {
    let payload = Map::from_iter([("data".to_owned(), data)]);
    draft(caller, event_type, None, payload)
}

/// `….updated` with the payload `{id, changes_requested}`.
pub(super) fn updated(
    caller: &AdminCaller,
    event_type: &str,
    id: &str,
    changes: Value,
) -> AuditDraft {
    let payload = Map::from_iter([
        ("id".to_owned(), id.into()),
        ("changes_requested".to_owned(), changes),
    ]);
    draft(caller, event_type, Some(id), payload)
}

/// `….deleted` and the like, with the payload `{id}`.
pub(super) fn about(caller: &AdminCaller, event_type: &str, id: &str) -> AuditDraft {
    let payload = Map::from_iter([("id".to_owned(), id.into())]);
    draft(caller, event_type, Some(id), payload)
}

/// Adds a member to the payload.
pub(super) fn with(mut draft: AuditDraft, key: &str, value: impl Into<Value>) -> AuditDraft {
    draft.payload.insert(key.to_owned(), value.into());
    draft
}

/// Says to which project the event belongs.
pub(super) fn in_project(admin: &Admin, mut draft: AuditDraft, project_id: &str) -> AuditDraft {
    let snapshot = admin.identity.directory.current();
    let name = snapshot
        .projects
        .get(project_id)
        .and_then(|project| project.name.clone());
    draft.project = Some((project_id.to_owned(), name));
    draft
}

fn draft(
    caller: &AdminCaller,
    event_type: &str,
    resource_id: Option<&str>,
    payload: Map<String, Value>,
) -> AuditDraft {
    let key_id = caller.credential.id();
    AuditDraft {
        event_type: event_type.to_owned(),
        // An admin key belongs to no person here: `user` stays out.
        actor: json!({"type": "api_key", "api_key": {"id": key_id, "type": "user"}}),
        actor_id: Some(key_id.to_owned()),
        actor_email: None,
        project: None,
        resource_id: resource_id.map(str::to_owned),
        ip_address: caller.request.peer.map(|peer| peer.to_string()),
        user_agent: caller.request.user_agent.clone(),
        request_id: Some(caller.request.id.clone()),
        payload,
    }
}
