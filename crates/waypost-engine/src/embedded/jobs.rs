//! Jobs: claim, lease, append, finish, release.
//!
//! Every write of a worker first calls [`look`]: the row must have the lease's
//! epoch, and the job must be held under a lease that has not expired. Easy to
//! break: the check and the write are in one transaction of the one writer, so no
//! other change comes between them.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::{
    Tx, event_log, items,
    response_row::{self, end, get_any},
    sql::{self, Result, millis, run},
};
use crate::{
    Millis, StoreError,
    events::EventBatch,
    refusals,
    responses::{ClaimedJob, JobCounts, Lease, NewJob, Status, Terminal, Want},
};

pub(super) fn insert(tx: &Tx<'_>, id: &str, job: &NewJob, max_queued: u64) -> Result<()> {
    if waiting(tx.conn)? >= max_queued {
        return Err(refusals::too_many_queued(max_queued));
    }
    run(
        tx.conn,
        "INSERT INTO jobs (response_id, queue, due_at, attempts) VALUES (?, ?, ?, 0)",
        (id, &job.queue, tx.lease_time()),
    )?;
    run(
        tx.conn,
        "INSERT INTO job_requests (response_id, request) VALUES (?, ?)",
        (id, &job.request[..]),
    )?;
    Ok(())
}

/// Jobs without a worker. SQLite counts a whole table cheaply if there is no
/// condition, and few jobs have a worker.
fn waiting(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached(
        "SELECT (SELECT count(*) FROM jobs)
             - (SELECT count(*) FROM jobs WHERE worker IS NOT NULL)",
    )?
    .query_row([], |row| row.get(0))
}

