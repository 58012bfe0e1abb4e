-- Times are Unix milliseconds, JSON is TEXT, ids are TEXT.
-- Tables whose rows are found by their key alone are WITHOUT ROWID: one tree
-- instead of two.

-- organization_id, directory_version, checked_at
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;

-- Directory ------------------------------------------------------------------

CREATE TABLE projects (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT,
    external_key_id TEXT,
    created_at      INTEGER NOT NULL,
    archived_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE service_accounts (
    id         TEXT    NOT NULL PRIMARY KEY,
    project_id TEXT    NOT NULL REFERENCES projects (id),
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX service_accounts_by_project ON service_accounts (project_id, id);

-- Both owner columns are null in an organization admin key.
CREATE TABLE api_keys (
    id                 TEXT    NOT NULL PRIMARY KEY,
    project_id         TEXT    REFERENCES projects (id),
    service_account_id TEXT    REFERENCES service_accounts (id) ON DELETE CASCADE,
    name               TEXT,
    hash               BLOB    NOT NULL UNIQUE,
    redacted           TEXT    NOT NULL,
    scopes             TEXT,
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER,
    last_used_at       INTEGER,
    CHECK ((project_id IS NULL) = (service_account_id IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_project ON api_keys (project_id, id);
CREATE INDEX api_keys_by_service_account ON api_keys (service_account_id, id);

CREATE TABLE providers (
    id                        TEXT    NOT NULL PRIMARY KEY,
    name                      TEXT    NOT NULL UNIQUE,
    description               TEXT,
    issuer                    TEXT    NOT NULL,
    audience                  TEXT    NOT NULL,
    enabled                   INTEGER NOT NULL,
    attribute_transformations TEXT    NOT NULL,
    verification              TEXT    NOT NULL,
    trust_epoch               INTEGER NOT NULL,
    created_at                INTEGER NOT NULL,
    updated_at                INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rules (
    id                 TEXT    NOT NULL PRIMARY KEY,
    provider_id        TEXT    NOT NULL REFERENCES providers (id),
    project_id         TEXT    NOT NULL REFERENCES projects (id),
    service_account_id TEXT    NOT NULL REFERENCES service_accounts (id) ON DELETE CASCADE,
    name               TEXT,
    description        TEXT,
    enabled            INTEGER NOT NULL,
    attribute_matchers TEXT    NOT NULL,
    permissions        TEXT    NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    UNIQUE (provider_id, service_account_id),
    UNIQUE (provider_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX rules_by_service_account ON rules (service_account_id);

CREATE TABLE revocations (
    jti        TEXT    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_by_end ON revocations (expires_at);

CREATE TABLE signing_keys (
    kid        TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    sign_from  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Audit ----------------------------------------------------------------------

CREATE TABLE audit (
    id           TEXT    NOT NULL PRIMARY KEY,
    effective_at INTEGER NOT NULL,
    event_type   TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    actor_id     TEXT,
    actor_email  TEXT,
    project_id   TEXT,
    project_name TEXT,
    resource_id  TEXT,
    ip_address   TEXT,
    user_agent   TEXT,
    request_id   TEXT,
    payload      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_by_time ON audit (effective_at);
CREATE INDEX audit_by_type ON audit (event_type, id);
CREATE INDEX audit_by_actor ON audit (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_project ON audit (project_id, id) WHERE project_id IS NOT NULL;
CREATE INDEX audit_by_resource ON audit (resource_id, id) WHERE resource_id IS NOT NULL;

-- Responses ------------------------------------------------------------------

-- Only what changes with every appended batch, and is small: an UPDATE writes
-- the whole row again, so the body is kept apart.
CREATE TABLE responses (
    id                   TEXT    NOT NULL PRIMARY KEY,
    project_id           TEXT    NOT NULL,
    status               TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    background           INTEGER NOT NULL,
    streamable           INTEGER NOT NULL,
    store                INTEGER NOT NULL,
    previous_response_id TEXT,
    -- The number the next event gets.
    next_seq             INTEGER NOT NULL,
    -- Rises with every claim and with a cancel; fences old workers.
    epoch                INTEGER NOT NULL,
    -- 0: never had a log, 1: has it, 2: dropped by retention.
    log_state            INTEGER NOT NULL,
    -- Set when the status became terminal.
    ended_at             INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX responses_by_end ON responses (store, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX responses_with_log ON responses (ended_at) WHERE ended_at IS NOT NULL AND log_state = 1;

CREATE TABLE response_bodies (
    response_id TEXT NOT NULL PRIMARY KEY REFERENCES responses (id) ON DELETE CASCADE,
    body        TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE input_items (
    response_id TEXT    NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    json        TEXT    NOT NULL,
    PRIMARY KEY (response_id, position)
) STRICT, WITHOUT ROWID;

-- The event log. Batches of a response follow each other without a gap:
-- first_seq is the last_seq before it plus one.
CREATE TABLE event_batches (
    response_id TEXT    NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    -- The claim that wrote it; 0 at creation.
    epoch       INTEGER NOT NULL,
    events      BLOB    NOT NULL,
    PRIMARY KEY (response_id, first_seq)
) STRICT, WITHOUT ROWID;

-- A job is ready when due_at has come. due_at is the end of the lease when it
-- has a worker, else the time from which it may be claimed. n is its age.
CREATE TABLE jobs (
    n           INTEGER PRIMARY KEY AUTOINCREMENT,
    response_id TEXT    NOT NULL UNIQUE REFERENCES responses (id) ON DELETE CASCADE,
    queue       TEXT    NOT NULL,
    due_at      INTEGER NOT NULL,
    worker      TEXT,
    attempts    INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_queue ON jobs (queue, n, due_at);
CREATE INDEX jobs_leased ON jobs (worker, due_at) WHERE worker IS NOT NULL;

-- Apart from jobs, because heartbeats write that row again and again.
CREATE TABLE job_requests (
    response_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (response_id) ON DELETE CASCADE,
    request     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
