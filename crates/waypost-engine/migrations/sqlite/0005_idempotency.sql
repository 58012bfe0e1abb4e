-- The keys under which callers created responses. No reference to the response:
-- a key outlives it, so that repeating the request cannot make a second one.
CREATE TABLE idempotency_keys (
    project_id  TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    response_id TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (project_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
