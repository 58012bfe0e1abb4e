//! Helpers for the cases: rows to store, events, and a follower.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Map, json};

use crate::{
    Engine, StoreError,
    audit::{AuditDraft, AuditEntry, AuditFilter},
    bus::{Bus, ResponseHint},
    directory::{
        KeyOwner, NewApiKey, NewProject, NewProvider, NewRule, NewServiceAccount, Project,
        Provider, ServiceAccount,
    },
    events::EventBatch,
    id,
    page::PageQuery,
    responses::{
        ClaimedJob, InputItem, Lease, NewJob, NewResponse, Retention, Status, Terminal, Want,
    },
};

/// The project of cases that need no row for it.
pub const PROJECT: &str = "proj_kit";
/// A lease that does not expire during a case.
pub const LONG: Duration = Duration::from_mins(10);
/// A lease that expires during a case, perhaps before the next line.
pub const SHORT: Duration = Duration::from_millis(50);
/// A lease that expires during a case, but after the next lines even on a slow
/// machine.
pub const WHILE: Duration = Duration::from_millis(1500);
/// Retention that keeps everything.
pub const KEEP: Retention = Retention {
    event_log_ms: 3_600_000,
    stored_ms: Some(3_600_000),
    ephemeral_ms: 3_600_000,
    idempotency_ms: 3_600_000,
    audit_ms: None,
};

/// An audit event of this type.
pub fn draft(event_type: &str) -> AuditDraft {
    AuditDraft {
        event_type: event_type.into(),
        actor: json!({"type": "api_key", "api_key": {"id": "key_actor"}}),
        actor_id: Some("key_actor".into()),
        actor_email: None,
        project: None,
        resource_id: None,
        ip_address: Some("192.0.2.1".into()),
        user_agent: Some("kit/1".into()),
        request_id: Some("req_1".into()),
        payload: Map::new(),
    }
}

pub fn new_project(name: &str) -> NewProject {
    NewProject {
        name: name.into(),
        external_key_id: None,
    }
}

pub fn new_account(project_id: &str) -> NewServiceAccount {
    NewServiceAccount {
        project_id: project_id.into(),
        name: "account".into(),
        role: "member".into(),
    }
}

pub async fn project(engine: &Engine) -> Project {
    let new = new_project("project");
    let made = engine.store.create_project(new, draft("project.created"));
    made.await.unwrap()
}

pub async fn account(engine: &Engine, project_id: &str) -> ServiceAccount {
    let new = new_account(project_id);
    let made = (engine.store).create_service_account(new, draft("service_account.created"), None);
    made.await.unwrap().0
}

/// A key with a fresh hash.
pub fn new_key(owner: KeyOwner) -> NewApiKey {
    let mut hash = [0; 32];
    hash.copy_from_slice(id::fresh("").as_bytes());
    NewApiKey {
        owner,
        name: Some("key".into()),
        hash,
        redacted: "sk-…abcd".into(),
        scopes: Some(vec!["api.model.read".into()]),
        expires_at: None,
    }
}

pub fn owner_of(account: &ServiceAccount) -> KeyOwner {
    KeyOwner::ServiceAccount {
        project_id: account.project_id.clone(),
        service_account_id: account.id.clone(),
    }
}

pub fn new_provider(name: &str) -> NewProvider {
    NewProvider {
        name: name.into(),
        description: None,
        issuer: "https://issuer.example".into(),
        audience: "waypost".into(),
        enabled: true,
        attribute_transformations: json!([]),
        verification: json!({"type": "oidc_discovery"}),
    }
}

pub async fn provider(engine: &Engine, name: &str) -> Provider {
    let new = new_provider(name);
    let made = (engine.store).create_provider(new, draft("workload_identity_provider.created"));
    made.await.unwrap()
}

pub fn new_rule(provider: &Provider, account: &ServiceAccount, name: Option<&str>) -> NewRule {
    NewRule {
        provider_id: provider.id.clone(),
        project_id: account.project_id.clone(),
        service_account_id: account.id.clone(),
        name: name.map(str::to_owned),
        description: None,
        enabled: true,
        attribute_matchers: json!([{"key": "sub", "value": "me"}]),
        permissions: json!(["api.model.request"]),
    }
}

/// All audit events, oldest first.
pub async fn audit_log(engine: &Engine) -> Vec<AuditEntry> {
    let mut all: Vec<AuditEntry> = Vec::new();
    loop {
        let query = PageQuery {
            after: all.last().map(|entry| entry.id.clone()),
            ..page(100)
        };
        let page = engine.store.list_audit(AuditFilter::default(), query);
        let page = page.await.unwrap();
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
    }
}

/// The first page, oldest first.
pub fn page(limit: u32) -> PageQuery {
    PageQuery {
        limit,
        ..PageQuery::default()
    }
}

