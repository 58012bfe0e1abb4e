//! The store's contract. Each sentence here is a test in `conformance`.
//!
//! For every method of every trait:
//! - One call is one transaction: all of it happened or none of it.
//! - It is durable when its future resolves to `Ok`: a crash or a power cut
//!   right after loses nothing.
//! - Dropping the future does not undo it: the change may still be committed.
//! - Reads see every change whose future resolved before the read began
//!   (read-your-writes, across all tasks of all nodes).
//! - Every list has one order that never changes: by position for input items,
//!   by id for all others. A walk with cursors sees each row that was there when
//!   the walk began, and sees it once.
//! - Ids ascend in commit order in one list, the audit log ([`AuditStore`]).
//! - Nobody retries in here. [`StoreError::is_transient`] tells the caller what
//!   is worth retrying.
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

/// All of it. The engine is chosen once, in `main`; nothing else asks which.
#[async_trait]
pub trait Store: DirectoryStore + ResponseStore + AuditStore {
    /// Whether the store can serve: a read and a write path that work. The
    /// error says what does not.
    async fn check(&self) -> Result<(), StoreError>;

    /// How large it is. What is removed becomes free, and free bytes are used
    /// before it grows.
    async fn size(&self) -> Result<StoreSize, StoreError>;

    /// Finishes what was accepted, then closes. Later calls are `Unavailable`.
    async fn close(&self);
}

/// The size of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Bytes that it takes, without a log of what is not merged into it yet.
    pub bytes: u64,
    /// Of these, how many hold nothing.
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
/// - Every change raises [`Directory::version`] (`touch_keys` does not: it
///   changes nothing that decides).
/// - A row of another project is `NotFound`; so are lists of a project, service
///   account or provider that is not there.
#[async_trait]
pub trait DirectoryStore: Send + Sync {
    /// Everything at one moment; see [`Directory`].
    async fn load_directory(&self) -> Result<Directory>;
    /// The present [`Directory::version`]; cheap.
    async fn directory_version(&self) -> Result<i64>;
    /// The organization's id (`org-…`), made once when the store was created.
    async fn organization_id(&self) -> Result<String>;

    /// The event belongs to the new project, whatever the draft says.
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

    /// With `key`, the key is created in the same transaction (its owner's ids
    /// are filled in by the store), with `key_audit`. `Refused` when the
    /// project is archived.
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
    /// Its keys and its federation rules go with it, in the same transaction.
    async fn delete_service_account(
        &self,
        project_id: &str,
        id: &str,
        audit: AuditDraft,
    ) -> Result<()>;

    /// An admin key or a service account's key, by `new.owner`. `NotFound` when
    /// the service account is not there, `Refused` when its project is
    /// archived, `Conflict` when the hash is taken.
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
    /// Keeps `last_used_at`, many keys in one call; an older time never
    /// replaces a newer one; unknown ids are ignored.
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

    /// One rule for a provider and service account (`Conflict`); at most
    /// [`MAX_RULES_PER_PROVIDER`]; names unique within the provider;
    /// `NotFound` when provider or service account (of that project) is not
    /// there; `Refused` when the project is archived.
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
    /// Adding a key whose `kid` is there changes nothing.
    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<()>;
    /// `NotFound` when it is not there.
    async fn delete_signing_key(&self, kid: &str) -> Result<()>;
}

/// Responses, their event logs and their jobs.
///
/// A background response is queued, then claimed by a worker under a
/// [`Lease`]; the worker appends events and finishes. The rules that make it
/// safe, whatever dies or sleeps:
/// - A lease is good while the row's epoch is the lease's, the job was not
///   given back, **and** it has not expired. Every write of a worker is refused
///   as [`StoreError::Fenced`] otherwise, also when the response is gone, and
///   also when the write is a repeated one (but see `finish`).
/// - Events are numbered from 0 without gaps. `append_events` names the number
///   of its first event: a batch that is already there (the reply to the first
///   try was lost) is accepted again without effect, anything else that does
///   not fit is `Internal`. A batch without events changes nothing.
/// - A response becomes terminal once: of any number of racing `finish` and
///   `cancel` calls, exactly one wins.
/// - A log is read while it grows: what a reader was given stays. Readers mark
///   what they are about to be given (`mark_read`), and what lies before a mark
///   is never taken back (`rewind`).
#[async_trait]
pub trait ResponseStore: Send + Sync {
    /// Row, input, first events and job, as `queued`. The first events count as
    /// given to readers. An id that is there is a `Conflict`. `LimitReached` when `max_queued` jobs wait already, in all
    /// queues together; a job that a worker has does not wait. With an
    /// idempotency key, the key is taken in the same transaction; one that is
    /// taken is a `Conflict`, and nothing is stored.
    async fn create_background(
        &self,
        new: NewResponse,
        first_events: EventBatch,
        job: NewJob,
        max_queued: u64,
    ) -> Result<()>;

    /// A foreground response, complete, with its terminal status; it has no
    /// log and no job. An id that is there is a `Conflict`, a status that is
    /// not terminal `Internal`. An idempotency key is taken as above.
    async fn insert_finished(
        &self,
        new: NewResponse,
        status: crate::responses::Status,
    ) -> Result<()>;

    /// What was created under an idempotency key. Keys of other projects are
    /// others. A create that failed took none. A key outlives its response,
    /// until it is swept.
    async fn find_created(&self, project_id: &str, key: &str) -> Result<Option<CreatedUnder>>;

    async fn get_response(&self, project_id: &str, id: &str) -> Result<StoredResponse>;

