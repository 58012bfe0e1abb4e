//! The store's contract. `conformance` tests each sentence.
//!
//! For every method of every trait:
//! - One call is one transaction: all of it happened or none of it.
//! - It is durable when its future resolves to `Ok`: a crash or a power cut
//!   right after loses nothing.
//! - Dropping the future does not undo the call: the store may still commit it.
//! - Reads see every change whose future resolved before the read began
//!   (read-your-writes, across all tasks of all nodes).
//! - Every list has one order that never changes: by position for input items,
//!   by id for all others. A walk with cursors sees each row that was there when
//!   the walk began, and sees it once.
//! - Ids ascend in commit order in one list, the audit log ([`AuditStore`]).
//! - The store never retries. [`StoreError::is_transient`] tells the caller which
//!   errors are worth a retry.
//! - Time is the engine's clock (the database's, in a cluster), never a
//!   caller's.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Millis, StoreError,
    audit::{AuditDraft, AuditEntry, AuditFilter},
    directory::{
        ApiKey, ApiKeyPatch, Directory, NewApiKey, NewProject, NewProvider, NewRule,
        NewServiceAccount, Project, ProjectPatch, Provider, ProviderPatch, Revocation, Rule,
        RulePatch, SealedSigningKey, ServiceAccount, ServiceAccountPatch,
    },
    events::EventBatch,
    page::{Page, PageQuery},
    responses::{
        Cancelled, ChainLimits, ChainLink, ClaimedJob, CreatedUnder, EventPage, InputItem,
        JobCounts, Lease, NewJob, NewResponse, Retention, StoredResponse, Swept, Terminal, Want,
    },
};

/// Documented limits of the directory (OpenAI admin API reference, November
/// 2026).
pub const MAX_PROVIDERS: u64 = 50;
/// Federation rules of one provider.
pub const MAX_RULES_PER_PROVIDER: u64 = 50;

/// The whole store. The server chooses the engine once, in `serve`; no other code
/// asks which one it is.
#[async_trait]
pub trait Store: DirectoryStore + ResponseStore + AuditStore {
    /// Whether the store can read and write. The error says what does not work.
    async fn check(&self) -> Result<(), StoreError>;

    /// How large the store is. Removed rows leave free bytes, which the store uses
    /// before it grows.
    async fn size(&self) -> Result<StoreSize, StoreError>;

    /// Finishes the calls that it accepted, then closes. Later calls are
    /// `Unavailable`.
    async fn close(&self);
}

/// The size of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Its bytes, without a write-ahead log that is not merged yet.
    pub bytes: u64,
    /// How many of these are free.
    pub free_bytes: u64,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Organization, projects, service accounts, keys, providers, rules,
/// revocations, signing keys.
///
/// - Every changing method that takes an [`AuditDraft`] writes that event in
///   the same transaction: no change without its event, no event without its
///   change. A creating method puts the new id into the draft's `resource_id`
///   and at the head of its payload as `id`.
/// - Every change raises [`Directory::version`], except `touch_keys`: no decision
///   depends on when a key was used.
/// - A row of another project is `NotFound`, and so is a list of a project,
///   service account or provider that does not exist.
#[async_trait]
pub trait DirectoryStore: Send + Sync {
    /// The whole [`Directory`] at one moment.
    async fn load_directory(&self) -> Result<Directory>;
    /// The current [`Directory::version`]. This call is cheap.
    async fn directory_version(&self) -> Result<i64>;
    /// The organization's id (`org-…`). The store made it when it was created.
    async fn organization_id(&self) -> Result<String>;

    /// The event belongs to the new project, even if the draft names another.
    async fn create_project(&self, new: NewProject, audit: AuditDraft) -> Result<Project>;
    async fn get_project(&self, id: &str) -> Result<Project>;
    async fn list_projects(&self, page: PageQuery, include_archived: bool)
    -> Result<Page<Project>>;
    /// `Refused` when archived.
    async fn update_project(
        &self,
        id: &str,
        patch: ProjectPatch,
        audit: AuditDraft,
    ) -> Result<Project>;
    /// Archiving twice changes nothing and returns the row; the second call
    /// writes no event.
    async fn archive_project(&self, id: &str, audit: AuditDraft) -> Result<Project>;

