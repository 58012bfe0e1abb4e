-- How many events of the log readers may have been given.
ALTER TABLE responses ADD COLUMN read_to INTEGER NOT NULL DEFAULT 0;
-- How often the log's end was taken back.
ALTER TABLE responses ADD COLUMN rewinds INTEGER NOT NULL DEFAULT 0;
-- Readers before this version left no mark.
UPDATE responses SET read_to = next_seq WHERE ended_at IS NULL AND streamable;