    /// Input items in order (`descending`: last first); `after` and `before`
    /// are item ids of this response, an unknown one is `NotFound`.
    async fn list_input_items(
        &self,
        project_id: &str,
        id: &str,
        page: PageQuery,
    ) -> Result<Page<InputItem>>;

    /// The responses that lead to and include `id`, oldest first. `NotFound` names
    /// a response that is missing anywhere in the chain; `LimitReached` when
    /// it is longer or larger than the limits.
    async fn load_chain(
        &self,
        project_id: &str,
        id: &str,
        limits: ChainLimits,
    ) -> Result<Vec<ChainLink>>;

    /// The items of these ids, as JSON texts, in the order asked for; `None`
    /// for an id that no item has. Those of stored responses (`store`) of the
    /// project count: input items from when the response is created, output
    /// items (those that were named) from when it is finished, until it is
    /// deleted or swept. Of several items with one id the newest
    /// response's counts. `LimitReached` when they have more than `max_bytes`.
    async fn find_items(
        &self,
        project_id: &str,
        ids: &[String],
        max_bytes: usize,
    ) -> Result<Vec<Option<String>>>;

    /// Row, input and log. `Refused` while it is queued or in progress.
    async fn delete_response(&self, project_id: &str, id: &str) -> Result<()>;

    /// If it is a background response and not terminal: status, body and event
    /// are written, the epoch rises, the job goes. `event` gets the next
    /// number.
    async fn cancel_response(
        &self,
        project_id: &str,
        id: &str,
        body: String,
        event: EventBatch,
    ) -> Result<Cancelled>;

    /// Events after number `after` (`None`: from the start), at most about
    /// `max_bytes` but at least one batch if there is any.
    async fn read_events(
        &self,
        project_id: &str,
        id: &str,
        after: Option<u64>,
        max_bytes: usize,
    ) -> Result<EventPage>;

    /// Claims ready jobs: oldest first in each queue, at most `max` of each.
    /// Ready is: never claimed or released and due, or under an expired lease.
    /// With `older_than`, only those of them count whose response was created
    /// longer ago. The response becomes `in_progress`.
    async fn claim_jobs(
        &self,
        worker: &str,
        want: Vec<Want>,
        lease: Duration,
    ) -> Result<Vec<ClaimedJob>>;

    /// The queues that have ready jobs.
    async fn ready_queues(&self) -> Result<Vec<String>>;

    /// Extends all of the worker's leases that are still good, in one call for
    /// all, and names them. A lease not named is lost.
    async fn heartbeat(&self, worker: &str, lease: Duration) -> Result<Vec<Lease>>;

    /// A reader is about to be given the events before number `to`, as the log
    /// stood after `rewinds` rewinds. `false`: it was rewound since, and what was
    /// read of its end may be gone; read again. A log that has ended keeps no
    /// marks: nothing of it can go.
    async fn mark_read(&self, project_id: &str, id: &str, to: u64, rewinds: u64) -> Result<bool>;

    /// Takes back the events from number `to` on, for the worker to write others
    /// in their place. Returns how often the log has been rewound now. `None`,
    /// and nothing is changed, when a reader may have been given one of them. To
    /// the log's end is no rewind; to beyond it is `Internal`.
    async fn rewind(&self, lease: &Lease, to: u64) -> Result<Option<u64>>;

    /// See the trait's rules.
    async fn append_events(&self, lease: &Lease, first_seq: u64, batch: EventBatch) -> Result<()>;

    /// Keeps a checkpoint of the worker's for later claims
    /// ([`ClaimedJob::checkpoint`]), in place of the one before. It goes with the
    /// job. At most
    /// [`MAX_CHECKPOINT`](crate::responses::MAX_CHECKPOINT) bytes; more is `Internal`.
    async fn save_checkpoint(&self, lease: &Lease, checkpoint: Bytes) -> Result<()>;

    /// Appends the last events, sets the terminal status and body, and removes
    /// the job. Finishing again with the same lease, `first_seq` and status is
    /// accepted without effect. A status that is not terminal is `Internal`.
    async fn finish(
        &self,
        lease: &Lease,
        first_seq: u64,
        batch: EventBatch,
        end: Terminal,
    ) -> Result<()>;

    /// Gives a job back, to be claimed not before `delay` from now.
    /// `counts` says whether this claim counts as an attempt. The response
    /// stays `in_progress`: no status ever goes back.
    async fn release_job(&self, lease: &Lease, delay: Duration, counts: bool) -> Result<()>;

    /// Uses up a person's approval of one call (`request_id` is the question that
    /// it answers) for the response that is about to make the call. Whoever
    /// comes first has it, for as long as responses are stored; returned is the
    /// response that has it now.
    async fn consume_approval(
        &self,
        project_id: &str,
        request_id: &str,
        response_id: &str,
    ) -> Result<String>;

    /// Removes what is past its retention, a bounded number of rows per call;
    /// call again while it removes something. A response that is not terminal
    /// is never removed, nor is its log. A dropped log reads as empty, with
    /// `log_dropped`. Events of the audit log go only where a time is given
    /// for them. Sweeping revocations does not raise
    /// [`Directory::version`]: they were not in it any more.
    async fn sweep(&self, retention: Retention) -> Result<Swept>;

    /// Jobs by state, and the age of the queue: when the response of the oldest
    /// job that is not running was created.
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
    /// Events that belong to no other change (a token issued, a refusal), all
    /// or none.
    async fn append_audit(&self, events: Vec<AuditDraft>) -> Result<()>;
    /// Newest first unless the page says otherwise.
    async fn list_audit(&self, filter: AuditFilter, page: PageQuery) -> Result<Page<AuditEntry>>;
}
