//! The trait of responses, whose methods call functions here, in [`jobs`],
//! [`event_log`] and [`retention`]; and bodies, input items and chains.
//! [`response_row`](super::response_row) has the response's own row.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    EmbeddedStore, Tx, event_log, idempotency, items, jobs,
    response_row::{HAS_LOG, NO_LOG, end, get},
    retention,
    sql::{Result, cut, exists, now, run},
};
use crate::{
    Millis, StoreError,
    events::EventBatch,
    page::{Page, PageQuery},
    refusals,
    responses::{
        Cancelled, ChainLimits, ChainLink, ClaimedJob, CreatedUnder, EventPage, InputItem,
        JobCounts, Lease, MAX_CHECKPOINT, NewJob, NewResponse, Retention, Status, StoredResponse,
        Swept, Terminal, Want,
    },
    store::ResponseStore,
};

#[async_trait]
impl ResponseStore for EmbeddedStore {
    async fn create_background(
        &self,
        new: NewResponse,
        first_events: EventBatch,
        job: NewJob,
        max_queued: u64,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            let read_to = first_events.count();
            insert(tx, &new, Status::Queued, HAS_LOG, read_to)?;
            event_log::append(tx, &new.id, 0, 0, &first_events)?;
            jobs::insert(tx, &new.id, &job, max_queued)
        })
        .await
    }

    async fn insert_finished(&self, new: NewResponse, status: Status) -> Result<(), StoreError> {
        if !status.is_terminal() {
            return Err(refusals::not_terminal(status));
        }
        self.write(move |tx| insert(tx, &new, status, NO_LOG, 0))
            .await
    }

    async fn find_created(
        &self,
        project_id: &str,
        key: &str,
    ) -> Result<Option<CreatedUnder>, StoreError> {
        let (project_id, key) = (project_id.to_owned(), key.to_owned());
        self.read(move |conn| idempotency::find(conn, &project_id, &key))
            .await
    }

    async fn get_response(&self, project_id: &str, id: &str) -> Result<StoredResponse, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.read(move |conn| get(conn, &project_id, &id)).await
    }

    async fn list_input_items(
        &self,
        project_id: &str,
        id: &str,
        page: PageQuery,
    ) -> Result<Page<InputItem>, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.read(move |conn| list_input(conn, &project_id, &id, &page))
            .await
    }

    async fn load_chain(
        &self,
        project_id: &str,
        id: &str,
        limits: ChainLimits,
    ) -> Result<Vec<ChainLink>, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.read(move |conn| chain(conn, &project_id, id, limits))
            .await
    }

    async fn find_items(
        &self,
        project_id: &str,
        ids: &[String],
        max_bytes: usize,
    ) -> Result<Vec<Option<String>>, StoreError> {
        let (project_id, ids) = (project_id.to_owned(), ids.to_vec());
        self.read(move |conn| items::find(conn, &project_id, &ids, max_bytes))
            .await
    }

    async fn delete_response(&self, project_id: &str, id: &str) -> Result<(), StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| delete(tx, &project_id, &id)).await
    }

    async fn cancel_response(
        &self,
        project_id: &str,
        id: &str,
        body: String,
        event: EventBatch,
    ) -> Result<Cancelled, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| cancel(tx, &project_id, &id, &body, &event))
            .await
    }

    async fn read_events(
        &self,
        project_id: &str,
        id: &str,
        after: Option<u64>,
        max_bytes: usize,
    ) -> Result<EventPage, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.read(move |conn| event_log::read(conn, &project_id, &id, after, max_bytes))
            .await
    }

    async fn claim_jobs(
        &self,
        worker: &str,
        want: Vec<Want>,
        lease: Duration,
    ) -> Result<Vec<ClaimedJob>, StoreError> {
        let worker = worker.to_owned();
        self.write(move |tx| jobs::claim(tx, &worker, &want, lease))
            .await
    }

    async fn ready_queues(&self) -> Result<Vec<String>, StoreError> {
        let now = self.clock.leases();
        self.read(move |conn| jobs::ready_queues(conn, now)).await
    }

    async fn heartbeat(&self, worker: &str, lease: Duration) -> Result<Vec<Lease>, StoreError> {
        let worker = worker.to_owned();
        self.write(move |tx| jobs::heartbeat(tx, &worker, lease))
            .await
    }

    async fn mark_read(
        &self,
        project_id: &str,
        id: &str,
        to: u64,
        rewinds: u64,
    ) -> Result<bool, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| event_log::mark(tx, &project_id, &id, to, rewinds))
            .await
    }

    async fn rewind(&self, lease: &Lease, to: u64) -> Result<Option<u64>, StoreError> {
        let lease = lease.clone();
        self.write(move |tx| jobs::rewind(tx, &lease, to)).await
    }

    async fn append_events(
        &self,
        lease: &Lease,
        first_seq: u64,
        batch: EventBatch,
    ) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.write(move |tx| jobs::append(tx, &lease, first_seq, &batch))
            .await
    }

    async fn save_checkpoint(&self, lease: &Lease, checkpoint: Bytes) -> Result<(), StoreError> {
        if checkpoint.len() > MAX_CHECKPOINT {
            return Err(refusals::checkpoint_is_too_long(checkpoint.len()));
        }
        let lease = lease.clone();
        self.write(move |tx| jobs::save_checkpoint(tx, &lease, &checkpoint))
            .await
    }

    async fn finish(
        &self,
        lease: &Lease,
        first_seq: u64,
        batch: EventBatch,
        end: Terminal,
    ) -> Result<(), StoreError> {
        if !end.status.is_terminal() {
            return Err(refusals::not_terminal(end.status));
        }
        let lease = lease.clone();
        self.write(move |tx| jobs::finish(tx, &lease, first_seq, &batch, &end))
            .await
    }

    async fn release_job(
        &self,
        lease: &Lease,
        delay: Duration,
        counts: bool,
    ) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.write(move |tx| jobs::release(tx, &lease, delay, counts))
            .await
    }

    async fn consume_approval(
        &self,
        project_id: &str,
        request_id: &str,
        response_id: &str,
    ) -> Result<String, StoreError> {
        let key = [project_id, request_id].map(str::to_owned);
        let response_id = response_id.to_owned();
        self.write(move |tx| consume_approval(tx, &key, &response_id))
            .await
    }

    async fn sweep(&self, keep: Retention) -> Result<Swept, StoreError> {
        self.write(move |tx| retention::sweep(tx, keep)).await
    }

    async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let now = self.clock.leases();
        self.read(move |conn| jobs::count(conn, now)).await
    }
}