/// A background response of [`PROJECT`] with two input items.
pub fn new_response() -> NewResponse {
    let id = id::fresh("resp_");
    let item = |n: u32| InputItem {
        id: format!("msg_{n}_{id}"),
        json: format!(r#"{{"n":{n}}}"#),
    };
    NewResponse {
        project_id: PROJECT.into(),
        body: format!(r#"{{"id":"{id}"}}"#),
        created_at: 1_700_000_000_000,
        background: true,
        streamable: true,
        store: true,
        previous_response_id: None,
        input: vec![item(0), item(1)],
        output: Vec::new(),
        idempotency: None,
        id,
    }
}

pub fn new_job(queue: &str) -> NewJob {
    NewJob {
        queue: queue.into(),
        request: Bytes::from_static(b"\x00request\xff"),
    }
}

/// Stores a response and its job; the log has one event, "created".
pub async fn queued(engine: &Engine, queue: &str) -> String {
    let response = new_response();
    let id = response.id.clone();
    let first = EventBatch::of(["created"]);
    let made = (engine.store).create_background(response, first, new_job(queue), u64::MAX);
    made.await.unwrap();
    id
}

pub async fn claim(engine: &Engine, queue: &str, max: u32, lease: Duration) -> Vec<ClaimedJob> {
    let want = vec![Want {
        queue: queue.into(),
        max,
        older_than: None,
    }];
    engine
        .store
        .claim_jobs("worker", want, lease)
        .await
        .unwrap()
}

/// Stores a job in its own queue, and claims it.
pub async fn running(engine: &Engine, lease: Duration) -> Lease {
    let queue = id::fresh("queue_");
    queued(engine, &queue).await;
    let mut claimed = claim(engine, &queue, 1, lease).await;
    claimed.pop().expect("the job was queued").lease
}

/// Runs a response to its end: two events after "created".
pub async fn finished(engine: &Engine) -> String {
    let lease = running(engine, LONG).await;
    let batch = EventBatch::of(["delta", "completed"]);
    let end = terminal(Status::Completed);
    engine.store.finish(&lease, 1, batch, end).await.unwrap();
    lease.response_id
}

pub fn terminal(status: Status) -> Terminal {
    Terminal {
        status,
        body: format!(r#"{{"status":"{}"}}"#, status.as_str()),
        output: Vec::new(),
    }
}

/// The whole log as texts, in order. Panics on a gap.
pub async fn log(engine: &Engine, id: &str) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        let after = (events.len() as u64).checked_sub(1);
        let page = engine.store.read_events(PROJECT, id, after, 1 << 20);
        let page = page.await.unwrap();
        for (first, batch) in &page.batches {
            assert_eq!(*first, events.len() as u64, "batches follow each other");
            events.extend(batch.iter().map(text));
        }
        if events.len() as u64 == page.next_seq {
            return events;
        }
        assert!(!page.batches.is_empty(), "there was more to read");
    }
}

pub fn text(event: impl AsRef<[u8]>) -> String {
    String::from_utf8(event.as_ref().to_vec()).unwrap()
}

/// Follows a response to its end as the contract demands: watch, read, then wait
/// for a hint or the timer. Returns the events, and how many of them came with
/// hints.
pub async fn follow(
    engine: &Engine,
    bus: &dyn Bus,
    id: &str,
    timer: Duration,
) -> (Vec<String>, u64) {
    let mut hints = bus.watch_response(id).await;
    let (mut events, mut hinted) = (Vec::new(), 0);
    loop {
        let after = (events.len() as u64).checked_sub(1);
        let page = engine.store.read_events(PROJECT, id, after, 1000);
        let page = page.await.unwrap();
        for (first, batch) in page.batches {
            let skip = (events.len() as u64 - first) as usize;
            events.extend(batch.iter().skip(skip).map(text));
        }
        let read_of = page.rewinds;
        let mut at_end = page.status.is_terminal();
        if (events.len() as u64) < page.next_seq {
            continue;
        }
        while !at_end {
            match hints.next(timer).await {
                ResponseHint::Events {
                    first_seq,
                    batch,
                    rewinds,
                    terminal,
                } if first_seq == events.len() as u64 && rewinds == read_of => {
                    hinted += batch.count();
                    events.extend(batch.iter().map(text));
                    at_end = terminal;
                }
                ResponseHint::Events { .. } | ResponseHint::Changed => break,
            }
        }
        if at_end {
            return (events, hinted);
        }
    }
}

/// Waits until `so` returns true.
pub async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    let started = Instant::now();
    while !so().await {
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(20), "waited {waited:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The kind of the error, for comparisons.
pub fn kind<T>(result: &Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(StoreError::NotFound(_)) => "not found",
        Err(StoreError::Conflict(_)) => "conflict",
        Err(StoreError::LimitReached { .. }) => "limit",
        Err(StoreError::Refused(_)) => "refused",
        Err(StoreError::Fenced) => "fenced",
        Err(StoreError::Full(_)) => "full",
        Err(StoreError::Unavailable(_)) => "unavailable",
        Err(StoreError::Internal(_)) => "internal",
    }
}
