-- Items of stored responses, by the ids with which requests refer to them.
-- `position` is the item's place in the input, or in the body's output.
CREATE TABLE items (
    project_id  TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    response_id TEXT    NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    is_output   INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (project_id, id, response_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX items_by_response ON items (response_id);

INSERT OR IGNORE INTO items (project_id, id, response_id, is_output, position)
    SELECT project_id, output.value ->> 'id', responses.id, 1, output.key
    FROM responses
    JOIN response_bodies ON response_id = responses.id
    JOIN json_each(body, '$.output') AS output
    WHERE store AND ended_at IS NOT NULL AND output.value ->> 'id' IS NOT NULL
        AND (status = 'completed' OR output.value ->> 'status' = 'completed'
            OR output.value ->> 'type' = 'message' OR output.value ->> 'type' LIKE 'mcp\_%' ESCAPE '\');

INSERT OR IGNORE INTO items (project_id, id, response_id, is_output, position)
    SELECT project_id, input_items.id, responses.id, 0, position
    FROM responses
    JOIN input_items ON response_id = responses.id
    WHERE store AND input_items.id <> '';