fn insert(
    tx: &Tx<'_>,
    new: &NewResponse,
    status: Status,
    log_state: i64,
    read_to: u64,
) -> Result<()> {
    if exists(tx.conn, "SELECT 1 FROM responses WHERE id = ?", [&new.id])? {
        return Err(refusals::response_exists());
    }
    if let Some(taken) = &new.idempotency {
        idempotency::take(tx, new, taken)?;
    }
    let ended_at: Option<Millis> = status.is_terminal().then(now);
    tx.conn
        .prepare_cached(
            "INSERT INTO responses (id, project_id, status, created_at, background, streamable,
                 store, previous_response_id, next_seq, epoch, log_state, ended_at, read_to)
             VALUES (:id, :project_id, :status, :created_at, :background, :streamable, :store,
                 :previous_response_id, 0, 0, :log_state, :ended_at, :read_to)",
        )?
        .execute(named_params! {
            ":id": new.id,
            ":project_id": new.project_id,
            ":status": status.as_str(),
            ":created_at": new.created_at,
            ":background": new.background,
            ":streamable": new.streamable,
            ":store": new.store,
            ":previous_response_id": new.previous_response_id,
            ":log_state": log_state,
            ":ended_at": ended_at,
            ":read_to": read_to,
        })?;
    run(
        tx.conn,
        "INSERT INTO response_bodies (response_id, body) VALUES (?, ?)",
        [&new.id, &new.body],
    )?;
    let mut insert = tx.conn.prepare_cached(
        "INSERT INTO input_items (response_id, position, id, json) VALUES (?, ?, ?, ?)",
    )?;
    for (position, item) in (0_i64..).zip(&new.input) {
        insert.execute((&new.id, position, &item.id, &item.json))?;
    }
    if new.store {
        items::index_new(tx, new)?;
    }
    Ok(())
}