    /// `key` is created in the same transaction, with its own event; the store
    /// fills in its owner. `Refused` when the project is archived.
    async fn create_service_account(
        &self,
        new: NewServiceAccount,
        audit: AuditDraft,
        key: Option<(NewApiKey, AuditDraft)>,
    ) -> Result<(ServiceAccount, Option<ApiKey>)>;
    async fn get_service_account(&self, project_id: &str, id: &str) -> Result<ServiceAccount>;
    async fn list_service_accounts(
        &self,
        project_id: &str,
        page: PageQuery,
    ) -> Result<Page<ServiceAccount>>;
    /// `Refused` when the project is archived.
    async fn update_service_account(
        &self,
        project_id: &str,
        id: &str,
        patch: ServiceAccountPatch,
        audit: AuditDraft,
    ) -> Result<ServiceAccount>;
    /// Also deletes its keys and its federation rules, in the same transaction.
    async fn delete_service_account(
        &self,
        project_id: &str,
        id: &str,
        audit: AuditDraft,
    ) -> Result<()>;

    /// An admin key or a service account's key, by `new.owner`. `NotFound` when
    /// the service account does not exist, `Refused` when its project is
    /// archived, `Conflict` when another key has the hash.
    async fn create_key(&self, new: NewApiKey, audit: AuditDraft) -> Result<ApiKey>;
    async fn get_admin_key(&self, id: &str) -> Result<ApiKey>;
    async fn list_admin_keys(&self, page: PageQuery) -> Result<Page<ApiKey>>;
    async fn delete_admin_key(&self, id: &str, audit: AuditDraft) -> Result<()>;
    async fn get_project_key(&self, project_id: &str, id: &str) -> Result<ApiKey>;
    /// All keys of the project, or of one service account of it.
    async fn list_project_keys(
        &self,
        project_id: &str,
        service_account_id: Option<&str>,
        page: PageQuery,
    ) -> Result<Page<ApiKey>>;
    /// `Refused` when the key has expired or its project is archived.
    async fn update_project_key(
        &self,
        project_id: &str,
        id: &str,
        patch: ApiKeyPatch,
        audit: AuditDraft,
    ) -> Result<ApiKey>;
    async fn delete_project_key(&self, project_id: &str, id: &str, audit: AuditDraft)
    -> Result<()>;
    /// Sets `last_used_at` of many keys. An older time never replaces a newer
    /// one, and unknown ids are ignored.
    async fn touch_keys(&self, used: Vec<(String, Millis)>) -> Result<()>;

    /// Names are unique (`Conflict`); at most [`MAX_PROVIDERS`].
    async fn create_provider(&self, new: NewProvider, audit: AuditDraft) -> Result<Provider>;
    async fn get_provider(&self, id: &str) -> Result<Provider>;
    async fn list_providers(&self, page: PageQuery) -> Result<Page<Provider>>;
    /// See [`ProviderPatch::apply`] for the trust epoch.
    async fn update_provider(
        &self,
        id: &str,
        patch: ProviderPatch,
        audit: AuditDraft,
    ) -> Result<Provider>;
    /// `Refused` while it has rules.
    async fn delete_provider(&self, id: &str, audit: AuditDraft) -> Result<()>;

    /// A provider has one rule for a service account (`Conflict`) and at most
    /// [`MAX_RULES_PER_PROVIDER`] rules; their names are unique. `NotFound` when
    /// the provider or the service account (of that project) does not exist,
    /// `Refused` when the project is archived.
    async fn create_rule(&self, new: NewRule, audit: AuditDraft) -> Result<Rule>;
    async fn get_rule(&self, provider_id: &str, id: &str) -> Result<Rule>;
    async fn list_rules(
        &self,
        provider_id: &str,
        service_account_id: Option<&str>,
        page: PageQuery,
    ) -> Result<Page<Rule>>;
    async fn update_rule(
        &self,
        provider_id: &str,
        id: &str,
        patch: RulePatch,
        audit: AuditDraft,
    ) -> Result<Rule>;
    async fn delete_rule(&self, provider_id: &str, id: &str, audit: AuditDraft) -> Result<()>;

    /// Revoking twice changes nothing.
    async fn revoke_token(&self, revocation: Revocation) -> Result<()>;
    /// Adding a key whose `kid` exists changes nothing.
    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<()>;
    /// `NotFound` when it does not exist.
    async fn delete_signing_key(&self, kid: &str) -> Result<()>;
}

