-- A person's approval of one call of an MCP tool, and the response that has it.
-- request_id is what clients send: theirs alone within a project.
CREATE TABLE approvals (
    project_id  TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    response_id TEXT    NOT NULL,
    taken_at    INTEGER NOT NULL,
    PRIMARY KEY (project_id, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_age ON approvals (taken_at);