fn consume_approval(tx: &Tx<'_>, key: &[String; 2], response_id: &str) -> Result<String> {
    let [project_id, request_id] = key;
    run(
        tx.conn,
        "INSERT INTO approvals (project_id, request_id, response_id, taken_at)
         VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (project_id, request_id, response_id, now()),
    )?;
    let owner = tx
        .conn
        .prepare_cached(
            "SELECT response_id FROM approvals WHERE project_id = ? AND request_id = ?",
        )?
        .query_row((project_id, request_id), |row| row.get(0))?;
    Ok(owner)
}

fn cancel(
    tx: &Tx<'_>,
    project_id: &str,
    id: &str,
    body: &str,
    event: &EventBatch,
) -> Result<Cancelled> {
    let response = get(tx.conn, project_id, id)?;
    if !response.background || response.status.is_terminal() {
        return Ok(Cancelled::Unchanged(response));
    }
    let epoch: i64 = tx
        .conn
        .prepare_cached("UPDATE responses SET epoch = epoch + 1 WHERE id = ? RETURNING epoch")?
        .query_row([id], |row| row.get(0))?;
    event_log::append(tx, id, epoch, response.next_seq, event)?;
    end(tx, id, Status::Cancelled, body)?;
    Ok(Cancelled::Now(get(tx.conn, project_id, id)?))
}

fn delete(tx: &Tx<'_>, project_id: &str, id: &str) -> Result<()> {
    if !get(tx.conn, project_id, id)?.status.is_terminal() {
        return Err(refusals::response_is_running());
    }
    // The foreign keys delete body, input and log.
    run(tx.conn, "DELETE FROM responses WHERE id = ?", [id])?;
    Ok(())
}

fn list_input(
    conn: &Connection,
    project_id: &str,
    id: &str,
    query: &PageQuery,
) -> Result<Page<InputItem>> {
    get(conn, project_id, id)?;
    let position = |item: &Option<String>| -> Result<Option<i64>> {
        let Some(item) = item else { return Ok(None) };
        conn.prepare_cached("SELECT position FROM input_items WHERE response_id = ? AND id = ?")?
            .query_row([id, item], |row| row.get(0))
            .optional()?
            .map(Some)
            .ok_or_else(refusals::no_input_item)
    };
    let (after, before) = (position(&query.after)?, position(&query.before)?);
    let (above, below) = if query.descending {
        (before, after)
    } else {
        (after, before)
    };
    let backwards = query.before.is_some();
    let sql = if query.descending == backwards {
        "SELECT id, json FROM input_items WHERE response_id = ? AND position > ? AND position < ?
         ORDER BY position ASC LIMIT ?"
    } else {
        "SELECT id, json FROM input_items WHERE response_id = ? AND position > ? AND position < ?
         ORDER BY position DESC LIMIT ?"
    };
    let bounds = (
        id,
        above.unwrap_or(-1),
        below.unwrap_or(i64::MAX),
        i64::from(query.limit) + 1,
    );
    let items = conn
        .prepare_cached(sql)?
        .query_map(bounds, |row| {
            Ok(InputItem {
                id: row.get("id")?,
                json: row.get("json")?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(cut(items, query.limit, backwards))
}

fn chain(
    conn: &Connection,
    project_id: &str,
    id: String,
    limits: ChainLimits,
) -> Result<Vec<ChainLink>> {
    let mut links = Vec::new();
    let mut bytes = 0;
    let mut next = Some(id);
    while let Some(id) = next {
        if links.len() >= limits.max_turns as usize {
            return Err(refusals::chain_is_too_long(limits.max_turns));
        }
        let response = get(conn, project_id, &id)?;
        bytes += response.body.len();
        let mut input = Vec::new();
        let mut select = conn.prepare_cached(
            "SELECT json FROM input_items WHERE response_id = ? ORDER BY position",
        )?;
        let mut rows = select.query([&id])?;
        while let Some(row) = rows.next()? {
            let item: String = row.get(0)?;
            bytes += item.len();
            if bytes > limits.max_bytes {
                break;
            }
            input.push(item);
        }
        if bytes > limits.max_bytes {
            return Err(refusals::chain_is_too_large(limits.max_bytes));
        }
        links.push(ChainLink {
            id,
            status: response.status,
            input,
            body: response.body,
        });
        next = response.previous_response_id;
    }
    links.reverse();
    Ok(links)
}