pub(super) fn count(conn: &Connection, now: Millis) -> Result<JobCounts> {
    let (all, running): (u64, u64) = conn
        .prepare_cached(
            "SELECT (SELECT count(*) FROM jobs),
                 (SELECT count(*) FROM jobs WHERE worker IS NOT NULL AND due_at > ?)",
        )?
        .query_row([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Jobs are numbered in the order of their creation, so the oldest queued job is
    // near the front: only running jobs can be before it.
    let oldest_queued_at = conn
        .prepare_cached(
            "SELECT responses.created_at FROM jobs JOIN responses ON responses.id = response_id
             WHERE worker IS NULL OR due_at <= ? ORDER BY jobs.n LIMIT 1",
        )?
        .query_row([now], |row| row.get(0))
        .optional()?;
    Ok(JobCounts {
        queued: all.saturating_sub(running),
        running,
        oldest_queued_at,
    })
}

/// Steps from queue to queue through the index, so long queues cost nothing extra.
pub(super) fn ready_queues(conn: &Connection, now: Millis) -> Result<Vec<String>> {
    let queues = conn
        .prepare_cached(
            "WITH RECURSIVE queues (queue) AS (
                 SELECT min(queue) FROM jobs
                 UNION ALL
                 SELECT (SELECT min(jobs.queue) FROM jobs WHERE jobs.queue > queues.queue)
                 FROM queues WHERE queues.queue IS NOT NULL)
             SELECT queue FROM queues
             WHERE queue IS NOT NULL AND EXISTS (
                 SELECT 1 FROM jobs WHERE jobs.queue = queues.queue AND due_at <= ?)",
        )?
        .query_map([now], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(queues)
}

pub(super) fn claim(
    tx: &Tx<'_>,
    worker: &str,
    want: &[Want],
    lease: Duration,
) -> Result<Vec<ClaimedJob>> {
    let now = tx.lease_time();
    let mut claimed = Vec::new();
    for Want {
        queue,
        max,
        older_than,
    } in want
    {
        let created_before = older_than.map_or(Millis::MAX, |age| sql::now() - millis(age));
        let ready: Vec<(String, bool)> = tx
            .conn
            .prepare_cached(
                "SELECT response_id, worker IS NOT NULL FROM (
                     SELECT n, response_id, worker FROM jobs
                     WHERE queue = ? AND due_at <= ? ORDER BY n LIMIT ?)
                 JOIN responses ON responses.id = response_id
                 WHERE created_at < ? ORDER BY n",
            )?
            .query_map((queue, now, max, created_before), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (id, taken_over) in ready {
            let until = now + millis(lease);
            claimed.push(claim_one(tx, worker, &id, taken_over, until)?);
        }
    }
    Ok(claimed)
}

fn claim_one(
    tx: &Tx<'_>,
    worker: &str,
    id: &str,
    taken_over: bool,
    until: Millis,
) -> Result<ClaimedJob> {
    let (queue, attempt) = tx
        .conn
        .prepare_cached(
            "UPDATE jobs SET worker = ?, due_at = ?, attempts = attempts + 1
             WHERE response_id = ? RETURNING queue, attempts",
        )?
        .query_row((worker, until, id), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let epoch = tx
        .conn
        .prepare_cached(
            "UPDATE responses SET epoch = epoch + 1, status = ? WHERE id = ? RETURNING epoch",
        )?
        .query_row((Status::InProgress.as_str(), id), |row| row.get(0))?;
    let request: Vec<u8> = tx
        .conn
        .prepare_cached("SELECT request FROM job_requests WHERE response_id = ?")?
        .query_row([id], |row| row.get(0))?;
    let checkpoint: Option<Vec<u8>> = tx
        .conn
        .prepare_cached("SELECT note FROM job_notes WHERE response_id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(ClaimedJob {
        lease: Lease {
            response_id: id.to_owned(),
            epoch,
        },
        response: get_any(tx.conn, id)?,
        queue,
        request: request.into(),
        checkpoint: checkpoint.map(Bytes::from),
        attempt,
        taken_over,
    })
}

pub(super) fn heartbeat(tx: &Tx<'_>, worker: &str, lease: Duration) -> Result<Vec<Lease>> {
    let now = tx.lease_time();
    let good = tx
        .conn
        .prepare_cached(
            "UPDATE jobs SET due_at = ?1 WHERE worker = ?2 AND due_at > ?3
             RETURNING response_id,
                 (SELECT epoch FROM responses WHERE responses.id = jobs.response_id)",
        )?
        .query_map((now + millis(lease), worker, now), |row| {
            Ok(Lease {
                response_id: row.get(0)?,
                epoch: row.get(1)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(good)
}

pub(super) fn append(tx: &Tx<'_>, lease: &Lease, first_seq: u64, batch: &EventBatch) -> Result<()> {
    let row = look(tx, lease)?;
    if !row.held {
        return Err(StoreError::Fenced);
    }
    append_next(tx, lease, row.next_seq, first_seq, batch)
}

pub(super) fn rewind(tx: &Tx<'_>, lease: &Lease, to: u64) -> Result<Option<u64>> {
    if !look(tx, lease)?.held {
        return Err(StoreError::Fenced);
    }
    event_log::rewind(tx, &lease.response_id, to)
}

pub(super) fn save_checkpoint(tx: &Tx<'_>, lease: &Lease, checkpoint: &[u8]) -> Result<()> {
    if !look(tx, lease)?.held {
        return Err(StoreError::Fenced);
    }
    run(
        tx.conn,
        "INSERT INTO job_notes (response_id, note) VALUES (?, ?)
         ON CONFLICT (response_id) DO UPDATE SET note = excluded.note",
        (&lease.response_id, checkpoint),
    )?;
    Ok(())
}

pub(super) fn finish(
    tx: &Tx<'_>,
    lease: &Lease,
    first_seq: u64,
    batch: &EventBatch,
    terminal: &Terminal,
) -> Result<()> {
    let row = look(tx, lease)?;
    if !row.held {
        // The caller may have lost the reply to this same call.
        let again = row.status == Some(terminal.status)
            && first_seq.checked_add(batch.count()) == Some(row.next_seq);
        return if again {
            Ok(())
        } else {
            Err(StoreError::Fenced)
        };
    }
    append_next(tx, lease, row.next_seq, first_seq, batch)?;
    let id = &lease.response_id;
    end(tx, id, terminal.status, &terminal.body)?;
    let project_id: Option<String> = tx
        .conn
        .prepare_cached("SELECT project_id FROM responses WHERE id = ? AND store")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    match project_id {
        Some(project_id) => items::index_output(tx, &project_id, id, &terminal.output),
        None => Ok(()),
    }
}

pub(super) fn release(tx: &Tx<'_>, lease: &Lease, delay: Duration, counts: bool) -> Result<()> {
    if !look(tx, lease)?.held {
        return Err(StoreError::Fenced);
    }
    run(
        tx.conn,
        "UPDATE jobs SET worker = NULL, due_at = ?, attempts = attempts - ?
         WHERE response_id = ?",
        (
            tx.lease_time() + millis(delay),
            i64::from(!counts),
            &lease.response_id,
        ),
    )?;
    Ok(())
}

/// Ends all leases when the process starts, since no other worker is alive. The
/// jobs keep their worker's name, so that the next claim counts as a takeover.
pub(super) fn end_all_leases(conn: &Connection) -> rusqlite::Result<()> {
    run(
        conn,
        "UPDATE jobs SET due_at = 0 WHERE worker IS NOT NULL",
        [],
    )?;
    Ok(())
}

/// The state that a worker's write finds.
struct Look {
    next_seq: u64,
    /// Whether the lease is good.
    held: bool,
    /// The status, if it is terminal.
    status: Option<Status>,
}

/// [`StoreError::Fenced`] if the row is gone or another claim has it.
fn look(tx: &Tx<'_>, lease: &Lease) -> Result<Look> {
    let now = tx.lease_time();
    tx.conn
        .prepare_cached(
            "SELECT next_seq, worker IS NOT NULL AND due_at > ?3, status
             FROM responses LEFT JOIN jobs ON response_id = id
             WHERE id = ?1 AND epoch = ?2",
        )?
        .query_row((&lease.response_id, lease.epoch, now), |row| {
            let status = response_row::status(row.get_ref(2)?.as_str()?)?;
            Ok(Look {
                next_seq: row.get(0)?,
                held: row.get(1)?,
                status: status.is_terminal().then_some(status),
            })
        })
        .optional()?
        .ok_or(StoreError::Fenced)
}

fn append_next(
    tx: &Tx<'_>,
    lease: &Lease,
    next_seq: u64,
    first_seq: u64,
    batch: &EventBatch,
) -> Result<()> {
    let id = &lease.response_id;
    if first_seq == next_seq {
        return event_log::append(tx, id, lease.epoch, first_seq, batch);
    }
    if first_seq < next_seq && event_log::holds(tx, id, first_seq, batch)? {
        return Ok(());
    }
    Err(refusals::events_do_not_fit(id, first_seq, next_seq))
}
