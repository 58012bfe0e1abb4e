//! Audit events of token exchanges: `waypost.token.issued`, `.refused`,
//! `.revoked`. OpenAI's list has none for these; see `docs/identity.md`.
//!
//! They are queued in memory and written in batches, so that an exchange waits
//! for no disk. A full queue drops events and counts them. Refusals are
//! anybody's to cause, so only so many are written; the next one that is says
//! how many were not.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use waypost_engine::audit::AuditDraft;
use waypost_identity::{AccessClaims, Scope};

use super::{exchange::Attempt, limits::Bucket};
use crate::{http::edge::RequestInfo, identity::Identity};

/// Events that may wait.
const QUEUE: usize = 8_192;
/// Events written in one transaction.
const BATCH: usize = 256;
/// Refusals that are written: one in this time on average,
const REFUSAL_INTERVAL: Duration = Duration::from_millis(200);
/// and as many ahead as fit into this.
const REFUSAL_BURST: Duration = Duration::from_secs(20);
/// Pause after the store failed.
const RETRY: Duration = Duration::from_secs(1);
/// Once the drain begins: how long to wait for the last requests' events.
const LAST_EVENTS: Duration = Duration::from_millis(200);
/// Longest detail that is kept, in bytes.
const MAX_DETAIL: usize = 500;

/// The queue. Never blocks.
pub struct AuditQueue {
    sender: mpsc::Sender<AuditDraft>,
    /// Until [`run`] takes it.
    receiver: Mutex<Option<mpsc::Receiver<AuditDraft>>>,
    refusals: Bucket,
    start: Instant,
    /// Refusals that were not written since the last one that was.
    suppressed: AtomicU64,
    dropped: Counter,
}

/// A token was issued.
pub struct IssuedEvent {
    pub claims: AccessClaims,
    pub(super) attempt: Attempt,
    pub request: Arc<RequestInfo>,
}

/// An exchange was refused.
pub struct RefusedEvent {
    pub error: &'static str,
    pub reason: &'static str,
    pub detail: String,
    pub(super) attempt: Attempt,
    pub request: Arc<RequestInfo>,
}

impl AuditQueue {
    /// `dropped` counts events that found the queue full.
    pub(super) fn new(dropped: Counter) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            refusals: Bucket::default(),
            start: Instant::now(),
            suppressed: AtomicU64::new(0),
            dropped,
        }
    }

    pub fn issued(&self, event: IssuedEvent) {
        let IssuedEvent {
            claims,
            attempt,
            request,
        } = event;
        let payload = json!({
            "id": claims.token_id,
            "service_account_id": claims.service_account_id,
            "identity_provider_id": claims.provider_id,
            "federation_rule_id": claims.rule_id,
            "expires_at": claims.expires_at,
            "scopes": claims.scopes.map(|scopes| scopes.iter().map(Scope::name).collect::<Vec<_>>()),
            "subject": attempt.subject,
            "subject_token": subject_token(&attempt),
        });
        self.queue(about_token(
            "waypost.token.issued",
            &claims,
            &request,
            payload,
        ));
    }

    pub fn refused(&self, event: RefusedEvent) {
        let now = self.start.elapsed().as_nanos() as u64;
        let allowed = self.refusals.take(
            now,
            REFUSAL_INTERVAL.as_nanos() as u64,
            REFUSAL_BURST.as_nanos() as u64,
        );
        if allowed.is_err() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let RefusedEvent {
            error,
            reason,
            mut detail,
            attempt,
            request,
        } = event;
        if detail.len() > MAX_DETAIL {
            let end = detail.floor_char_boundary(MAX_DETAIL);
            detail.truncate(end);
        }
        let payload = json!({
            "error": error,
            "reason": reason,
            "detail": detail,
            "identity_provider_id": attempt.provider_id,
            "service_account_id": attempt.service_account_id,
            "subject": attempt.subject,
            "subject_token": subject_token(&attempt),
            "suppressed_before": self.suppressed.swap(0, Ordering::Relaxed),
        });
        self.queue(draft(
            "waypost.token.refused",
            None,
            None,
            attempt.provider_id,
            &request,
            payload,
        ));
    }

    pub fn revoked(&self, claims: &AccessClaims, request: &RequestInfo) {
        let payload = json!({
            "id": claims.token_id,
            "service_account_id": claims.service_account_id,
            "identity_provider_id": claims.provider_id,
            "federation_rule_id": claims.rule_id,
        });
        self.queue(about_token(
            "waypost.token.revoked",
            claims,
            request,
            payload,
        ));
    }

    fn queue(&self, draft: AuditDraft) {
        if self.sender.try_send(draft).is_err() {
            self.dropped.inc();
        }
    }
}

/// Writes what was queued, until the drain has begun and the queue is empty.
pub(super) async fn run(identity: Arc<Identity>) {
    let queue = &identity.audit.receiver;
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut queue) = queue else {
        return;
    };
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            _ = queue.recv_many(&mut batch, BATCH) => write(&identity, &mut batch).await,
            () = identity.shutdown.begun() => break,
        }
    }
    while let Ok(1..) = tokio::time::timeout(LAST_EVENTS, queue.recv_many(&mut batch, BATCH)).await
    {
        write(&identity, &mut batch).await;
    }
}

/// Writes a batch; while the store is away, tries again until the drain begins.
async fn write(identity: &Arc<Identity>, batch: &mut Vec<AuditDraft>) {
    let mut failing = false;
    loop {
        let error = match identity.engine.store.append_audit(batch.clone()).await {
            Ok(()) => break,
            Err(error) => error,
        };
        if !failing {
            tracing::error!("audit events of token exchanges are not written: {error}");
        }
        failing = true;
        if !error.is_transient() || identity.shutdown.is_draining() {
            identity.audit.dropped.inc_by(batch.len() as u64);
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = identity.shutdown.begun() => {}
        }
    }
    batch.clear();
}

fn about_token(
    event_type: &str,
    claims: &AccessClaims,
    request: &RequestInfo,
    payload: Value,
) -> AuditDraft {
    draft(
        event_type,
        Some(claims.service_account_id.clone()),
        Some((claims.project_id.clone(), None)),
        Some(claims.token_id.clone()),
        request,
        payload,
    )
}

fn draft(
    event_type: &str,
    actor_id: Option<String>,
    project: Option<(String, Option<String>)>,
    resource_id: Option<String>,
    request: &RequestInfo,
    payload: Value,
) -> AuditDraft {
    AuditDraft {
        event_type: event_type.to_owned(),
        // The documented actors are sessions and keys; a workload has neither.
        actor: Value::Null,
        actor_id,
        actor_email: None,
        project,
        resource_id,
        ip_address: request.peer.map(|peer| peer.to_string()),
        user_agent: request.user_agent.clone(),
        request_id: Some(request.id.clone()),
        payload: match payload {
            Value::Object(payload) => payload,
            _ => Map::new(),
        },
    }
}

fn subject_token(attempt: &Attempt) -> Value {
    json!({
        "sha256_prefix": attempt.fingerprint.map(|fingerprint| fingerprint.to_string()),
        "jti": attempt.subject_jti,
    })
}