/// Responses, their event logs and their jobs.
///
/// A background response is queued, then claimed by a worker under a
/// [`Lease`]; the worker appends events and finishes. These rules keep it safe
/// when a worker dies or stalls:
/// - A lease is good while its epoch is the row's, the job was not released,
///   **and** the lease has not expired. Otherwise every write of the worker is
///   [`StoreError::Fenced`], even if the response is gone, and even if the write
///   repeats an earlier one (but see `finish`).
/// - Events are numbered from 0 without gaps. `append_events` names the number
///   of its first event. A batch that the log already has (the first reply was
///   lost) is accepted again without effect; any other batch that does not fit
///   is `Internal`. A batch without events changes nothing.
/// - A response becomes terminal once: of any number of racing `finish` and
///   `cancel` calls, exactly one wins.
/// - Readers may read a log while it grows, and events that a reader was given
///   stay. A reader first marks the events that it is about to give away
///   (`mark_read`); `rewind` never removes events before a mark.
#[async_trait]
pub trait ResponseStore: Send + Sync {
    /// Stores row, input, first events and job, as `queued`. The first events
    /// count as given to readers. An id that exists is a `Conflict`.
    /// `LimitReached` when `max_queued` jobs, of all queues together, have no
    /// worker. An idempotency key is taken in the same transaction; if another
    /// response has it, that is a `Conflict` and nothing is stored.
    async fn create_background(
        &self,
        new: NewResponse,
        first_events: EventBatch,
        job: NewJob,
        max_queued: u64,
    ) -> Result<()>;

    /// Stores a complete foreground response with its terminal status. It has no
    /// log and no job. An id that exists is a `Conflict`; a status that is not
    /// terminal is `Internal`. An idempotency key is taken as above.
    async fn insert_finished(
        &self,
        new: NewResponse,
        status: crate::responses::Status,
    ) -> Result<()>;

    /// The response that was created under an idempotency key. Each project has
    /// its own keys. A create that failed took no key. A key outlives its
    /// response, until a sweep removes it.
    async fn find_created(&self, project_id: &str, key: &str) -> Result<Option<CreatedUnder>>;

    async fn get_response(&self, project_id: &str, id: &str) -> Result<StoredResponse>;

    /// Input items in order (`descending`: last first). `after` and `before` are
    /// ids of this response's items; an unknown one is `NotFound`.
    async fn list_input_items(
        &self,
        project_id: &str,
        id: &str,
        page: PageQuery,
    ) -> Result<Page<InputItem>>;

    /// The responses that lead to `id`, and `id` itself, oldest first. `NotFound`
    /// when any response of the chain is missing, `LimitReached` when the chain
    /// is longer or larger than the limits.
    async fn load_chain(
        &self,
        project_id: &str,
        id: &str,
        limits: ChainLimits,
    ) -> Result<Vec<ChainLink>>;

    /// The items with these ids as JSON texts, in the order of `ids`; `None` for
    /// an id that no item has. Only stored responses (`store`) of the project
    /// count: their input items once they are created, their named output items
    /// once they are finished, until they are deleted or swept. If several items
    /// have one id, the newest response's counts. `LimitReached` when the items
    /// have more than `max_bytes`.
    async fn find_items(
        &self,
        project_id: &str,
        ids: &[String],
        max_bytes: usize,
    ) -> Result<Vec<Option<String>>>;

    /// Deletes row, input and log. `Refused` while it is queued or in progress.
    async fn delete_response(&self, project_id: &str, id: &str) -> Result<()>;

    /// If it is a background response and not terminal: writes status, body and
    /// event, raises the epoch and removes the job. `event` gets the next number.
    async fn cancel_response(
        &self,
        project_id: &str,
        id: &str,
        body: String,
        event: EventBatch,
    ) -> Result<Cancelled>;

    /// Events after number `after` (`None`: from the start): about `max_bytes` at
    /// most, but at least one batch if there is any.
    async fn read_events(
        &self,
        project_id: &str,
        id: &str,
        after: Option<u64>,
        max_bytes: usize,
    ) -> Result<EventPage>;

