-- What a worker leaves beside the log for the next claim. A table of its own:
-- heartbeats write the job's row, and the request is large.
CREATE TABLE job_notes (
    response_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (response_id) ON DELETE CASCADE,
    note        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