    /// Claims ready jobs: oldest first in each queue, at most `max` of each. A job
    /// is ready if it was never claimed, if it was released and is due, or if its
    /// lease expired. `older_than` takes only jobs whose response was created
    /// longer ago. The response becomes `in_progress`.
    async fn claim_jobs(
        &self,
        worker: &str,
        want: Vec<Want>,
        lease: Duration,
    ) -> Result<Vec<ClaimedJob>>;

    /// The queues that have ready jobs.
    async fn ready_queues(&self) -> Result<Vec<String>>;

    /// Extends all of the worker's leases that are still good, and names them.
    /// The worker has lost every lease that is not named.
    async fn heartbeat(&self, worker: &str, lease: Duration) -> Result<Vec<Lease>>;

    /// Marks the events before number `to` as given to a reader, if the log was
    /// rewound `rewinds` times so far. `false` if it was rewound again: the events
    /// may be gone, and the reader must read again. A log that has ended keeps no
    /// marks, because it can no longer be rewound.
    async fn mark_read(&self, project_id: &str, id: &str, to: u64, rewinds: u64) -> Result<bool>;

    /// Removes the events from number `to` on, so that the worker can write others
    /// in their place. Returns how often the log was rewound, this time included.
    /// Returns `None` and changes nothing if a reader may have been given one of
    /// the events. At the log's end there is nothing to rewind, and the count
    /// stays; a number beyond the end is `Internal`.
    async fn rewind(&self, lease: &Lease, to: u64) -> Result<Option<u64>>;

    /// See the trait's rules.
    async fn append_events(&self, lease: &Lease, first_seq: u64, batch: EventBatch) -> Result<()>;

    /// Saves the worker's checkpoint for later claims ([`ClaimedJob::checkpoint`]),
    /// in place of the one before. The job's end removes it. More than
    /// [`MAX_CHECKPOINT`](crate::responses::MAX_CHECKPOINT) bytes are `Internal`.
    async fn save_checkpoint(&self, lease: &Lease, checkpoint: Bytes) -> Result<()>;

    /// Appends the last events, sets the terminal status and body, and removes
    /// the job. A second call with the same lease, `first_seq` and status is
    /// accepted without effect. A status that is not terminal is `Internal`.
    async fn finish(
        &self,
        lease: &Lease,
        first_seq: u64,
        batch: EventBatch,
        end: Terminal,
    ) -> Result<()>;

    /// Releases a job; it can be claimed again after `delay`. `counts` says whether
    /// this claim counts as an attempt. The response stays `in_progress`: no
    /// status ever goes back.
    async fn release_job(&self, lease: &Lease, delay: Duration, counts: bool) -> Result<()>;

    /// Uses up a person's approval of one call, for the response that is about to
    /// make the call. `request_id` names the approval request. The first response
    /// to ask has the approval, for as long as responses are stored. Returns the
    /// response that has it.
    async fn consume_approval(
        &self,
        project_id: &str,
        request_id: &str,
        response_id: &str,
    ) -> Result<String>;

    /// Removes a bounded number of rows that are past their retention; call again
    /// while it removes something. It never removes a response that is not
    /// terminal, or its log. A dropped log reads as empty, with `log_dropped`.
    /// Audit events are removed only if they have a retention. Sweeping
    /// revocations does not raise [`Directory::version`]: an expired revocation
    /// is not part of the directory.
    async fn sweep(&self, retention: Retention) -> Result<Swept>;

    /// How many jobs are running (under a good lease) and how many are queued
    /// (all others), and when the response of the oldest queued job was created.
    async fn job_counts(&self) -> Result<JobCounts>;
}

/// The audit log.
///
/// Its ids ascend in commit order, also across nodes: whoever reads on from the
/// last id that they saw misses no event. Clients copy the log this way, and an
/// event that appeared before an id that they had read would never reach the
/// copy.
///
/// No other list needs this order. Nobody reads projects, service accounts, API
/// keys, providers or rules on from an old cursor: clients walk these lists from
/// their start, so a row that a walk missed, since it was committed meanwhile,
/// is in the next one. The server itself does not page them; it loads them all
/// when [`Directory::version`] has risen. Input items never change after their
/// response was created.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends events that belong to no other change (a token issued, a refusal):
    /// all or none, in this order.
    async fn append_audit(&self, events: Vec<AuditDraft>) -> Result<()>;
    /// One page of the events that match the filter.
    async fn list_audit(&self, filter: AuditFilter, page: PageQuery) -> Result<Page<AuditEntry>>;
}
